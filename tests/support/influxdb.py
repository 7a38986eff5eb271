"""A real InfluxDB 1.6, which answers the InfluxQL of the dashboards. It takes line protocol at `/write` only."""

from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
import pytest

from tests.support.debian import require
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs

_CONFIG = """\
reporting-disabled = true
bind-address = "{host}:{backup_port}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "{host}:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


class InfluxDB(NamedTuple):
    """A running database."""

    program: Program
    url: str

    def write(self, lines: bytes, *, database: str) -> None:
        """Store line protocol with times in nanoseconds."""
        self._post("/write", content=lines, db=database).raise_for_status()

    def query(self, influxql: str, *, database: str = "") -> list[dict[str, object]]:
        """The series of the first statement's answer, as InfluxDB's JSON has them. Raises ValueError with its error."""
        answer = self._post("/query", q=influxql, db=database).json()
        result = answer.get("results", [answer])[0]
        if "error" in result:
            raise ValueError(f"{influxql}: {result['error']}")
        series: list[dict[str, object]] = result.get("series", [])
        return series

    def _post(self, path: str, *, content: bytes = b"", **parameters: str) -> httpx.Response:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30.0) as client:
            return client.post(path, params=parameters, content=content)


class StartInfluxDB(Protocol):
    """Starts a database that ends with the test."""

    def __call__(self) -> InfluxDB:
        """Start one with an empty folder."""
        ...


@pytest.fixture
def influxdb(programs: Programs, tmp_path: Path) -> StartInfluxDB:
    require("influxd")
    return lambda: launch_influxdb(programs, tmp_path)


def launch_influxdb(programs: Programs, folder: Path) -> InfluxDB:
    """Start one that ends with `programs`, for fixtures that outlive a test."""
    port = free_port()
    inside = folder / f"influxdb-{port}"
    inside.mkdir()
    config = inside / "influxdb.conf"
    text = _CONFIG.format(host=LOOPBACK, port=port, backup_port=free_port(), folder=inside)
    config.write_text(text, encoding="utf-8")
    url = f"http://{LOOPBACK}:{port}"
    command = (require("influxd"), "run", "-config", config)
    return InfluxDB(programs.start(command, ready=lambda: _answers(f"{url}/ping")), url)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=1.0).is_success
    except httpx.TransportError:
        return False
