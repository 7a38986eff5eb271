"""What the judge looks at: one room's live windows at one moment, and which targets are alive or lost."""

import enum
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from readiness.codes import Code
from readiness.profile import Profile
from readiness.state import WINDOW_LASTS_S, RoomState, Sight, Sign, Window
from readiness.verdict import Finding, Level
from readiness.windows import CLEAR_COUNT, run_of

NETWORK_PROBES: Final = frozenset({"ping", "tcp", "http", "snmp", "device", "stamp", "sufficiency", "throughput"})
"""Probes whose answer comes over the network: proof that the way to the target works."""
_SILENT_PROBES: Final = frozenset({"snmp", "power", "host", "agent", "link", "peripherals"})
"""Probes whose silence does not mean that their target is lost: an unknown community looks just like it."""
_CONFIRMED_AFTER_S: Final = 10.0
"""A yes or no counts after two readings in a row, or when the latest has stood so long without another."""


class Fate(enum.Enum):
    """What is known of a target."""

    ALIVE = "alive"
    REFUSES = "refuses"  # the host lives, or did lately, and what the lesson needs of it does not
    NAMELESS = "nameless"  # its name does not resolve
    LOST = "lost"
    UNKNOWN = "unknown"


class Life(NamedTuple):
    """The fate of one target. `since_s` is when the run began that shows it."""

    target: str
    role: str
    fate: Fate
    since_s: float
    over_network: bool


class Evidence:
    """Of one room at `now`. Windows older than 30 minutes are left out."""

    def __init__(self, profile: Profile, state: RoomState, now: float) -> None:
        self.profile = profile
        self.state = state
        self.now = now
        self._horizon_s = now - WINDOW_LASTS_S
        self.live = [(sight, sight.recent(self._horizon_s)) for sight in state.sights.values()]
        self.lives = self._lives()

    def of_probe(self, probe: str) -> Iterator[tuple[Sight, list[Window]]]:
        """The sights of one probe, with their windows."""
        return ((sight, windows) for sight, windows in self.live if sight.probe == probe)

    def of_role(self, *roles: str) -> list[Life]:
        """Lives of the targets of these roles."""
        return [life for life in self.lives.values() if life.role in roles]

    def says(self, probe: str, value: str) -> tuple[str, float] | None:
        """(target, since when) of a yes that is confirmed; None for a no, and for not knowing."""
        return next((found for _, found in self._confirmed(probe, value, 1)), None)

    def denies(self, probe: str, value: str) -> tuple[str, float] | None:
        """(target, since when) of a no that is confirmed."""
        return next((found for _, found in self._confirmed(probe, value, 0)), None)

    def _confirmed(self, probe: str, value: str, wanted: int) -> Iterator[tuple[Sight, tuple[str, float]]]:
        for sight, windows in self.of_probe(probe):
            if (since_s := self.confirmed_since(sight, windows, value, wanted)) is not None:
                yield sight, (sight.target, since_s)

    def confirmed_since(self, sight: Sight, windows: list[Window], value: str, wanted: int) -> float | None:
        """Since when a yes (1) or no (0) has stood; None when it does not, or only just."""
        return self._stood_since(sight, windows, value, lambda number: bool(number) == bool(wanted))

    def has_stood_since(self, sight: Sight, windows: list[Window], value: str, state: int) -> float | None:
        """Since when a state (a `_code`) has stood; None when it does not, or only just."""
        return self._stood_since(sight, windows, value, lambda number: number == state)

    def _stood_since(
        self, sight: Sight, windows: list[Window], value: str, is_so: Callable[[float], bool]
    ) -> float | None:
        if not windows or value not in sight.names:
            return None
        run = run_of(windows, sight.column(value), is_so)
        if len(run) >= 2 or (run and self.now - run[-1][0] >= _CONFIRMED_AFTER_S):  # noqa: PLR2004 - two in a row
            return run[0][0]
        return None

    def _lives(self) -> dict[str, Life]:
        by_target: dict[str, list[tuple[Sight, list[Window]]]] = {}
        for sight, windows in self.live:
            if windows:
                by_target.setdefault(sight.target, []).append((sight, windows))
        return {target: _life(target, found) for target, found in by_target.items()}


def _life(target: str, found: list[tuple[Sight, list[Window]]]) -> Life:
    """What several probes say together.

    A silent ping is no loss while something else of the target answers as late as that silence lasts: hosts may
    filter pings. A service that does not answer on a host that does is a refusal.
    """
    role = found[0][0].role
    over_network = any(sight.probe in NETWORK_PROBES for sight, _ in found)
    living = _LIVING_HOST if role in _HOSTS_ONLY else _LIVING
    answers_s = [windows[-1].measured_s for _, windows in found if windows[-1].sign in living]
    worst: Life | None = None
    for sight, windows in found:
        if windows[-1].sign in living or len(windows) < CLEAR_COUNT or sight.probe in _SILENT_PROBES:
            continue
        run = _failing_run(windows, living)
        if len(run) < CLEAR_COUNT:
            continue
        since_s = run[0].measured_s
        fate = _fate_of(run)
        if fate is Fate.LOST and any(answer_s >= since_s for answer_s in answers_s):
            if sight.probe == "ping":
                continue
            fate = Fate.REFUSES
        if worst is None or (_GRAVITY[fate], -since_s) > (_GRAVITY[worst.fate], -worst.since_s):
            worst = Life(target, role, fate, since_s, over_network)
    if worst is not None:
        return worst
    for _, windows in found:
        if any(window.sign in living for window in windows[-CLEAR_COUNT:]):
            return Life(target, role, Fate.ALIVE, windows[-1].measured_s, over_network)
    return Life(target, role, Fate.UNKNOWN, found[0][1][-1].measured_s, over_network)


_LIVING: Final = frozenset({Sign.ALIVE})
_LIVING_HOST: Final = frozenset({Sign.ALIVE, Sign.REFUSED})
_HOSTS_ONLY: Final = frozenset({"gateway", "isp", "national", "international", "router", "switch"})
"""Roles of which no service is wanted but to pass packets on: a refusal is as good as an answer."""
_GRAVITY: Final = {Fate.REFUSES: 0, Fate.NAMELESS: 1, Fate.LOST: 2}


def _failing_run(windows: list[Window], living: frozenset[Sign]) -> list[Window]:
    start = len(windows)
    while start and windows[start - 1].sign not in living:
        start -= 1
    return windows[start:]


def _fate_of(run: list[Window]) -> Fate:
    last = {window.sign for window in run[-CLEAR_COUNT:]}
    if Sign.REFUSED in last:
        return Fate.REFUSES
    return Fate.NAMELESS if last == {Sign.NAMELESS} else Fate.LOST


def finding(
    code: Code,
    level: Level,
    target: str,
    since_s: float,
    *,
    value: str = "",
    measured: float | None = None,
    needed: float | None = None,
) -> Finding:
    """One reason, its code as plain text."""
    return Finding(
        code=code.value, level=level, target=target, since_s=since_s, value=value, measured=measured, needed=needed
    )


def any_of(lives: Collection[Life], *fates: Fate) -> bool:
    """Whether any of the lives has one of the fates."""
    return any(life.fate in fates for life in lives)
