"""What the recent windows of one value say about a limit.

A link is judged by windows, not by seconds, so that a plan that measures each second and one that measures each five
minutes follow the same rules:

- It is degraded when at least 2 of the last 20 windows break the degraded limit, unfit when at least 4 break the unfit
  limit or the last 3 do; a window without any answer breaks both.
- It has recovered as soon as none of the last 3 windows breaks the limit any more. Trouble that comes and goes counts
  as one run until 3 windows in a row were good; its beginning is that of the run.
- Loss is a share of few packets: its windows are pooled, and only what chance cannot explain counts (`pooled`).
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from contract.wilson import at_most, wilson
from readiness.profile import Limit
from readiness.state import Sign, Window
from readiness.verdict import Level

DEGRADED_COUNT: Final = 2
UNFIT_COUNT: Final = 4
CLEAR_COUNT: Final = 3
"""So many windows in a row settle a matter: they call a target lost, a link unfit, or well again."""
MEAN_COUNT: Final = 5
_UNLIKELY: Final = 0.02
_SENT_MAX_COUNT: Final = 100_000


class Breach(NamedTuple):
    """A limit broken. `measured` is None where there was no answer to measure, `needed` is the limit."""

    level: Level
    since_s: float
    measured: float | None
    needed: float


def series(windows: Sequence[Window], column: int, limit: Limit) -> Breach | None:
    """Judge single windows by the rule above; those that bring no figure although the target answered are skipped."""
    is_above = limit.worse == "above"
    soft, hard = limit.degraded, limit.unfit
    bound = soft if soft is not None else hard
    if bound is None or not any(_breaks(window, column, bound, is_above) for window in windows[-CLEAR_COUNT:]):
        return None
    told = [window for window in windows if window.sign is Sign.DEAD or window.numbers[column] is not None]
    if hard is not None:
        broken = [_breaks(window, column, hard, is_above) for window in told]
        last = broken[-CLEAR_COUNT:]
        if any(last) and (sum(broken) >= UNFIT_COUNT or (len(last) == CLEAR_COUNT and all(last))):
            return _breach(Level.UNFIT, told, broken, column, hard)
    if soft is not None:
        broken = [_breaks(window, column, soft, is_above) for window in told]
        if any(broken[-CLEAR_COUNT:]) and sum(broken) >= DEGRADED_COUNT:
            return _breach(Level.DEGRADED, told, broken, column, soft)
    return None


def _breaks(window: Window, column: int, bound: float, is_above: bool) -> bool:  # noqa: FBT001 - hot and private
    number = window.numbers[column]
    if number is None:
        return window.sign is Sign.DEAD
    return number >= bound if is_above else number < bound


def _breach(level: Level, windows: Sequence[Window], broken: list[bool], column: int, needed: float) -> Breach:
    """`measured` is the median of the figures that broke the limit, None when most windows had no answer at all."""
    figures = sorted(
        number
        for window, is_broken in zip(windows, broken, strict=True)
        if is_broken and (number := window.numbers[column]) is not None
    )
    measured = figures[len(figures) // 2] if 2 * len(figures) >= sum(broken) else None
    return Breach(level, windows[run_start(broken)].measured_s, measured, needed)


def run_start(broken: Sequence[bool]) -> int:
    """Where the present run of trouble began: it ends, looking back, at CLEAR_COUNT good ones in a row."""
    start, good = len(broken) - 1, 0
    for place in range(len(broken) - 1, -1, -1):
        if broken[place]:
            start, good = place, 0
        else:
            good += 1
            if good >= CLEAR_COUNT:
                break
    return start


def steady(
    windows: Sequence[Window], column: int, limit: Limit, *, extra: float = 0.0, count: int = 2
) -> Breach | None:
    """The last `count` figures all break the limit (raised by `extra`); `measured` is the last."""
    if not windows:
        return None
    is_above = limit.worse == "above"
    for level, bound in ((Level.UNFIT, limit.unfit), (Level.DEGRADED, limit.degraded)):
        if bound is None:
            continue
        needed = bound + extra
        run = run_of(windows, column, _test(needed, is_above=is_above))
        if len(run) >= count:
            return Breach(level, run[0][0], run[-1][1], needed)
    return None


def _test(needed: float, *, is_above: bool) -> Callable[[float], bool]:
    return (lambda number: number >= needed) if is_above else (lambda number: number < needed)


def run_of(windows: Sequence[Window], column: int, is_so: Callable[[float], bool]) -> list[tuple[float, float]]:
    """The unbroken run, up to the latest figure, of those that pass: (time, figure), oldest first."""
    run: list[tuple[float, float]] = []
    for window in reversed(windows):
        number = window.numbers[column]
        if number is None:
            continue
        if not is_so(number):
            break
        run.append((window.measured_s, number))
    run.reverse()
    return run


def mean(windows: Sequence[Window], column: int, limit: Limit) -> Breach | None:
    """The mean of the last five figures, at least three, breaks the limit."""
    figures: list[tuple[float, float]] = []
    for window in reversed(windows):
        number = window.numbers[column]
        if number is not None:
            figures.append((window.measured_s, number))
            if len(figures) == MEAN_COUNT:
                break
    if len(figures) < CLEAR_COUNT:
        return None
    middle = sum(number for _, number in figures) / len(figures)
    for level, bound in ((Level.UNFIT, limit.unfit), (Level.DEGRADED, limit.degraded)):
        if bound is not None and (middle >= bound if limit.worse == "above" else middle < bound):
            return Breach(level, figures[-1][0], middle, bound)
    return None


class Columns(NamedTuple):
    """Where the counts of a ping stand."""

    sent: int
    received: int
    ratio: int


def pooled(windows: Sequence[Window], columns: Columns, limit: Limit) -> Breach | None:
    """Judge loss: the rule for single windows, and beyond it that chance cannot explain the loss of all together.

    The lower bound of Wilson's interval must reach the limit, so that one packet lost of ten is no verdict. Windows
    before a change for the better are left out (`_change`). Windows that bring a share and no counts cannot be pooled
    and are judged singly.
    """
    if not any(_is_lossy(window, columns) for window in windows):
        return None
    counts = _counts(windows, columns)
    if counts is None:
        return series(windows, columns.ratio, limit)
    change = _change(counts)
    windows, counts = windows[change:], counts[change:]
    sent, lost = sum(sent for sent, _ in counts), sum(lost for _, lost in counts)
    if not lost:
        return None
    surely = wilson(lost, sent)[0]
    for level, bound in ((Level.UNFIT, limit.unfit), (Level.DEGRADED, limit.degraded)):
        if bound is None or surely < bound:
            continue
        broken = [lost > 0 and lost >= bound * sent for sent, lost in counts]
        is_unfit = sum(broken) >= UNFIT_COUNT or (len(broken) >= CLEAR_COUNT and all(broken[-CLEAR_COUNT:]))
        if is_unfit if level is Level.UNFIT else sum(broken) >= DEGRADED_COUNT:
            return Breach(level, windows[broken.index(True)].measured_s, lost / sent, bound)
    return None


def _is_lossy(window: Window, columns: Columns) -> bool:
    if window.sign is Sign.DEAD:
        return True
    sent, received, ratio = (window.numbers[column] for column in columns)
    return (ratio is not None and ratio > 0) or (sent is not None and received is not None and received < sent)


def _counts(windows: Sequence[Window], columns: Columns) -> list[tuple[int, int]] | None:
    """(sent, lost) of each window; None when one with an answer does not tell.

    One without any answer that does not tell either lost as many as the others sent.
    """
    counts: list[tuple[int, int] | None] = []
    for window in windows:
        sent, received = window.numbers[columns.sent], window.numbers[columns.received]
        if sent is not None and received is not None and 0 < sent <= _SENT_MAX_COUNT:
            whole = max(1, round(sent))
            counts.append((whole, min(whole, max(0, whole - round(received)))))
        elif window.sign is Sign.DEAD:
            counts.append(None)
        else:
            return None
    usual = max((count[0] for count in counts if count), default=1)
    return [count or (usual, usual) for count in counts]


def _change(counts: Sequence[tuple[int, int]]) -> int:
    """Where the present rate of loss began, if it is lower than before: 0 when the windows do not show a change.

    A change shows when what came since, at least three windows, would have been one case of fifty or rarer at the
    rate before; of several places the likeliest is taken.
    """
    best, best_place = -math.inf, 0
    sent_before, lost_before = 0, 0
    sent_after, lost_after = sum(sent for sent, _ in counts), sum(lost for _, lost in counts)
    for place, (sent, lost) in enumerate(counts[: len(counts) - CLEAR_COUNT], start=1):
        sent_before, lost_before = sent_before + sent, lost_before + lost
        sent_after, lost_after = sent_after - sent, lost_after - lost
        share_before = lost_before / sent_before
        if lost_after / sent_after >= share_before or at_most(lost_after, sent_after, share_before) >= _UNLIKELY:
            continue
        likelihood = _log_likelihood(lost_before, sent_before) + _log_likelihood(lost_after, sent_after)
        if likelihood > best:
            best, best_place = likelihood, place
    return best_place


def _log_likelihood(hits: int, trials: int) -> float:
    """Of the hits at their own best rate, but for a constant."""
    if hits in (0, trials):
        return 0.0
    return hits * math.log(hits / trials) + (trials - hits) * math.log(1 - hits / trials)
