"""Follows all rooms: folds readings, judges, keeps incidents, decides whom to tell. Sans-IO; `now` by argument.

The pipeline feeds it live, and `replay` feeds it from a file: the same judging and alerting serve both.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from collector.alerting.decide import Notice, Recipient, decide
from collector.alerting.incident import Change, Incidents, Policy
from collector.alerting.told import Told
from collector.registry import RegistryView, Room
from contract.reading import Reading
from readiness.judge import judge
from readiness.profile import Profile
from readiness.state import RoomState
from readiness.verdict import Level, Verdict

DEFAULT_PROFILE: Final = "zoom-720p"
_TRAIL_POINTS: Final = 180
_LEVELS_KEPT: Final = 500
_TRAILED: Final = frozenset({
    "rtt_p50_ms", "loss_ratio", "jitter_ms", "answer_ms", "connect_ms", "total_ms", "battery_charge_ratio",
    "battery_runtime_s", "input_v", "cpu_ratio", "memory_free_ratio", "disk_free_ratio",
})  # fmt: skip
"""Values whose recent past the room's page draws."""


class Latest(NamedTuple):
    """The newest live reading of one probe and target, and its true time."""

    reading: Reading
    measured_s: float


class Heard(NamedTuple):
    """The last word of an agent: in which room, and when."""

    room: str
    at_s: float


class RoomWatch:
    """One room: what is known now, the last verdict, and the recent past for its page."""

    def __init__(self, room: str, profile: Profile) -> None:
        self.state = RoomState(room)
        self.profile = profile
        self.verdict: Verdict | None = None
        self.latest: dict[tuple[str, str], Latest] = {}
        self.trails: dict[tuple[str, str, str], deque[tuple[float, float]]] = {}
        self.levels: deque[tuple[float, Level]] = deque(maxlen=_LEVELS_KEPT)

    def remember(self, reading: Reading, measured_s: float) -> None:
        """Keep a live reading for the page."""
        key = (reading.probe, reading.target)
        known = self.latest.get(key)
        if known is not None and known.measured_s > measured_s:
            return
        self.latest[key] = Latest(reading, measured_s)
        for name in _TRAILED & reading.values.keys():
            trail = self.trails.setdefault((*key, name), deque(maxlen=_TRAIL_POINTS))
            trail.append((measured_s, reading.values[name]))


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at all rooms found. `changed` names the rooms whose level is another than before."""

    verdicts: Mapping[str, Verdict]
    changed: tuple[str, ...]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]


class Watch:
    """All rooms. One thread calls it."""

    def __init__(
        self,
        *,
        profiles: Mapping[str, Profile],
        policy: Policy,
        incidents: Incidents,
        told: Told,
        live_within_s: float,
        silent_after_s: float,
    ) -> None:
        self._profiles = profiles
        self._policy = policy
        self.incidents = incidents
        self.told = told
        self._live_within_s = live_within_s
        self._silent_after_s = silent_after_s
        self.rooms: dict[str, RoomWatch] = {}
        self._room_of: dict[str, str] = {}
        self._heard: dict[str, Heard] = {}
        self._lost: set[str] = set()  # agents whose absence is known already
        self._recipients: dict[str, tuple[Recipient, ...]] = {}
        self._version: int | None = None

    def set_rooms(self, view: RegistryView, now: float, profile_names: Mapping[str, str] | None = None) -> None:
        """Follow the registry: its rooms, the agents that stand in them, whom to tell. Cheap when nothing changed."""
        if view.version == self._version:
            return
        self._version = view.version
        for name, room in view.rooms.items():
            contacts = view.contacts_of(name, now)
            people = (Recipient(address=one.address, name=one.name, language=one.language) for one in contacts)
            self.add_room(room, tuple(people), (profile_names or {}).get(name, ""))
        for gone in self.rooms.keys() - view.rooms.keys():
            del self.rooms[gone]
        self._room_of = {agent: one.room for agent, one in view.agents.items() if one.room and one.revoked_s is None}

    def add_room(self, room: Room, recipients: tuple[Recipient, ...], profile_name: str = "") -> None:
        """Follow a room, or take over what has changed of it."""
        wanted = room.profile or profile_name or DEFAULT_PROFILE
        profile = self._profiles.get(wanted) or self._profiles[DEFAULT_PROFILE]
        self.rooms.setdefault(room.room, RoomWatch(room.room, profile)).profile = profile
        self._recipients[room.room] = recipients

    def fold(self, room: str, reading: Reading, measured_s: float, arrived_s: float) -> None:
        """Step 9 of the line. A late reading is history: it changes nothing here."""
        watched = self.rooms.get(room)
        if watched is None:
            return
        watched.state.fold(reading, measured_s, arrived_s)
        if arrived_s - measured_s <= self._live_within_s:
            watched.remember(reading, measured_s)

    def hear(self, agent: str, state: str, reason: str, now: float) -> None:
        """An agent was born, said goodbye, was lost, or simply sent something."""
        self.hear_in(self._room_of.get(agent, ""), agent, state, reason, now)

    def hear_in(self, room: str, agent: str, state: str, reason: str, now: float) -> None:
        """The same of an agent whose room is known."""
        self._heard[agent] = Heard(room, now)
        if state == "online":
            self._lost.discard(agent)
        else:
            self._lost.add(agent)
        watched = self.rooms.get(room)
        if watched is not None:
            watched.state.hear(agent, state, reason, now)

    def review(self, now: float, *, blind: bool) -> Review:
        """Judge every room. While `blind` we could not tell a silent room from our own deafness: nobody is alerted."""
        if not blind:
            self._notice_silence(now)
        changes: list[Change] = []
        changed: list[str] = []
        verdicts: dict[str, Verdict] = {}
        for name, watched in self.rooms.items():
            before = watched.verdict
            verdict = judge(watched.profile, watched.state, None, now, before)
            watched.verdict = verdicts[name] = verdict
            if before is None or before.level is not verdict.level:
                changed.append(name)
                watched.levels.append((now, verdict.level))
            if not blind:
                changes += self.incidents.observe(verdict, now)
        notices = () if blind else tuple(decide(self.incidents, self.told, self._policy, now, self._recipients))
        return Review(verdicts=verdicts, changed=tuple(changed), changes=tuple(changes), notices=notices)

    def _notice_silence(self, now: float) -> None:
        """A broker may not notice a half-open connection: an agent long without a word is lost, Will or not."""
        for agent, heard in self._heard.items():
            if agent not in self._lost and now - heard.at_s > self._silent_after_s:
                self._lost.add(agent)
                watched = self.rooms.get(heard.room)
                if watched is not None:
                    watched.state.hear(agent, "lost", "", now)
