"""How often the mains failed today outlives restarts of the collector, and counts what a room tells only afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.reading import Reading
from tests.collector.centre import ROOM, Centre, dns, ping

MINUTE_S, HOUR_S = 60.0, 3600.0


def ups(*, on_battery: bool) -> Reading:
    values: dict[str, int | float] = {"on_battery_bool": int(on_battery), "battery_runtime_s": 7200.0}
    return Reading(probe="power", target="ups", values=values)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    centre = Centre(tmp_path)
    centre.link()
    yield centre
    centre.close()


def measures(centre: Centre, *, on_battery: bool) -> None:
    centre.wait(MINUTE_S)
    centre.measure(ping(), dns(), ups(on_battery=on_battery))


def cut(centre: Centre) -> None:
    """The mains fail for five minutes, and come back."""
    for on_battery in (False, *[True] * 5, *[False] * 3):
        measures(centre, on_battery=on_battery)


def failures_s(centre: Centre) -> list[float]:
    return centre.pipeline.watch.rooms[ROOM].state.failures_s("ups", centre.now)


def started_again(centre: Centre, tmp_path: Path, *, after_s: float) -> Centre:
    """The same collector after so long a break; the agent was switched off, too, and has begun a new epoch since."""
    seq = centre.seq
    again = Centre(tmp_path, centre.now + after_s, "generation2")
    again.seq = seq
    again.link()
    return again


def test_the_third_failure_in_a_day_is_told(centre: Centre) -> None:
    told = []
    for _ in range(3):
        cut(centre)
        centre.wait(2 * HOUR_S)
        centre.review()
        measures(centre, on_battery=False)
        centre.review()
        told.append("MAINS_FAIL_OFTEN" in centre.codes())
    assert told == [False, False, True]


def test_a_restart_forgets_no_failure(centre: Centre, tmp_path: Path) -> None:
    for _ in range(3):
        cut(centre)
        centre.review()
        centre.wait(2 * HOUR_S)
    before_s = failures_s(centre)
    centre.journal.close()
    again = started_again(centre, tmp_path, after_s=MINUTE_S)
    assert failures_s(again) == before_s
    assert len(before_s) == 3
    measures(again, on_battery=False)
    again.review()
    assert "MAINS_FAIL_OFTEN" in again.codes()
    again.close()


def test_a_crash_before_the_next_review_forgets_no_failure(centre: Centre, tmp_path: Path) -> None:
    centre.review()
    for _ in range(2):
        cut(centre)
    before_s = failures_s(centre)
    centre.journal.close()
    again = started_again(centre, tmp_path, after_s=MINUTE_S)
    assert failures_s(again) == before_s
    assert len(before_s) == 2
    again.close()


def test_mains_that_failed_while_the_collector_was_away_failed_once(centre: Centre, tmp_path: Path) -> None:
    measures(centre, on_battery=False)
    centre.review()
    centre.journal.close()
    again = started_again(centre, tmp_path, after_s=5 * HOUR_S)
    measures(again, on_battery=True)
    measures(again, on_battery=True)
    assert failures_s(again) == [again.now - MINUTE_S]
    again.close()


def test_a_cut_that_is_told_after_it_is_over_counts_where_it_was(centre: Centre) -> None:
    """The router died with the mains: what the UPS said meanwhile comes from the spool, after the present."""
    measures(centre, on_battery=False)
    centre.wait(HOUR_S)
    ago_s = [MINUTE_S * minute for minute in range(50, 10, -1)]
    late = [
        centre.record(ups(on_battery=number % 20 < 10), ago_s=one_s) for number, one_s in enumerate(ago_s)
    ]  # two cuts of ten minutes
    centre.seq += len(late) + 1
    centre.send(centre.batch(centre.seq, centre.record(ping(), dns(), ups(on_battery=False))))
    assert failures_s(centre) == []
    centre.send(centre.batch(centre.seq - len(late), *late))
    assert failures_s(centre) == pytest.approx([centre.now - 50 * MINUTE_S, centre.now - 30 * MINUTE_S])


def test_our_own_clock_that_was_set_forgets_no_failure(centre: Centre) -> None:
    for _ in range(2):
        cut(centre)
        centre.wait(HOUR_S)
    centre.review()
    before_s = failures_s(centre)
    centre.now += 7200.0
    centre.pipeline.clock_stepped(7200.0, centre.now)
    assert failures_s(centre) == pytest.approx([one_s + 7200.0 for one_s in before_s])
    assert len(before_s) == 2


def test_mains_that_stay_cost_the_journal_one_word(centre: Centre) -> None:
    for _ in range(60):
        measures(centre, on_battery=False)
        centre.review()
    assert [len(words) for words in centre.journal.mains().values()] == [1]
