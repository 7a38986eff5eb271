import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.spending.budget import STOPS_AT, Budget, Spent, Use

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
NOON_S = dt.datetime(2026, 11, 24, 12, tzinfo=VIETNAM).timestamp()
DAY_S = 86400.0


def budget(limit_bytes: int | None = 1000) -> Budget:
    made = Budget()
    made.limit_bytes, made.zone = limit_bytes, VIETNAM
    return made


@pytest.mark.parametrize(
    ("spent_bytes", "given_up"),
    [
        (0, []),
        (700, []),
        (701, [Use.TESTS]),
        (851, [Use.TESTS, Use.BACKLOG]),
        (951, [Use.TESTS, Use.BACKLOG, Use.PROBES]),
        (1001, [Use.TESTS, Use.BACKLOG, Use.PROBES, Use.TELEMETRY]),
    ],
)
def test_the_least_needful_is_given_up_first(spent_bytes: int, given_up: list[Use]) -> None:
    made = budget()
    made.count(Use.PROBES, spent_bytes, NOON_S)
    assert [use for use in Use if not made.allows(use, NOON_S)] == given_up


def test_a_test_that_would_go_beyond_its_share_is_not_begun() -> None:
    made = budget()
    made.count(Use.TELEMETRY, 500, NOON_S)
    assert made.allows(Use.TESTS, NOON_S, cost_bytes=200)
    assert not made.allows(Use.TESTS, NOON_S, cost_bytes=201)


def test_the_day_is_the_schools_own() -> None:
    made = budget()
    made.count(Use.PROBES, 1000, NOON_S)
    before, after = made.tomorrow_s(NOON_S) - 1, made.tomorrow_s(NOON_S)
    assert dt.datetime.fromtimestamp(after, VIETNAM).time() == dt.time()
    assert made.used_ratio(before) == 1.0
    assert made.used_ratio(after) == 0.0


def test_without_a_limit_all_is_counted_and_nothing_given_up() -> None:
    made = budget(None)
    made.count(Use.TESTS, 10**12, NOON_S)
    assert all(made.allows(use, NOON_S) for use in Use)
    assert (made.used_ratio(NOON_S), made.spent.tests_bytes) == (None, 10**12)


def test_a_clock_set_back_a_day_gives_no_second_budget_and_one_that_was_years_ahead_does_not_last() -> None:
    made = budget()
    made.count(Use.TESTS, 400, NOON_S)
    made.count(Use.TESTS, 400, NOON_S - DAY_S)
    assert made.spent.tests_bytes == 800
    ahead = Budget(Spent(day="2031-01-01", tests_bytes=999))
    ahead.count(Use.TESTS, 1, NOON_S)
    assert (ahead.spent.day, ahead.spent.tests_bytes) == ("2026-11-24", 1)


def test_restarts_with_a_dead_clock_are_one_day_until_the_collector_says_which() -> None:
    made = Budget(Spent(day="2026-11-24", tests_bytes=900))
    made.limit_bytes, made.zone = 1000, VIETNAM
    made.count(Use.TELEMETRY, 200, None)
    assert not made.allows(Use.TESTS, None)
    assert made.spent.total_bytes == 1100
    assert made.allows(Use.TELEMETRY, None), "else it would never learn that it is another day"
    assert not made.allows(Use.TELEMETRY, NOON_S)
    assert made.allows(Use.TELEMETRY, NOON_S + DAY_S)


@given(st.lists(st.tuples(st.sampled_from(Use), st.integers(0, 300)), max_size=40))
def test_who_asks_before_spending_never_goes_beyond_the_day(wishes: list[tuple[Use, int]]) -> None:
    made = budget()
    for use, cost_bytes in wishes:
        if made.allows(use, NOON_S, cost_bytes=cost_bytes):
            made.count(use, cost_bytes, NOON_S)
            assert made.spent.total_bytes <= STOPS_AT[use] * 1000
