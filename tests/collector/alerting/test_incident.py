"""When a problem is one: held off, made worse, over, and never by what nobody saw."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.alerting.incident import ENDED_KEPT_S, Change, Incident, Incidents, Policy
from readiness.verdict import Finding, Level, Verdict
from tests.collector.alerting.troubles import CAMERA, LOSSY, NARROW, NOW_S, ROOM, SILENT, finding, incident, verdict

POLICY = Policy()
STEP_S = 5.0
SWITCHED_OFF = finding("PC_SWITCHED_OFF", Level.UNKNOWN, "pc")
NEVER_HEARD = finding("NEVER_HEARD", Level.UNKNOWN, "pc")


class Story:
    """A room that is reviewed every five seconds; keeps what changed, with the seconds at which it did."""

    def __init__(self, known: Iterable[Incident] = ()) -> None:
        self.incidents = Incidents(POLICY, known)
        self.now = NOW_S
        self.changes: list[Change] = []

    def lasts(self, for_s: float, *findings: Finding) -> "Story":
        until_s = self.now + for_s
        while self.now < until_s:
            self.changes += self.incidents.observe(verdict(*findings, at_s=self.now), self.now)
            self.now += STEP_S
        return self

    def passes_unseen(self, for_s: float) -> "Story":
        self.now += for_s
        return self

    @property
    def kinds(self) -> list[tuple[str, float]]:
        return [(change.kind.value, change.at_s - NOW_S) for change in self.changes]

    @property
    def is_open(self) -> bool:
        return ROOM in self.incidents.open


def test_trouble_that_lasts_five_minutes_opens_an_incident() -> None:
    story = Story().lasts(3600, LOSSY, CAMERA)
    assert story.kinds == [("opened", 300)]
    opened = story.incidents.open[ROOM]
    assert opened.incident == "20251124T001000000-lung-cu-1"
    assert (opened.opened_s, opened.confirmed_s) == (NOW_S, NOW_S + 300)
    assert (opened.level, opened.worst) == (Level.UNFIT, Level.UNFIT)
    assert opened.codes == ("LINK_LOSSY", "CAMERA_LOST")
    assert opened.first_findings == (LOSSY, CAMERA)


def test_trouble_that_is_over_before_opens_none() -> None:
    story = Story()
    for _ in range(20):
        story.lasts(295, LOSSY).lasts(5)
    assert story.kinds == []


def test_a_room_that_is_only_degraded_opens_none() -> None:
    assert Story().lasts(7200, NARROW).kinds == []


def test_silence_opens_an_incident_as_trouble_does() -> None:
    story = Story().lasts(600, SILENT)
    assert story.kinds == [("opened", 300)]
    assert story.incidents.open[ROOM].worst is Level.UNKNOWN


def test_silence_and_trouble_by_turns_are_one_trouble() -> None:
    story = Story()
    for _ in range(6):
        story.lasts(30, SILENT).lasts(30, LOSSY)
    assert story.kinds[0] == ("opened", 300)


@pytest.mark.parametrize("quiet", [SWITCHED_OFF, NEVER_HEARD], ids=lambda one: one.code)
def test_a_room_left_as_rooms_are_left_opens_none(quiet: Finding) -> None:
    assert Story().lasts(86400, quiet).kinds == []


def test_a_quiet_reason_beside_a_loud_one_is_not_quiet() -> None:
    assert Story().lasts(600, SILENT, SWITCHED_OFF).kinds == [("opened", 300)]


def test_a_lesser_reason_does_not_make_a_quiet_room_loud() -> None:
    assert Story().lasts(600, SWITCHED_OFF, NARROW).kinds == []


def test_switching_off_a_room_in_trouble_mends_nothing() -> None:
    story = Story().lasts(600, LOSSY).lasts(3600, SWITCHED_OFF)
    assert story.kinds == [("opened", 300)]
    assert story.is_open
    assert story.incidents.open[ROOM].codes == ("LINK_LOSSY",)


def test_switching_off_a_room_that_seemed_mended_begins_the_wait_anew() -> None:
    story = Story().lasts(600, LOSSY).lasts(170).lasts(600, SWITCHED_OFF).lasts(170)
    assert story.is_open
    story.lasts(60)
    assert story.kinds[-1] == ("ended", 1550)


def test_an_incident_ends_when_the_room_has_been_usable_for_three_minutes() -> None:
    story = Story().lasts(600, LOSSY).lasts(600)
    assert story.kinds == [("opened", 300), ("ended", 780)]
    (ended,) = story.incidents.ended
    assert ended.ended_s == NOW_S + 600, "it was over when it was first seen to be"
    assert (ended.end_level, ended.end_findings) == (Level.FIT, ())
    assert (ended.level, ended.codes) == (Level.UNFIT, ("LINK_LOSSY",))
    assert not story.is_open


def test_an_incident_may_end_with_the_room_degraded() -> None:
    story = Story().lasts(600, LOSSY).lasts(600, NARROW)
    (ended,) = story.incidents.ended
    assert (ended.end_level, ended.end_findings) == (Level.DEGRADED, (NARROW,))


def test_a_moment_of_health_ends_nothing() -> None:
    story = Story().lasts(600, LOSSY)
    for _ in range(20):
        story.lasts(175).lasts(5, LOSSY)
    assert story.kinds == [("opened", 300)]


def test_trouble_after_the_end_is_another_incident() -> None:
    story = Story().lasts(600, LOSSY).lasts(600).lasts(600, LOSSY)
    assert [kind for kind, _ in story.kinds] == ["opened", "ended", "opened"]
    assert story.incidents.open[ROOM].incident == "20251124T003000000-lung-cu-1"


def test_a_worse_level_that_lasts_makes_an_incident_worse() -> None:
    story = Story().lasts(600, SILENT).lasts(600, LOSSY)
    assert story.kinds == [("opened", 300), ("changed_cause", 600), ("worsened", 900)]
    worse = story.incidents.open[ROOM]
    assert (worse.worst, worse.codes) == (Level.UNFIT, ("LINK_LOSSY",))
    assert worse.first_findings == (SILENT,)


def test_a_worse_level_that_passes_makes_nothing_worse() -> None:
    story = Story().lasts(600, SILENT).lasts(290, LOSSY).lasts(60, SILENT).lasts(290, LOSSY)
    assert "worsened" not in [kind for kind, _ in story.kinds]


def test_a_better_level_is_noted_and_forgets_no_worse_one() -> None:
    story = Story().lasts(600, LOSSY).lasts(600, SILENT)
    assert story.kinds == [("opened", 300), ("changed_cause", 600)]
    present = story.incidents.open[ROOM]
    assert (present.level, present.worst) == (Level.UNKNOWN, Level.UNFIT)


def test_other_numbers_of_the_same_reason_are_no_change() -> None:
    worse = finding("LINK_LOSSY", target="national", value="loss_ratio", measured=0.5, needed=0.03)
    story = Story().lasts(600, LOSSY).lasts(600, worse)
    assert story.kinds == [("opened", 300)]
    assert story.incidents.open[ROOM].findings == (worse,), "but the present one is told"


def test_the_same_trouble_of_another_device_is_a_change() -> None:
    story = Story().lasts(600, CAMERA).lasts(60, finding("CAMERA_LOST", target="camera-3"))
    assert story.kinds == [("opened", 300), ("changed_cause", 600)]


def test_what_nobody_saw_opens_no_incident() -> None:
    story = Story().lasts(200, LOSSY).passes_unseen(3600).lasts(290, LOSSY)
    assert story.kinds == []
    story.lasts(60, LOSSY)
    assert story.kinds == [("opened", 4100)]
    assert story.incidents.open[ROOM].opened_s == NOW_S + 3800


def test_what_nobody_saw_ends_no_incident() -> None:
    story = Story().lasts(600, LOSSY).lasts(60).passes_unseen(3600).lasts(175)
    assert story.is_open
    story.lasts(60)
    assert not story.is_open


def test_a_short_pause_between_two_looks_begins_nothing_anew() -> None:
    story = Story().lasts(150, LOSSY).passes_unseen(120).lasts(60, LOSSY)
    assert story.kinds == [("opened", 300)]


def test_a_clock_that_is_set_back_only_begins_the_waits_anew() -> None:
    story = Story().lasts(200, LOSSY).passes_unseen(-7200).lasts(290, LOSSY)
    assert story.kinds == []
    story.lasts(60, LOSSY)
    assert [kind for kind, _ in story.kinds] == ["opened"]


def test_a_restart_goes_on_with_open_incidents_and_opens_none_anew() -> None:
    before = Story().lasts(600, LOSSY)
    after = Story([before.incidents.open[ROOM]])
    after.now = before.now
    after.lasts(3600, LOSSY)
    assert after.changes == []
    after.lasts(300)
    assert [change.kind.value for change in after.changes] == ["ended"]
    assert after.incidents.ended[0].incident == "20251124T001000000-lung-cu-1"


def test_rooms_do_not_touch_each_other() -> None:
    incidents = Incidents(POLICY)
    changes = []
    for step in range(200):
        now = NOW_S + step * STEP_S
        changes += incidents.observe(verdict(LOSSY, at_s=now, room="a"), now)
        changes += incidents.observe(verdict(at_s=now, room="b"), now)
    assert [(change.kind.value, change.incident.room) for change in changes] == [("opened", "a")]


def test_a_room_that_is_dropped_ends_its_incident_without_a_word_about_the_room() -> None:
    story = Story().lasts(600, LOSSY)
    (change,) = story.incidents.drop(ROOM, story.now)
    assert (change.kind, change.incident.ended_s, change.incident.end_level) == (
        Change.Kind.ENDED, story.now, None,
    )  # fmt: skip
    assert not story.is_open
    assert story.incidents.ended == (), "nobody is told of the end of a room"
    assert story.incidents.drop(ROOM, story.now) == []


def test_ended_incidents_are_forgotten_after_an_hour() -> None:
    old = incident(ended_s=NOW_S - ENDED_KEPT_S - 600, number=1, room="a")
    late = incident(ended_s=NOW_S - 60, number=2, room="b")
    story = Story([old, late]).lasts(600, LOSSY).lasts(600)
    assert [one.room for one in story.incidents.ended] == ["b", ROOM]


SPELLS = st.lists(
    st.tuples(
        st.sampled_from([(), (LOSSY,), (CAMERA, LOSSY), (SILENT,), (NARROW,), (SWITCHED_OFF,)]),
        st.integers(min_value=1, max_value=90),
        st.sampled_from([0, 0, 0, 60, 3600]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(SPELLS)
def test_whatever_happens_incidents_open_and_end_by_turns_and_only_after_their_waits(
    spells: list[tuple[tuple[Finding, ...], int, int]],
) -> None:
    story = Story()
    for findings, steps_count, unseen_s in spells:
        story.lasts(steps_count * STEP_S, *findings).passes_unseen(unseen_s)
    turns = [change for change in story.changes if change.kind in {Change.Kind.OPENED, Change.Kind.ENDED}]
    assert [change.kind for change in turns] == [Change.Kind.OPENED, Change.Kind.ENDED] * (len(turns) // 2) + [
        Change.Kind.OPENED
    ] * (len(turns) % 2)
    for change in turns:
        one = change.incident
        if change.kind is Change.Kind.OPENED:
            assert one.confirmed_s - one.opened_s >= POLICY.hold_off_s
        else:
            assert one.ended_s is not None
            assert change.at_s - one.ended_s >= POLICY.clear_after_s
            assert one.ended_s >= one.confirmed_s
    for change in story.changes:
        if change.kind is Change.Kind.WORSENED:
            assert change.incident.worst is Level.UNFIT
    assert story.is_open == (len(turns) % 2 == 1)


def test_quiet_is_a_matter_of_the_reasons_at_the_verdicts_own_level() -> None:
    def judged(level: Level, *findings: Finding) -> Verdict:
        return Verdict(room=ROOM, level=level, findings=findings, since_s=NOW_S, judged_s=NOW_S, profile="zoom-720p")

    assert POLICY.is_quiet(judged(Level.UNKNOWN, SWITCHED_OFF))
    assert not POLICY.is_quiet(judged(Level.UNKNOWN)), "unknown for no reason is not quiet"
    assert POLICY.alerts(judged(Level.UNKNOWN))
    assert not POLICY.alerts(judged(Level.FIT))
    assert not POLICY.alerts(judged(Level.DEGRADED, NARROW))
