import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.clock import SystemClock
from collector.sample import Sample
from collector.sinks.cursor import load_cursor, save_cursor
from collector.sinks.feeder import Feeder
from collector.sinks.influx import InfluxSink
from collector.sinks.sink import Sink, Written
from collector.sinks.sqlite import SqliteHistory, SqliteSink
from collector.storage.journal import Journal
from contract.moment import Clock
from contract.reading import Reading
from tests.collector.sinks.answering import Answer, Server
from tests.collector.sinks.made import VALUES_PER_RECORD, HandClock, journal_of, keep, kept, minute
from tests.support.victoria_metrics import StartVictoriaMetrics, VictoriaMetrics


class ByHand(Feeder):
    """A feeder whose thread is the test, so that only the test moves time."""

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            self._step()

    def drain(self) -> None:
        """Go on until it would sleep."""
        for _ in range(1000):
            if self._step() > 0:
                return
        raise AssertionError("it never comes to rest")

    def close(self) -> None:
        self._sink.close()
        if self._journal is not None:
            self._journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = journal_of(tmp_path)
    yield made
    made.close()


Feed = Callable[[Sink, Clock], ByHand]


@pytest.fixture
def feed(journal: Journal, tmp_path: Path) -> Iterator[Feed]:
    made: list[ByHand] = []

    def make(sink: Sink, clock: Clock) -> ByHand:
        made.append(ByHand(sink, journal.reader, folder=tmp_path, clock=clock))
        return made[-1]

    yield make
    for feeder in made:
        feeder.close()


def influx(url: str) -> InfluxSink:
    return InfluxSink(url=url, org="", bucket="sansang", token="", timeout_s=2.0)


def points_count(path: Path) -> int:
    history = SqliteHistory(path)
    return sum(
        len(
            history.points(
                room=one.room, measurement=one.measurement, field=one.field, target=one.target, from_s=0.0, to_s=1e11
            )
        )
        for one in history.series()
    )


def stored_once(database: VictoriaMetrics) -> int:
    """How many values are stored; fails when one is there twice."""
    counts = Counter(
        (tuple(sorted(series.metric.items())), measured_ms)
        for series in database.series('{__name__!=""}')
        for measured_ms in series.timestamps
    )
    assert set(counts.values()) <= {1}
    return len(counts)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline_s, "waited for 10 s"
        time.sleep(0.01)


def test_a_thread_feeds_what_is_there_and_what_comes(journal: Journal, tmp_path: Path) -> None:
    keep(journal, minute(1, rooms=3))
    feeder = Feeder(SqliteSink(tmp_path / "s.sqlite"), journal.reader, folder=tmp_path, clock=SystemClock())
    feeder.start()
    wait_for(lambda: feeder.fed_id == 3)
    keep(journal, minute(2, rooms=3))
    feeder.wake()
    wait_for(lambda: feeder.fed_id == 6)
    assert (feeder.view.behind_count, feeder.view.refused_total, feeder.view.trouble) == (0, 0, "")
    assert feeder.stop()
    assert points_count(tmp_path / "s.sqlite") == 6 * VALUES_PER_RECORD


def test_a_feeder_goes_on_where_the_last_one_ended(journal: Journal, tmp_path: Path, feed: Feed) -> None:
    for number in (1, 2):
        keep(journal, minute(number))
        feeder = feed(SqliteSink(tmp_path / "s.sqlite"), HandClock())
        feeder.drain()
        assert feeder.fed_id == number
        feeder.close()
    assert points_count(tmp_path / "s.sqlite") == 2 * VALUES_PER_RECORD


def test_a_journal_restored_from_a_backup_is_fed_again_and_counts_once(
    journal: Journal, tmp_path: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    keep(journal, [*minute(1), *minute(2), *minute(3)])
    sink = SqliteSink(tmp_path / "s.sqlite")
    feed(sink, HandClock()).drain()
    (tmp_path / "old").mkdir()
    old = journal_of(tmp_path / "old", [*minute(1), *minute(4)])
    feeder = ByHand(sink, old.reader, folder=tmp_path, clock=HandClock())
    feeder.drain()
    assert (feeder.fed_id, feeder.view.behind_count) == (2, 0)
    assert "it was restored; feeding all" in caplog.text
    assert points_count(tmp_path / "s.sqlite") == 4 * VALUES_PER_RECORD
    feeder.close()
    old.close()


def test_many_records_go_in_batches_in_order(journal: Journal, feed: Feed, server: Server) -> None:
    readings = [Reading(probe="tcp", target=f"device-{place}") for place in range(400)]
    keep(journal, [kept(*readings, number=number) for number in range(1, 31)])
    server.metrics = Answer(200, "process_start_time_seconds 1\n")
    feeder = feed(influx(server.url), HandClock())
    feeder.steps(2)  # ask, feed
    assert feeder.view.behind_count == 17
    feeder.drain()
    assert (feeder.view.behind_count, len(server.lines), server.writes_count) == (0, 30 * 400, 3)


def test_a_database_that_is_down_loses_nothing_and_is_tried_ever_more_slowly(
    journal: Journal, feed: Feed, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="collector.sinks.feeder")
    keep(journal, minute(1, rooms=2))
    clock = HandClock()
    server.answer = lambda _: Answer(503, "too busy")
    feeder = feed(influx(server.url), clock)
    tried_s: list[float] = []
    for _ in range(300):
        before = server.writes_count
        feeder.steps(2)
        if server.writes_count > before:
            tried_s.append(clock.now().mono_s - 1000.0)
        clock.move(1.0)
    assert tried_s == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert feeder.view.trouble == f"{server.url}: 503 Service Unavailable: too busy"
    assert (feeder.view.behind_count, feeder.fed_id) == (2, 0)
    server.answer = lambda _: Answer(204)
    clock.move(60.0)
    feeder.drain()
    assert (feeder.view.behind_count, feeder.view.trouble) == (0, "")
    assert len(server.lines) == 2 * 2
    told = [record.message for record in caplog.records if record.name == "collector.sinks.feeder"]
    assert told == [
        f"sink influx: {server.url}: 503 Service Unavailable: too busy",
        "sink influx takes samples again",
    ]


def test_waking_does_not_shorten_the_wait_after_a_failure(journal: Journal, tmp_path: Path, server: Server) -> None:
    keep(journal, minute(1))
    server.answer = lambda _: Answer(503)
    feeder = Feeder(influx(server.url), journal.reader, folder=tmp_path, clock=HandClock())
    feeder.start()
    wait_for(lambda: server.writes_count == 1)
    for _ in range(50):
        feeder.wake()
        time.sleep(0.002)
    assert feeder.stop()
    assert server.writes_count == 1


def test_stopping_does_not_wait_for_a_database_that_stalls(journal: Journal, tmp_path: Path, server: Server) -> None:
    keep(journal, minute(1))
    stall = threading.Event()
    server.answer = lambda _: Answer(204, stall=stall)
    feeder = Feeder(influx(server.url), journal.reader, folder=tmp_path, clock=SystemClock())
    feeder.start()
    wait_for(lambda: server.writes_count == 1)
    assert feeder.stop(within_s=0.05) is False
    stall.set()
    assert feeder.stop(within_s=5.0) is True


def test_refused_lines_are_counted_once_and_kept_for_people(
    journal: Journal, tmp_path: Path, feed: Feed, server: Server
) -> None:
    keep(journal, minute(1, rooms=2))
    keep(journal, [kept(Reading(probe="ping", target="isp", values={"speed": 3}), number=9, room="room-9")])
    server.answer = lambda lines: Answer(400 if any("camera-1" in line for line in lines) else 204, "wrong type")
    clock = HandClock()
    feeder = feed(influx(server.url), clock)
    feeder.drain()
    assert feeder.view.refused_total == 3
    assert len(server.lines) == 3
    server.metrics = Answer(200, "process_start_time_seconds 2\n")  # another run: all is fed again
    clock.move(10.0)
    feeder.drain()
    assert feeder.view.refused_total == 3
    assert len(server.lines) > 3
    notes = [json.loads(line) for line in (tmp_path / "influx.refused.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [note["why"].rpartition(": ")[2] for note in notes] == [
        "its name ends in no known unit",
        "wrong type",
        "wrong type",
    ]
    assert all(note["line"] and note["at_s"] for note in notes)


def test_the_file_of_refused_lines_stays_small(journal: Journal, tmp_path: Path, feed: Feed) -> None:
    bad: dict[str, int | float] = {f"speed{place:050}": 1 for place in range(150)}
    keep(
        journal,
        [
            kept(*(Reading(probe="ping", target=f"isp-{place}", values=bad) for place in range(100)), number=number)
            for number in range(1, 5)
        ],
    )
    feeder = feed(SqliteSink(tmp_path / "s.sqlite"), HandClock())
    feeder.drain()
    keep(journal, [kept(Reading(probe="ping", target="isp", values=bad), number=9)])
    feeder.drain()
    files = sorted(tmp_path.glob("*.refused.jsonl*"))
    assert [file.name for file in files] == ["sqlite.refused.jsonl", "sqlite.refused.jsonl.1"]
    assert sum(file.stat().st_size for file in files) <= 2 << 20
    assert [json.loads(line)["why"] for line in files[0].read_text(encoding="utf-8").splitlines()] == [
        "its name ends in no known unit"
    ] * len(bad)


def test_a_fault_of_ours_is_shown_and_tried_again(
    journal: Journal, tmp_path: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(SqliteSink):
        faults = 1

        def write(self, samples: Sequence[Sample], fed_id: int) -> Written:
            self.faults -= 1
            if self.faults >= 0:
                raise ZeroDivisionError("oh")
            return super().write(samples, fed_id)

    keep(journal, minute(1))
    clock = HandClock()
    feeder = feed(Faulty(tmp_path / "s.sqlite"), clock)
    feeder.drain()
    assert feeder.view.trouble == "ZeroDivisionError: oh"
    assert "Traceback" in caplog.text
    clock.move(2.0)
    feeder.drain()
    assert (feeder.view.trouble, points_count(tmp_path / "s.sqlite")) == ("", VALUES_PER_RECORD)


def test_a_journal_that_cannot_be_read_is_trouble_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "none" / "journal.sqlite"
    path.parent.mkdir()
    journal = journal_of(path.parent, minute(1))
    path.rename(path.with_name("away"))
    feeder = ByHand(SqliteSink(tmp_path / "s.sqlite"), journal.reader, folder=tmp_path, clock=HandClock())
    feeder.steps()
    assert feeder.view.trouble.startswith("journal or cursor: unable to open database file")
    path.with_name("away").rename(path)
    feeder.drain()
    assert (feeder.view.trouble, feeder.fed_id) == ("", 1)
    feeder.close()
    journal.close()


def test_what_victoria_metrics_forgets_when_it_is_killed_is_fed_again_and_counts_once(
    journal: Journal, tmp_path: Path, feed: Feed, victoria_metrics: StartVictoriaMetrics
) -> None:
    database = victoria_metrics()
    clock = HandClock()
    feeder = feed(influx(database.url), clock)
    made_count = 0
    for run in range(2):
        keep(journal, [entry for number in range(40) for entry in minute(run * 40 + number, rooms=5)])
        made_count += 200 * VALUES_PER_RECORD
        feeder.drain()
        assert (feeder.view.behind_count, feeder.fed_id) == (0, 0)
        time.sleep(1.1)  # its start is told in whole seconds
        database.program.kill()
        database.program.start()
        if run == 0:
            assert stored_once(database) < made_count, "it had all on disk already: this test shows nothing"
        clock.move(11.0)
        feeder.drain()
    assert stored_once(database) == made_count
    clock.move(31.0)
    feeder.drain()
    assert feeder.fed_id == 400
    assert load_cursor(tmp_path / "influx.cursor") == 400


def test_a_feeder_started_anew_feeds_again_what_is_not_safe(
    journal: Journal, feed: Feed, victoria_metrics: StartVictoriaMetrics
) -> None:
    database = victoria_metrics()
    keep(journal, minute(1))
    feed(influx(database.url), HandClock()).drain()
    database.program.kill()
    database.program.start()
    feed(influx(database.url), HandClock()).drain()
    assert stored_once(database) == VALUES_PER_RECORD


def test_a_database_that_is_down_at_the_start_gets_everything_later(
    journal: Journal, feed: Feed, victoria_metrics: StartVictoriaMetrics
) -> None:
    database = victoria_metrics()
    database.program.stop()
    keep(journal, minute(1, rooms=4))
    clock = HandClock()
    feeder = feed(influx(database.url), clock)
    feeder.drain()
    assert "refused" in feeder.view.trouble
    assert feeder.view.behind_count == 4
    database.program.start()
    clock.move(1.0)
    feeder.drain()
    assert (feeder.view.trouble, feeder.view.behind_count) == ("", 0)
    assert stored_once(database) == 4 * VALUES_PER_RECORD


def test_a_cursor_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "influx.cursor"
    assert load_cursor(path) == 0
    save_cursor(path, 41)
    save_cursor(path, 42)
    assert load_cursor(path) == 42
    assert [file.name for file in tmp_path.iterdir()] == ["influx.cursor"]


@pytest.mark.parametrize("damaged", [b"", b"-4", b"12x", b"\xff\xfe"])
def test_a_damaged_cursor_means_feeding_everything_again(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "influx.cursor").write_bytes(damaged)
    assert load_cursor(tmp_path / "influx.cursor") == 0
