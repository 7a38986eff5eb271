"""The schedule: a grid of monotonic time on which every job has its turns, and a missed one is skipped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.schedule import LONGEST_GATHER_S, Schedule
from contract.plan import Job


def a_schedule(*every_s: float, tick_s: float = 60.0, start_mono_s: float = 1000.0) -> Schedule:
    jobs = tuple(Job(probe="ping", every_s=one, settings={}, place=place) for place, one in enumerate(every_s))
    return Schedule(tick_s=tick_s, start_mono_s=start_mono_s, jobs=jobs)


def test_everything_is_due_at_the_start() -> None:
    assert a_schedule(60.0, 300.0, 3600.0).due(0) == (0, 1, 2)


def test_each_job_has_its_own_turns() -> None:
    schedule = a_schedule(60.0, 120.0, 180.0)
    assert [schedule.due(tick) for tick in range(7)] == [
        (0, 1, 2), (0,), (0, 1), (0, 2), (0, 1), (0,), (0, 1, 2),
    ]  # fmt: skip


def test_a_tick_of_half_a_second_does_not_drift() -> None:
    schedule = a_schedule(1.5, tick_s=0.5)
    assert [tick for tick in range(10) if schedule.due(tick)] == [0, 3, 6, 9]
    assert schedule.starts_mono_s(7_200) == 1000.0 + 3600.0


def test_a_plan_without_probes_has_turns_without_anything_due() -> None:
    assert a_schedule().due(0) == ()


@pytest.mark.parametrize(
    ("mono_s", "tick"),
    [(1000.0, 0), (1059.9, 0), (1060.0, 1), (1059.99999, 1), (1000.0 + 86400.0, 1440), (999.0, -1)],
    ids=["start", "before", "at", "woken a hair early", "a day later", "earlier"],
)
def test_the_last_tick_at_a_moment(mono_s: float, tick: int) -> None:
    assert a_schedule(60.0).tick_at(mono_s) == tick


@given(st.floats(0.5, 3600.0), st.floats(0, 1e7), st.integers(0, 100_000))
def test_a_tick_that_starts_has_started(tick_s: float, start_mono_s: float, tick: int) -> None:
    """Else an agent that is woken for a tick would take its turn twice, or never."""
    schedule = a_schedule(tick_s=tick_s, start_mono_s=start_mono_s)
    assert schedule.tick_at(schedule.starts_mono_s(tick)) == tick


def test_a_record_closes_before_the_next_tick_and_no_later_than_20_seconds() -> None:
    assert a_schedule(tick_s=5.0).gather_s == 4.0
    assert a_schedule(tick_s=60.0).gather_s == LONGEST_GATHER_S == 20.0


def test_an_urgent_probe_is_due_at_each_tick() -> None:
    jobs = (Job(probe="ping", every_s=300, settings={}), Job(probe="link", every_s=300, settings={}))
    schedule = Schedule(tick_s=60, start_mono_s=0.0, jobs=jobs)
    assert [schedule.due(tick, urgent=("link",)) for tick in range(6)] == [(0, 1), (1,), (1,), (1,), (1,), (0, 1)]
    assert schedule.due(1) == ()
