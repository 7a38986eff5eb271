"""Follows all rooms: folds readings, judges, keeps incidents, decides whom to tell. Sans-IO; `now` by argument.

The pipeline feeds it live, and `replay` feeds it from a file: the same judging and alerting serve both.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from collector.alerting.decide import Notice, Recipient, decide
from collector.alerting.gathering import FEWEST, area_of
from collector.alerting.incident import Change, Incidents, Policy
from collector.alerting.told import Told
from collector.media.reflectors import Answered, reflector_of
from collector.outages import Outage, Outages
from collector.rooms.registry import Agent, RegistryView, Room
from contract.outcome import Outcome
from contract.plan import Plan
from contract.reading import Reading
from readiness.codes import Code
from readiness.judge import judge
from readiness.mains import Word as MainsWord
from readiness.profile import Profile
from readiness.state import TO_REFLECTORS, WINDOW_LASTS_S, RoomState
from readiness.state import Heard as Word
from readiness.verdict import Finding, Level, Verdict

DEFAULT_PROFILE: Final = "zoom-720p"
_TRAIL_POINTS: Final = 180
_LEVELS_KEPT: Final = 500
_SILENT_TICKS: Final = 3
"""So many ticks of its plan an agent may miss before it counts as lost, however slow the plan is."""
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


class MainsSaid(NamedTuple):
    """What an agent said of the mains of one UPS in the last day, as far as it must be remembered."""

    agent: str
    target: str
    room: str
    words: tuple[MainsWord, ...]


class RoomWatch:
    """One room: what is known now, the last verdict, and the recent past for its page."""

    def __init__(self, room: str, profile: Profile, *, silent_after_s: float) -> None:
        self.state = RoomState(room, live_within_s=silent_after_s)
        self.profile = profile
        self.plan: Plan | None = None
        self.every_s: dict[tuple[str, str], float] = {}
        self.silent_after_s = silent_after_s
        """How long an agent of the room may say nothing before it counts as lost."""
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

    def keep_agents(self, agents: Collection[str]) -> None:
        """Only these stand in the room now. When all that spoke of it have left, what they said says nothing now."""
        had_some = bool(self.state.agents)
        self.state.keep_agents(agents)
        if had_some and not self.state.agents:
            self.state = RoomState(self.state.room, live_within_s=self.silent_after_s)
            self.latest.clear()

    def forget_unplanned(self, now: float) -> None:
        """Let go of what the plan does not measure any more, once it has grown too old to count: it is not missed."""
        if self.plan is None:
            return
        named = {(job.probe, job.settings["target"]) for job in self.plan.jobs if "target" in job.settings}
        unnamed = {job.probe for job in self.plan.jobs if "target" not in job.settings}
        kept = [
            key
            for key, sight in self.state.sights.items()
            if key in named or key[0] in unnamed or now - sight.latest_s <= WINDOW_LASTS_S
        ]
        if len(kept) < len(self.state.sights):
            self.state.keep_only(kept)
            self.latest = {key: latest for key, latest in self.latest.items() if key in kept}
            self.trails = {key: trail for key, trail in self.trails.items() if key[:2] in kept}


class Doubt(NamedTuple):
    """Whether what we see of the rooms can be trusted: `blind_since_s` while the broker is lost, `is_settling` for the
    while after our own start, its return, or a step of our clock, until every agent has had time to speak.
    """

    blind_since_s: float | None = None
    is_settling: bool = False

    @property
    def is_any(self) -> bool:
        """Whether nobody may be alerted."""
        return self.is_settling or self.blind_since_s is not None


SURE: Final = Doubt()


def _unseen(watched: RoomWatch, code: Code, target: str, since_s: float, now: float) -> Verdict:
    """The verdict on a room of which we can see or believe nothing: UNKNOWN, whatever it was before."""
    return Verdict(
        room=watched.state.room,
        level=Level.UNKNOWN,
        findings=(Finding(code=code.value, level=Level.UNKNOWN, target=target, since_s=since_s),),
        since_s=since_s,
        judged_s=now,
        profile=watched.profile.name,
    )


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at all rooms found. `changed` names the rooms whose level is another than before."""

    verdicts: Mapping[str, Verdict]
    changed: tuple[str, ...]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]
    outages: tuple[Outage, ...] = ()
    """Silences about which something new is known."""


class Watch:
    """All rooms. One thread calls it."""

    def __init__(
        self,
        *,
        profiles: Mapping[str, Profile],
        policy: Policy,
        incidents: Incidents,
        told: Told,
        silent_after_s: float,
        outages: Outages | None = None,
    ) -> None:
        self._profiles = profiles
        self._policy = policy
        self.incidents = incidents
        self.told = told
        self.outages = outages or Outages()
        self._silent_after_s = silent_after_s
        self.rooms: dict[str, RoomWatch] = {}
        self._room_of: dict[str, str] = {}
        self._heard: dict[str, Heard] = {}
        self._lost: set[str] = set()  # agents whose absence is known already
        self._recipients: dict[str, tuple[Recipient, ...]] = {}
        self._area_of: dict[str, tuple[str, ...]] = {}
        self._near: dict[tuple[str, ...], frozenset[str]] = {}
        """The rooms of each area."""
        self._version: int | None = None
        self._dropped: list[Change] = []
        self._mains_news: set[tuple[str, str]] = set()
        self._answered = Answered()
        self._revoked: dict[str, Agent] = {}
        """Rooms that the revocation of their last agent left without any."""
        self.cloned: dict[str, float] = {}
        """Rooms all of whose agents speak from two PCs each, and since when: nothing of them is believed."""

    def set_rooms(self, view: RegistryView, plan_of: Callable[[Room], Plan | None], now: float) -> None:
        """Follow the registry and the plans: which rooms there are, who stands in them, what is measured, whom to
        tell.
        """
        for room in view.rooms.values():
            self.set_plan(room, plan_of(room))
        if view.version == self._version:
            return
        self._version = view.version
        for name in view.rooms:
            contacts = view.contacts_of(name, now)
            self._recipients[name] = tuple(
                Recipient(address=one.address, name=one.name, language=one.language) for one in contacts
            )
            self.rooms[name].keep_agents(view.agents_in(name))
        self._revoked = {name: last for name in view.rooms if (last := view.revoked_in(name)) is not None}
        self._area_of = {name: area_of(room.place) for name, room in view.rooms.items()}
        self._near = {
            area: frozenset(name for name, one in self._area_of.items() if one == area)
            for area in set(self._area_of.values())
            if area
        }
        self.outages.set_places({name: room.place for name, room in view.rooms.items()})
        for gone in self.rooms.keys() - view.rooms.keys():
            del self.rooms[gone]
            self._dropped += self.incidents.drop(gone, now)
        self._room_of = {agent: one.room for agent, one in view.agents.items() if one.room and one.revoked_s is None}
        self._heard = {agent: heard for agent, heard in self._heard.items() if self._room_of.get(agent) == heard.room}

    def add_room(self, room: Room, recipients: tuple[Recipient, ...]) -> None:
        """Follow a room that is in no registry."""
        self.set_plan(room, None)
        self._recipients[room.room] = recipients

    def profile_of(self, room: Room, plan: Plan | None) -> Profile:
        """What a room is measured for: the room's own, else the plan's, else the usual."""
        wanted = room.profile or (plan.profile if plan else "") or DEFAULT_PROFILE
        return self._profiles.get(wanted) or self._profiles[DEFAULT_PROFILE]

    def set_plan(self, room: Room, plan: Plan | None) -> None:
        """What is measured in a room, and for what."""
        profile = self.profile_of(room, plan)
        watched = self.rooms.get(room.room)
        if watched is None:
            watched = self.rooms[room.room] = RoomWatch(room.room, profile, silent_after_s=self._silent_after_s)
        if watched.plan is not plan and plan is not None:
            watched.silent_after_s = max(self._silent_after_s, _SILENT_TICKS * plan.tick_s)
            watched.state.live_within_s = watched.silent_after_s
        if watched.plan is not plan:
            jobs = [job for job in (plan.jobs if plan is not None else ()) if not job.hours.windows]
            watched.every_s = {(job.probe, str(job.settings.get("target", ""))): job.every_s for job in jobs}
        watched.state.every_s = watched.every_s
        watched.profile, watched.plan = profile, plan

    def is_restless(self, room: str, now: float, within_s: float) -> bool:
        """Whether so many rooms near it are about to be told of, or were so lately, that it may be one trouble."""
        near = self._near.get(self._area_of.get(room, ()), frozenset()) - {room}
        return self.incidents.restless_count(near, now, within_s) >= FEWEST - 1

    def recipients_of(self, room: str) -> tuple[Recipient, ...]:
        """Who answers for a room now."""
        return self._recipients.get(room, ())

    def fold(self, room: str, reading: Reading, measured_s: float, arrived_s: float, *, agent: str = "") -> None:
        """Step 9 of the line. A late reading is history: it changes nothing here, but may explain a past silence, and
        counts in how often the mains failed today.
        """
        watched = self.rooms.get(room)
        if watched is None:
            return
        self.outages.fold(room, reading, measured_s, arrived_s, watched.profile)
        if watched.state.hear_mains(agent, reading, min(measured_s, arrived_s)):
            self._mains_news.add((agent, reading.target))
        if watched.state.fold(reading, measured_s, arrived_s):
            watched.remember(reading, measured_s)
            if reading.probe in TO_REFLECTORS and reading.outcome is Outcome.OK:
                reflector = reflector_of(watched.plan, reading.probe, reading.target)
                if reflector is not None:
                    self._answered.note(reflector, room, min(measured_s, arrived_s))

    def mains_news(self) -> list[MainsSaid]:
        """What storage has otherwise, until `mains_stored`."""
        news = []
        for agent, target in sorted(self._mains_news):
            room = self._room_of.get(agent, "")
            watched = self.rooms.get(room)
            if watched is not None and (mains := watched.state.mains.get((agent, target))) is not None:
                news.append(MainsSaid(agent, target, room, mains.words))
        return news

    def mains_stored(self) -> None:
        """Storage has what `mains_news` gave."""
        self._mains_news.clear()

    def recall_mains(self, said: Iterable[MainsSaid], now: float) -> None:
        """Know again from storage how often the mains failed in the rooms where these agents still stand."""
        for one in said:
            watched = self.rooms.get(one.room)
            if watched is not None and self._room_of.get(one.agent) == one.room:
                for word in one.words:
                    if word.at_s <= now:
                        watched.state.recall_mains(one.agent, one.target, word)

    def is_lost(self, agent: str) -> bool:
        """Whether the agent was lost, or said goodbye, and has not been heard since."""
        return agent in self._lost

    def hear(self, agent: str, state: Word, reason: str, now: float) -> None:
        """An agent was born, said goodbye, was lost, or simply sent something."""
        self.hear_in(self._room_of.get(agent, ""), agent, state, reason, now)

    def hear_in(self, room: str, agent: str, state: Word, reason: str, now: float) -> None:
        """The same of an agent whose room is known."""
        self._heard[agent] = Heard(room, now)
        if state == "online":
            self._lost.discard(agent)
        else:
            self._lost.add(agent)
        watched = self.rooms.get(room)
        if watched is not None:
            watched.state.hear(agent, state, reason, now)

    def start_over(self, now: float) -> None:
        """Forget all that has a time in it: our own clock was stepped, and old times compare with nothing any more.

        Who was there is taken to be there still; the rooms' next readings tell the rest.
        """
        for watched in self.rooms.values():
            presences = watched.state.agents
            watched.state = RoomState(watched.state.room, live_within_s=watched.silent_after_s)
            for agent, presence in presences.items():
                watched.state.hear(agent, presence.state, presence.reason, now)
            watched.verdict = None
            watched.latest.clear()
            watched.trails.clear()
            watched.levels.clear()
        self._heard = {agent: Heard(heard.room, now) for agent, heard in self._heard.items()}
        self._answered.clear()
        self.outages.start_over()

    def review(self, now: float, *, doubt: Doubt = SURE) -> Review:
        """Judge every room. While in doubt we could not tell a silent room from our own deafness: nobody is alerted."""
        if not doubt.is_any:
            self._notice_silence(now)
        changes, self._dropped = self._dropped, []
        changed: list[str] = []
        verdicts: dict[str, Verdict] = {}
        for name, watched in self.rooms.items():
            watched.forget_unplanned(now)
            before = watched.verdict
            verdict = self._judge(watched, now, doubt, before)
            watched.verdict = verdicts[name] = verdict
            if before is None or before.level is not verdict.level:
                changed.append(name)
                watched.levels.append((now, verdict.level))
            if not doubt.is_any:
                changes += self.incidents.observe(verdict, now)
        presences = {name: watched.state.agents for name, watched in self.rooms.items()}
        outages = self.outages.review(presences, now, is_blind=doubt.is_any, cloned=self.cloned)
        self.told.keep_only({one.incident for one in (*self.incidents.ended, *self.incidents.open.values())})
        notices = () if doubt.is_any else tuple(decide(self.incidents, self.told, self._policy, now, self._recipients))
        return Review(
            verdicts=verdicts,
            changed=tuple(changed),
            changes=tuple(changes),
            notices=notices,
            outages=tuple(outages),
        )

    def _judge(self, watched: RoomWatch, now: float, doubt: Doubt, before: Verdict | None) -> Verdict:
        if doubt.blind_since_s is not None:
            return _unseen(watched, Code.COLLECTOR_BLIND, "collector", doubt.blind_since_s, now)
        cloned_s = self.cloned.get(watched.state.room)
        if cloned_s is not None:
            return _unseen(watched, Code.AGENT_CLONED, "pc", cloned_s, now)
        last = self._revoked.get(watched.state.room)
        if last is not None and last.revoked_s is not None:
            return _unseen(watched, Code.AGENT_REVOKED, f"pc-{last.agent}", last.revoked_s, now)
        self._look_for_witnesses(watched)
        return judge(watched.profile, watched.state, None, now, before)

    def _look_for_witnesses(self, watched: RoomWatch) -> None:
        """Tell a room whose test packets nobody answers when the same reflector last answered another room."""
        watched.state.answered_s = {}
        for key, sight in watched.state.sights.items():
            if not sight.unanswered_count or sight.probe not in TO_REFLECTORS:
                continue
            reflector = reflector_of(watched.plan, *key)
            if reflector is None or not (reflector.is_key_ours or sight.windows):
                continue
            if (at_s := self._answered.another_s(reflector, watched.state.room)) is not None:
                watched.state.answered_s[key] = at_s

    def _notice_silence(self, now: float) -> None:
        """A broker may not notice a half-open connection: an agent long without a word is lost, Will or not."""
        for agent, heard in self._heard.items():
            watched = self.rooms.get(heard.room)
            if watched is not None and agent not in self._lost and now - heard.at_s > watched.silent_after_s:
                self._lost.add(agent)
                watched.state.hear(agent, "lost", "", now)
