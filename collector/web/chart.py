"""Draws small charts and the strip of levels as inline SVG, on the server: no script and no library in the browser."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup, escape

from collector.snapshot import Trail
from collector.web.words import Words
from readiness.verdict import Level

_WIDTH: Final = 340.0
_HEIGHT: Final = 132.0
_LEFT: Final = 54.0
_RIGHT: Final = 8.0
_TOP: Final = 10.0
_BOTTOM: Final = 22.0

_FROM_ZERO: Final = ("_ratio", "_ms", "_s", "_count", "_bps", "_bool", "_bytes", "_total", "_code", "_days")
_GAP: Final = 3.0
"""A pause this many times the usual distance between points breaks the line: nothing was measured there."""

_STRIP_TALL: Final = {Level.FIT: 10, Level.DEGRADED: 18, Level.UNKNOWN: 26, Level.UNFIT: 33}


class _Scale(NamedTuple):
    """Maps one axis to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    def px(self, at: float) -> float:
        return self.start_px + (at - self.low) / (self.high - self.low) * (self.end_px - self.start_px)


def chart(trail: Trail, needed: float | None, words: Words) -> Markup:
    """One trail with its axes, units and times; `needed` draws the limit. Empty when the trail has no point."""
    if not trail.points:
        return Markup()
    times = [when_s for when_s, _ in trail.points]
    numbers = [number for _, number in trail.points]
    ticks = _ticks(numbers, needed, trail.value)
    across = _Scale(times[0], max(times[-1], times[0] + 60.0), _LEFT, _WIDTH - _RIGHT)
    up = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    label = words.say(
        "chart.label",
        what=f"{words.target(trail.target)}, {words.value(trail.value)}",
        last=words.number(trail.value, numbers[-1]),
        low=words.number(trail.value, min(numbers)),
        high=words.number(trail.value, max(numbers)),
        start=words.when(times[0]),
        end=words.when(times[-1]),
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(label)}">',
        *(_tick_line(up.px(tick), words.number(trail.value, tick)) for tick in ticks),
        *_time_labels(times, across, words),
    ]
    parts.extend(_line(trail.points, across, up, stepped=trail.value.endswith(("_bool", "_code"))))
    if needed is not None:
        at_px = up.px(needed)
        said = escape(words.say("room.threshold", limit=words.number(trail.value, needed)))
        above = at_px - 4 if at_px > _TOP + 14 else at_px + 12
        parts.append(
            f'<line class="limit" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>'
            f'<text class="limit-said" x="{_WIDTH - _RIGHT:g}" y="{above:.1f}" text-anchor="end">{said}</text>'
        )
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - numbers of ours, and texts escaped above


def _tick_line(at_px: float, said: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>'
        f'<text x="{_LEFT - 6:g}" y="{at_px + 3.5:.1f}" text-anchor="end">{escape(said)}</text>'
    )


def _time_labels(times: list[float], across: _Scale, words: Words) -> list[str]:
    baseline = _HEIGHT - 6
    start, end = words.minute(times[0]), words.minute(times[-1])
    said = [f'<text x="{_LEFT:g}" y="{baseline:g}">{start}</text>']
    if end != start:
        said.append(f'<text x="{_WIDTH - _RIGHT:g}" y="{baseline:g}" text-anchor="end">{end}</text>')
        middle_s = (times[0] + times[-1]) / 2
        middle = words.minute(middle_s)
        if middle not in (start, end):
            said.append(f'<text x="{across.px(middle_s):.1f}" y="{baseline:g}" text-anchor="middle">{middle}</text>')
    return said


def _line(points: Sequence[tuple[float, float]], across: _Scale, up: _Scale, *, stepped: bool) -> list[str]:
    distances = [later[0] - earlier[0] for earlier, later in itertools.pairwise(points)]
    longest_s = _GAP * statistics.median(distances) if distances else 0.0
    runs: list[list[tuple[float, float]]] = [[points[0]]]
    for distance, point in zip(distances, points[1:], strict=True):
        if distance > longest_s:
            runs.append([])
        runs[-1].append(point)
    drawn = []
    for run in runs:
        if len(run) == 1:
            drawn.append(f'<circle class="dot" cx="{across.px(run[0][0]):.1f}" cy="{up.px(run[0][1]):.1f}" r="2"/>')
        else:
            corners = _stepped(run) if stepped else run
            path = " ".join(f"{across.px(when_s):.1f},{up.px(number):.1f}" for when_s, number in corners)
            drawn.append(f'<polyline class="line" points="{path}"/>')
    last = points[-1]
    drawn.append(f'<circle class="last" cx="{across.px(last[0]):.1f}" cy="{up.px(last[1]):.1f}" r="3"/>')
    return drawn


def _stepped(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A state holds until the next one is seen: nothing lies halfway between no and yes."""
    corners = run[:1]
    for (_, held), (when_s, number) in itertools.pairwise(run):
        corners += [(when_s, held), (when_s, number)]
    return corners


def _ticks(numbers: list[float], needed: float | None, value_name: str) -> list[float]:
    """Three to six round numbers that hold all points and the limit; the first and last are the ends of the axis."""
    all_numbers = numbers if needed is None else [*numbers, needed]
    low, high = min(all_numbers), max(all_numbers)
    if value_name.endswith(_FROM_ZERO):  # a rise from 40 to 42 ms must not look like a cliff
        low, high = min(low, 0.0), max(high, 0.0)
    if value_name.endswith("_bool"):
        return [0.0, 1.0]
    if high == low:
        low, high = low - abs(low or 1.0) * 0.1, high + abs(high or 1.0) * 0.1
        if value_name.endswith(_FROM_ZERO) and numbers[0] == 0:
            low, high = 0.0, 0.01 if value_name.endswith("_ratio") else 1.0
    step = _round_step((high - low) / 3)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)


class Span(NamedTuple):
    """A stretch of time at one level."""

    level: Level
    start_s: float
    end_s: float


def spans(levels: Sequence[tuple[float, Level]], until_s: float) -> list[Span]:
    """The levels as stretches: each lasts until the next, the last until `until_s`; equal neighbours are one."""
    found: list[Span] = []
    ends = [when_s for when_s, _ in levels[1:]] + [max(until_s, levels[-1][0])] if levels else []
    for (start_s, level), end_s in zip(levels, ends, strict=True):
        if found and found[-1].level is level:
            found[-1] = found[-1]._replace(end_s=end_s)
        else:
            found.append(Span(level, start_s, end_s))
    return found


def strip(levels: Sequence[tuple[float, Level]], until_s: float, words: Words) -> Markup:
    """The recent past as one band: the worse, the taller, so that it reads without colour. Empty without levels."""
    stretches = spans(levels, until_s)
    if not stretches:
        return Markup()
    start_s, end_s = stretches[0].start_s, stretches[-1].end_s
    across = _Scale(start_s, max(end_s, start_s + 1), 0, 1000)
    said = "; ".join(f"{words.when(span.start_s)} {words.level(span.level)}" for span in stretches)
    label = words.say("room.history.label", start=words.when(start_s), end=words.when(end_s), spans=said)
    parts = [
        f'<svg class="strip" viewBox="0 0 1000 34" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
    ]
    for span in stretches:
        left, width = across.px(span.start_s), max(across.px(span.end_s) - across.px(span.start_s), 1.5)
        tall = _STRIP_TALL[span.level]
        title = escape(f"{words.level(span.level)}: {words.when(span.start_s)} \u2013 {words.when(span.end_s)}")
        parts.append(
            f'<rect class="{span.level.name.lower()}" x="{left:.1f}" y="{34 - tall}" width="{width:.1f}" '
            f'height="{tall}"><title>{title}</title></rect>'
        )
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - numbers of ours, and texts escaped above
