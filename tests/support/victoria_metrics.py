"""A real VictoriaMetrics with an empty store."""

from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
import msgspec
import pytest

from tests.support.debian import require
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One time series as `/api/v1/export` gives it: labels (`__name__` is measurement_field), values, Unix ms."""

    metric: dict[str, str]
    values: list[float]
    timestamps: list[int]


class VictoriaMetrics(NamedTuple):
    """A running database; `url` takes line protocol at `/api/v2/write`."""

    program: Program
    url: str

    def series(self, match: str) -> list[Series]:
        """All stored series that a selector such as `{room="room-1"}` finds, with every point written so far."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30.0) as client:
            client.get("/internal/force_flush").raise_for_status()  # what is written shows only some seconds later
            answer = client.get("/api/v1/export", params={"match[]": match}).raise_for_status()
        return [msgspec.json.decode(line, type=Series) for line in answer.content.splitlines()]


class StartVictoriaMetrics(Protocol):
    """Starts a database that ends with the test."""

    def __call__(self, *flags: str) -> VictoriaMetrics:
        """Start one with an empty folder; flags such as `-readonly` come after ours."""
        ...


@pytest.fixture
def victoria_metrics(programs: Programs, tmp_path: Path) -> StartVictoriaMetrics:
    require("victoria-metrics")
    return lambda *flags: launch_victoria_metrics(programs, tmp_path, *flags)


def launch_victoria_metrics(programs: Programs, folder: Path, *flags: str) -> VictoriaMetrics:
    """Start one that ends with `programs`, for fixtures that outlive a test."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    command = [
        require("victoria-metrics"),
        f"-httpListenAddr={LOOPBACK}:{port}",
        f"-storageDataPath={folder / f'victoria-metrics-{port}'}",
        "-retentionPeriod=100y",  # a month by default, and older points vanish behind a 204
        "-dedup.minScrapeInterval=1ms",  # else a point sent twice counts twice
        "-search.latencyOffset=1s",  # else the last 30 s are hidden
        "-memory.allowedBytes=128MiB",
        *flags,
    ]
    return VictoriaMetrics(programs.start(command, ready=lambda: _is_healthy(f"{url}/health")), url)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=1.0).is_success
    except httpx.TransportError:
        return False
