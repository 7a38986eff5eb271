"""The whole collector on a disk that others fill: it goes on, and is whole a minute after there is room again."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.link import Broker
from collector.rooms.registry import Registry
from collector.sinks.opening import SERIES_FILE
from collector.sinks.sqlite import SqliteHistory
from collector.storage.database import open_database, sqlite_url
from tests.support.collector import RunningCollector, StartCollector
from tests.support.disks import MakeDisk, SmallDisk
from tests.support.mosquitto import StartMosquitto
from tests.support.ports import LOOPBACK
from tests.support.processes import DidNotStart
from tests.support.reliability import Seen
from tests.support.sender import Sender

DISK_BYTES: Final = 96 << 20
WHOLE_WITHIN_S: Final = 60.0


class Site:
    """A collector whose data lie on a disk of its own, and one agent."""

    def __init__(self, disk: SmallDisk, centre: RunningCollector, sender: Sender) -> None:
        self.disk = disk
        self.centre = centre
        self.sender = sender
        self.put_count = 0

    def put(self, count: int) -> None:
        for _ in range(count):
            self.sender.put({"sent_count": self.put_count, "rtt_avg_ms": 1.0})
            self.put_count += 1
            time.sleep(0.005)

    def await_whole(self) -> None:
        """Wait until all that was measured is kept, and in the time series."""
        self.centre.wait_for(lambda: self.sender.waiting_count() == 0, WHOLE_WITHIN_S)
        self.centre.await_fed()

    def stored(self) -> list[int]:
        points = SqliteHistory(self.centre.folder / SERIES_FILE).points(
            room="room-1", measurement="ping", field="sent_count", target="gateway", from_s=0.0, to_s=4e9
        )
        return sorted(int(point.mean) for point in points)


@pytest.fixture
def site(make_disk: MakeDisk, mosquitto: StartMosquitto, collector: StartCollector, tmp_path: Path) -> Iterator[Site]:
    disk, broker = make_disk(DISK_BYTES), mosquitto()

    def prepare(folder: Path) -> None:
        folder.rmdir()
        folder.symlink_to(disk.folder, target_is_directory=True)
        engine = open_database(sqlite_url(folder / "collector.db"))
        registry = Registry(engine)
        registry.add_room("room-1", name="Phòng 1", province="Hà Giang", school="THCS")
        registry.add_agent("pc-1", "room-1", time.time() - 86400)
        engine.dispose()

    centre = collector(f'[broker]\nmode = "mqtt"\nport = {broker.port}\n', prepare=prepare)
    sender = Sender("pc-1", tmp_path, Broker(host=LOOPBACK, port=broker.port, tls=False), seed=1)
    sender.start()
    yield Site(disk, centre, sender)
    sender.stop()


@pytest.mark.bar("disk full", load="the whole collector on a disk that others fill, while it runs and when it starts")
def test_a_collector_whose_disk_others_fill_goes_on_and_is_whole_within_a_minute_of_room(
    site: Site, seen: Seen
) -> None:
    site.put(50)
    site.await_whole()
    site.disk.fill()
    site.put(400)
    assert site.centre.get("/").is_success
    site.disk.clear()
    site.put(50)
    site.await_whole()
    assert site.stored() == list(range(site.put_count)), "each once"
    site.centre.program.stop()
    site.disk.fill()
    with pytest.raises(DidNotStart, match="ended with exit code 1"):
        site.centre.program.start()
    assert "database or disk is full" in site.centre.program.tail() or "disk I/O error" in site.centre.program.tail()
    site.disk.clear()
    site.centre.program.start()  # as its service manager tries every five seconds
    site.put(50)
    site.await_whole()
    assert site.stored() == list(range(site.put_count))
    assert "Exception in thread" not in site.centre.program.log.read_text(encoding="utf-8")
    seen(f"collector: {site.put_count} of {site.put_count} records stored once, whole within 60 s of room")
