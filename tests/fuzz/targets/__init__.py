"""One decoder each: `inputs()` are what to begin with, `take(data)` tells whether it was good; what it raises is a bug.

`WORDS` are pieces that make an input worth a second look. What was once found stays among the inputs.
"""
