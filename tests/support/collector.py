"""The real collector as a process of its own, with settings of the test's own."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import httpx
import pytest

import dev
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs

QUICK: Final = """\
[alerts]
hold_off_s = 2
clear_after_s = 2
grace_s = 1
silent_after_s = 5
gather_s = 1
review_every_s = 0.5
"""
_WAIT_S: Final = 60.0


class RunningCollector:
    """A collector that has come up. It can be killed and started again on the same data and ports."""

    def __init__(self, program: Program, folder: Path, config: Path, web_port: int) -> None:
        self.program = program
        self.folder = folder
        self.config = config
        self.url = f"http://{LOOPBACK}:{web_port}"

    def get(self, path: str) -> httpx.Response:
        """One of its pages."""
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=30.0)

    def figure(self, name: str) -> float:
        """A figure of /metrics: the sum over its labels."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def await_fed(self) -> None:
        """Wait until every sink has been given all of the journal."""
        self.wait_for(lambda: self.figure("sansang_sink_behind") == 0 and self.figure("sansang_journal_last_id") > 0)

    def wait_for(self, holds: Callable[[], bool], within_s: float = _WAIT_S) -> None:
        """Wait until something holds; fails with the end of the log when it does not."""
        until_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until_s:
                pytest.fail(f"did not come true in {within_s:g} s; the collector's log ends:\n{self.program.tail()}")
            time.sleep(0.1)


class StartCollector(Protocol):
    """Starts a collector that ends with the test."""

    def __call__(
        self, tables: str = "", *, top: str = "", prepare: Callable[[Path], object] | None = None
    ) -> RunningCollector:
        """Start one with these tables of settings beside our own (`[web]`, and `[alerts]` unless given), `top` before
        them.

        `prepare` is called with its data folder before it starts.
        """
        ...


@pytest.fixture
def collector(programs: Programs, tmp_path: Path) -> StartCollector:
    def start(tables: str = "", *, top: str = "", prepare: Callable[[Path], object] | None = None) -> RunningCollector:
        folder = tmp_path / "collector"
        folder.mkdir()
        if prepare is not None:
            prepare(folder)
        web_port = free_port()
        config = tmp_path / "collector.toml"
        alerts = "" if "[alerts]" in tables else QUICK
        config.write_text(
            f'data_dir = "{folder}"\n{top}\n[web]\nport = {web_port}\n{tables}\n{alerts}',
            encoding="utf-8",
        )
        program = programs.start(
            [sys.executable, "-m", "collector", "run", "--config", config],
            ready=lambda: _is_up(f"http://{LOOPBACK}:{web_port}/healthz"),
            folder=dev.ROOT,
        )
        return RunningCollector(program, folder, config, web_port)

    return start


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=1.0).is_success
    except httpx.TransportError:
        return False
