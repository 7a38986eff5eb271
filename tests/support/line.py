"""The whole line behind the agents: a real broker, collector and database, with a room for each agent."""

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import pytest

import dev
from collector.ledger import Ledger
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from tests.support.collector import RunningCollector, StartCollector
from tests.support.mosquitto import Mosquitto, StartMosquitto
from tests.support.victoria_metrics import Series, StartVictoriaMetrics, VictoriaMetrics


class Line(NamedTuple):
    """Everything runs."""

    broker: Mosquitto
    database: VictoriaMetrics
    centre: RunningCollector

    def stored(self, agent: str, name: str) -> list[Series]:
        """What the database has of an agent by the series' names, a regular expression."""
        return self.database.series(f'{{__name__=~"{name}",agent="{agent}"}}')

    def ledger(self, agent: str) -> Ledger:
        """What an operator is told of the agent's room."""
        command = [sys.executable, "-m", "collector", "ledger", "--config", str(self.centre.config), "--json"]
        done = subprocess.run([*command, "--room", room_of(agent)], cwd=dev.ROOT, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr  # 1: a while of which nothing tells why it was not measured
        return msgspec.json.decode(done.stdout, type=Ledger)


def room_of(agent: str) -> str:
    """The room in which an agent stands."""
    return f"room-{agent}"


def enrol_rooms(database: Path, agents: Iterable[str]) -> None:
    """A room for each agent."""
    engine = open_database(sqlite_url(database))
    registry = Registry(engine)
    for agent in agents:
        registry.add_room(room_of(agent), name=room_of(agent), province="Hà Giang", school="THCS")
        registry.add_agent(agent, room_of(agent), time.time())
    engine.dispose()


class StartLine(Protocol):
    """Starts a line that ends with the test."""

    def __call__(self, agents: Sequence[str], *, plans: Path | None = None) -> Line:
        """Start one for these agents, which get the plans of a folder."""
        ...


@pytest.fixture
def line(mosquitto: StartMosquitto, victoria_metrics: StartVictoriaMetrics, collector: StartCollector) -> StartLine:
    def start(agents: Sequence[str], *, plans: Path | None = None) -> Line:
        database, broker = victoria_metrics(), mosquitto()
        centre = collector(
            f'[broker]\nmode = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[store]\nkind = "influx"\nurl = "{database.url}"\n',
            top=f'plans = "{plans}"' if plans else "",
            prepare=lambda folder: enrol_rooms(folder / "collector.db", agents),
        )
        return Line(broker, database, centre)

    return start
