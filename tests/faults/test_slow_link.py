"""A weak line between the real agent and the real centre: what waited comes in, and what is measured now does not wait.

The agent, mosquitto as shipped (TLS, certificates) and the collector run in two network namespaces; the line between
them is `tests/support/weak_link.py`, whose bytes are all that the kernel's TCP and IP make of it.
"""

import contextlib
import itertools
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest

import deploy
import dev
from agent.clock import SystemClock
from agent.forward import LIVE_MAX_COUNT
from bench.job import TICK_S, Room
from collector.authority import Authority
from collector.rooms.enrolment import BrokerAddress, enrol, equip_broker
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from contract.batch import unpack_record
from contract.durable_file import read_only_uri
from contract.spool import Spool, SpoolLimits
from tests.support.debian import require
from tests.support.ports import is_listening
from tests.support.processes import Program, Programs
from tests.support.reliability import Seen
from tests.support.weak_link import SERVER, Quality, Way, WeakLink, always, never, weak_link

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

    def sleep_until(self, elapsed_s: float) -> None:
        """Let the line do what it does, until so many seconds after it was made."""
        time.sleep(max(0.0, elapsed_s - self.link.elapsed_s()))

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
        Load(Quality(256_000.0, 0.05, 0.1, 32_000), hours=3.0, tick_s=3.0, hole_s=5.0, hole_every_s=12.0, holes=1,
             within_s=90.0),
        id="3 hours at 256 kbit/s",
    ),
    pytest.param(
        Load(Quality(32_000.0, 0.05, 0.15, 16_000), hours=24.0, tick_s=10.0, hole_s=45.0, hole_every_s=120.0, holes=3,
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
        far.sleep_until(began_s + holes_end_s)
        live_count = far.stored_count(live=True)
        far.wait_for(lambda: far.stored_count(live=True) > live_count, LIVE_LAG_S)
        far.wait_for(lambda: all_came(far.stored()), LIVE_LAG_S)
        # TCP's repetitions and what got lost are in it.
        carried_bytes, lost_count = (
            far.link.up.carried_bytes(began_s),
            far.link.up.lost_count + far.link.down.lost_count,
        )
        stored = far.stored()
    live = stored[far.backlog_count :]
    longest_lag_s = max(one.lag_s for one in live)
    seen(f"drained in {drained_s / 60:.1f} min; live lag at most {longest_lag_s:.0f} s over {len(live)} live records")
    seen(f"{carried_bytes / 1e3:.0f} kB up with all headers, {lost_count} packets lost, 0 records")
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


class Flap(NamedTuple):
    """How long the line is up, and then dead, by turns, and in how many of its lives something must come at least."""

    quality: Quality
    hours: float
    tick_s: float
    every_s: float
    turns: int
    least: int


@pytest.mark.bar("slow link", load="flapping every 20 s")
@pytest.mark.parametrize(
    "flap",
    [
        pytest.param(
            Flap(Quality(256_000.0, 0.05, 0.1, 32_000), 2.0, tick_s=3.0, every_s=5.0, turns=2, least=1), id="5 s"
        ),
        pytest.param(
            Flap(Quality(32_000.0, 0.05, 0.15, 16_000), 8.0, tick_s=10.0, every_s=20.0, turns=7, least=5),
            id="20 s, at 32 kbit/s",
            marks=pytest.mark.long,
        ),
    ],
)
def test_over_a_line_that_flaps_everything_comes_bit_by_bit(
    flap: Flap, programs: Programs, tmp_path: Path, seen: Seen
) -> None:
    with far_room(flap.quality, programs, tmp_path) as far:
        far.keep_backlog(flap.hours)
        far.start_agent(tick_s=flap.tick_s)
        far.wait_for(lambda: far.stored_count(live=True) > 0, 60.0)
        began_s = far.link.elapsed_s()
        far.link.flap(flap.every_s)
        came = [len(far.stored())]
        for turn in range(flap.turns):
            # Shortly after each end of a life, for what was under way then.
            far.sleep_until(began_s + (2 * turn + 1) * flap.every_s + 1.0)
            came.append(len(far.stored()))
        far.link.up.passes = far.link.down.passes = always
        far.wait_for(far.is_drained, 240.0)
        far.wait_for(lambda: all_came(far.stored()), LIVE_LAG_S)
    advanced_count = sum(after > before for before, after in itertools.pairwise(came))
    seen(f"flapping: records came in {advanced_count} of {flap.turns} lives of {flap.every_s:g} s, 0 lost")
    assert advanced_count >= flap.least


@pytest.mark.long
@pytest.mark.bar("slow link", load="half-open connections")
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_half_open_connection_is_noticed_and_replaced(
    way: str, programs: Programs, tmp_path: Path, seen: Seen
) -> None:
    with far_room(Quality(256_000.0), programs, tmp_path) as far:
        agent = far.start_agent(tick_s=5.0)
        far.wait_for(lambda: far.stored_count(live=True) >= 2, 60.0)
        vanishing: Way = getattr(far.link, way)
        vanishing.passes = never
        noticed_s = far.wait_for(lambda: "not connected" in agent.tail(), HALF_OPEN_NOTICED_S)
        time.sleep(10.0)
        vanishing.passes = always
        taken_s = time.time()
        far.wait_for(lambda: any(one.taken_s > taken_s for one in far.stored()), LIVE_LAG_S)
        far.wait_for(lambda: all_came(far.stored()), LIVE_LAG_S)
        stored = far.stored()
    seen(f"what vanishes on its way {way} was noticed in {noticed_s:.0f} s")
    assert max(one.lag_s for one in stored) <= LIVE_LAG_S


def test_in_quiet_hours_only_live_records_come(programs: Programs, tmp_path: Path) -> None:
    """By the centre's clock in the plan's own zone; here the hour before and after the present one."""
    now = datetime.now(ZoneInfo("Asia/Ho_Chi_Minh"))
    begins, ends = now - timedelta(hours=1), now + timedelta(hours=1)
    with far_room(Quality(256_000.0), programs, tmp_path) as far:
        far.keep_backlog(1.0)
        far.start_agent(tick_s=3.0, quiet_hours=[f"{begins:%H:%M}-{ends:%H:%M}"])
        far.wait_for(lambda: far.stored_count(live=True) >= 3, 60.0)
        assert far.stored_count(live=False) < LIVE_MAX_COUNT
