"""Gathers, room by room, the witnesses of each silence, so that it can be explained (`readiness.causes`). Sans-IO.

A silence begins when no agent of a room can be heard any more, and ends with the room's next word. Then the room tells
its side: what was measured meanwhile and how its PC came to run again. When nothing more is to be expected, the
explanation is final.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from contract.names import role_of
from contract.reading import Reading
from contract.rung import Rung
from readiness.causes import Certainty, Explanation, Silence, Stop, explain, is_new_start
from readiness.evidence import Evidence, Fate, any_of
from readiness.ladder import BEYOND, CODES, climb
from readiness.profile import Profile
from readiness.state import Presence, RoomState

SHORT_S: Final = 60.0
"""A silence no longer than this is a hiccup, of which nothing is kept."""
_TOGETHER_S: Final = 150.0
"""Rooms fell silent together when their last words lie no farther apart: two ticks and half a minute."""
_LIVE_S: Final = 30.0
"""What arrives so soon after it was measured shows that the room is back."""
_RECONNECTS_S: Final = 45.0
"""So long before it is heard again the way may have been open, and the agent waiting for its next try to connect."""
_LAST_MAX_COUNT: Final = 10_000
_LISTEN_MIN_S: Final = 10.0
_LISTEN_MAX_S: Final = 1800.0
_REMEMBERED_S: Final = 86400.0
"""How long a silence bears witness for its neighbours, and is shown after it is over."""
_LAST_WORDS_S: Final = 900.0
"""So old a word about the battery may be when a room falls silent, and still tell how it lived then."""
_STEP_S: Final = 20.0
_DEVICES_MAX_COUNT: Final = 100
_TIMES_MAX_COUNT: Final = 1000
_MOMENTS_MAX_COUNT: Final = 500
"""At so many moments of a silence the way is looked at; what follows in a longer one tells nothing new."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """One silence of one room and its explanation; `is_settled` when no more is to be expected."""

    room: str
    silence: Silence
    explanation: Explanation
    is_settled: bool = False

    @property
    def outage(self) -> str:
        """Its id: the same for the same silence."""
        return f"{self.room}-{self.silence.since_s:.0f}"


class _Kept(NamedTuple):
    """A reading whose turn has not come yet."""

    measured_s: float
    reading: Reading
    profile: Profile


class _Gap:
    """What becomes known of one silence."""

    def __init__(self, silence: Silence, room: str) -> None:
        self.silence = silence
        self.state = RoomState(room, live_within_s=float("inf"))
        self.rungs: Counter[str] = Counter()
        self.measured_s = self.moment_s = float("-inf")
        """When the latest that is known was measured, and when the latest moment began that counts as one."""
        self.times_count = 0
        self.told_s = float("-inf")
        self.rung: Rung | None = None
        """What the link probe found at the moment that is being told."""
        self.devices: dict[str, bool] = {}
        self.boot_told_s = float("-inf")
        self.has_told_start = False
        """Whether its `boot` probe has spoken since the room is back."""
        self.times_s: list[float] = []
        """When anything was measured, in order."""
        self.devices_before_s: Mapping[str, float] = {}
        """Since when the devices ran, as they said before."""
        self.slept_before = _NEVER
        """How long the PC had slept, as it said before; without that nobody knows when it did."""
        self.last: list[_Kept] = []
        """What was measured in the last moments, which comes first and is looked at last."""
        self.is_settled = False
        self.shown: Outage | None = None
        self.is_on_battery = False

    @classmethod
    def of(cls, known: Outage) -> "_Gap":
        """What storage has of one, as far as it was understood."""
        gap = cls(known.silence, known.room)
        gap.shown = known
        gap.rungs = Counter(known.silence.rungs)
        gap.times_count = known.silence.measured_count
        restarted = known.silence.restarted_count
        gap.devices = {f"#{number}": number < restarted for number in range(known.silence.devices_count)}
        return gap

    def change(self, **changes: object) -> None:
        """Note something about the silence."""
        self.silence = msgspec.structs.replace(self.silence, **changes)


class _Said(NamedTuple):
    """The last word on something, and when it was measured."""

    value: float | None
    at_s: float


_NEVER: Final = _Said(None, float("-inf"))


class _Track:
    """One room: what it last said, and its present or latest silence."""

    def __init__(self) -> None:
        self.last_s: float | None = None
        self.on_battery = self.runtime = self.slept = self.boot = self.agent = _NEVER
        self.tells_start = False
        """Whether it has a `boot` probe, so that one can wait for its word."""
        self.devices_began_s: dict[str, float] = {}
        self.gap: _Gap | None = None

    def remember(self, reading: Reading, measured_s: float) -> None:
        """What a room that falls silent now will have said last. Readings of one record come in any order."""
        self.last_s = measured_s if self.last_s is None else max(self.last_s, measured_s)
        values = reading.values
        if reading.probe == "power" and "on_battery_bool" in values and measured_s >= self.on_battery.at_s:
            self.on_battery = _Said(values["on_battery_bool"], measured_s)
            self.runtime = _Said(values.get("battery_runtime_s"), measured_s)
        if reading.probe == "boot":
            self.tells_start = True
            if "slept_s" in values and measured_s >= self.slept.at_s:
                self.slept = _Said(values["slept_s"], measured_s)
        self._remember_starts(reading, measured_s)

    def _remember_starts(self, reading: Reading, measured_s: float) -> None:
        values = reading.values
        if (uptime_s := values.get("uptime_s")) is None:
            return
        if role_of(reading.target) != "pc":
            if reading.target in self.devices_began_s or len(self.devices_began_s) < _DEVICES_MAX_COUNT:
                self.devices_began_s[reading.target] = measured_s - uptime_s
        elif measured_s >= self.boot.at_s:
            self.boot = _Said(measured_s - uptime_s, measured_s)
        if "agent_uptime_s" in values and measured_s >= self.agent.at_s:
            self.agent = _Said(measured_s - values["agent_uptime_s"], measured_s)

    def last_words(self, since_s: float) -> tuple[bool | None, float | None]:
        """Whether the room lived on battery when it fell silent, and how long that would last; None when that was not
        said lately.
        """
        if self.on_battery.value is None or since_s - self.on_battery.at_s > _LAST_WORDS_S:
            return None, None
        return bool(self.on_battery.value), self.runtime.value


class Outages:
    """Of all rooms. `known` are those from storage that were not settled; a silence no longer than `short_s` is none,
    and after its return a room is listened to for twice as long, since what it kept follows what it says now, and until
    for `short_s` nothing of the past has come. One thread calls it.
    """

    def __init__(self, known: Iterable[Outage] = (), *, short_s: float = SHORT_S) -> None:
        self._short_s = short_s
        self._listen_s = max(2.0 * short_s, _LISTEN_MIN_S)
        self._tracks: dict[str, _Track] = {}
        self._places: Mapping[str, tuple[str, ...]] = {}
        self._rooms_count: Counter[tuple[str, ...]] = Counter()
        self._silent_s: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._on_battery_s: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._blind = (float("-inf"), float("-inf"))
        """From when to when we last could not see."""
        self._known = tuple(known)

    def set_places(self, places: Mapping[str, tuple[str, ...]]) -> None:
        """Where each room is, from the province down to the school; rooms that are no more are forgotten."""
        self._places = places
        self._rooms_count = Counter(where for place in places.values() for where in {place[:1], place[:2]})
        for one in self._known:
            if one.room in places:
                track = self._tracks.setdefault(one.room, _Track())
                track.gap = _Gap.of(one)
                track.last_s = one.silence.since_s
                self._note_silence(one.room, track.gap)
        self._known = ()
        for gone in self._tracks.keys() - places.keys():
            del self._tracks[gone]

    def of(self, room: str) -> Outage | None:
        """The room's present silence, or the last one if it is not long ago."""
        track = self._tracks.get(room)
        return track.gap.shown if track is not None and track.gap is not None else None

    def fold(self, room: str, reading: Reading, measured_s: float, arrived_s: float, profile: Profile) -> None:
        """Take any reading of a room, late ones too: those are the ones that tell of a silence."""
        track = self._tracks.setdefault(room, _Track())
        gap = track.gap
        if gap is not None and not gap.is_settled and measured_s > gap.silence.since_s:
            until_s = gap.silence.until_s
            if until_s is None and arrived_s - measured_s <= _LIVE_S:
                # By when it came: what came along with it had been measured while nobody could hear it.
                until_s = arrived_s
                gap.change(until_s=until_s)
            if until_s is None or measured_s < until_s:
                gap.told_s = arrived_s
                if until_s is None or measured_s < until_s - _RECONNECTS_S:
                    _meanwhile(gap, reading, measured_s, profile)
                elif len(gap.last) < _LAST_MAX_COUNT:
                    gap.last.append(_Kept(measured_s, reading, profile))
            _hear_start(gap, reading, measured_s)
            if gap.silence.battery_meanwhile:
                self._note_battery(room, gap)
        track.remember(reading, measured_s)

    def start_over(self) -> None:
        """Our own clock was stepped: last words of before compare with nothing any more."""
        for track in self._tracks.values():
            track.last_s = None
            track.on_battery = track.runtime = track.slept = track.boot = track.agent = _NEVER
            track.devices_began_s.clear()

    def review(
        self, presences: Mapping[str, Mapping[str, Presence]], now: float, *, is_blind: bool, cloned: Iterable[str] = ()
    ) -> list[Outage]:
        """See who is silent now and who is not any more; the outages about which something new is known.

        `presences` are those of each room's agents. While we are blind nobody is silent: we cannot hear.
        """
        if is_blind:
            began_s, ended_s = self._blind
            self._blind = (began_s if now - ended_s <= _TOGETHER_S else now, now)
            return []
        cloned = frozenset(cloned)
        for room, agents in presences.items():
            if agents:
                track = self._tracks.setdefault(room, _Track())
                self._follow(room, track, agents, now, is_cloned=room in cloned)
        return list(self._changed(now))

    def _follow(self, room: str, track: _Track, agents: Mapping[str, Presence], now: float, *, is_cloned: bool) -> None:
        is_heard = any(presence.state == "online" for presence in agents.values())
        gap = track.gap
        is_open = gap is not None and gap.silence.until_s is None
        if is_heard and gap is not None and is_open:
            # Heard, and no live reading yet: the first will say since when. One that says nothing is back now.
            if now - max(presence.since_s for presence in agents.values()) > self._listen_s:
                gap.change(until_s=now)
        elif not is_heard and not is_open:
            last = max(agents.values(), key=lambda presence: presence.since_s)
            since_s = min(last.since_s, track.last_s) if track.last_s is not None else last.since_s
            if gap is not None and not gap.is_settled and gap.silence.until_s is not None:
                if since_s <= gap.silence.until_s + self._short_s:
                    return  # a word in passing, such as the broker's last one: still the same silence
                gap.is_settled = True
            on_battery, runtime_s = track.last_words(since_s)
            silence = Silence(
                since_s=since_s,
                goodbye=last.reason if last.state == "offline" else "",
                blind_until_s=self._blind[1] if self._blind[0] - _TOGETHER_S <= since_s <= self._blind[1] else None,
                is_cloned=is_cloned,
                on_battery=on_battery,
                runtime_s=runtime_s,
                boot_before_s=track.boot.value,
                agent_before_s=track.agent.value,
            )
            track.gap = _Gap(silence, room)
            track.gap.devices_before_s = dict(track.devices_began_s)
            track.gap.slept_before = track.slept
            self._note_silence(room, track.gap)

    def _changed(self, now: float) -> Iterator[Outage]:
        for room, track in self._tracks.items():
            gap = track.gap
            if gap is None:
                continue
            until_s = gap.silence.until_s
            if gap.is_settled:
                if gap.shown is not None and until_s is not None and now - until_s > _REMEMBERED_S:
                    track.gap = None
                continue
            if until_s is not None and until_s - gap.silence.since_s <= self._short_s:
                self._forget_silence(room, gap)
                track.gap = None
                continue
            if until_s is not None and self._has_told_all(gap, track, until_s, now):
                self._look_at_last(room, gap)
                gap.is_settled = True
            one = self._explained(room, gap)
            if one != gap.shown and now - gap.silence.since_s > self._short_s:
                gap.shown = one
                yield one

    def _has_told_all(self, gap: _Gap, track: _Track, until_s: float, now: float) -> bool:
        if now - until_s >= _LISTEN_MAX_S:
            return True
        if track.tells_start and not gap.has_told_start:
            return False  # a plan may ask it every quarter of an hour only
        return now - until_s >= self._listen_s and now - gap.told_s >= self._listen_s / 2

    def _look_at_last(self, room: str, gap: _Gap) -> None:
        """Take in, now that all before it is known, what was measured just before the room was heard again."""
        for one in sorted(gap.last, key=lambda one: one.measured_s):
            _meanwhile(gap, one.reading, one.measured_s, one.profile)
        if gap.last:
            _look_at_way(gap, gap.measured_s, gap.last[0].profile)
        gap.last.clear()
        if gap.silence.battery_meanwhile:
            self._note_battery(room, gap)

    def _explained(self, room: str, gap: _Gap) -> Outage:
        self._count_neighbours(room, gap)
        gap.change(
            rungs=dict(gap.rungs),
            measured_count=gap.times_count,
            devices_count=len(gap.devices),
            restarted_count=sum(gap.devices.values()),
        )
        _look_at_start(gap)
        why = explain(gap.silence)
        if not gap.is_settled and why.certainty is Certainty.CONFIRMED:
            why = msgspec.structs.replace(why, certainty=Certainty.LIKELY)  # more may come, and tell otherwise
        return Outage(room=room, silence=gap.silence, explanation=why, is_settled=gap.is_settled)

    def _note_silence(self, room: str, gap: _Gap) -> None:
        """When rooms fell silent without a goodbye, by district and by province; kept for a day, whatever follows."""
        if gap.silence.goodbye:
            return
        place = self._places.get(room, ())
        for where in {place[:1], place[:2]}:
            times_s = self._silent_s[where]
            bisect.insort(times_s, gap.silence.since_s)
            del times_s[: bisect.bisect_left(times_s, gap.silence.since_s - _REMEMBERED_S)]
        if gap.silence.on_battery or gap.silence.battery_meanwhile:
            self._note_battery(room, gap)

    def _note_battery(self, room: str, gap: _Gap) -> None:
        if gap.is_on_battery or gap.silence.goodbye:
            return
        gap.is_on_battery = True
        times_s = self._on_battery_s[self._places.get(room, ())[:2]]
        bisect.insort(times_s, gap.silence.since_s)
        del times_s[: bisect.bisect_left(times_s, gap.silence.since_s - _REMEMBERED_S)]

    def _forget_silence(self, room: str, gap: _Gap) -> None:
        """It was a hiccup."""
        place, since_s = self._places.get(room, ()), gap.silence.since_s
        lists = [self._silent_s[where] for where in {place[:1], place[:2]}]
        for times_s in (*lists, self._on_battery_s[place[:2]] if gap.is_on_battery else []):
            at = bisect.bisect_left(times_s, since_s)
            if at < len(times_s) and times_s[at] == since_s:
                del times_s[at]

    def _count_neighbours(self, room: str, gap: _Gap) -> None:
        """Rooms of the same district are near, the others of the province far; this one counts among the near."""
        place = self._places.get(room, ())
        if not place:
            return
        near, province = place[:2], place[:1]
        since_s = gap.silence.since_s
        silent_near_count = _count_around(self._silent_s[near], since_s)
        gap.change(
            near_count=self._rooms_count[near],
            silent_near_count=silent_near_count,
            far_count=self._rooms_count[province] - self._rooms_count[near],
            silent_far_count=_count_around(self._silent_s[province], since_s) - silent_near_count,
            batteries_near_count=_count_around(self._on_battery_s[near], since_s),
        )


def _count_around(times_s: list[float], at_s: float) -> int:
    return bisect.bisect_right(times_s, at_s + _TOGETHER_S) - bisect.bisect_left(times_s, at_s - _TOGETHER_S)


def _meanwhile(gap: _Gap, reading: Reading, measured_s: float, profile: Profile) -> None:
    """The room measured this while we could not hear it."""
    if measured_s - gap.moment_s >= _STEP_S:
        gap.moment_s = measured_s
        gap.times_count += 1
        _look_at_way(gap, gap.measured_s, profile)
    if measured_s > gap.measured_s:
        gap.measured_s = measured_s
        gap.times_s.append(measured_s)
        if len(gap.times_s) > _TIMES_MAX_COUNT:
            del gap.times_s[-2::-2]  # every other one: a long silence is known more coarsely
    gap.state.fold(reading, measured_s, measured_s)
    if reading.probe == "link" and (code := reading.values.get("failed_rung_code")) in _RUNGS:
        gap.rung = _RUNGS[int(code)]
    if reading.probe == "power" and "on_battery_bool" in reading.values:
        was = bool(reading.values["on_battery_bool"])
        gap.change(battery_meanwhile=was or bool(gap.silence.battery_meanwhile))


def _look_at_way(gap: _Gap, at_s: float, profile: Profile) -> None:
    """Which rung of the way was broken at a moment of the silence; nothing is counted where nobody can tell."""
    if gap.state.known_since_s is None or sum(gap.rungs.values()) >= _MOMENTS_MAX_COUNT:
        return
    rung, gap.rung = gap.rung, None
    if rung is not None:
        is_way = rung < Rung.LESSON  # from there on the way itself works
        code: str | None = CODES[rung].value if is_way and rung in CODES else ""
        if rung is Rung.COLLECTOR_REFUSED:
            gap.change(was_refused=True)
    else:
        code = _first_broken(Evidence(profile, gap.state, at_s))
    # Trouble that is over when the room is heard again is its reason all the same.
    until_s = gap.silence.until_s
    may_be_over = until_s is not None and at_s >= until_s - _RECONNECTS_S
    if code or (code is not None and not may_be_over):
        gap.rungs[code] += 1


def _first_broken(evidence: Evidence) -> str | None:
    """The code of what breaks the way; empty when nothing does, None when nobody can tell."""
    first = next(climb(evidence), None)
    if first is not None:
        return first.code
    return "" if any_of(evidence.of_role(*BEYOND), Fate.ALIVE, Fate.REFUSES) else None


def _look_at_start(gap: _Gap) -> None:
    """For how long the room had gone on measuring when its PC or its agent started anew, and then had not."""
    start_s, since_s = gap.silence.start_s, gap.silence.since_s
    before_s = [at_s for at_s in gap.times_s if start_s is not None and since_s < at_s < start_s]
    if start_s is not None and before_s:
        gap.change(ran_on_s=max(before_s) - since_s, dark_s=start_s - max(before_s))


def _hear_start(gap: _Gap, reading: Reading, measured_s: float) -> None:
    """Since when the PC, its agent or a device runs, and how the PC's run before ended."""
    values = reading.values
    if (uptime_s := values.get("uptime_s")) is None:
        return
    began_s = measured_s - uptime_s
    if role_of(reading.target) != "pc":
        is_new = is_new_start(began_s, gap.devices_before_s.get(reading.target), gap.silence.since_s)
        gap.devices[reading.target] = gap.devices.get(reading.target, False) or is_new
    elif measured_s > gap.boot_told_s:  # what it kept from an earlier run comes after what it says now
        gap.boot_told_s = measured_s
        gap.change(boot_s=began_s)
    if reading.probe != "boot":
        return
    if "agent_uptime_s" in values:
        gap.change(agent_start_s=max(gap.silence.agent_start_s or 0.0, measured_s - values["agent_uptime_s"]))
    is_of_new_boot = is_new_start(began_s, gap.silence.boot_before_s, gap.silence.since_s)
    if is_of_new_boot and gap.silence.stop is None and (code := values.get("previous_stop_code")) in _STOPS:
        gap.change(stop=_STOPS[int(code)])
    before = gap.slept_before
    is_asked = not is_of_new_boot and "slept_s" in values
    if is_asked and before.value is not None and before.at_s <= gap.silence.since_s:
        # The most that is told: what was measured before it fell asleep, and not sent any more, comes after.
        gap.change(slept_s=max(gap.silence.slept_s or 0.0, values["slept_s"] - before.value))
    until_s = gap.silence.until_s
    gap.has_told_start = gap.has_told_start or (until_s is not None and measured_s >= until_s - _LIVE_S)


_RUNGS: Final = {rung.value: rung for rung in Rung}
_STOPS: Final = {stop.value: stop for stop in Stop}
