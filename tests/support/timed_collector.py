"""The shipped collector as a program that also writes down when it was done with each batch.

A batch is done when its records are on the disk, acknowledged, and known to the judging. A line each: agent, first and
last number, how old its newest record was by the PC's own clock, which in these tests agrees with ours, and when that
was (Unix seconds).
"""

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import httpx
import pytest

import dev
from bench.centre import enter_rooms
from collector.app import Collector
from collector.inlet import Arrival, BatchArrival
from collector.settings import CollectorSettings, load_settings
from contract.settings import SettingsError
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs

CONFIG: Final = "collector.toml"
TIMES: Final = "times.txt"


class Done(NamedTuple):
    """One batch that the collector was done with."""

    agent: str
    first: int
    last: int
    waited_s: float
    queued_s: float
    at_s: float


class TimedCollector(Collector):
    """Notes each batch after it was handled."""

    def __init__(self, settings: CollectorSettings, times: TextIO) -> None:
        super().__init__(settings)
        self._times = times

    def _take(self, arrivals: list[Arrival]) -> None:
        super()._take(arrivals)
        now_s = time.time()
        for one in arrivals:
            if isinstance(one, BatchArrival):
                waited_s = now_s - one.batch.records[-1].taken.wall_s
                done = Done(one.agent, one.batch.first, one.batch.last, waited_s, now_s - one.arrived_s, now_s)
                self._times.write(" ".join(map(str, done)) + "\n")
        self._times.flush()


class RunningTimedCollector(NamedTuple):
    """One that runs."""

    program: Program
    folder: Path

    def times(self) -> list[Done]:
        """All batches so far."""
        lines = (self.folder / TIMES).read_text(encoding="ascii").split("\n")[:-1]
        parts = (line.split(" ") for line in lines)
        return [Done(agent, int(one), int(two), *map(float, rest)) for agent, one, two, *rest in parts]


def launch_timed_collector(
    programs: Programs, folder: Path, agents: list[str], *, broker_port: int, alerts: str = ""
) -> RunningTimedCollector:
    """Start one behind a broker, with a room for each agent, in which it stands, and somebody who is told."""
    folder.mkdir()
    since_s = time.time() - 30 * 86400.0
    registry = enter_rooms(folder, agents, since_s)
    for agent in agents:
        registry.set_contact(agent, since_s, name="Lan", address="lan@example.vn", language="vi")
    web_port = free_port()
    (folder / CONFIG).write_text(
        f'data_dir = "{folder}"\n[web]\nport = {web_port}\n[broker]\nmode = "mqtt"\nhost = "{LOOPBACK}"\n'
        f"port = {broker_port}\n{alerts}",
        encoding="utf-8",
    )
    command: list[str | Path] = [sys.executable, "-m", __name__, folder]
    program = programs.start(command, ready=lambda: _is_ready(web_port), within_s=120.0, folder=dev.ROOT)
    return RunningTimedCollector(program, folder)


def _is_ready(web_port: int) -> bool:
    """Whether it hears agents: what came before would be sent again only after a while."""
    try:
        return httpx.get(f"http://{LOOPBACK}:{web_port}/readyz", trust_env=False, timeout=1.0).is_success
    except httpx.TransportError:
        return False


def main(folder: Path) -> int:
    """Run until SIGTERM."""
    try:
        settings = load_settings(folder / CONFIG)
    except SettingsError as error:
        pytest.exit(str(error))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with (folder / TIMES).open("a", encoding="ascii") as times:
        collector = TimedCollector(settings, times)
        try:
            collector.start()
            stopping.wait()
        finally:
            collector.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
