import sqlite3
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sinks.sink import SinkDown
from collector.sinks.sqlite import Point, Series, SqliteHistory, SqliteSink
from tests.collector.sinks.made import BEGAN_S, sample

HOUR_S = 3600.0
DAY_S = 86400.0
BEGAN_HOUR_S = BEGAN_S // HOUR_S * HOUR_S


def points(path: Path, *, field: str = "rtt_avg_ms", from_s: float = 0.0, to_s: float = 1e11) -> list[Point]:
    return SqliteHistory(path).points(
        room="room-1", measurement="ping", field=field, target="gateway", from_s=from_s, to_s=to_s
    )


def one(at_s: float, value: float) -> Point:
    return Point(at_s, 1, value, value, value)


def test_a_sample_can_be_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path)
    sink.write([sample(BEGAN_S + 60, rtt_avg_ms=2.5, sent_count=10), sample(BEGAN_S, rtt_avg_ms=1.5)], fed_id=4)
    assert points(path) == [one(BEGAN_S, 1.5), one(BEGAN_S + 60, 2.5)]
    assert points(path, from_s=BEGAN_S, to_s=BEGAN_S + 60) == [one(BEGAN_S, 1.5)]
    (counted,) = points(path, field="sent_count")
    assert type(counted.mean) is int
    assert SqliteHistory(path).series("room-1") == [
        Series("room-1", "ping", field, "gateway", "gateway", "", "pc-1", "lao-cai")
        for field in ("rtt_avg_ms", "sent_count")
    ]
    assert SqliteHistory(path).series("room-2") == []
    sink.close()


def test_before_anything_is_stored_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert points(tmp_path / "none.sqlite") == []
    assert SqliteHistory(tmp_path / "none.sqlite").series() == []
    assert not (tmp_path / "none.sqlite").exists()


def test_repeats_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    for fed_id in (4, 9, 4):  # each time another process, as after a crash
        sink = SqliteSink(path)
        sink.write([sample(BEGAN_S + second, rtt_avg_ms=second) for second in range(5)], fed_id)
        assert sink.fed_id() == fed_id
        sink.close()
    assert points(path) == [one(BEGAN_S + second, float(second)) for second in range(5)]


def test_samples_and_the_account_of_them_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path)
    sink.write([sample(BEGAN_S, rtt_avg_ms=1.0)], fed_id=1)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON account BEGIN SELECT RAISE(ABORT, 'no room'); END")
        other.execute("CREATE TRIGGER more BEFORE INSERT ON account BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises(SinkDown, match=r"series\.sqlite: no room"):
        sink.write([sample(BEGAN_S + 1, rtt_avg_ms=2.0, answer_ms=1.0)], fed_id=2)
    assert (points(path), points(path, field="answer_ms"), sink.fed_id()) == ([one(BEGAN_S, 1.0)], [], 1)
    with sqlite3.connect(path) as other:
        other.execute("DROP TRIGGER full")
        other.execute("DROP TRIGGER more")
    other.close()
    sink.write([sample(BEGAN_S + 1, rtt_avg_ms=2.0, answer_ms=1.0)], fed_id=2)
    assert (len(points(path)), points(path, field="answer_ms")) == (2, [one(BEGAN_S + 1, 1.0)])
    sink.close()


def test_a_file_that_is_no_database_is_a_sink_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    path.write_bytes(b"not a database at all, but long enough to look at" * 100)
    sink = SqliteSink(path)
    with pytest.raises(SinkDown, match="file is not a database"):
        sink.fed_id()
    path.unlink()
    sink.write([sample()], fed_id=1)
    assert sink.fed_id() == 1
    sink.close()


def test_old_samples_become_one_row_an_hour_and_young_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path, raw_days=30)
    sink.write([sample(BEGAN_HOUR_S + 600 * place, rtt_avg_ms=float(place)) for place in range(8)], fed_id=1)
    sink.tidy(BEGAN_HOUR_S + 30 * DAY_S + HOUR_S + 5)
    assert points(path) == [
        Point(BEGAN_HOUR_S, 6, 0.0, 5.0, 2.5),
        one(BEGAN_HOUR_S + 3600, 6.0),
        one(BEGAN_HOUR_S + 4200, 7.0),
    ]
    sink.close()


def test_a_late_sample_joins_its_hour_at_the_next_sweep(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path, raw_days=30)
    sink.write([sample(BEGAN_HOUR_S + 60, rtt_avg_ms=4.0)], fed_id=1)
    sink.tidy(BEGAN_HOUR_S + 40 * DAY_S)
    for _ in range(2):
        sink.write([sample(BEGAN_HOUR_S + 120, rtt_avg_ms=1.0)], fed_id=2)
    sink.tidy(BEGAN_HOUR_S + 40 * DAY_S + HOUR_S)
    assert points(path) == [Point(BEGAN_HOUR_S, 2, 1.0, 4.0, 2.5)]
    sink.close()


def test_hours_are_let_go_after_their_years(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path, raw_days=1, hourly_days=365)
    sink.write([sample(BEGAN_HOUR_S, rtt_avg_ms=4.0), sample(BEGAN_HOUR_S + DAY_S, rtt_avg_ms=5.0)], fed_id=1)
    sink.tidy(BEGAN_HOUR_S + 10 * DAY_S)
    assert [point.mean for point in points(path)] == [4.0, 5.0]
    sink.tidy(BEGAN_HOUR_S + 365 * DAY_S + HOUR_S)
    assert [point.mean for point in points(path)] == [5.0]
    sink.close()


def test_a_sweep_goes_over_many_series_in_small_steps(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path, raw_days=1)
    sink.write([sample(target=f"device-{place}", rtt_avg_ms=1.0) for place in range(1200)], fed_id=1)
    left = []
    with sqlite3.connect(path) as other:
        for _ in range(4):
            sink.tidy(BEGAN_S + 2 * DAY_S)
            left.append(other.execute("SELECT count(*) FROM sample").fetchone()[0])
    other.close()
    assert left == [700, 200, 0, 0]
    sink.close()


def test_sums_of_huge_counters_do_not_overflow(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    sink = SqliteSink(path, raw_days=1)
    sink.write([sample(BEGAN_HOUR_S + second, sent_count=10**18) for second in range(20)], fed_id=1)
    sink.tidy(BEGAN_S + 2 * DAY_S)
    (hour,) = points(path, field="sent_count")
    assert (hour.samples_count, hour.most, hour.mean) == (20, 10**18, 1e18)
    sink.close()


TIMES_S = st.integers(0, 6 * 3600).map(float)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(TIMES_S, max_size=8)),
        st.tuples(st.just("again"), st.just([])),  # the last write comes again, as after a crash
        st.tuples(st.just("tidy"), st.lists(st.integers(0, 7), min_size=1, max_size=1)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_raw_and_hourly_rows_together_hold_every_sample_once(steps: list[tuple[str, list[float]]]) -> None:
    """Whatever the order of writes, repeats and sweeps; a repeat comes before its hour has been merged."""
    values: dict[float, float] = {}
    merged_before_s = 0.0
    last: list[float] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "series.sqlite"
        sink = SqliteSink(path, raw_days=1)
        for what, numbers in steps:
            if what == "tidy":
                merged_before_s = max(merged_before_s, numbers[0] * HOUR_S)
                sink.tidy(BEGAN_HOUR_S + DAY_S + merged_before_s)
                continue
            # A sample of a merged hour is new: it would otherwise be the repeat that the docstring warns of.
            times = last if what == "again" else numbers
            last = [at_s for at_s in times if at_s >= merged_before_s or (what == "write" and at_s not in values)]
            values.update({at_s: (at_s * 7) % 11 for at_s in last})
            sink.write([sample(BEGAN_HOUR_S + at_s, rtt_avg_ms=values[at_s]) for at_s in last], fed_id=1)
        found = points(path)
        sink.close()
    hours = defaultdict[float, list[Point]](list)
    for point in found:
        hours[point.from_s // HOUR_S].append(point)
    meant = defaultdict[float, list[float]](list)
    for at_s, value in values.items():
        meant[(BEGAN_HOUR_S + at_s) // HOUR_S].append(value)
    assert {
        hour: (
            sum(point.samples_count for point in some),
            min(point.least for point in some),
            max(point.most for point in some),
            round(sum(point.mean * point.samples_count for point in some), 6),
        )
        for hour, some in hours.items()
    } == {hour: (len(some), min(some), max(some), sum(some)) for hour, some in meant.items()}
