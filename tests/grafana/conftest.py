"""The simulated week in both databases, loaded once for all tests of the dashboards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final

import httpx
import msgspec
import pytest

from collector.metrics import exposition, metrics_registry
from collector.sample import Sample
from collector.sinks.influx import InfluxSink
from collector.sinks.lines import Lines
from collector.snapshot import Snapshot
from tests.collector.web.demo import snapshot
from tests.grafana import week
from tests.grafana.asking import DATABASE, Databases
from tests.support.influxdb import launch_influxdb
from tests.support.processes import Programs
from tests.support.victoria_metrics import VictoriaMetrics, launch_victoria_metrics

_AT_ONCE: Final = 50_000
SCRAPES: Final = 31
BATCHES_A_MINUTE: Final = 86


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """VictoriaMetrics by way of the collector's own sink, InfluxDB by the same lines, and the collector's figures."""
    folder = tmp_path_factory.mktemp("dashboards")
    programs = Programs(folder)
    try:
        victoria_metrics, influxdb = launch_victoria_metrics(programs, folder), launch_influxdb(programs, folder)
        sink = InfluxSink(url=victoria_metrics.url, org="", bucket=DATABASE, token="", timeout_s=60.0)
        lines = Lines()
        influxdb.query(f"CREATE DATABASE {DATABASE}")
        everything = week.samples()

        def write_too(some: list[Sample]) -> None:
            influxdb.write(lines.encode(some).replace(b"\n", b"000000\n") + b"000000", database=DATABASE)

        with ThreadPoolExecutor(1) as beside:
            last = None
            while some := list(islice(everything, _AT_ONCE)):
                before, last = last, beside.submit(write_too, some)
                written = sink.write(some, 0)
                assert (written.written_count, written.refused) == (len(some), ())
                if before is not None:
                    before.result()
            assert last is not None
            last.result()
        sink.close()
        _scrape(victoria_metrics)
        httpx.get(f"{victoria_metrics.url}/internal/force_flush", trust_env=False, timeout=30.0).raise_for_status()
        yield Databases(victoria_metrics, influxdb)
    finally:
        programs.stop_all()


def _same(taken: Snapshot) -> Snapshot:
    return taken


def _scrape(victoria_metrics: VictoriaMetrics) -> None:
    """Half an hour of the collector's /metrics, as VictoriaMetrics would have scraped them."""
    taken = snapshot(10)
    for minute in range(SCRAPES):
        at_s = week.END_S - 60 * minute - 10
        totals = msgspec.structs.replace(taken.health, records_total=1_000_000 - BATCHES_A_MINUTE * minute)
        one = msgspec.structs.replace(taken, taken_s=float(at_s - 4), health=totals)
        text = exposition(metrics_registry(partial(_same, one))) + b"up 1\n"
        httpx.post(
            f"{victoria_metrics.url}/api/v1/import/prometheus",
            params={"timestamp": at_s * 1000, "extra_label": "job=sansang-collector"},
            content=text,
            trust_env=False,
            timeout=30.0,
        ).raise_for_status()
