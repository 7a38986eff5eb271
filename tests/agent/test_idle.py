"""Between its probes an agent sleeps: a classroom PC has better things to do."""

import sys
import time
from pathlib import Path
from typing import Final

import pytest

import dev
from collector.authority import Authority
from collector.rooms.enrolment import BrokerAddress, enrol
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from tests.support.collector import StartCollector
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs

WATCHED_S: Final = 12.0
PLAN: Final = f"""\
tick_s = 60
[[probe]]
name = "ping"
target = "gateway"
address = "{LOOPBACK}"
count = 3
[[probe]]
name = "host"
"""


def enrol_agent(folder: Path, file: Path, port: int) -> None:
    engine = open_database(sqlite_url(folder / "collector.db"))
    registry = Registry(engine)
    registry.add_room("room-1", name="Room", province="Hà Giang", school="THCS")
    address = BrokerAddress(host=LOOPBACK, port=port, tls=False)
    authority = Authority(folder / "authority", time.time())
    enrolled = enrol(registry, authority, "pc-1", "room-1", broker=address, now_s=time.time())
    file.write_text(f'data_dir = "agent"\n{enrolled.text}', encoding="utf-8")
    file.chmod(0o600)
    engine.dispose()


def wake_ups(pid: int) -> int:
    """How often any of its threads went to sleep by itself: as often as it was woken."""
    counts = (
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text(encoding="ascii").splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )
    return sum(counts)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_agent_wakes_no_more_than_once_a_second(
    tmp_path: Path, collector: StartCollector, programs: Programs
) -> None:
    port, file = free_port(), tmp_path / "agent.toml"
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "default.toml").write_text(PLAN, encoding="utf-8")
    centre = collector(
        f"[broker]\nport = {port}\n",
        top=f'plans = "{plans}"',
        prepare=lambda folder: enrol_agent(folder, file, port),
    )
    agent = programs.start(
        [sys.executable, "-m", "agent", "run", "--config", file], ready=lambda: True, folder=dev.ROOT
    )
    centre.wait_for(lambda: centre.figure("sansang_records_total") >= 1)
    time.sleep(3.0)  # the acknowledgement, and whatever else follows the first record
    before, began_s = wake_ups(agent.pid), time.monotonic()
    time.sleep(WATCHED_S)
    assert wake_ups(agent.pid) - before <= time.monotonic() - began_s
