"""Loads the simulated week into a VictoriaMetrics that runs, for looking at: `python -m tests.grafana URL`."""

import sys
from itertools import islice

from collector.sinks.influx import InfluxSink
from tests.grafana import week


def main(url: str) -> None:
    sink = InfluxSink(url=url, org="", bucket="sansang", token="", timeout_s=60.0)
    everything = week.samples()
    while some := list(islice(everything, 50_000)):
        sink.write(some, 0)
    sink.close()
    print(f"{week.DAYS} days until {week.END_S} are in {url}")  # noqa: T201 - for whoever called it


if __name__ == "__main__":
    main(sys.argv[1])
