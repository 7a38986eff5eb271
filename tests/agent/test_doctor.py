"""The doctor: each thing that an agent stands on is looked at, and a fault is said in plain words with what to do."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.doctor import Seen, examine
from agent.link import Broker
from agent.orders import NO_ORDERS, Orders, read_orders
from agent.settings import AgentSettings
from collector.broker import EmbeddedBroker
from contract.catalogue import LANGUAGES
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits
from tests.agent.made import MadeProbe, PcClock, loads
from tests.support.disks import MakeDisk
from tests.support.ports import LOOPBACK, free_port

ORDERS = read_orders(b'{"probe": [{"name": "made", "target": "gateway"}]}', loads(made=MadeProbe()), source="plan")
TOKEN = "right"  # noqa: S105 - of a broker that lives as long as the test


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(LOOPBACK, 0, authenticate=lambda _agent, token: token == TOKEN)
    made.start()
    yield made
    made.stop()


def look(folder: Path, broker: Broker, *, orders: Orders = ORDERS, clock: PcClock | None = None) -> dict[str, Seen]:
    """What the doctor saw, by name."""
    settings = AgentSettings(agent="dongvan-01", broker=broker, data_dir=folder)
    return {seen.what: seen for seen in examine(settings, orders, clock or PcClock(), "1.2.3")}


def at(port: int, *, host: str = LOOPBACK, token: str = "") -> Broker:
    return Broker(host=host, port=port, tls=False, token=token)


def ill(seen: dict[str, Seen]) -> list[str]:
    return [what for what, one in seen.items() if not one.well]


def test_where_all_is_well_each_thing_is_named_in_both_languages(tmp_path: Path, broker: EmbeddedBroker) -> None:
    seen = look(tmp_path, at(broker.port))
    own = ("nic", "address")  # as the machine that runs the test has it
    expected = ["version", "clock", "dns", "port", "broker", "icmp", "disk", "spool_empty", "plan"]
    assert [what for what in seen if what not in own] == expected
    assert [what for what in ill(seen) if what not in (*own, "icmp")] == []
    for one in seen.values():
        assert len({one.sentence(language) for language in LANGUAGES}) == len(LANGUAGES)
    assert seen["port"].sentence("en") == f"{LOOPBACK}:{broker.port} takes TCP connections."
    assert seen["plan"].sentence("vi") == "Kế hoạch đo: 1 phép đo, mỗi 60 giây một lượt."


@pytest.mark.parametrize("wall_s", [0.0, 1.2e9, 2.6e9], ids=["1970", "2008", "2052"])
def test_a_clock_that_cannot_be_right_names_the_battery(tmp_path: Path, wall_s: float) -> None:
    seen = look(tmp_path, at(free_port()), clock=PcClock(wall_s=wall_s))["clock"]
    assert not seen.well
    assert "CMOS" in seen.sentence("en")
    assert "pin CMOS" in seen.sentence("vi")


def test_a_port_where_nobody_listens_is_the_one_reason_given(tmp_path: Path) -> None:
    port = free_port()
    seen = look(tmp_path, at(port))
    assert "broker" not in seen
    assert seen["port"].sentence("en") == (
        f"{LOOPBACK}:{port} cannot be reached: connection refused; the host is alive. Check the line and the firewall."
    )


def test_a_broker_that_refuses_the_agent_is_quoted(tmp_path: Path, broker: EmbeddedBroker) -> None:
    seen = look(tmp_path, at(broker.port, token="wrong"))["broker"]  # noqa: S106 - wrong on purpose
    assert not seen.well
    assert seen.sentence("en").startswith("The broker refuses agent dongvan-01: Not authorized.")
    assert look(tmp_path, at(broker.port, token=TOKEN))["broker"].well


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    seen = look(tmp_path / "file" / "data", at(free_port()))["disk"]
    assert seen.sentence("en") == (
        f"The folder {tmp_path}/file/data cannot be written: [Errno 20] Not a directory: '{tmp_path}/file/data'."
    )


def test_the_doctor_leaves_nothing_behind(tmp_path: Path) -> None:
    look(tmp_path / "data", at(free_port()))
    assert os.listdir(tmp_path / "data") == []  # noqa: PTH208 - names only


def test_a_disk_with_little_room_is_told(make_disk: MakeDisk) -> None:
    disk = make_disk(8 << 20)
    seen = look(disk.folder, at(free_port()))
    assert "disk" not in seen
    assert not seen["disk_small"].well
    assert str(disk.folder) in seen["disk_small"].sentence("vi")


def test_the_queue_is_counted(tmp_path: Path) -> None:
    with contextlib.closing(Spool(tmp_path / "spool.db", SpoolLimits(), boot="boot", mono_s=0.0)) as spool:
        for number in range(3):
            taken = Moment(boot="boot", mono_s=float(number), wall_s=1.8e9)
            spool.put(Record(taken=taken, readings=(Reading(probe="ping", target="gateway"),)), mono_s=float(number))
    seen = look(tmp_path, at(free_port()))["spool"]
    assert seen.sentence("en") == "Spool: 3 records wait, 0 delivered ones are kept, 0 readings had to be dropped."


@pytest.mark.parametrize("content", [b"this is no database" * 500, b""], ids=["damaged", "empty"])
def test_a_damaged_queue_is_told_with_what_will_become_of_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spool.db").write_bytes(content)
    seen = look(tmp_path, at(free_port()))["spool"]
    assert not seen.well
    assert "moves a damaged file aside" in seen.sentence("en")


def test_a_pc_without_a_plan_is_told_where_it_comes_from(tmp_path: Path) -> None:
    seen = look(tmp_path, at(free_port()), orders=NO_ORDERS)["plan"]
    assert not seen.well
    assert seen.sentence("en") == "There is no plan yet. The agent gets it from the collector once it is connected."


def test_whether_pings_may_be_sent_is_what_the_system_says(tmp_path: Path) -> None:
    def may(kind: socket.SocketKind) -> bool:
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            return False
        return True

    seen = look(tmp_path, at(free_port()))["icmp"]
    assert seen.well is (may(socket.SOCK_DGRAM) or may(socket.SOCK_RAW))
