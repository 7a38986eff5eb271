"""Looks for the devices of a room in the PC's own network, gently, and proposes them for the plan.

`messages` has the questions and reads the answers, `sighting` merges what was seen, names it and holds it against the
plan; these two are pure. `search` owns the sockets, `scan` the order of things and their bounds, `telling` the words.
"""
