"""Searches for what a line carries one way, by streams of rising bitrate within a given number of bytes. Pure.

After RFC 9097 (IP capacity by searching with UDP), with coarse steps instead of fine ones, since bytes are money: the
first stream that is too fast tells how much of it came through, and that is what the line carries.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from agent.media.sufficing import Answer, Found

FIRST_BPS: Final = 1_000_000
STEP: Final = 3

Try = Callable[[int], Found | None]
"""One stream at a bitrate, and what became of it; None when there was no answer about it."""


class Carries(NamedTuple):
    """What came through, in bit/s; `is_most` when a faster stream showed that it is all, else it may be more."""

    bps: float
    is_most: bool


def search(attempt: Try, may_spend: Callable[[int], bool], most_bps: int) -> Carries | None:
    """Try faster and faster until a stream does not fit, the fastest has, or the next would cost too much.

    `may_spend` tells of a bitrate whether its stream can be afforded. None when nothing can be said.
    """
    held: Carries | None = None
    bps = min(FIRST_BPS, most_bps)
    while may_spend(bps):
        found = attempt(bps)
        if found is None or found.answer is Answer.OPEN:
            break
        if found.answer is Answer.NARROW:
            # Less than what held a moment ago is loss by chance in a faster stream, and no narrower line.
            return Carries(max(found.bps, held.bps if held else 0.0), is_most=True)
        held = Carries(bps, is_most=False)
        if bps == most_bps:
            break
        bps = min(most_bps, bps * STEP)
    return held
