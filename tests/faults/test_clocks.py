"""Real agents whose clocks are years wrong, step, slew and sleep: they connect, and what they measured is placed right.

A shim turns the wall clock and the time since boot of each agent's process; broker, collector and TLS are as shipped.
"""

import contextlib
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import dev
from collector.authority import Authority
from collector.derived import OWN_NAME
from collector.rooms.enrolment import BrokerAddress, enrol, equip_broker
from collector.rooms.registry import Registry
from collector.sinks.opening import SERIES_FILE
from collector.sinks.sqlite import SqliteHistory
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import JournalReader, Kept
from tests.support.collector import RunningCollector, StartCollector
from tests.support.dial import Dial, MakeDial
from tests.support.mosquitto import Mosquitto, StartMosquitto
from tests.support.processes import Program, Programs
from tests.support.reliability import Seen

RIGHT_WITHIN_S: Final = 2.0
"""How wrong a time may be (docs/protocol.md)."""
EARLIEST_S: Final = datetime(2006, 1, 1, tzinfo=UTC).timestamp()
LATEST_S: Final = datetime(2037, 12, 31, tzinfo=UTC).timestamp()
DEAD_BATTERY_S: Final = datetime(2009, 1, 1, tzinfo=UTC).timestamp()
A_NAP_S: Final = 3.0
PATIENCE_S: Final = 300.0
TLS_BROKER: Final = """\
listener {port} 127.0.0.1
persistence false
max_inflight_messages 1000
max_queued_messages 10000
cafile FOLDER/ca.crt
certfile FOLDER/server.crt
keyfile FOLDER/server.key
crlfile FOLDER/ca.crl
require_certificate true
use_identity_as_username true
"""
PLAN: Final = """\
tick_s = "1s"
profile = "zoom-720p"
[[probe]]
name = "tcp"
target = "collector"
address = "127.0.0.1"
port = {port}
timeout_s = 0.4
"""


CLOCKS: Final = pytest.mark.bar(
    "clocks",
    load="restarts of real agents with wall clocks from 2006 to 2037 over TLS with client certificates; clocks set "
    "forward and back, slewed, asleep and hibernated amid a run",
)


class Pc:
    """One PC with its clocks, in a room of its own."""

    def __init__(self, name: str, dial: Dial, program: Program) -> None:
        self.name = name
        self.dial = dial
        self.program = program


class Site:
    """Broker, collector, and PCs that are enrolled and have not been started."""

    def __init__(
        self, broker: Mosquitto, authority: Authority, collector: RunningCollector, registry: Registry
    ) -> None:
        self.broker = broker
        self.authority = authority
        self.collector = collector
        self.registry = registry

    def kept(self) -> list[Kept]:
        """What came of agents."""
        with contextlib.closing(JournalReader(self.collector.folder / "journal.db")) as journal:
            return [one for one in journal.after(0, 1_000_000) if one.agent != OWN_NAME]

    def kept_count(self, pc: Pc) -> int:
        return sum(one.agent == pc.name and one.record.taken.boot == pc.dial.boot for one in self.kept())

    def await_more(self, pcs: Sequence[Pc], count: int) -> None:
        """Wait until so many more records of each PC's present boot have been kept."""
        before = {pc.name: self.kept_count(pc) for pc in pcs}
        self.collector.wait_for(lambda: all(self.kept_count(pc) >= before[pc.name] + count for pc in pcs), PATIENCE_S)


@pytest.fixture
def site(tmp_path: Path, mosquitto: StartMosquitto, collector: StartCollector) -> Iterator[Site]:
    authority = Authority(tmp_path / "collector-ca", time.time())
    equip_broker(authority, tmp_path / "etc", ("localhost",))
    broker = mosquitto(TLS_BROKER.replace("FOLDER", str(tmp_path / "etc")))
    registries: list[Registry] = []
    engines = []

    def prepare(folder: Path) -> None:
        engines.append(open_database(sqlite_url(folder / "collector.db")))
        registries.append(Registry(engines[0]))
        for number in range(PCS_MAX_COUNT):
            registries[0].add_room(f"room-{number}", name=f"Phòng {number}", province="Hà Giang", school="THCS")

    etc = tmp_path / "etc"
    table = (
        f'[broker]\nmode = "mqtt"\nhost = "localhost"\nport = {broker.port}\ntls = true\n'
        f'ca = "{etc}/ca.crt"\ncertificate = "{etc}/collector.crt"\nkey = "{etc}/collector.key"\n'
    )
    yield Site(broker, authority, collector(table, prepare=prepare), registries[0])
    engines[0].dispose()


PCS_MAX_COUNT: Final = 4


@pytest.fixture
def make_pc(programs: Programs, make_dial: MakeDial, tmp_path: Path) -> Callable[..., Pc]:
    def make(site: Site, number: int, *, wall_s: float, authority: Authority | None = None) -> Pc:
        """Enrolled by the site's authority, or holding the certificate of another."""
        name = f"pc-{number}"
        address = BrokerAddress(host="localhost", port=site.broker.port, tls=True)
        now_s = time.time()
        enrolled = enrol(
            site.registry, authority or site.authority, name, f"room-{number}", broker=address, now_s=now_s
        )
        plan = tmp_path / "plan.toml"
        plan.write_text(PLAN.replace("{port}", str(site.broker.port)), encoding="utf-8")
        config = tmp_path / f"{name}.toml"
        enrolled.write(config)
        head = f'data_dir = "{tmp_path / name}"\nplan = "{plan}"\n'
        config.write_text(head + config.read_text(encoding="utf-8"), encoding="utf-8")
        dial = make_dial(name)
        dial.set_wall(wall_s)
        command: list[str | Path] = [sys.executable, "-m", "agent", "run", "--config", config]
        program = programs.start(command, ready=lambda: True, environment=dial.environment, folder=dev.ROOT)
        return Pc(name, dial, program)

    return make


class Load(NamedTuple):
    pcs: int
    rounds: int
    seed: int


class Wrong(NamedTuple):
    """What of the stored records is not as it was: counts, and the worst error."""

    off_count: int
    unsure_count: int
    future_count: int
    negative_count: int
    worst_s: float


def hold_to_truth(kept: Sequence[Kept], pcs: Sequence[Pc], now_s: float) -> Wrong:
    dials = {pc.name: pc.dial for pc in pcs}
    errors_s = [one.taken_s - dials[one.agent].true_s(one.record.taken.boot, one.record.taken.mono_s) for one in kept]
    ages_s = [one.arrived_s - one.taken_s for one in kept] + [r.before_s for one in kept for r in one.record.readings]
    return Wrong(
        off_count=sum(abs(error_s) > RIGHT_WITHIN_S for error_s in errors_s),
        unsure_count=sum(not one.sure for one in kept),
        future_count=sum(one.taken_s > now_s for one in kept),
        negative_count=sum(age_s < 0 for age_s in ages_s),
        worst_s=max(map(abs, errors_s)),
    )


def bursts(kept: Sequence[Kept]) -> list[tuple[str, str, float]]:
    """Where an agent measured five times within less than two ticks: what it missed, it must not make up for."""
    by_boot: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in kept:
        by_boot[one.agent, one.record.taken.boot].append(one.record.taken.mono_s)
    return [
        (*key, first_s)
        for key, times_s in by_boot.items()
        for first_s, fifth_s in zip(sorted(times_s), sorted(times_s)[4:], strict=False)
        if fifth_s - first_s < 2.0
    ]


def befall(pc: Pc, chance: random.Random, walls_s: Callable[[], float]) -> str:
    """Something happens to the PC's clocks while its agent runs; what."""
    what = chance.choice(("set", "slewed", "asleep", "hibernated"))
    if what == "set":
        pc.dial.set_wall(walls_s())
    elif what == "slewed":
        pc.dial.slew(chance.choice((-500, 500)))
    else:
        pc.program.pause()
        time.sleep(A_NAP_S)
        if what == "hibernated":
            pc.dial.set_wall(walls_s())  # the battery-backed clock is read again, and may tell another time
        pc.program.resume()
    return what


@pytest.mark.parametrize(
    "load",
    [Load(pcs=2, rounds=2, seed=1), pytest.param(Load(pcs=4, rounds=26, seed=2), marks=[pytest.mark.long, CLOCKS])],
    ids=["short", "long"],
)
def test_whatever_the_clocks_of_pcs_say_records_are_placed_right(
    load: Load, site: Site, make_pc: Callable[..., Pc], seen: Seen
) -> None:
    chance = random.Random(load.seed)

    def wall_s() -> float:
        return chance.uniform(EARLIEST_S, LATEST_S)

    pcs = [make_pc(site, number, wall_s=wall_s()) for number in range(load.pcs)]
    befell: defaultdict[str, int] = defaultdict(int)
    restarts = 0
    for turn in range(load.rounds):
        if turn:
            for pc in pcs:
                if chance.random() < 0.5:
                    pc.program.stop()  # the service is started again, in the same boot
                else:
                    pc.program.kill()
                    pc.dial.begin_boot()
                    pc.dial.set_wall(wall_s())
                pc.program.start()
                restarts += 1
        site.await_more(pcs, 3)
        for pc in pcs:
            befell[befall(pc, chance, wall_s)] += 1
        site.await_more(pcs, 3)
    for pc in pcs:
        pc.program.stop()
    kept = site.kept()
    wrong = hold_to_truth(kept, pcs, time.time())
    logs = [pc.program.log.read_text(encoding="utf-8") for pc in pcs]
    refused_count = sum(log.count("not connected") for log in logs)
    seen(f"{restarts} restarts, {', '.join(f'{what} {count} times' for what, count in sorted(befell.items()))}")
    seen(f"{refused_count} connections that failed")
    seen(f"of {len(kept):,} records {wrong.off_count} more than 2 s off (the worst {wrong.worst_s:.2f} s)")
    seen(f"{wrong.future_count} in the future, {wrong.negative_count} negative ages, {len(bursts(kept))} bursts")
    assert refused_count == 0
    assert sum(log.count("connected to localhost") for log in logs) == load.pcs * load.rounds
    assert wrong._replace(worst_s=0.0) == Wrong(0, 0, 0, 0, 0.0)
    assert bursts(kept) == []
    assert "Traceback" not in "".join(logs)
    for document in site.collector.get("/rooms.json").json()["rooms"]:
        assert all(finding["since_s"] <= time.time() for finding in document["findings"])
        assert all(agent["last_heard_s"] <= time.time() for agent in document["agents"])


def test_an_agent_that_slept_for_hours_makes_up_for_no_tick(site: Site, make_pc: Callable[..., Pc]) -> None:
    pc = make_pc(site, 0, wall_s=time.time())
    site.await_more([pc], 2)
    pc.program.pause()
    woke_mono_s = pc.dial.sleep(7 * 3600.0)
    pc.program.resume()
    site.await_more([pc], 5)
    pc.program.stop()
    awake = [one for one in site.kept() if one.record.taken.mono_s >= woke_mono_s]
    lasted_s = max(one.record.taken.mono_s for one in awake) - woke_mono_s
    assert len(awake) <= lasted_s + 2
    assert bursts(awake) == []
    assert hold_to_truth(awake, [pc], time.time())._replace(worst_s=0.0) == Wrong(0, 0, 0, 0, 0.0)


def test_a_wrong_clock_is_a_finding_with_its_remedy_and_a_series(site: Site, make_pc: Callable[..., Pc]) -> None:
    pc = make_pc(site, 0, wall_s=DEAD_BATTERY_S)

    def findings() -> dict[str, dict[str, object]]:
        (room,) = (one for one in site.collector.get("/rooms.json").json()["rooms"] if one["room"] == "room-0")
        return {finding["code"]: finding for finding in room["findings"]}

    site.collector.wait_for(lambda: "CLOCK_WRONG" in findings())
    finding = findings()["CLOCK_WRONG"]
    assert finding["level"] == "UNFIT"
    assert finding["measured"] == pytest.approx(abs(pc.dial.wall_ahead_s), abs=RIGHT_WITHIN_S)
    assert "CMOS" in str(finding["action"])
    page = site.collector.get("/rooms/room-0").text
    assert "pin CMOS" in page
    site.collector.wait_for(lambda: bool(offsets(site)))
    assert offsets(site)[-1] == pytest.approx(pc.dial.wall_ahead_s, abs=RIGHT_WITHIN_S)


def offsets(site: Site) -> list[float]:
    """The series of the offset, as it is stored."""
    history = SqliteHistory(site.collector.folder / SERIES_FILE)
    points = history.points(
        room="room-0", measurement="agent", field="clock_offset_s", target="pc-0", from_s=0.0, to_s=4e9
    )
    return [point.mean for point in points]


@pytest.mark.bar("clocks", load="a broker of another authority")
def test_whatever_its_clock_says_an_agent_refuses_a_broker_of_another_authority(
    site: Site, make_pc: Callable[..., Pc], tmp_path: Path, seen: Seen
) -> None:
    other = Authority(tmp_path / "other-ca", time.time())
    pcs = [
        make_pc(site, number, wall_s=wall_s, authority=other) for number, wall_s in enumerate((EARLIEST_S, LATEST_S))
    ]
    site.collector.wait_for(lambda: all("certificate verify failed" in pc.program.tail() for pc in pcs))
    assert site.kept() == []
    assert not any("connected to localhost" in pc.program.tail() for pc in pcs)
    seen(f"a wrong authority refused {len(pcs)} times of {len(pcs)}")
