"""What readings mean for a room. Pure: no I/O, no clock, no logging; `now` comes in by argument."""
