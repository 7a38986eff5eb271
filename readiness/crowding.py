"""Takes from the provider what is not his fault: a line that others used, or a PC or Wi-Fi that failed, amid a test.

A test stands for the line only while little else goes over it. What else did is told by the PC, of its own other
programs, and where it counts by the school's router, of everybody else. How much it takes to excuse the line:

- A narrow line: what came through and what others took are together what is needed. It is wide enough, and shared.
- A delay that grows under load: beside a stream of the lesson's bitrate, a fifth of it or more. So much reserve stands
  in the limits of profiles: a line that is just wide enough has filled by then.
- Loss, delay and jitter of single test packets, which load no line: as much as the lesson itself would take, and half
  of what the line is known to carry. A line that fails under less would fail in the lesson too.

Tests that were calm by the same measure, and found the same, leave the line its fault.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from readiness.codes import Code
from readiness.evidence import Evidence, finding
from readiness.metrics import METRICS, Rule
from readiness.profile import Check
from readiness.state import TO_REFLECTORS, Sight, Window
from readiness.verdict import Finding, Level, Verdict
from readiness.windows import Breach, Columns, pooled, series, steady

_BLAMES: Final = frozenset(
    {
        Code.LINK_NARROW,
        Code.LINK_CONGESTED,
        Code.LINK_LOSSY,
        Code.LINK_SLOW,
        Code.LINK_JITTERY,
        Code.AUDIO_POOR,
    }
)
"""Codes that say of the line what a test found."""
_TESTS: Final = tuple(sorted(TO_REFLECTORS))
_BUSY_RATIO: Final = 0.9
"""From here on the PC itself is late to send and to hear (Google Meet: above 90 % of the processors is a shortage)."""
_RESERVE_RATIO: Final = 0.2
_HALF: Final = 0.5
"""A mean of half of what a line carries is a line that was full half of the time."""
_WEAK_DBM: Final = -70.0
"""Below this Wi-Fi falls back to slow rates and sends again what is lost."""
_BURST_BPS: Final = 100_000.0
"""What single test packets take; more than they do by their defaults."""
_COUNTS_MAX_S: Final = 400.0
"""A mean over longer says too little of a test of seconds."""


class _Way(NamedTuple):
    """One direction: how its values are named, and the limit that says what the lesson needs of it."""

    heard: str
    carried: str
    limit: str


_WAYS: Final = (_Way("received", "down_bps", "downlink_bps"), _Way("sent", "up_bps", "uplink_bps"))


class _Use(NamedTuple):
    """What others took one way during a test: `value` names who took most of it, `bps` how much that was."""

    way: _Way
    value: str
    bps: float
    total_bps: float


def weigh_line(evidence: Evidence, found: Iterable[Finding], previous: Verdict | None = None) -> Iterator[Finding]:
    """The findings, those that rest on disturbed tests of the line replaced by what disturbed them."""
    for one in found:
        if one.code in _BLAMES:
            yield from _weighed(evidence, one, previous)
        else:
            yield one


def _weighed(evidence: Evidence, one: Finding, previous: Verdict | None) -> Iterator[Finding]:
    for probe in _TESTS:
        sight = evidence.state.sights.get((probe, one.target))
        tested = None if sight is None else _tested(evidence, sight, one)
        if tested is None:
            continue
        for disturbed in (tested.busy_pc(), tested.busy_line(previous), tested.by_wifi()):
            if disturbed is not None:
                yield from disturbed
                return
    yield one


def _tested(evidence: Evidence, sight: Sight, one: Finding) -> "_Tested | None":
    """The tests that a finding rests on, at least in part; None where none of them found it."""
    for check in evidence.profile.checks(sight.probe, sight.role):
        if check.metric.value != one.value or one.needed is None:
            continue
        is_latest = check.metric.rule is Rule.LATEST
        windows = sight.windows[-1:] if is_latest else next(live for seen, live in evidence.live if seen is sight)
        if any(_breaks(sight, window, check, one.needed) for window in windows):
            return _Tested(evidence, sight, check, one, windows)
    return None


class _Tested:
    """A finding, and the tests of one target that bear it out."""

    def __init__(self, evidence: Evidence, sight: Sight, check: Check, one: Finding, windows: list[Window]) -> None:
        self._evidence = evidence
        self._sight = sight
        self._check = check
        self._one = one
        self._windows = windows
        self._broken = [one for one in windows if _breaks(sight, one, check, self._needed)]

    @property
    def _needed(self) -> float:
        return self._one.needed or 0.0

    def busy_pc(self) -> list[Finding] | None:
        """What is left of the finding when the PC had no time for the tests: nothing where something else tells."""
        busy = [window for window in self._broken if (self._number(window, "busy_cpu_ratio") or 0.0) >= _BUSY_RATIO]
        if not busy or self._still([window for window in self._windows if window not in busy]):
            return None
        if self._pings_tell():
            return [self._one] if self._pings_agree() else []
        # It cannot be worse than it looked, so that what looked DEGRADED is no more unknown than that.
        level = min(self._one.level, Level.UNKNOWN, key=lambda level: level.severity)
        share = self._number(busy[-1], "busy_cpu_ratio")
        return [
            finding(
                Code.TEST_PC_BUSY, level, self._one.target, self._one.since_s,
                value="busy_cpu_ratio", measured=share, needed=_BUSY_RATIO,
            )
        ]  # fmt: skip

    def busy_line(self, previous: Verdict | None) -> list[Finding] | None:
        """The finding as it stands when others filled the line."""
        uses = [(window, use) for window in self._broken if (use := self._filled_by(window)) is not None]
        crowded = [window for window, _ in uses]
        if not uses:
            known = self._known_from(previous)
            return None if known is None else [known]
        if self._still([window for window in self._windows if window not in crowded]):
            return None
        use = max((use for _, use in uses), key=lambda use: use.bps)
        return [
            finding(
                Code.LINE_BUSY, self._one.level, self._one.target, self._one.since_s,
                value=use.value, measured=use.bps,
            )
        ]  # fmt: skip

    def by_wifi(self) -> list[Finding] | None:
        """The finding as it stands on Wi-Fi that is weak, or whose strength is not known."""
        if not self._broken or self._number(self._broken[-1], "wifi_bool") != 1:
            return None
        strengths = [
            number
            for sight, windows in self._evidence.of_probe("link")
            for number in [window.numbers[sight.column("wifi_rssi_dbm")] for window in windows[-1:]]
            if number is not None
        ]
        if strengths and min(strengths) >= _WEAK_DBM:
            return None
        return [msgspec.structs.replace(self._one, code=Code.LINK_BY_WIFI.value)]

    def _is(self, code: Code) -> bool:
        return self._one.code == code

    def _number(self, window: Window, value: str) -> float | None:
        return window.numbers[self._sight.column(value)]

    def _still(self, windows: list[Window]) -> bool:
        """Whether these tests alone make the same finding."""
        breach = _judged(self._sight, self._check, windows)
        return breach is not None and breach.level.severity >= self._one.level.severity

    def _pings_tell(self) -> bool:
        return bool(self._check.metric.sharper) and any(
            not window.sign
            for sight, windows in self._evidence.of_probe(self._check.metric.probe)
            if sight.target == self._one.target
            for window in windows
        )

    def _pings_agree(self) -> bool:
        sight = self._evidence.state.sights[self._check.metric.probe, self._one.target]
        windows = sight.recent(self._windows[0].measured_s)
        return any(_breaks(sight, window, self._check, self._needed) for window in windows)

    def _filled_by(self, window: Window) -> _Use | None:
        """Who filled the line during a test; None when nobody is known to have."""
        uses = [use for way in _WAYS if (use := self._use(window, way)) is not None and self._fills(window, use)]
        return max(uses, key=lambda use: use.total_bps, default=None)

    def _use(self, window: Window, way: _Way) -> _Use | None:
        own_bps = self._number(window, f"competing_{way.heard}_bps")
        others_bps = self._others_bps(window, way, own_bps or 0.0)
        if own_bps is None and others_bps is None:
            return None
        own_bps, others_bps = own_bps or 0.0, others_bps or 0.0
        who, bps = ("competing", own_bps) if own_bps >= others_bps else ("others", others_bps)
        return _Use(way, f"{who}_{way.heard}_bps", bps, own_bps + others_bps)

    def _fills(self, window: Window, use: _Use) -> bool:
        lesson_bps = self._lesson_bps(use.way)
        if self._is(Code.LINK_NARROW):
            return use.way.carried == self._one.value and use.total_bps + self._carried(window) >= self._needed
        if lesson_bps is None:
            return False
        if self._is(Code.LINK_CONGESTED):
            return use.total_bps >= _RESERVE_RATIO * lesson_bps
        return use.total_bps >= max(lesson_bps, _HALF * self._known_bps(use.way))

    def _carried(self, window: Window) -> float:
        return self._number(window, self._check.metric.value) or 0.0

    def _lesson_bps(self, way: _Way) -> float | None:
        for limit in self._evidence.profile.limits:
            if limit.metric == way.limit:
                return limit.degraded if limit.degraded is not None else limit.unfit
        return None

    def _known_bps(self, way: _Way) -> float:
        """What the line carried at its best, when that was last searched; 0 where it never was."""
        latest_s = self._evidence.now - METRICS[way.limit].lasts_s
        return max(
            (
                sight.windows[-1].numbers[sight.column(way.carried)] or 0.0
                for sight, _ in self._evidence.of_probe("throughput")
                if sight.windows and sight.windows[-1].measured_s >= latest_s
            ),
            default=0.0,
        )

    def _others_bps(self, window: Window, way: _Way, own_bps: float) -> float | None:
        """What the router counted beside the test and this PC's own traffic; None where it does not count."""
        for sight, windows in self._evidence.of_probe("device"):
            counted = f"wan_{way.heard}_bytes_total"
            if counted not in sight.names:
                continue
            around = _around(windows, sight.column(counted), window.measured_s)
            if around is not None:
                bits, lasted_s = around
                test_bits = _BURST_BPS * lasted_s
                if way.carried in self._sight.names:
                    took_s = self._number(window, "took_s") or 0.0
                    test_bits = (self._number(window, way.carried) or 0.0) * min(took_s, lasted_s)
                return max(0.0, (bits - test_bits) / lasted_s - own_bps)
        return None

    def _known_from(self, previous: Verdict | None) -> Finding | None:
        """What the last verdict said of the same test, when what the router had counted was still known."""
        tested_s = self._windows[-1].measured_s
        if self._check.metric.rule is not Rule.LATEST or previous is None or tested_s > previous.judged_s:
            return None
        for known in previous.findings:
            if known.code == Code.LINE_BUSY and known.target == self._one.target and known.value.startswith("others_"):
                return msgspec.structs.replace(known, level=self._one.level)
        return None


def _around(windows: list[Window], column: int, tested_s: float) -> tuple[float, float] | None:
    """The bits counted over the time around a test, and how long that was; None where it cannot be said.

    A counter that went back was reset, or has run over: either way it says nothing. The last two words will do for a
    test since them, until the next comes.
    """
    told = [(window.measured_s, number) for window in windows if (number := window.numbers[column]) is not None]
    for (began_s, before), (ended_s, after) in zip(reversed(told[:-1]), reversed(told[1:]), strict=True):
        lasted_s = ended_s - began_s
        if began_s <= tested_s <= ended_s + lasted_s:
            return ((after - before) * 8, lasted_s) if 0 < lasted_s <= _COUNTS_MAX_S and after >= before else None
    return None


def _breaks(sight: Sight, window: Window, check: Check, needed: float) -> bool:
    number = window.numbers[sight.column(check.metric.value)]
    if number is None:
        return False
    return number >= needed if check.limit.worse == "above" else number < needed


def _judged(sight: Sight, check: Check, windows: list[Window]) -> Breach | None:
    """As the judge does it, by the rule of the metric."""
    rule: Rule = check.metric.rule
    column = sight.column(check.metric.value)
    by_rule: dict[Rule, Callable[[], Breach | None]] = {
        Rule.LATEST: lambda: steady(windows[-1:], column, check.limit, count=1),
        Rule.SERIES: lambda: series(windows, column, check.limit),
        Rule.POOLED: lambda: pooled(windows, _loss_columns(sight), check.limit),
    }
    return by_rule[rule]()


def _loss_columns(sight: Sight) -> Columns:
    return Columns(sight.column("sent_count"), sight.column("received_count"), sight.column("loss_ratio"))
