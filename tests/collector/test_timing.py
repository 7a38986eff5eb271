"""True time: the PC's wall clock is never trusted alone, and nothing is ever measured in the future."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.timing import Placed, boot_began_s, clock_offset_s, place
from contract.moment import Moment

ARRIVED_S = 1_795_500_000.0
YEAR_S = 365 * 86400.0


def at(mono_s: float, wall_s: float = ARRIVED_S, boot: str = "this-boot") -> Moment:
    return Moment(boot=boot, mono_s=mono_s, wall_s=wall_s)


@pytest.mark.parametrize("wall_s", [0.0, 1.23e9, ARRIVED_S, ARRIVED_S + 40 * YEAR_S], ids=["1970", "2009", "now", "on"])
def test_within_one_boot_the_wall_clock_does_not_matter(wall_s: float) -> None:
    now = at(5000.0, wall_s)
    began_s = boot_began_s(now, ARRIVED_S, None)
    assert place(at(4000.0, wall_s - 1000), now, ARRIVED_S, began_s) == Placed(ARRIVED_S - 1000.0, sure=True)


def test_the_shortest_delay_of_a_boot_counts() -> None:
    began_s = None
    for mono_s, delay_s in ((100.0, 7.0), (160.0, 0.4), (220.0, 30.0), (280.0, 90.0)):
        began_s = boot_began_s(at(mono_s), 1000.0 + mono_s + delay_s, began_s)
    assert began_s == pytest.approx(1000.4)


def test_a_stepped_clock_of_ours_is_followed_in_either_direction() -> None:
    """After a step by more than a slow link can delay, the newest batch tells best."""
    assert boot_began_s(at(100.0), 5100.0, 1000.0) == 5000.0
    assert boot_began_s(at(100.0), 600.0, 1000.0) == 500.0


def test_a_record_of_an_unknown_boot_is_placed_by_a_clock_that_is_right_now() -> None:
    placed = place(at(5.0, ARRIVED_S - 86400.0, "old"), at(50.0, ARRIVED_S - 1.0), ARRIVED_S, None)
    assert placed == Placed(ARRIVED_S - 86400.0, sure=True)


def test_a_clock_that_is_wrong_now_makes_it_an_estimate() -> None:
    placed = place(at(5.0, ARRIVED_S - 86400.0, "old"), at(50.0, ARRIVED_S - 4000.0), ARRIVED_S, None)
    assert placed == Placed(ARRIVED_S - 86400.0, sure=False)


@pytest.mark.parametrize(
    "wall_s", [0.0, 1.23e9, ARRIVED_S + 60.0, ARRIVED_S + YEAR_S], ids=["1970", "2009", "soon", "next year"]
)
def test_a_time_that_cannot_be_is_replaced_by_the_arrival_and_marked(wall_s: float) -> None:
    assert place(at(5.0, wall_s, "old"), at(50.0), ARRIVED_S, None) == Placed(ARRIVED_S, sure=False)


def test_the_offset_says_how_far_the_pc_is_ahead() -> None:
    assert clock_offset_s(at(0.0, ARRIVED_S + 7.0), ARRIVED_S) == 7.0
    assert clock_offset_s(at(0.0, ARRIVED_S - 7.0), ARRIVED_S) == -7.0


_seconds = st.floats(-1e11, 1e11, allow_nan=False)
"""What a batch may hold: contract/batch.py refuses all else."""
_moments = st.builds(Moment, boot=st.just("b"), mono_s=_seconds, wall_s=_seconds)
_arrivals = st.floats(1.7e9, 4e9)


@given(_moments, _moments, _arrivals, st.none() | _seconds)
def test_nothing_is_ever_placed_after_its_arrival(
    taken: Moment, now: Moment, arrived_s: float, began_s: float | None
) -> None:
    assert place(taken, now, arrived_s, began_s).taken_s <= arrived_s


@given(st.floats(0, 1e7), st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 119)), min_size=1, max_size=30))
def test_over_any_link_a_boot_is_known_to_its_shortest_delay(
    boot_at_s: float, batches: list[tuple[float, float]]
) -> None:
    began_s: float | None = None
    for mono_s, delay_s in sorted(batches):
        began_s = boot_began_s(at(mono_s), boot_at_s + mono_s + delay_s, began_s)
    assert began_s == pytest.approx(boot_at_s + min(delay_s for _, delay_s in batches), abs=1e-6)


@given(_moments, st.floats(0, 1e6), st.floats(0, 119), _seconds)
def test_two_records_of_one_boot_keep_their_distance(
    taken: Moment, apart_s: float, delay_s: float, wall_s: float
) -> None:
    """Whatever the wall clock was set to between them."""
    later = Moment(boot=taken.boot, mono_s=taken.mono_s + apart_s, wall_s=wall_s)
    arrived_s = 2e9 + later.mono_s + delay_s
    began_s = boot_began_s(later, arrived_s, None)
    first = place(taken, later, arrived_s, began_s).taken_s
    second = place(later, later, arrived_s, began_s).taken_s
    assert second - first == pytest.approx(apart_s, abs=1e-3)
