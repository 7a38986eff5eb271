from collections.abc import Iterable

import msgspec
import pytest

from contract.reading import Reading
from readiness.judge import judge
from readiness.mains import Mains, Word
from readiness.state import RoomState
from readiness.verdict import Finding, Level, Verdict
from tests.readiness.rooms import NOW_S, ZOOM, Room, codes, power, top

HOUR_S = 3600.0
MINUTE_S = 60.0


def said(words: Iterable[tuple[float, int]]) -> Mains:
    mains = Mains()
    for at_s, on_battery in words:
        mains.say(Word(at_s, is_on_battery=bool(on_battery)))
    return mains


def failures(words: Iterable[tuple[float, int]], now: float) -> list[float]:
    return said(words).failures_s(now)


def cut(at_s: float, lasts_s: float = 600.0, step_s: float = 30.0) -> list[tuple[float, int]]:
    """A power cut as a UPS tells it, with the mains a minute before and after."""
    on_battery = [(at_s + step * step_s, 1) for step in range(round(lasts_s / step_s))]
    return [(at_s - MINUTE_S, 0), *on_battery, (at_s + lasts_s + MINUTE_S, 0)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        ([(0, 0), (60, 0)], []),
        ([(0, 1), (60, 1)], []),
        ([(0, 0), (60, 1), (120, 1), (180, 0)], [60]),
        ([(0, 0), (60, 1)], [60]),
        ([(0, 0), (60, 1), (7200, 1)], [60]),
        ([(0, 0), (60, 1), (120, 0), (180, 1)], [60, 180]),
        ([(0, 0), (60, 1), (70, 0), (80, 1), (90, 0), (100, 1), (110, 0)], [60]),
        ([(0, 0), (7200, 1)], [7200]),
    ],
    ids=[
        "nothing said", "mains only", "never seen on mains", "a cut", "a cut that lasts", "silence within a cut",
        "two cuts", "flickering within seconds", "a cut after a silence",
    ],
)  # fmt: skip
def test_a_failure_begins_when_mains_that_were_there_are_gone(
    words: list[tuple[float, int]], expected: list[float]
) -> None:
    assert failures(words, now=10_000.0) == expected


def test_mains_that_flicker_when_they_return_are_no_second_failure() -> None:
    returning = [(1575.0, 0), (1585.0, 1), (1595.0, 0), (1605.0, 1), (1615.0, 0)]
    assert failures([*cut(1000.0), *returning], now=5000.0) == [1000.0]


def test_mains_that_flicker_for_an_hour_are_more_than_one_failure_and_less_than_one_each_time() -> None:
    flickering = [(1000.0 + step * 20, step % 2) for step in range(180)]
    assert 5 <= len(failures(flickering, now=5000.0)) <= 13


def test_only_the_last_day_counts() -> None:
    words = [*cut(0.0), *cut(20 * HOUR_S), *cut(23 * HOUR_S)]
    assert failures(words, now=23.9 * HOUR_S) == [0.0, 20 * HOUR_S, 23 * HOUR_S]
    assert failures(words, now=24.1 * HOUR_S) == [20 * HOUR_S, 23 * HOUR_S]
    assert failures(words, now=47.1 * HOUR_S) == []


def test_what_comes_late_counts_where_it_belongs() -> None:
    live = [(0.0, 0), (8 * HOUR_S, 0), (8 * HOUR_S + 60, 0)]
    late = [*cut(2 * HOUR_S), *cut(5 * HOUR_S)]
    assert failures([*live, *late], now=9 * HOUR_S) == failures(sorted([*live, *late]), now=9 * HOUR_S)
    assert failures([*live, *late], now=9 * HOUR_S) == [2 * HOUR_S, 5 * HOUR_S]


def test_a_backlog_that_comes_between_live_words_counts_the_same() -> None:
    backlog = [word for hour in range(1, 7) for word in cut(hour * HOUR_S)]
    live = [(8 * HOUR_S + step * MINUTE_S, 0) for step in range(len(backlog))]
    mixed = [word for pair in zip(live, backlog, strict=True) for word in pair]
    assert failures(mixed, now=9 * HOUR_S) == [hour * HOUR_S for hour in range(1, 7)]


def test_what_is_remembered_tells_the_same_after_a_restart() -> None:
    words = [(0.0, 0), (9 * HOUR_S, 0), *cut(2 * HOUR_S), *cut(5 * HOUR_S), *cut(10 * HOUR_S)]
    mains = Mains()
    stored = mains.words
    for at_s, on_battery in words:
        if mains.say(Word(at_s, is_on_battery=bool(on_battery))):
            stored = mains.words
    assert said(stored).failures_s(11 * HOUR_S) == mains.failures_s(11 * HOUR_S)
    assert len(mains.failures_s(11 * HOUR_S)) == 3
    assert len(stored) <= 4 * 3 + 2, "two words, and four for each cut"


def test_storage_is_not_told_that_things_are_as_they_were() -> None:
    mains = said([(0.0, 0), (60.0, 0)])
    assert [mains.say(Word(minute * 60.0, is_on_battery=False)) for minute in range(2, 1000)] == [False] * 998


def test_a_failure_between_two_looks_is_seen_by_the_count_of_the_ups() -> None:
    mains = Mains()
    for at_s, counted in ((0.0, 7), (60.0, 7), (120.0, 8), (180.0, 8)):
        word = Word(at_s, is_on_battery=False)
        mains.say(word)
        mains.count(counted, word)
    assert mains.failures_s(200.0) == [90.0]


@pytest.mark.parametrize(
    "counts",
    [[(0, 7), (60, 3)], [(0, 7), (60, 5000)], [(0, 7), (7200, 9)], [(0, 7), (60, 7)], [(0, 7)]],
    ids=["reset", "a leap", "after a silence", "no more", "the first"],
)
def test_a_count_that_makes_no_sense_says_nothing(counts: list[tuple[float, int]]) -> None:
    mains = Mains()
    for at_s, counted in counts:
        word = Word(at_s, is_on_battery=False)
        mains.say(word)
        mains.count(counted, word)
    assert mains.failures_s(8000.0) == []


def test_a_failure_that_was_seen_is_not_counted_again_by_the_count_of_the_ups() -> None:
    mains = Mains()
    for at_s, on_battery, counted in ((0.0, 0, 7), (60.0, 1, 8), (120.0, 1, 8), (180.0, 0, 8), (240.0, 0, 8)):
        word = Word(at_s, is_on_battery=bool(on_battery))
        mains.say(word)
        mains.count(counted, word)
    assert mains.failures_s(300.0) == [60.0]


def after_cuts(count: int, *, agents: tuple[str, ...] = ("pc-101",), targets: tuple[str, ...] = ("ups",)) -> Verdict:
    """A room that is well now and had so many power cuts in the last hours."""
    room = Room()
    for number in range(count):
        for at_s, on_battery in cut(NOW_S - (number + 1) * HOUR_S):
            for agent in agents:
                for target in targets:
                    reading = msgspec.structs.replace(power(on_battery_bool=on_battery), target=target)
                    room.state.hear_mains(agent, reading, at_s)
    return room.minutes(5)


def often(verdict: Verdict) -> Finding:
    (found,) = [one for one in verdict.findings if one.code == "MAINS_FAIL_OFTEN"]
    return found


@pytest.mark.parametrize(
    ("count", "level"),
    [(0, Level.FIT), (2, Level.FIT), (3, Level.DEGRADED), (9, Level.DEGRADED), (10, Level.UNFIT)],
)
def test_mains_that_failed_three_times_in_a_day_degrade_a_room_and_ten_times_make_it_unfit(
    count: int, level: Level
) -> None:
    assert after_cuts(count).level is level


def test_the_finding_tells_how_often_and_since_when_it_is_too_often() -> None:
    found = top(after_cuts(4))
    assert (found.code, found.target, found.measured, found.needed) == ("MAINS_FAIL_OFTEN", "ups", 4, 3)
    assert found.since_s == NOW_S - 2 * HOUR_S, "the third of four"


def test_two_pcs_that_ask_one_ups_count_its_failures_once() -> None:
    assert after_cuts(2, agents=("pc-101", "pc-102")).level is Level.FIT


def test_two_pcs_whose_upses_have_one_name_and_disagree_count_no_failure() -> None:
    room = Room()
    for minute in range(60):
        room.state.hear_mains("pc-101", power(on_battery_bool=0), NOW_S - HOUR_S + minute * MINUTE_S)
        room.state.hear_mains("pc-102", power(on_battery_bool=1), NOW_S - HOUR_S + minute * MINUTE_S + 5)
    assert "MAINS_FAIL_OFTEN" not in codes(room.minutes(5))


def test_upses_of_one_room_are_counted_apart() -> None:
    room = Room()
    for number, target in enumerate(("ups", "ups-2", "ups", "ups-2")):
        for at_s, on_battery in cut(NOW_S - (number + 1) * HOUR_S):
            reading = msgspec.structs.replace(power(on_battery_bool=on_battery), target=target)
            room.state.hear_mains("pc-101", reading, at_s)
    second = msgspec.structs.replace(power(), target="ups-2")
    assert room.but(5, second).level is Level.FIT, "two failures each"


def test_a_ups_that_no_plan_asks_any_more_is_not_told_of() -> None:
    state = RoomState("phong-101")
    state.hear("pc-101", "online", "", NOW_S)
    for number in range(5):
        for at_s, on_battery in cut(NOW_S - (number + 1) * HOUR_S):
            state.hear_mains("pc-101", power(on_battery_bool=on_battery), at_s)
    state.fold(power(), NOW_S, NOW_S)
    assert often(judge(ZOOM, state, None, NOW_S)).measured == 5
    state.keep_only([])
    state.fold(power(), NOW_S + 1, NOW_S + 1)
    assert "MAINS_FAIL_OFTEN" not in codes(judge(ZOOM, state, None, NOW_S + 1))


def test_an_agent_that_left_the_room_takes_its_count_along() -> None:
    state = RoomState("phong-101")
    state.hear_mains("pc-101", power(on_battery_bool=0), NOW_S)
    state.hear_mains("pc-101", power(on_battery_bool=1), NOW_S + 60)
    assert state.failures_s("ups", NOW_S + 100) == [NOW_S + 60]
    state.keep_agents({"pc-102"})
    assert state.failures_s("ups", NOW_S + 100) == []


def test_a_ups_that_does_not_know_says_nothing_of_the_mains() -> None:
    state = RoomState("phong-101")
    for at_s, reading in enumerate((power(), Reading(probe="power", target="ups"), power(on_battery_bool=7))):
        state.hear_mains("pc-101", reading, NOW_S + 100 * at_s)
    assert state.failures_s("ups", NOW_S + 1000) == []
