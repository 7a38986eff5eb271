import json
import threading
from collections.abc import Callable, Iterator

import pytest

from collector.sample import Sample
from collector.sinks.influx import InfluxSink
from collector.sinks.lines import Lines
from collector.sinks.sink import SinkDown
from tests.collector.sinks.answering import Answer, Server
from tests.collector.sinks.made import BEGAN_S, sample
from tests.support.ports import free_port
from tests.support.victoria_metrics import StartVictoriaMetrics

Judge = Callable[[list[str]], Answer]


@pytest.fixture
def sink(server: Server) -> Iterator[InfluxSink]:
    made = InfluxSink(url=server.url, org="so-gddt", bucket="sansang", token="t0ken", timeout_s=2.0)  # noqa: S106 - no secret
    yield made
    made.close()


def some(count: int) -> list[Sample]:
    return [sample(BEGAN_S + place, rtt_avg_ms=float(place)) for place in range(count)]


def refusing(bad: Callable[[str], bool], status: int = 400) -> Judge:
    """As InfluxDB does: one bad line, and nothing of the request is taken."""

    def judge(lines: list[str]) -> Answer:
        if not any(map(bad, lines)):
            return Answer(204)
        return Answer(status, json.dumps({"code": "invalid", "message": "partial write: field type conflict"}))

    return judge


def test_a_write_is_one_request_with_bucket_precision_and_token(server: Server, sink: InfluxSink) -> None:
    written = sink.write(some(3), fed_id=1)
    assert (written.written_count, written.refused) == (3, ())
    assert server.lines == [Lines().line(one) for one in some(3)]
    assert server.last_path == "/api/v2/write?org=so-gddt&bucket=sansang&precision=ms"
    assert server.last_authorization == "Token t0ken"


def test_nothing_to_write_is_no_request(server: Server, sink: InfluxSink) -> None:
    assert sink.write([], fed_id=1).written_count == 0
    assert server.writes_count == 0


@pytest.mark.parametrize("status", [400, 422])
def test_refused_lines_are_found_and_all_others_go_through(server: Server, sink: InfluxSink, status: int) -> None:
    server.answer = refusing(lambda line: "rtt_avg_ms=7.0" in line or "rtt_avg_ms=99.0" in line, status)
    written = sink.write(some(100), fed_id=1)
    assert written.written_count == 98
    assert [one.line for one in written.refused] == [Lines().line(some(100)[place]) for place in (7, 99)]
    assert {one.why.partition(": ")[2] for one in written.refused} == {
        f"{status} {'Bad Request' if status == 400 else 'Unprocessable Entity'}: partial write: field type conflict"
    }
    good = [Lines().line(one) for one in some(100) if one.fields["rtt_avg_ms"] not in (7, 99)]
    assert sorted(server.lines) == sorted(good)


def test_a_server_that_refuses_everything_is_down_and_no_line_is_given_up(server: Server, sink: InfluxSink) -> None:
    server.answer = refusing(lambda _: True)
    for count in (1, 3, 1000):
        with pytest.raises(SinkDown, match="400 Bad Request: partial write"):
            sink.write(some(count), fed_id=1)
    assert server.writes_count < 80


def test_a_server_that_begins_to_refuse_everything_is_down_too(server: Server, sink: InfluxSink) -> None:
    sink.write(some(3), fed_id=1)
    server.answer = refusing(lambda _: True)
    with pytest.raises(SinkDown):
        sink.write(some(1), fed_id=2)
    assert server.writes_count == 3  # what was refused, and a line that had been taken before


def test_a_batch_of_nothing_but_bad_lines_is_refused_by_a_server_that_took_others(
    server: Server, sink: InfluxSink
) -> None:
    sink.write(some(1), fed_id=1)
    server.answer = refusing(lambda line: "loss_ratio" in line)
    written = sink.write([sample(BEGAN_S + place, loss_ratio=0.5) for place in range(200)], fed_id=2)
    assert (written.written_count, len(written.refused)) == (0, 200)


def test_a_request_too_large_is_halved_until_it_fits_and_stays_small(server: Server, sink: InfluxSink) -> None:
    server.answer = lambda lines: Answer(413 if len(lines) > 300 else 204, "too large")
    assert sink.write(some(1000), fed_id=1).written_count == 1000
    assert len(set(server.lines)) == 1000
    before = server.writes_count
    assert sink.write(some(1000), fed_id=2).written_count == 1000
    assert server.writes_count - before == 4


@pytest.mark.parametrize(
    "status", [301, 401, 403, 404, 429, 500, 503], ids=["moved", "401", "403", "no bucket", "busy", "500", "503"]
)
def test_an_answer_about_the_server_is_not_about_lines(server: Server, sink: InfluxSink, status: int) -> None:
    server.answer = lambda _: Answer(status, json.dumps({"message": "not\nnow"}))
    with pytest.raises(SinkDown, match=rf"{server.url}: {status} .*: not now"):
        sink.write(some(2), fed_id=1)
    assert server.writes_count == 1


def test_a_server_that_is_not_there_is_down() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    sink = InfluxSink(url=url, org="", bucket="sansang", token="", timeout_s=2.0)
    with pytest.raises(SinkDown, match=f"{url}: .*refused"):
        sink.write(some(1), fed_id=1)
    with pytest.raises(SinkDown, match=f"{url}/metrics: .*refused"):
        sink.run_mark()
    sink.close()


def test_a_server_that_stalls_is_down_after_the_timeout(server: Server) -> None:
    stall = threading.Event()
    server.answer = lambda _: Answer(204, stall=stall)
    sink = InfluxSink(url=server.url, org="", bucket="sansang", token="", timeout_s=0.2)
    with pytest.raises(SinkDown, match="timed out"):
        sink.write(some(1), fed_id=1)
    stall.set()
    sink.close()


def test_a_long_complaint_is_cut(server: Server, sink: InfluxSink) -> None:
    server.answer = lambda _: Answer(500, "x" * 10_000)
    with pytest.raises(SinkDown) as caught:
        sink.write(some(1), fed_id=1)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("metrics", "mark"),
    [
        (Answer(404), ""),
        (Answer(401), ""),
        (Answer(200, "go_goroutines 5\n"), ""),
        (Answer(200, "# HELP\nprocess_start_time_seconds 1.7e9\ngo 5\n"), "process_start_time_seconds 1.7e9"),
    ],
    ids=["absent", "denied", "silent", "told"],
)
def test_the_run_mark_is_what_the_metrics_tell_of_the_start(
    server: Server, sink: InfluxSink, metrics: Answer, mark: str
) -> None:
    server.metrics = metrics
    assert sink.run_mark() == mark


def test_a_server_too_busy_to_show_its_metrics_is_down(server: Server, sink: InfluxSink) -> None:
    server.metrics = Answer(503)
    with pytest.raises(SinkDown, match="/metrics: 503"):
        sink.run_mark()


def test_victoria_metrics_stores_what_is_written_and_tells_when_it_was_started(
    victoria_metrics: StartVictoriaMetrics,
) -> None:
    database = victoria_metrics()
    sink = InfluxSink(url=database.url, org="", bucket="sansang", token="")
    assert sink.write(some(50), fed_id=1).written_count == 50
    (series,) = database.series('{__name__="ping_rtt_avg_ms"}')
    assert series.values == [float(place) for place in range(50)]
    assert series.timestamps == [one.measured_ms for one in some(50)]
    assert "vm_app_start_timestamp" in sink.run_mark()
    sink.close()
