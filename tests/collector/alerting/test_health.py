"""What the collector finds wrong with itself, whom it tells of it, and how it proves that mail leaves."""

import datetime as dt
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from collector.alerting.decide import Recipient
from collector.alerting.health import PROVEN_WITHIN_S, Health, Look, Sight, Trouble
from collector.alerting.incident import AGENTS, COLLECTOR, Change, Incident, Policy
from collector.alerting.told import Tellable, Telling, Told
from collector.alerting.words import ZONE
from readiness.verdict import Level
from tests.collector.alerting.troubles import DAY_S

NOON_S = dt.datetime(2026, 11, 25, 12, 0, tzinfo=ZONE).timestamp()
KIEN = Recipient(address="kien@sogd.example.vn", name="Kiên", language="vi")
HOA = Recipient(address="hoa@sogd.example.vn", name="", language="en")
BROKER = Trouble("broker_lost")
PLANS = Trouble("plans_wrong")
STUCK = Trouble("mail_stuck")
CLONED = Trouble("agent_cloned", "dongvan-pc1")
FLOODS = Trouble("agent_floods", "dongvan-pc2")
POLICY = Policy()


class Centre:
    """The collector's view of itself over time, and all that was written to its operators, which leaves at once."""

    def __init__(self, *, operators: tuple[Recipient, ...] = (KIEN,), now: float = NOON_S) -> None:
        self.now = now
        self.operators = operators
        self.letters: list[tuple[str, str]] = []
        self.dailies: list[str] = []
        self.changes: list[Change] = []
        self.mail_leaves = True
        self.kept: dict[str, Incident] = {}
        self.told: list[Telling] = []
        self.restart()

    def restart(self) -> None:
        self.health = Health(
            policy=POLICY, operators=self.operators, daily_at="06:30", known=self.kept.values(), told=Told(self.told)
        )

    def look(self, *troubles: Trouble) -> Look:
        look = self.health.look(troubles, self.now)
        self.changes += look.changes
        self.kept.update((change.incident.incident, change.incident) for change in look.changes)
        sent_s = self.now if self.mail_leaves else None
        written: list[Tellable] = [*look.notices, *look.dailies]
        told = [
            Telling(
                key=one.key,
                incident=one.incident.incident,
                address=one.recipient.address,
                queued_s=self.now,
                sent_s=sent_s,
            )
            for one in written
        ]
        self.told += told
        self.health.told.update(told)
        self.letters += [(one.reason.value, one.recipient.address) for one in look.notices]
        self.dailies += [one.key for one in look.dailies]
        return look

    def lasts(self, for_s: float, *troubles: Trouble, step_s: float = 60.0) -> list[str]:
        """The reasons of the letters to Kiên of this while."""
        before = len(self.letters)
        until_s = self.now + for_s
        while self.now < until_s:
            self.now += step_s
            self.look(*troubles)
        return [reason for reason, to in self.letters[before:] if to == KIEN.address]


def kinds(changes: Iterable[Change]) -> list[tuple[str, str]]:
    return [(change.kind.value, change.incident.room) for change in changes]


def test_a_broker_lost_for_five_minutes_is_told_to_each_operator_once() -> None:
    centre = Centre(operators=(KIEN, HOA))
    assert centre.lasts(300, BROKER) == []
    assert centre.lasts(3600, BROKER) == ["opened"]
    assert centre.letters == [("opened", KIEN.address), ("opened", HOA.address)]
    assert centre.lasts(3600) == ["ended"]
    assert len(centre.letters) == 4


def test_what_passes_within_five_minutes_is_seen_on_the_pages_only() -> None:
    centre = Centre()
    centre.lasts(240, BROKER)
    assert centre.lasts(3600) == []
    assert centre.changes == []


def test_operators_are_reminded_once_a_day() -> None:
    centre = Centre()
    assert centre.lasts(3.5 * DAY_S, BROKER, step_s=300) == ["opened", "reminder", "reminder", "reminder"]


def test_several_troubles_at_once_are_one_letter_and_a_worse_one_is_another() -> None:
    centre = Centre()
    assert centre.lasts(600, PLANS, Trouble("sink_behind")) == ["opened"]
    assert centre.lasts(600, PLANS, BROKER) == ["worsened"]
    (finding, other) = centre.look(PLANS, BROKER).findings
    assert (finding.code, finding.level, other.code, other.level) == (
        "broker_lost", Level.UNFIT, "plans_wrong", Level.DEGRADED,
    )  # fmt: skip
    assert centre.lasts(600, PLANS) == []
    assert centre.lasts(600) == ["ended"]


def test_a_restart_in_the_middle_tells_nothing_anew() -> None:
    centre = Centre()
    centre.lasts(600, BROKER)
    centre.restart()
    assert centre.lasts(600, BROKER) == []
    centre.restart()
    assert centre.lasts(600) == ["ended"]


def test_that_no_mail_leaves_is_told_once_it_does() -> None:
    centre = Centre()
    assert centre.lasts(DAY_S, STUCK, step_s=300) == []
    assert kinds(centre.changes) == [("opened", COLLECTOR)]
    assert centre.lasts(600) == ["ended"]


def test_a_trouble_beside_mail_that_does_not_leave_is_written_all_the_same() -> None:
    centre = Centre()
    assert centre.lasts(600, STUCK, BROKER) == ["opened"]


def test_the_first_matter_of_an_agent_is_told_at_once_and_the_next_stand_in_the_daily_mail() -> None:
    centre = Centre()
    assert centre.lasts(60, CLONED) == ["opened"]
    assert centre.lasts(2 * DAY_S, CLONED, FLOODS, step_s=300) == []
    assert [(one.code, one.target) for one in centre.look(CLONED, FLOODS).findings] == [
        ("agent_cloned", "dongvan-pc1"), ("agent_floods", "dongvan-pc2"),
    ]  # fmt: skip
    assert centre.lasts(3600 + 120) == ["ended"]
    assert kinds(centre.changes)[-1] == ("ended", AGENTS)


def test_an_agent_that_floods_now_and_then_is_one_matter() -> None:
    centre = Centre()
    reasons = []
    for _ in range(5):
        reasons += centre.lasts(180, FLOODS)
        reasons += centre.lasts(1800)
    assert reasons == ["opened"]


def test_without_operators_nobody_is_written_to() -> None:
    centre = Centre(operators=())
    centre.lasts(DAY_S, BROKER, CLONED, step_s=300)
    assert (centre.letters, centre.dailies) == ([], [])
    assert centre.health.proof(centre.now) == (None, False)


# The daily mail


def test_the_daily_mail_is_written_once_a_day_to_each() -> None:
    centre = Centre(operators=(KIEN, HOA))
    centre.look()
    centre.restart()
    centre.lasts(3 * DAY_S, step_s=600)
    days = [key.split("/")[1] for key in centre.dailies if key.endswith(KIEN.address)]
    assert days == ["2026-11-25", "2026-11-26", "2026-11-27", "2026-11-28"]
    assert len(centre.dailies) == 8


@pytest.mark.parametrize(
    ("at", "day"), [((6, 29), "2026-11-24"), ((6, 30), "2026-11-25"), ((23, 59), "2026-11-25")], ids=str
)
def test_a_day_begins_at_the_mails_time(at: tuple[int, int], day: str) -> None:
    centre = Centre(now=dt.datetime(2026, 11, 25, *at, tzinfo=ZONE).timestamp())
    centre.look()
    assert centre.dailies == [f"daily/{day}/{KIEN.address}"]


def test_mail_is_proven_by_a_daily_mail_that_was_taken_and_by_nothing_else() -> None:
    centre = Centre()
    centre.mail_leaves = False
    centre.look()
    assert centre.health.proof(centre.now) == (None, False)
    centre.lasts(PROVEN_WITHIN_S + 60)
    assert centre.health.proof(centre.now) == (None, True)
    centre.restart()
    assert centre.health.proof(centre.now) == (None, True), "a restart proves nothing"
    centre.lasts(2 * DAY_S, step_s=600)
    assert centre.health.proof(centre.now) == (None, True), "nor does a new day"
    last = centre.told[-1]
    centre.health.told.update([replace(last, sent_s=centre.now)])
    assert centre.health.proof(centre.now) == (centre.now, False)


def test_a_proof_is_missed_half_an_hour_after_its_time() -> None:
    centre = Centre()
    centre.look()
    centre.mail_leaves = False
    half_past_six_s = NOON_S + DAY_S - 5.5 * 3600
    centre.lasts(half_past_six_s + PROVEN_WITHIN_S - 60 - centre.now)
    assert centre.health.proof(centre.now) == (NOON_S, False)
    centre.lasts(120)
    assert centre.health.proof(centre.now) == (NOON_S, True)


def test_a_proof_by_a_clock_that_ran_ahead_is_none() -> None:
    centre = Centre(now=NOON_S + 365 * DAY_S)
    centre.look()
    centre.now = NOON_S
    assert centre.health.proof(centre.now).proved_s is None


def test_a_daily_time_before_midnight_is_missed_after_it() -> None:
    health = Health(policy=POLICY, operators=(KIEN,), daily_at="23:45", known=(), told=Told())
    assert health.missing_at == "00:15"


# What nobody else notes

QUIET = Sight(is_fed=True, unheeded_since_s=None, sends_mail=True)


def test_a_sink_that_takes_nothing_for_a_quarter_of_an_hour_is_a_problem_until_it_does() -> None:
    centre = Centre()
    starved = replace(QUIET, is_fed=False)
    found = [centre.health.problems(starved, NOON_S + after_s) for after_s in (0, 900, 901, 5000)]
    assert [sorted(each) for each in found] == [[], [], ["sink_behind"], ["sink_behind"]]
    assert centre.health.problems(QUIET, NOON_S + 5001) == frozenset()
    assert centre.health.problems(starved, NOON_S + 5002) == frozenset()


def test_no_letter_for_a_quarter_of_an_hour_though_one_waits_is_a_problem() -> None:
    centre = Centre()
    waiting = replace(QUIET, unheeded_since_s=NOON_S)
    assert centre.health.problems(waiting, NOON_S + 900) == frozenset()
    assert centre.health.problems(waiting, NOON_S + 901) == {"mail_stuck"}
    assert centre.health.problems(QUIET, NOON_S + 902) == frozenset()


def test_mail_without_operators_is_a_problem_and_no_mail_at_all_is_none() -> None:
    centre = Centre(operators=())
    assert centre.health.problems(QUIET, NOON_S) == {"no_operators"}
    assert centre.health.problems(replace(QUIET, sends_mail=False), NOON_S) == frozenset()


@pytest.mark.parametrize("step_s", [-86400.0, 3600.0])
def test_a_step_of_our_own_clock_is_told_once_and_is_over_after_a_while(step_s: float) -> None:
    centre = Centre()
    centre.look()
    centre.now += step_s
    centre.health.clock_stepped(step_s, centre.now)
    assert centre.health.trouble("clock_stepped").measured == step_s
    for _ in range(60):
        centre.now += 60
        problems = centre.health.problems(QUIET, centre.now) & {"clock_stepped"}
        centre.look(*map(centre.health.trouble, problems))
    reasons = [reason for reason, _ in centre.letters]
    assert reasons == ["opened", "ended"]


def test_after_a_step_of_our_own_clock_troubles_begin_now() -> None:
    centre = Centre()
    centre.lasts(120, PLANS)
    centre.now -= 7200
    centre.health.clock_stepped(-7200, centre.now)
    (finding,) = centre.look(PLANS).findings
    assert finding.since_s == centre.now
