"""What is known now of one room: its latest readings, their recent windows, and whether its agents can be heard."""

import bisect
import enum
import math
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

from contract.names import role_of
from contract.outcome import Outcome
from contract.reading import Reading
from readiness.mains import Mains, Word
from readiness.metrics import RECOGNITION, kept_values

LIVE_WITHIN_S: Final = 180.0
"""A reading that arrives later than this after it was taken is history: it never raises or clears anything."""
WINDOWS_MAX_COUNT: Final = 20
WINDOW_LASTS_S: Final = 1800.0
"""A window older than this says nothing about now."""
SIGHTS_MAX_COUNT: Final = 500
"""No room has so many probes and targets: what comes beyond is stored as history, and not judged."""
MAINS_MAX_COUNT: Final = 50
"""Nor so many UPSes."""
_ENOUGH_COUNT: Final = 10
"""Test packets: fewer without an answer may be chance."""
_BEYOND: Final = 1e15
"""No quantity of ours is so large; what is, or is no number, counts as absent."""


class Sign(enum.IntEnum):
    """What one attempt said about its target."""

    ALIVE = 0
    REFUSED = 1  # the host lives, the service does not
    NAMELESS = 2  # its name did not resolve
    DEAD = 3


_SIGNS: Final = {
    Outcome.OK: Sign.ALIVE,
    Outcome.REFUSED: Sign.REFUSED,
    Outcome.NO_NAME: Sign.NAMELESS,
    Outcome.TIMEOUT: Sign.DEAD,
    Outcome.UNREACHABLE: Sign.DEAD,
}
"""Outcomes not here (DENIED, ABSENT, BROKEN) say that nothing could be determined."""


class Window(NamedTuple):
    """One determined attempt. `numbers` stand in the order of the sight's `names`; None is absent."""

    measured_s: float
    sign: Sign
    numbers: tuple[float | None, ...]


class Sight:
    """All that is remembered of one probe of one target. `windows` run from the oldest to the newest."""

    __slots__ = (
        "failing_count",
        "failing_since_s",
        "latest",
        "latest_s",
        "names",
        "probe",
        "role",
        "target",
        "unanswered_count",
        "unanswered_since_s",
        "windows",
    )

    def __init__(self, probe: str, target: str) -> None:
        self.probe = probe
        self.target = target
        self.role = role_of(target)
        self.names = kept_values(probe, self.role)
        self.windows: list[Window] = []
        self.latest: Reading | None = None
        self.latest_s = -math.inf
        self.failing_count = 0
        """Attempts in a row, up to the latest, that determined nothing."""
        self.failing_since_s = 0.0
        self.unanswered_count = 0
        """Tests in a row, up to the latest, of whose packets none was answered."""
        self.unanswered_since_s = 0.0

    def recent(self, since_s: float) -> list[Window]:
        """The windows not older than a time; the list itself where that is all of them: look, do not touch."""
        windows = self.windows
        if not windows or windows[0].measured_s >= since_s:
            return windows
        return windows[bisect.bisect_left(windows, since_s, key=_time) :]

    def column(self, name: str) -> int:
        """Where a value stands in `numbers`; ValueError when it is not kept."""
        return self.names.index(name)

    def add(self, reading: Reading, measured_s: float) -> bool:
        """Put a reading in its place; False when that time is known already or too far back."""
        sign = _sign_of(reading)
        if sign is None:
            if measured_s <= self.latest_s:
                return False
            self.failing_since_s = self.failing_since_s if self.failing_count else measured_s
            self.failing_count += 1
        elif not self._place(Window(measured_s, sign, self._shared(_numbers(reading, self.names)))):
            return False
        elif measured_s > self.latest_s:
            self.failing_count = 0
        if measured_s > self.latest_s:
            self._note_answer(reading, measured_s)
            self.latest, self.latest_s = reading, measured_s
        return True

    def _note_answer(self, reading: Reading, measured_s: float) -> None:
        if reading.outcome is Outcome.TIMEOUT and reading.values.get("sent_count", _ENOUGH_COUNT) >= _ENOUGH_COUNT:
            self.unanswered_since_s = self.unanswered_since_s if self.unanswered_count else measured_s
            self.unanswered_count += 1
        else:
            self.unanswered_count = 0

    def _shared(self, numbers: tuple[float | None, ...]) -> tuple[float | None, ...]:
        """The same numbers, in one place in memory when they are those of the window before: states seldom change."""
        return self.windows[-1].numbers if self.windows and self.windows[-1].numbers == numbers else numbers

    def _place(self, window: Window) -> bool:
        windows = self.windows
        if not windows or window.measured_s > windows[-1].measured_s:
            windows.append(window)
        else:
            at = bisect.bisect_left(windows, window.measured_s, key=_time)
            is_known = windows[at].measured_s == window.measured_s
            is_too_old = window.measured_s < windows[-1].measured_s - WINDOW_LASTS_S
            if is_known or is_too_old or (at == 0 and len(windows) >= WINDOWS_MAX_COUNT):
                return False
            windows.insert(at, window)
        oldest_s = windows[-1].measured_s - WINDOW_LASTS_S
        first = max(0, len(windows) - WINDOWS_MAX_COUNT)
        while windows[first].measured_s < oldest_s:
            first += 1
        if first:
            del windows[:first]
        return True


def _time(window: Window) -> float:
    return window.measured_s


TO_REFLECTORS: Final = frozenset({"stamp", "sufficiency", "throughput"})
"""Probes whose silence says nothing of the target: a firewall, a wrong key or a reflector at rest look alike."""


def _sign_of(reading: Reading) -> Sign | None:
    if reading.probe in TO_REFLECTORS:
        values = reading.values
        makes_sense = values.get("received_count", 0) <= values.get("sent_count", math.inf)
        return Sign.ALIVE if reading.outcome is Outcome.OK and makes_sense else None
    if reading.probe == "ping" and reading.outcome is Outcome.OK:
        # A dead host pinged is a successful measurement; one without any figure measured nothing.
        values = reading.values
        received_count, loss_ratio = values.get("received_count"), values.get("loss_ratio")
        if received_count == 0 or (loss_ratio is not None and loss_ratio >= 1):
            return Sign.DEAD
        if received_count is None and loss_ratio is None:
            return None  # it tells of no answer
        if (received_count or 0) > values.get("sent_count", math.inf):
            return None  # it contradicts itself
        return Sign.ALIVE
    if reading.probe == "device" and reading.outcome is Outcome.DENIED and RECOGNITION in reading.values:
        return Sign.ALIVE  # it does not let us in, and tells anybody what it is
    return _SIGNS.get(reading.outcome)


def _numbers(reading: Reading, names: tuple[str, ...]) -> tuple[float | None, ...]:
    values = reading.values
    return tuple(
        [number if (number := values.get(name)) is not None and -_BEYOND < number < _BEYOND else None for name in names]
    )


Heard = Literal["online", "offline", "lost"]


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent can be heard, and since when (Unix seconds).

    `reason` is that of a goodbye (`contract.messages.Goodbye`); `lost` is silence without one.
    """

    state: Heard
    since_s: float
    reason: str = ""


class RoomState:
    """Changed by `fold`, `hear` and the two that forget; the same calls always make the same state.

    Several agents may stand in a room; what they measure is told apart by probe and target only.
    """

    __slots__ = ("agents", "answered_s", "every_s", "known_since_s", "live_within_s", "mains", "room", "sights")

    def __init__(self, room: str, *, live_within_s: float = LIVE_WITHIN_S) -> None:
        self.room = room
        self.live_within_s = live_within_s
        self.sights: dict[tuple[str, str], Sight] = {}
        self.agents: dict[str, Presence] = {}
        self.answered_s: dict[tuple[str, str], float] = {}
        """By probe and target: when the reflector that a test asks last answered another room, where that is known."""
        self.every_s: dict[tuple[str, str], float] = {}
        """By probe and target, which is empty where the plan names none: how often the plan wants it measured."""
        self.mains: dict[tuple[str, str], Mains] = {}
        """By agent and target: two agents may ask one UPS, or call two by the same name."""
        self.known_since_s: float | None = None
        """When anything was first heard of the room."""

    def fold(self, reading: Reading, measured_s: float, arrived_s: float) -> bool:
        """Take one reading; True when it changed what is known now.

        Times are Unix seconds by the collector's reckoning. Late ones, repeats, and those too old to matter change
        nothing; one out of order goes where it belongs.
        """
        if not (math.isfinite(measured_s) and math.isfinite(arrived_s)):
            return False
        if arrived_s - measured_s > self.live_within_s:
            return False
        measured_s = min(measured_s, arrived_s)  # nothing is measured in the future
        key = (reading.probe, reading.target)
        sight = self.sights.get(key)
        if sight is None:
            if len(self.sights) >= SIGHTS_MAX_COUNT:
                return False
            sight = self.sights[key] = Sight(*key)
        self._known(measured_s)
        return sight.add(reading, measured_s)

    def hear_mains(self, agent: str, reading: Reading, measured_s: float) -> bool:
        """Count failures of the mains, also by what comes late; True when storage must hear of it."""
        told = reading.values.get("on_battery_bool")
        if reading.probe != "power" or told not in (0, 1) or not math.isfinite(measured_s):
            return False
        word = Word(measured_s, is_on_battery=bool(told))
        is_news = self.recall_mains(agent, reading.target, word)
        mains, counted = self.mains.get((agent, reading.target)), reading.values.get("transfers_total")
        if mains is not None and counted is not None and abs(counted) < _BEYOND:
            is_news |= mains.count(int(counted), word)
        return is_news

    def recall_mains(self, agent: str, target: str, word: Word) -> bool:
        """The same of a word from storage."""
        mains = self.mains.get((agent, target))
        if mains is None:
            if len(self.mains) >= MAINS_MAX_COUNT:
                return False
            mains = self.mains[agent, target] = Mains()
        return mains.say(word)

    def failures_s(self, target: str, now: float) -> list[float]:
        """When the mains of a UPS failed in the last day, by the agent that saw most of it; the oldest first."""
        told = [mains.failures_s(now) for (_, known), mains in self.mains.items() if known == target]
        return max(told, key=len, default=[])

    def hear(self, agent: str, state: Heard, reason: str, at_s: float) -> None:
        """An agent's birth, goodbye (with its reason) or loss. The same again keeps the time since which it is so."""
        known = self.agents.get(agent)
        if known is None or (known.state, known.reason) != (state, reason):
            self.agents[agent] = Presence(state=state, reason=reason, since_s=at_s)
        self._known(at_s)

    def keep_only(self, keys: Collection[tuple[str, str]]) -> None:
        """Forget all probes and targets but these: what the plan no longer measures must not be missed."""
        self.sights = {key: sight for key, sight in self.sights.items() if key in keys}
        self.mains = {key: mains for key, mains in self.mains.items() if ("power", key[1]) in keys}

    def keep_agents(self, agents: Collection[str]) -> None:
        """Forget all agents but these: the others stand in another room now."""
        self.agents = {agent: presence for agent, presence in self.agents.items() if agent in agents}
        self.mains = {key: mains for key, mains in self.mains.items() if key[0] in agents}

    def _known(self, when_s: float) -> None:
        if self.known_since_s is None or when_s < self.known_since_s:
            self.known_since_s = when_s
