"""The watch: rooms come and go with the registry, silence is noticed, and nobody is alerted while we cannot see."""

import itertools
from collections.abc import Mapping

import msgspec
import pytest

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.rooms.registry import Agent, Contact, RegistryView, Room, Standing
from collector.watch import Doubt, Review, Watch
from contract.outcome import Outcome
from contract.plan import Job, Plan
from contract.reading import Reading
from readiness import telling
from readiness.profile import default_profiles
from readiness.verdict import Level
from tests.collector.centre import dns, ping

START_S = 1_795_500_000.0
POLICY = Policy(hold_off_s=60.0, clear_after_s=30.0)
BLIND, SETTLING = Doubt(blind_since_s=START_S), Doubt(is_settling=True)


def a_room(name: str, profile: str = "") -> Room:
    return Room(room=name, name=name.upper(), place=("Hà Giang", "THCS"), province="ha-giang", profile=profile)


def a_view(version: int, rooms: Mapping[str, str], *, profile: str = "") -> RegistryView:
    """Rooms with the agent that stands in each."""
    return RegistryView(
        version=version,
        rooms={name: a_room(name, profile) for name in rooms},
        agents={
            agent: Agent(
                agent=agent,
                added_s=START_S,
                revoked_s=None,
                token_sha256="",
                certificate_serial="",
                standings=(Standing(agent=agent, room=room, from_s=START_S, until_s=None),),
            )
            for room, agent in rooms.items()
        },
        contacts={
            room: (
                Contact(
                    room=room, name="Lan", address=f"{room}@example.vn", language="vi", from_s=START_S, until_s=None
                ),
            )
            for room in rooms
        },
    )


def a_plan(*targets: str, tick_s: float = 60.0, profile: str = "") -> Plan:
    jobs = tuple(Job(probe="ping", every_s=tick_s, settings={"target": target}) for target in targets)
    return Plan(tick_s=tick_s, profile=profile, backlog_bps=64_000.0, jobs=jobs)


class Tower:
    """A watch over rooms whose agents measure every half minute."""

    def __init__(self, view: RegistryView | None = None, plan: Plan | None = None) -> None:
        self.now = START_S
        self.view = view or a_view(1, {"room-1": "pc-1", "room-2": "pc-2"})
        self.plan = plan
        self.reviews: list[Review] = []
        self.watch = Watch(
            profiles=default_profiles(),
            policy=POLICY,
            incidents=Incidents(POLICY),
            told=Told(),
            silent_after_s=180.0,
        )

    def run(
        self, for_s: float, speaking: tuple[str, ...] = ("pc-1", "pc-2"), *readings: Reading, doubt: Doubt | None = None
    ) -> list[Review]:
        began = len(self.reviews)
        for _ in range(round(for_s / 30)):
            self.now += 30
            self.watch.set_rooms(self.view, lambda _room: self.plan, self.now)
            for agent in speaking:
                self.watch.hear(agent, "online", "", self.now)
                for reading in readings or (ping(), dns()):
                    self.watch.fold(self.view.agents[agent].room or "", reading, self.now, self.now)
            self.reviews.append(self.watch.review(self.now, doubt=doubt or Doubt()))
        return self.reviews[began:]

    def level(self, room: str) -> Level:
        return self.reviews[-1].verdicts[room].level

    def codes(self, room: str) -> list[str]:
        return [finding.code for finding in self.reviews[-1].verdicts[room].findings]


def changes(reviews: list[Review]) -> list[tuple[str, str]]:
    return [(change.kind.value, change.incident.room) for review in reviews for change in review.changes]


def told(reviews: list[Review]) -> set[str]:
    return {notice.recipient.address for review in reviews for notice in review.notices}


# Rooms and agents.


def test_a_room_that_appears_is_judged_from_then_on() -> None:
    tower = Tower()
    tower.run(300)
    tower.view = a_view(2, {"room-1": "pc-1", "room-2": "pc-2", "room-3": "pc-3"})
    tower.run(30)
    assert (tower.level("room-3"), tower.codes("room-3")) == (Level.UNKNOWN, ["NEVER_HEARD"])
    tower.run(300, ("pc-1", "pc-2", "pc-3"))
    assert tower.level("room-3") is Level.FIT


def test_a_room_that_vanishes_takes_its_incident_along_and_nobody_is_told_that_it_is_well() -> None:
    tower = Tower()
    tower.run(300)
    tower.run(300, ("pc-1", "pc-2"), ping(loss_ratio=1.0), dns())
    assert set(tower.watch.incidents.open) == {"room-1", "room-2"}
    tower.view = a_view(2, {"room-1": "pc-1"})
    reviews = tower.run(60, ("pc-1",), ping(loss_ratio=1.0), dns())
    assert set(reviews[-1].verdicts) == {"room-1"}
    assert changes(reviews) == [("ended", "room-2")]
    assert set(tower.watch.incidents.open) == {"room-1"}
    assert [
        notice.reason.value for review in reviews for notice in review.notices if notice.incident.room == "room-2"
    ] == []


def test_an_agent_that_was_moved_is_missed_in_neither_room() -> None:
    """Nothing more comes from it in the room that it left; that room knows it no more."""
    tower = Tower(a_view(1, {"room-1": "pc-1", "room-2": "pc-2"}))
    tower.run(300)
    moved = a_view(2, {"room-1": "pc-1", "room-2": "pc-2"})
    agents = dict(moved.agents)
    agents["pc-1"] = msgspec.structs.replace(
        agents["pc-1"],
        standings=(
            Standing(agent="pc-1", room="room-1", from_s=START_S, until_s=tower.now),
            Standing(agent="pc-1", room="room-2", from_s=tower.now, until_s=None),
        ),
    )
    tower.view = msgspec.structs.replace(moved, agents=agents)
    tower.run(600)
    assert tower.level("room-2") is Level.FIT
    assert "pc-1" not in tower.watch.rooms["room-1"].state.agents
    assert "ROOM_SILENT" not in tower.codes("room-1")


def test_a_registry_that_has_not_changed_is_not_looked_through_again() -> None:
    tower = Tower()
    tower.run(60)
    before = tower.watch.recipients_of("room-1")
    tower.view = msgspec.structs.replace(tower.view, contacts={})  # same version: nothing can have changed
    tower.run(60)
    assert tower.watch.recipients_of("room-1") is before


def test_who_answers_for_a_room_is_told_and_nobody_else() -> None:
    tower = Tower()
    tower.run(300)
    reviews = tower.run(600, ("pc-2",))
    assert told(reviews) == {"room-1@example.vn"}


# Silence.


def test_an_agent_that_says_nothing_any_more_is_lost_though_the_broker_says_nothing() -> None:
    tower = Tower()
    tower.run(300)
    tower.run(150, ("pc-2",))
    assert tower.level("room-1") is Level.FIT
    tower.run(60, ("pc-2",))
    assert tower.codes("room-1") == ["ROOM_SILENT"]
    assert tower.level("room-2") is Level.FIT
    tower.run(60)
    assert tower.level("room-1") is Level.FIT


def test_a_slow_plan_makes_us_patient() -> None:
    """An agent that measures every ten minutes is not silent after three."""
    tower = Tower(plan=a_plan("lesson-zoom", tick_s=600.0))
    tower.run(60)
    tower.run(1740, ())
    assert "ROOM_SILENT" not in tower.codes("room-1")
    tower.run(120, ())
    assert tower.codes("room-1") == ["ROOM_SILENT"]


def test_an_agent_that_said_goodbye_is_not_lost_afterwards() -> None:
    tower = Tower()
    tower.run(300)
    tower.watch.hear("pc-1", "offline", "shutdown", tower.now)
    tower.run(3600, ("pc-2",))
    assert tower.codes("room-1") == ["PC_SWITCHED_OFF"]


def test_the_word_of_an_agent_without_a_room_concerns_no_room() -> None:
    tower = Tower()
    tower.run(300)
    tower.watch.hear("stranger", "lost", "", tower.now)
    tower.run(600)
    assert {tower.level("room-1"), tower.level("room-2")} == {Level.FIT}


# Doubt.


@pytest.mark.parametrize("doubt", [BLIND, SETTLING], ids=["blind", "settling"])
def test_while_we_cannot_see_nobody_is_lost_and_nobody_is_alerted(doubt: Doubt) -> None:
    tower = Tower()
    tower.run(300)
    reviews = tower.run(3600, (), doubt=doubt)
    assert changes(reviews) == []
    assert told(reviews) == set()
    assert not tower.watch._lost


def test_while_we_are_blind_no_room_is_called_fit_or_unfit() -> None:
    tower = Tower()
    tower.run(300)
    tower.run(30, (), doubt=BLIND)
    assert (tower.level("room-1"), tower.codes("room-1")) == (Level.UNKNOWN, ["COLLECTOR_BLIND"])
    tower.run(30)
    assert tower.level("room-1") is Level.FIT


def test_an_incident_that_was_open_before_we_went_blind_is_open_after() -> None:
    tower = Tower()
    tower.run(300)
    tower.run(300, ("pc-1", "pc-2"), ping(loss_ratio=1.0), dns())
    before = dict(tower.watch.incidents.open)
    tower.run(3600, (), doubt=BLIND)
    assert dict(tower.watch.incidents.open) == before


# Profiles and plans.


@pytest.mark.parametrize(
    ("own", "planned", "judged_by"),
    [("", "", "zoom-720p"), ("", "audio-only", "audio-only"), ("h323-720p", "audio-only", "h323-720p"),
     ("none-of-ours", "", "zoom-720p")],
    ids=["the usual", "the plan's", "the room's own", "unknown"],
)  # fmt: skip
def test_a_room_is_judged_by_its_own_profile_else_its_plans_else_the_usual(
    own: str, planned: str, judged_by: str
) -> None:
    tower = Tower(a_view(1, {"room-1": "pc-1"}, profile=own), a_plan("lesson-zoom", profile=planned))
    tower.run(60, ("pc-1",))
    assert tower.reviews[-1].verdicts["room-1"].profile == judged_by


def test_what_the_plan_measures_no_more_is_not_missed() -> None:
    tower = Tower(a_view(1, {"room-1": "pc-1"}), a_plan("lesson-zoom", "camera-1"))
    tower.run(600, ("pc-1",), ping(), dns(), ping("camera-1"))
    tower.plan = a_plan("lesson-zoom")
    tower.run(600, ("pc-1",))
    assert ("ping", "camera-1") in tower.watch.rooms["room-1"].latest, "a short gap is no farewell"
    tower.run(3600, ("pc-1",))
    assert tower.level("room-1") is Level.FIT
    assert ("ping", "camera-1") not in tower.watch.rooms["room-1"].latest
    assert not any(target == "camera-1" for _, target, _ in tower.watch.rooms["room-1"].trails)


# What the pages show.


def test_a_reading_that_comes_late_or_out_of_order_is_not_the_latest() -> None:
    tower = Tower()
    tower.run(300)
    late = ping(loss_ratio=1.0)
    tower.watch.fold("room-1", late, tower.now - 3600, tower.now)
    tower.watch.fold("room-1", late, tower.now - 45, tower.now)
    latest = tower.watch.rooms["room-1"].latest["ping", "lesson-zoom"]
    assert (latest.reading, latest.measured_s) == (ping(), tower.now)


def test_a_failed_attempt_is_the_latest_too() -> None:
    tower = Tower()
    tower.run(300)
    failed = Reading(probe="ping", target="lesson-zoom", outcome=Outcome.DENIED, detail="not permitted")
    tower.watch.fold("room-1", failed, tower.now + 1, tower.now + 1)
    assert tower.watch.rooms["room-1"].latest["ping", "lesson-zoom"].reading == failed


def test_the_recent_past_of_a_figure_is_kept_within_bounds() -> None:
    tower = Tower(a_view(1, {"room-1": "pc-1"}))
    tower.run(3 * 3600, ("pc-1",))
    points = tower.watch.rooms["room-1"].trails["ping", "lesson-zoom", "rtt_p50_ms"]
    assert len(points) == 180
    assert [measured_s for measured_s, _ in points] == sorted(measured_s for measured_s, _ in points)


def test_each_change_of_level_is_noted_once() -> None:
    tower = Tower(a_view(1, {"room-1": "pc-1"}))
    tower.run(300, ("pc-1",))
    tower.run(300, ("pc-1",), ping(loss_ratio=1.0), dns())
    levels = [level for _, level in tower.watch.rooms["room-1"].levels]
    assert levels[0] in (Level.FIT, Level.UNKNOWN)
    assert levels[-1] is Level.UNFIT
    assert all(before is not after for before, after in itertools.pairwise(levels))
    assert [room for review in tower.reviews for room in review.changed] == ["room-1"] * len(levels)


def a_reflected_plan(**settings: object) -> Plan:
    jobs = (
        Job(probe="ping", every_s=60.0, settings={"target": "lesson-zoom"}),
        Job(probe="stamp", every_s=60.0, settings={"target": "lesson.centre", **settings}),
    )
    return Plan(tick_s=60.0, profile="", backlog_bps=64_000.0, jobs=jobs)


def reflected(*, answered: bool) -> Reading:
    values: dict[str, int | float] = {"sent_count": 1000, "received_count": 1000 if answered else 0}
    outcome = Outcome.OK if answered else Outcome.TIMEOUT
    return Reading(probe="stamp", target="lesson.centre", outcome=outcome, values=values)


@pytest.mark.parametrize(
    ("mine", "theirs", "answers_them", "is_blocked"),
    [
        ({}, {}, True, True),
        ({}, {}, False, False),
        ({"address": "centre.example.vn"}, {"address": "centre.example.vn"}, True, True),
        ({"address": "centre.example.vn"}, {"address": "elsewhere.example.vn"}, True, False),
        ({"port": 8620}, {"port": 862}, True, False),
        ({"key": "00" * 16, "agent": "pc-a"}, {}, True, False),
        (None, {}, True, False),
    ],
    ids=["one reflector", "at rest", "another host", "two hosts", "two ports", "a key by hand", "no plan"],
)
def test_udp_is_blocked_where_the_same_reflector_answers_another_room(
    mine: dict[str, object] | None, theirs: dict[str, object], *, answers_them: bool, is_blocked: bool
) -> None:
    watch = Watch(
        profiles=default_profiles(), policy=POLICY, incidents=Incidents(POLICY), told=Told(), silent_after_s=180.0
    )
    plans = {"a": None if mine is None else a_reflected_plan(**mine), "b": a_reflected_plan(**theirs)}
    view = a_view(1, {"a": "pc-a", "b": "pc-b"})
    now = START_S
    for _ in range(5):
        now += 60
        watch.set_rooms(view, lambda room: plans[room.room], now)
        for room, is_answered in (("a", False), ("b", answers_them)):
            watch.hear(f"pc-{room}", "online", "", now)
            for reading in (ping(), dns(), reflected(answered=is_answered)):
                watch.fold(room, reading, now, now)
        review = watch.review(now)
    codes = [finding.code for finding in review.verdicts["a"].findings]
    assert ("UDP_BLOCKED" in codes) is is_blocked
    assert "UDP_BLOCKED" not in [finding.code for finding in review.verdicts["b"].findings]


def revoked(view: RegistryView, agent: str, at_s: float) -> RegistryView:
    """The same registry after an agent was revoked."""
    one = view.agents[agent]
    left = (*one.standings[:-1], msgspec.structs.replace(one.standings[-1], until_s=at_s))
    gone = msgspec.structs.replace(one, revoked_s=at_s, standings=left)
    return msgspec.structs.replace(view, version=view.version + 1, agents={**view.agents, agent: gone})


def test_a_room_whose_only_agent_was_revoked_says_so_and_since_when_and_alerts_nobody() -> None:
    tower = Tower()
    tower.run(300)
    revoked_s = tower.now
    tower.view = revoked(tower.view, "pc-1", revoked_s)
    reviews = tower.run(1800, ("pc-2",))
    (found,) = reviews[-1].verdicts["room-1"].findings
    assert (found.code, found.level, found.target, found.since_s) == (
        "AGENT_REVOKED", Level.UNKNOWN, "pc-pc-1", revoked_s,
    )  # fmt: skip
    assert "pc-1" in telling.sentence(found, "vi")
    assert changes(reviews) == []
    tower.view = a_view(3, {"room-1": "pc-9", "room-2": "pc-2"})
    tower.run(300, ("pc-9", "pc-2"))
    assert tower.level("room-1") is Level.FIT


def test_a_room_with_another_agent_is_judged_by_that_one() -> None:
    tower = Tower()
    both = {**tower.view.agents, "pc-3": a_view(1, {"room-1": "pc-3"}).agents["pc-3"]}
    tower.view = revoked(msgspec.structs.replace(tower.view, version=2, agents=both), "pc-1", START_S + 30)
    tower.run(300, ("pc-2", "pc-3"))
    assert tower.level("room-1") is Level.FIT


def test_a_room_that_its_agent_left_before_it_was_revoked_elsewhere_does_not_speak_of_it() -> None:
    view = a_view(1, {"room-1": "pc-1", "room-2": "pc-2"})
    one = view.agents["pc-1"]
    moved = (
        msgspec.structs.replace(one.standings[0], until_s=START_S + 10),
        Standing(agent="pc-1", room="room-2", from_s=START_S + 10, until_s=START_S + 20),
    )
    gone = msgspec.structs.replace(one, revoked_s=START_S + 20, standings=moved)
    tower = Tower(msgspec.structs.replace(view, agents={**view.agents, "pc-1": gone}))
    tower.run(60, ("pc-2",))
    assert tower.codes("room-1") == ["NEVER_HEARD"]


def test_a_probe_that_the_plan_wants_and_that_says_nothing_any_more_is_stuck() -> None:
    watch = Watch(
        profiles=default_profiles(), policy=POLICY, incidents=Incidents(POLICY), told=Told(), silent_after_s=180.0
    )
    host = Reading(probe="host", target="pc", values={"cpu_ratio": 0.2})
    plan = Plan(tick_s=60.0, profile="", backlog_bps=64_000.0, jobs=(Job(probe="host", every_s=60.0, settings={}),))
    view, now = a_view(1, {"a": "pc-a"}), START_S
    found: list[list[str]] = []
    for minute in range(15):
        now += 60
        watch.set_rooms(view, lambda _: plan, now)
        watch.hear("pc-a", "online", "", now)
        for reading in (ping(), dns(), *([host] if minute < 3 else [])):
            watch.fold("a", reading, now, now)
        found.append([one.code for one in watch.review(now).verdicts["a"].findings])
    assert found == [[]] * 13 + [["PROBE_STUCK"]] * 2
