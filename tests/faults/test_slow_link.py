"""A weak line between the real agent and the real centre: what waited comes in, and what is measured now does not wait.

The agent, mosquitto as shipped (TLS, certificates) and the collector run in two network namespaces; the line between
them is `tests/support/weak_link.py`, whose bytes are all that the kernel's TCP and IP make of it.
"""

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
import pytest

import deploy
import dev
from agent.clock import SystemClock
from bench.job import TICK_S, Room
from collector.authority import Authority
from collector.database import open_database, sqlite_url
from collector.enrolment import BrokerAddress, enrol, equip_broker
from collector.registry import Registry
from contract.batch import unpack_record
from contract.durable_file import read_only_uri
from contract.spool import Spool, SpoolLimits
from tests.support.debian import require
from tests.support.ports import is_listening
from tests.support.processes import Program, Programs
from tests.support.reliability import Seen
from tests.support.weak_link import SERVER, Quality, WeakLink, weak_link

AGENT: Final = "dongvan-pc1"
LIVE_LAG_S: Final = 60.0
SHARE_BPS: Final = 64_000.0
"""The plan's `backlog_bps`: a quarter of a line of 256 kbit/s."""
HALF_OPEN_NOTICED_S: Final = 45.0
"""30 s of TCP's repeating, the tick that it takes until something is sent, and a busy machine."""
_BROKER_PORT: Final = 8883
_WEB_PORT: Final = 8080
_SHIPPED: Final = Path(deploy.__file__).parent / "mosquitto"


class Stored(NamedTuple):
    """One record in the collector's journal: its number, when it arrived, and when it was taken (Unix seconds)."""

    seq: int
    arrived_s: float
    taken_s: float

    @property
    def lag_s(self) -> float:
        return self.arrived_s - self.taken_s


class Far:
    """A room far away: its agent at one end of the line, the centre at the other."""

    def __init__(self, link: WeakLink, programs: Programs, folder: Path) -> None:
        self.link = link
        self._programs = programs
        self._folder = folder
        self._centre = folder / "centre"
        self.backlog_count = 0
        self._collector = self._start_centre()

    def _start_centre(self) -> Program:
        etc = self._folder / "etc"
        authority = Authority(self._centre / "authority", time.time())
        equip_broker(authority, etc, (SERVER,))
        (etc / "sansang.acl").write_bytes((_SHIPPED / "sansang.acl").read_bytes())
        config = (_SHIPPED / "sansang.conf").read_text(encoding="utf-8")
        mosquitto = self._folder / "mosquitto.conf"
        mosquitto.write_text(
            ("user root\n" if os.geteuid() == 0 else "") + config.replace("/etc/mosquitto/sansang", str(etc)),
            encoding="utf-8",
        )
        server = self.link.server
        self._programs.start(
            server.inside(require("mosquitto"), "-c", str(mosquitto)),
            ready=lambda: server.do(lambda: is_listening(_BROKER_PORT)),
        )
        engine = open_database(sqlite_url(self._centre / "collector.db"))
        registry = Registry(engine)
        registry.add_room("dongvan-01", name="Phòng 1", province="Hà Giang", school="THCS")
        broker = BrokerAddress(host=SERVER, port=_BROKER_PORT, tls=True)
        enrolled = enrol(registry, authority, AGENT, "dongvan-01", broker=broker, now_s=time.time())
        engine.dispose()
        head = f'data_dir = "{self._folder / "pc"}"\nplan = "{self._folder / "plan.toml"}"\n'
        (self._folder / "agent.toml").write_text(head + enrolled.text, encoding="utf-8")
        (self._folder / "agent.toml").chmod(0o600)
        collector = self._folder / "collector.toml"
        collector.write_text(
            f'data_dir = "{self._centre}"\n[web]\nport = {_WEB_PORT}\n'
            f'[broker]\nmode = "mqtt"\nhost = "{SERVER}"\nport = {_BROKER_PORT}\ntls = true\n'
            f'ca = "{etc / "ca.crt"}"\ncertificate = "{etc / "collector.crt"}"\nkey = "{etc / "collector.key"}"\n',
            encoding="utf-8",
        )
        return self._programs.start(
            server.inside(sys.executable, "-m", "collector", "run", "--config", str(collector)),
            ready=lambda: server.do(_is_up),
            folder=dev.ROOT,
        )

    def keep_backlog(self, hours: float) -> None:
        """Fill the agent's spool with what it measured while the line was away: 117 samples a minute."""
        clock, room = SystemClock(), Room(AGENT, breadth="lean")
        now = clock.now()
        count = round(hours * 3600.0 / TICK_S)
        (self._folder / "pc").mkdir()
        spool = Spool(self._folder / "pc" / "spool.db", SpoolLimits(), boot=now.boot, mono_s=now.mono_s)
        for minute in range(count):
            ago_s = (count - minute) * TICK_S
            taken = msgspec.structs.replace(now, mono_s=now.mono_s - ago_s, wall_s=now.wall_s - ago_s)
            record = msgspec.structs.replace(room.record(taken.wall_s, minute), taken=taken)
            spool.put(record, mono_s=now.mono_s)
        spool.close()
        self.backlog_count = count

    def start_agent(self, *, tick_s: float, backlog_bps: float = SHARE_BPS, quiet_hours: Sequence[str] = ()) -> Program:
        """Start the agent with a plan that measures the PC every tick."""
        (self._folder / "plan.toml").write_text(
            f"tick_s = {tick_s}\nbacklog_bps = {backlog_bps}\nquiet_hours = {list(quiet_hours)}\n"
            '[[probe]]\nname = "host"\n'
            + "".join(
                f'[[probe]]\nname = "ping"\ntarget = "device-{number}"\naddress = "127.0.0.{number}"\n'
                "count = 3\nspacing_s = 0.02\ntimeout_s = 0.5\n"
                for number in range(1, 6)
            ),
            encoding="utf-8",
        )
        config = str(self._folder / "agent.toml")
        command = self.link.pc.inside(sys.executable, "-m", "agent", "run", "--config", config)
        return self._programs.start(command, ready=lambda: True, folder=dev.ROOT)

    def stored(self) -> list[Stored]:
        """All that the collector has, in order of number."""
        with contextlib.closing(sqlite3.connect(read_only_uri(self._centre / "journal.db"), uri=True)) as db:
            db.execute("PRAGMA busy_timeout=10000")
            rows = db.execute("SELECT seq, arrived_s, body FROM kept WHERE agent = ? ORDER BY seq", (AGENT,)).fetchall()
        return [Stored(seq, arrived_s, unpack_record(body).taken.wall_s) for seq, arrived_s, body in rows]

    def stored_count(self, *, live: bool) -> int:
        """How many records of the backlog have come, or of those measured since."""
        with contextlib.closing(sqlite3.connect(read_only_uri(self._centre / "journal.db"), uri=True)) as db:
            db.execute("PRAGMA busy_timeout=10000")
            query = "SELECT count(*) FROM kept WHERE agent = ? AND (seq > ?) = ?"
            return int(db.execute(query, (AGENT, self.backlog_count, live)).fetchone()[0])

    def is_drained(self) -> bool:
        """Whether all of the backlog has come."""
        return self.stored_count(live=False) == self.backlog_count

    def live(self) -> list[Stored]:
        """What was measured since the agent started."""
        return [one for one in self.stored() if one.seq > self.backlog_count]

    def wait_for(self, holds: Callable[[], bool], within_s: float) -> float:
        """Wait until something holds; how long that took."""
        began_s = time.monotonic()
        while not holds():
            waited_s = time.monotonic() - began_s
            if waited_s > within_s:
                pytest.fail(f"did not come true in {within_s:g} s; the collector's log ends:\n{self._collector.tail()}")
            time.sleep(0.25)
        return time.monotonic() - began_s


def _is_up() -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{_WEB_PORT}/healthz", trust_env=False, timeout=1.0).is_success
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def far_room(quality: Quality, programs: Programs, folder: Path) -> Iterator[Far]:
    """A line and both its ends, the agent not yet started."""
    with weak_link(quality) as link:
        try:
            yield Far(link, programs, folder)
        finally:
            programs.stop_all()  # before their namespaces go


def all_came(stored: Sequence[Stored]) -> bool:
    """Whether no number is missing."""
    return [one.seq for one in stored] == list(range(1, len(stored) + 1))


class Load(NamedTuple):
    """How weak the line is, what waits, and when it is dead: `hole_s` of every `hole_every_s`."""

    quality: Quality
    hours: float
    tick_s: float
    hole_s: float
    hole_every_s: float
    holes: int
    within_s: float

    def passes(self, elapsed_s: float) -> bool:
        """The line lives for a while before each hole."""
        number, into_s = divmod(elapsed_s, self.hole_every_s)
        return number >= self.holes or into_s < self.hole_every_s - self.hole_s


LOADS: Final = [
    pytest.param(
        Load(Quality(256_000.0, 0.05, 0.1, 32_000), hours=5.0, tick_s=3.0, hole_s=5.0, hole_every_s=12.0, holes=1,
             within_s=90.0),
        id="5 hours at 256 kbit/s",
    ),
    pytest.param(
        Load(Quality(32_000.0, 0.05, 0.15, 16_000), hours=24.0, tick_s=10.0, hole_s=45.0, hole_every_s=120.0, holes=5,
             within_s=900.0),
        id="a day at 32 kbit/s",
        marks=pytest.mark.long,
    ),
]  # fmt: skip


@pytest.mark.bar("slow link", load="32 kbit/s, 5 % loss, black holes of 45 s; a day of backlog, 117 samples a minute")
@pytest.mark.parametrize("load", LOADS)
def test_a_backlog_drains_over_a_weak_line_and_live_records_do_not_wait(
    load: Load, programs: Programs, tmp_path: Path, seen: Seen
) -> None:
    with far_room(load.quality, programs, tmp_path) as far:
        far.keep_backlog(load.hours)
        began_s = far.link.elapsed_s()
        far.link.up.passes = far.link.down.passes = lambda elapsed_s: load.passes(elapsed_s - began_s)
        far.start_agent(tick_s=load.tick_s)
        drained_s = far.wait_for(far.is_drained, load.within_s)
        holes_end_s = load.holes * load.hole_every_s
        far.wait_for(lambda: far.link.elapsed_s() - began_s > holes_end_s, holes_end_s + 1.0)
        live_count = far.stored_count(live=True)
        far.wait_for(lambda: far.stored_count(live=True) > live_count, LIVE_LAG_S)
        # What came of it: TCP's repetitions and lost packets too.
        carried_bytes, (up, down) = far.link.up.carried_bytes(began_s), (far.link.up, far.link.down)
        stored = far.stored()
    live = stored[far.backlog_count :]
    longest_lag_s = max(one.lag_s for one in live)
    seen(f"drained in {drained_s / 60:.1f} min; live lag at most {longest_lag_s:.0f} s over {len(live)} live records")
    seen(f"{carried_bytes / 1e3:.0f} kB up with all headers, {up.lost_count + down.lost_count} packets lost")
    assert all_came(stored)
    assert longest_lag_s <= LIVE_LAG_S


def test_a_backlog_takes_its_share_of_a_line_and_no_more(programs: Programs, tmp_path: Path) -> None:
    with far_room(Quality(256_000.0, 0.02, 0.05, 32_000), programs, tmp_path) as far:
        far.keep_backlog(5.0)
        far.start_agent(tick_s=60.0)
        far.wait_for(lambda: far.stored_count(live=False) > 0, 60.0)
        from_s = far.link.elapsed_s()
        far.wait_for(far.is_drained, 90.0)
        until_s = far.link.elapsed_s() - 1.0
        way = far.link.up
        mean_bps = way.carried_bytes(from_s, until_s) * 8 / (until_s - from_s)
        print(f"{mean_bps:.0f} bit/s, at most {way.busiest_bps(10.0, from_s, until_s):.0f}")  # noqa: T201 - for whoever tunes it
        assert way.busiest_bps(10.0, from_s, until_s) <= 1.1 * SHARE_BPS
        assert mean_bps >= 0.9 * SHARE_BPS
