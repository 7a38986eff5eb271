"""What an input may cost."""

from typing import Final

LONGEST_S: Final = 1.0
"""Of the processor's time."""
