"""What is measured when: a test of the line waits for the lesson's end, and what costs bytes for another day."""

import asyncio
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from agent.measuring import Measurer
from agent.probe import Probe, Value, Values
from agent.spending import lesson
from agent.spending.budget import Use
from agent.spending.circumstances import CIRCUMSTANCES, Look, between
from agent.spending.lesson import MEDIA_BPS, Call
from agent.spending.meter import spent
from agent.spending.traffic import Traffic
from contract.plan import Job, Plan, look_at_plan
from contract.rung import Rung
from tests.agent.made import PcClock

NOW_S = 1_795_500_000.0  # 2026-11-24 13:00 in Vietnam
EVENING_MIN = 540  # until 22:00 there
PLAN = Plan(tick_s=60.0, profile="", backlog_bps=64_000.0, jobs=(), daily_bytes=10_000_000)
ALL_DAY, _ = look_at_plan({"quiet_hours": ["00:00-23:00"]}, source="plan")


class Costly(msgspec.Struct, frozen=True, kw_only=True):
    """Costs what it says."""

    target: str = "lesson"
    longest_s: float = 5.0
    cost_bytes: int = 1000
    brings: dict[str, float] = {}

    values: ClassVar[tuple[Value, ...]] = (Value("a_ms", "A time."),)
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {}

    async def measure(self) -> Values:
        spent(sent_bytes=self.cost_bytes // 4, received_bytes=self.cost_bytes - self.cost_bytes // 4)
        return dict(self.brings) or {"a_ms": 1.0}


class Loading(Costly, frozen=True, kw_only=True):
    """The same, and loads the line."""

    is_test: ClassVar[bool] = True


def job(probe: str = "made", *, in_lessons: bool = False) -> Job:
    return Job(probe=probe, every_s=60.0, settings={}, in_lessons=in_lessons)


class Desk:
    """A measurer with its count in a folder."""

    def __init__(self, folder: Path, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.traffic = Traffic(folder / "traffic.json")
        self.traffic.follow(plan)
        self.measurer = Measurer(PcClock(), self.traffic, lambda: NOW_S)

    def measure(self, probe: Probe, of: Job | None = None) -> Values | None:
        taken = asyncio.run(self.measurer.measure(of or job(), probe, self.plan))
        return None if taken is None else taken.reading.values


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_a_probe_spends_beyond_the_school_is_counted_and_inside_it_is_not(desk: Desk) -> None:
    desk.measure(Costly(cost_bytes=1000))
    desk.measure(Costly(cost_bytes=500, target="camera"))
    desk.measure(Costly(cost_bytes=70, target="pc"))  # walks along the line
    assert (desk.traffic.budget.spent.probes_bytes, desk.traffic.budget.spent.tests_bytes) == (1070, 0)


def test_a_test_counts_by_itself_and_says_what_else_went_on(desk: Desk) -> None:
    values = desk.measure(Loading(cost_bytes=1000))
    assert values is not None
    assert {"a_ms"} < values.keys() <= {"a_ms", *(value.name for value in CIRCUMSTANCES)}
    assert desk.traffic.budget.spent.tests_bytes == 1000


def test_tests_then_probes_are_left_out_once_the_days_bytes_are_used_and_the_school_is_measured_on(desk: Desk) -> None:
    desk.traffic.budget.count(Use.TELEMETRY, 7_000_001, NOW_S)
    assert desk.measure(Loading()) is None
    assert desk.measure(Costly()) is not None
    desk.traffic.budget.count(Use.TELEMETRY, 2_500_000, NOW_S)
    assert desk.measure(Costly()) is None
    assert desk.measure(Costly(target="camera")) is not None
    assert desk.measure(Costly(target="pc", cost_bytes=0)) is not None


def test_a_test_waits_in_the_plans_hours_unless_it_is_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ALL_DAY)
    assert desk.measure(Loading()) is None
    assert desk.measure(Costly()) is not None
    assert desk.measure(Loading(), job(in_lessons=True)) is not None


def test_a_test_waits_while_the_codec_says_that_it_is_in_a_call(desk: Desk) -> None:
    desk.measure(Costly(target="codec", cost_bytes=0, brings={"call_active_bool": 1}))
    assert desk.measure(Loading()) is None
    desk.measure(Costly(target="codec", cost_bytes=0, brings={"call_active_bool": 0}))
    assert desk.measure(Loading()) is not None


@pytest.mark.parametrize(
    ("in_hours", "calls", "programs", "rates_bps", "expected"),
    [
        pytest.param(False, [], [], (9e6, 9e6), False, id="traffic alone is no lesson"),
        pytest.param(False, [], ["Zoom.exe"], (MEDIA_BPS, MEDIA_BPS), True, id="people meet"),
        pytest.param(False, [], ["Zoom.exe"], (MEDIA_BPS / 2, 9e6), False, id="a download while zoom waits"),
        pytest.param(False, [Call(True, 900.0)], [], (0.0, 0.0), True, id="the codec is in a call"),
        pytest.param(False, [Call(True, 600.0)], [], (0.0, 0.0), False, id="it was, and has said nothing since"),
        pytest.param(False, [Call(False, 990.0)], [], (0.0, 0.0), False, id="it is in none"),
        pytest.param(True, [], [], (0.0, 0.0), True, id="the plan's hours"),
    ],
)
def test_one_sign_of_a_lesson_is_enough(
    *, in_hours: bool, calls: list[Call], programs: list[str], rates_bps: tuple[float, float], expected: bool
) -> None:
    sent_bps, received_bps = rates_bps
    is_on = lesson.is_on(
        in_hours=in_hours,
        calls=calls,
        programs=programs,
        sent_bps=sent_bps,
        received_bps=received_bps,
        now_mono_s=1000.0,
    )
    assert is_on is expected


def test_what_others_used_is_what_the_card_saw_less_the_test_itself() -> None:
    before = Look(at_s=10.0, card="", sent_bytes=0, received_bytes=0, busy_s=1.0, cpu_s=10.0)
    after = Look(at_s=12.0, card="", sent_bytes=0, received_bytes=0, busy_s=2.0, cpu_s=14.0)
    assert between(before, after, own_sent_bytes=0, own_received_bytes=0) == {"busy_cpu_ratio": 0.25}
    before, after = before._replace(card="lo"), after._replace(card="lo", sent_bytes=5000, received_bytes=1000)
    values = between(before, after, own_sent_bytes=1000, own_received_bytes=2000)
    assert (values["competing_sent_bps"], values["competing_received_bps"], values["wifi_bool"]) == (16000.0, 0.0, 0)


def test_the_count_outlives_a_restart_and_the_traffic_probe_tells_it(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.measure(Costly(cost_bytes=4_000_000))
    first.traffic.save(0.0, at_once=True)
    again = Desk(tmp_path)
    values = again.measure(Costly(target="pc", cost_bytes=0), job("traffic"))
    assert values is not None
    assert (values["probes_bytes"], values["budget_used_ratio"]) == (4_000_000, 0.4)


def test_a_walk_that_found_nothing_says_what_the_connection_failed_at(desk: Desk) -> None:
    desk.measurer.lost_at = Rung.COLLECTOR_TLS
    walk = Costly(target="pc", cost_bytes=0, brings={"failed_rung_code": 0})
    values = desk.measure(walk, job("link"))
    assert values is not None
    assert values["failed_rung_code"] == Rung.COLLECTOR_TLS


def test_a_file_that_a_power_cut_left_half_written_costs_only_the_count(tmp_path: Path) -> None:
    (tmp_path / "traffic.json").write_bytes(b'{"day":"2026')
    assert Desk(tmp_path).traffic.budget.spent.total_bytes == 0


def test_the_plans_default_limit_is_one_that_every_plan_has() -> None:
    plan, problems = look_at_plan({}, source="plan")
    assert (plan.daily_bytes, problems) == (200_000_000, [])


def test_what_has_hours_of_its_own_is_taken_once_in_them(desk: Desk) -> None:
    now_s = [NOW_S]
    measurer = Measurer(PcClock(), desk.traffic, lambda: now_s[0])
    plan, _ = look_at_plan({"probe": [{"name": "made", "hours": ["22:00-04:00"]}]}, source="plan")
    taken_s = []
    for minute in range(48 * 60):
        now_s[0] = NOW_S + minute * 60.0
        if asyncio.run(measurer.measure(plan.jobs[0], Costly(), plan)) is not None:
            taken_s.append(minute)
    assert len(taken_s) == 2
    first, second = (minute - EVENING_MIN for minute in taken_s)
    assert 0 <= first <= 3 * 60
    assert 0 <= second - 24 * 60 <= 3 * 60
