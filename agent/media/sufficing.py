"""Decides, as a stream goes on, whether the line carries its bitrate: as soon as that is certain, and not before. Pure.

A stream that is too fast for a line fills the queue before it, so that each packet waits longer than the one before,
until the queue is full; from then on what is too much is lost. A line that only loses packets lets none wait. So the
delay tells the two apart, and loss alone counts only where it is more than a bad line has by chance.
"""

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

from contract.stream import WINDOW_NS, Window
from contract.wilson import wilson

NARROW_FROM_COUNT: Final = 10
HOLDS_FROM_COUNT: Final = 20
"""Two seconds: a shaper may let a burst through at first, and a slow queue needs time to be seen."""
_HALF: Final = 5
"""Windows in half a second."""
_FREE_MS: Final = 25.0
"""As long as some packet of half a second waited no longer than this, no queue stands."""
_QUEUE_MS: Final = 60.0
_CARRIED: Final = 0.97
_CARRIED_AT_LAST: Final = 0.985
_LOSSY: Final = 0.08
_NOT_LOSSY: Final = 0.10
_OFFERED: Final = 0.9
"""A sender that did not keep up has proved nothing."""


class Answer(enum.Enum):
    """Whether the bitrate fits."""

    OPEN = "open"
    HOLDS = "holds"
    NARROW = "narrow"


class Found(NamedTuple):
    """The answer, the bit/s that came through (no more than was sent), and the share of packets lost."""

    answer: Answer
    bps: float
    loss_ratio: float


def decide(windows: Sequence[Window], bps: float, interval_s: float, *, received: int, is_over: bool = False) -> Found:
    """What the windows of a stream of `bps`, a packet each `interval_s`, say so far.

    `received` counts the packets of all windows, also of those that no report told of. The last window is still being
    filled, unless the stream is over. OPEN at the end means that it cannot be said.
    """
    settled = windows if is_over else windows[:-1]
    count = len(settled)
    if not any(one.received for one in settled):
        return Found(Answer.OPEN, 0.0, 0.0)
    offered = settled[-1].top_seq + 1
    received = min(offered, received - (0 if is_over else windows[-1].received))
    loss_ratio = 1 - received / offered
    loss_low, loss_high = wilson(offered - received, offered)
    queue_ms, before_ms = _queues_ms(settled)
    carried = _carried(settled, interval_s)
    kept_up = offered * interval_s >= _OFFERED * count * WINDOW_NS / 1e9
    answer = Answer.OPEN
    if count >= NARROW_FROM_COUNT and (
        (queue_ms >= _QUEUE_MS and before_ms >= _QUEUE_MS / 2 and carried < _CARRIED) or loss_low > _LOSSY
    ):
        answer = Answer.NARROW
    elif kept_up and count >= HOLDS_FROM_COUNT and queue_ms < _FREE_MS and loss_high < _NOT_LOSSY:
        answer = Answer.HOLDS
    elif is_over and kept_up and count >= HOLDS_FROM_COUNT:
        is_narrow = (queue_ms >= _FREE_MS and carried < _CARRIED_AT_LAST) or loss_ratio > _LOSSY
        answer = Answer.NARROW if is_narrow else Answer.HOLDS
    return Found(answer, bps if answer is Answer.HOLDS else min(bps, bps * carried), loss_ratio)


def _queues_ms(settled: Sequence[Window]) -> tuple[float, float]:
    """How long the luckiest packet had to wait in the last half second, and in the one before that."""
    shortest_ns = min(one.delay_ns for one in settled if one.received)
    waits: list[float] = []
    for end in (len(settled), len(settled) - _HALF):
        delays = [one.delay_ns for one in settled[max(0, end - _HALF) : max(0, end)] if one.received]
        waits.append((min(delays) - shortest_ns) / 1e6 if delays else 0.0)
    return waits[0], waits[1]


def _carried(settled: Sequence[Window], interval_s: float) -> float:
    """The share of the bitrate that came through in the last second: what was not lost, at the pace of its coming."""
    recent = [(place, one) for place, one in enumerate(settled) if one.received][-2 * _HALF :]
    (first, begin), (last, end) = recent[0], recent[-1]
    # What was sent in this time came in this time, and as much longer as the queue grew.
    lasted_ns = (last - first + 1) * WINDOW_NS + max(0, end.delay_ns - begin.delay_ns)
    return min(1.0, sum(one.received for _, one in recent) * interval_s * 1e9 / lasted_ns)
