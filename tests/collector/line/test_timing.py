"""True time: the PC's wall clock is never trusted alone, and nothing is ever measured in the future."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.line.timing import BootClock, Placed, clock_offset_s
from contract.moment import Moment

ARRIVED_S = 1_795_500_000.0
DAY_S = 86400.0
YEAR_S = 365 * DAY_S


def at(mono_s: float, wall_s: float = ARRIVED_S, boot: str = "this-boot") -> Moment:
    return Moment(boot=boot, mono_s=mono_s, wall_s=wall_s)


def hear(*batches: tuple[float, float], boot_at_s: float = 1000.0) -> BootClock:
    """The clock of a boot that began at `boot_at_s`, after batches of (monotonic time of writing, delay)."""
    (mono_s, delay_s), *rest = batches
    clock = BootClock.heard(at(mono_s), boot_at_s + mono_s + delay_s)
    for mono_s, delay_s in rest:
        clock.hear(at(mono_s), boot_at_s + mono_s + delay_s)
    return clock


@pytest.mark.parametrize("wall_s", [0.0, 1.23e9, ARRIVED_S, ARRIVED_S + 40 * YEAR_S], ids=["1970", "2009", "now", "on"])
def test_within_one_boot_the_wall_clock_does_not_matter(wall_s: float) -> None:
    clock = BootClock.heard(at(5000.0, wall_s), ARRIVED_S)
    assert clock.place(at(4000.0, wall_s - 1000), ARRIVED_S) == Placed(ARRIVED_S - 1000.0, sure=True)


def test_the_shortest_delay_of_a_boot_counts() -> None:
    assert hear((100.0, 7.0), (160.0, 0.4), (220.0, 30.0), (280.0, 90.0)).began_s == pytest.approx(1000.4)


def test_a_batch_held_up_for_many_minutes_moves_nothing() -> None:
    assert hear((100.0, 0.2), (160.0, 600.0), (220.0, 0.5)).began_s == pytest.approx(1000.2)


def test_batches_held_up_together_are_not_taken_for_a_step() -> None:
    """A half-open connection lets go of all of them at one moment, so each is late by another time."""
    held_up = [(mono_s, 1000.0 - mono_s) for mono_s in (160.0, 220.0, 280.0, 340.0)]
    assert hear((100.0, 0.2), *held_up).began_s == pytest.approx(1000.2)


def test_a_clock_of_ours_set_forward_is_followed_once_three_batches_agree() -> None:
    assert hear((100.0, 0.2), (160.0, 4000.0), (220.0, 4000.3)).began_s == pytest.approx(1000.2)
    assert hear((100.0, 0.2), (160.0, 4000.0), (220.0, 4000.3), (280.0, 4000.1)).began_s == pytest.approx(5000.1)


def test_a_clock_of_ours_set_back_is_followed_at_once() -> None:
    assert hear((100.0, 0.2), (160.0, -4000.0)).began_s == pytest.approx(-3000.0)


def test_a_step_that_we_know_of_moves_what_is_known() -> None:
    clock = hear((100.0, 0.2), (160.0, 0.3))
    clock.shift(3600.0)
    assert clock.began_s == pytest.approx(4600.2)


@pytest.mark.parametrize("step_s", [60.0, -60.0, 4000.0, -4000.0])
@pytest.mark.parametrize("is_early", [False, True], ids=["stamped before", "handled before"])
def test_a_batch_that_comes_in_the_moment_of_a_step_does_not_spoil_it(step_s: float, *, is_early: bool) -> None:
    clock = hear((100.0, 0.2), (160.0, 0.3))
    if is_early:
        clock.hear(at(220.0), 1220.2 + step_s)
        clock.shift(step_s)
    else:
        clock.shift(step_s)
        clock.hear(at(220.0), 1220.2)
    clock.hear(at(280.0), 1280.2 + step_s)
    assert clock.began_s == pytest.approx(1000.2 + step_s)


@pytest.mark.parametrize("step_s", [3.0, -3.0, 60.0, -60.0, 4000.0, -4000.0])
def test_a_batch_held_up_after_a_step_that_we_know_of_moves_nothing(step_s: float) -> None:
    clock = hear((100.0, 0.2), (160.0, 0.3))
    clock.shift(step_s)
    for mono_s, delay_s in ((220.0, 0.2), (280.0, 2.5), (340.0, 2.7)):
        clock.hear(at(mono_s), 1000.0 + step_s + mono_s + delay_s)
    assert clock.began_s == pytest.approx(1000.2 + step_s)


@pytest.mark.parametrize("drift", [-5e-5, 5e-5], ids=["slow", "fast"])
def test_a_quartz_that_drifts_for_weeks_is_followed(drift: float) -> None:
    clock = hear((0.0, 0.2), *((minute * 60.0, drift * minute * 60 + 0.2) for minute in range(1, 20_000)))
    assert clock.began_s == pytest.approx(1000.2 + drift * 19_999 * 60, abs=0.2)


def test_a_lesson_that_fills_the_line_for_twenty_minutes_moves_nothing_far() -> None:
    calm = [(minute * 60.0, 0.1) for minute in range(60)]
    lesson = [(3600 + minute * 60.0, 4.0) for minute in range(20)]
    assert hear(*calm, *lesson).began_s == pytest.approx(1000.1, abs=0.2)


def test_two_boots_that_bear_one_name_are_told_apart() -> None:
    """Without a battery a PC begins every boot at the same second, by which some name it."""
    clock = hear((36_000.0, 0.2))
    clock.hear(at(60.0), 200_060.3)
    assert clock.began_s == pytest.approx(200_000.3)


def of_earlier_boot(last: Moment, *, began_ago_s: float = 600.0, ahead_s: float = 0.0) -> BootClock:
    """The clock of a boot never heard, seen from one that is `began_ago_s` old, on a PC that is ahead by so much."""
    present = BootClock(
        began_s=ARRIVED_S - began_ago_s, wall_began_s=ARRIVED_S - began_ago_s + ahead_s, sure=True, told_mono_s=0.0
    )
    return BootClock.estimated(last, present)


@pytest.mark.parametrize("ahead_s", [0.0, 7 * 3600.0, -3 * YEAR_S], ids=["right", "zone", "years"])
def test_a_record_of_a_boot_never_heard_is_placed_by_how_wrong_the_clock_was_when_the_next_began(
    ahead_s: float,
) -> None:
    last = at(5000.0, ARRIVED_S - DAY_S + ahead_s, "old")
    placed = of_earlier_boot(last, ahead_s=ahead_s).place(at(2000.0, boot="old"), ARRIVED_S)
    assert placed.taken_s == pytest.approx(ARRIVED_S - DAY_S - 3000.0)
    assert not placed.sure


def test_a_clock_set_right_after_the_boot_began_does_not_hide_how_wrong_it_was_before() -> None:
    clock = BootClock.heard(at(120.0, ARRIVED_S), ARRIVED_S)
    clock.look(at(60.0, ARRIVED_S - 60.0 - 2400.0))
    last = at(5000.0, ARRIVED_S - DAY_S - 2400.0, "old")
    assert BootClock.estimated(last, clock).place(last, ARRIVED_S).taken_s == pytest.approx(ARRIVED_S - DAY_S)


@pytest.mark.parametrize(
    ("wall_s", "ahead_s"),
    [(1.23e9, -5.655e8), (ARRIVED_S + YEAR_S, 0.0), (1.23e9, 0.0), (0.0, 0.0)],
    ids=["battery dead", "next year", "2009", "1970"],
)
def test_where_the_clock_cannot_tell_the_boot_lies_right_before_the_next(wall_s: float, ahead_s: float) -> None:
    last = at(5000.0, wall_s, "old")
    clock = of_earlier_boot(last, ahead_s=ahead_s)
    assert clock.place(last, ARRIVED_S) == Placed(ARRIVED_S - 660.0, sure=False)
    assert clock.place(at(4940.0, boot="old"), ARRIVED_S) == Placed(ARRIVED_S - 720.0, sure=False)


def test_a_boot_that_was_estimated_is_known_once_it_is_heard() -> None:
    clock = of_earlier_boot(at(5000.0, 0.0, "old"))
    clock.hear(at(5001.0), ARRIVED_S)
    assert clock.place(at(5000.0), ARRIVED_S) == Placed(ARRIVED_S - 1.0, sure=True)


def test_the_offset_says_how_far_the_pc_is_ahead() -> None:
    assert clock_offset_s(at(0.0, ARRIVED_S + 7.0), ARRIVED_S) == 7.0
    assert clock_offset_s(at(0.0, ARRIVED_S - 7.0), ARRIVED_S) == -7.0


_seconds = st.floats(-1e11, 1e11, allow_nan=False)
"""What a batch may hold: contract/batch.py refuses all else."""
_moments = st.builds(Moment, boot=st.just("b"), mono_s=_seconds, wall_s=_seconds)
_arrivals = st.floats(1.7e9, 4e9)


@settings(max_examples=60, deadline=None)
@given(_moments, st.lists(st.tuples(_moments, _arrivals), min_size=1, max_size=20))
def test_nothing_is_ever_placed_after_its_arrival(taken: Moment, batches: list[tuple[Moment, float]]) -> None:
    clock = BootClock.heard(*batches[0])
    for now, arrived_s in batches:
        clock.hear(now, arrived_s)
        clock.look(taken)
        assert clock.place(taken, arrived_s).taken_s <= arrived_s
        estimated = BootClock.estimated(taken, clock)
        assert estimated.place(taken, arrived_s).taken_s <= min(arrived_s, clock.began_s + 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1e7), st.lists(st.tuples(st.floats(0, 1800), st.floats(0, 119)), min_size=1, max_size=30))
def test_over_any_link_a_boot_is_known_to_the_shortest_delay_of_half_an_hour(
    boot_at_s: float, batches: list[tuple[float, float]]
) -> None:
    clock = hear(*sorted(batches), boot_at_s=boot_at_s)
    least_s = min(delay_s for _, delay_s in batches)
    assert boot_at_s + least_s - 1e-6 <= clock.began_s <= boot_at_s + least_s + 0.181


@settings(max_examples=60, deadline=None)
@given(_moments, st.floats(0, 1e6), st.floats(0, 119), _seconds)
def test_two_records_of_one_boot_keep_their_distance(
    taken: Moment, apart_s: float, delay_s: float, wall_s: float
) -> None:
    """Whatever the wall clock was set to between them."""
    later = Moment(boot=taken.boot, mono_s=taken.mono_s + apart_s, wall_s=wall_s)
    arrived_s = 2e9 + later.mono_s + delay_s
    clock = BootClock.heard(later, arrived_s)
    assert clock.place(later, arrived_s).taken_s - clock.place(taken, arrived_s).taken_s == pytest.approx(
        apart_s, abs=1e-3
    )
