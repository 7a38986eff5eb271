"""All agents lose the broker, or the collector, in one moment: all are live again within a minute, and come spread."""

import contextlib
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import deploy
from agent.link import Broker, Identity
from bench.centre import enter_rooms
from collector.authority import Authority
from collector.rooms.enrolment import equip_broker
from collector.storage.journal import JournalReader
from tests.faults.storm import Crowd, Member, crowd_of
from tests.support.collector import RunningCollector, StartCollector
from tests.support.mosquitto import Mosquitto, StartMosquitto
from tests.support.processes import Program
from tests.support.reliability import Seen

LIVE_WITHIN_S: Final = 60.0
_SHIPPED: Final = Path(deploy.__file__).parent / "mosquitto"


class Load(NamedTuple):
    """`away_s` is how long the broker is away, and then the collector; so many may try to connect in one second."""

    agents: int
    tick_s: float
    away_s: float
    most_a_second: int


SHORT: Final = Load(agents=40, tick_s=2.0, away_s=3.0, most_a_second=20)
LONG: Final = Load(agents=500, tick_s=30.0, away_s=180.0, most_a_second=125)


class Site:
    """A broker as it is shipped, with TLS and client certificates, and a collector behind it."""

    def __init__(self, agents: list[str], folder: Path, mosquitto: StartMosquitto, collector: StartCollector) -> None:
        authority = Authority(folder / "ca", time.time())
        etc = folder / "etc"
        equip_broker(authority, etc, ("localhost",))
        (etc / "sansang.acl").write_bytes((_SHIPPED / "sansang.acl").read_bytes())
        shipped = (_SHIPPED / "sansang.conf").read_text(encoding="utf-8")
        config = shipped.replace("/etc/mosquitto/sansang", str(etc)).replace(
            "listener 8883", "listener {port} 127.0.0.1"
        )
        self.broker: Mosquitto = mosquitto(config)
        self.centre: RunningCollector = collector(
            f'[broker]\nmode = "mqtt"\nhost = "localhost"\nport = {self.broker.port}\ntls = true\n'
            f'ca = "{etc / "ca.crt"}"\ncertificate = "{etc / "collector.crt"}"\nkey = "{etc / "collector.key"}"\n',
            prepare=lambda data: enter_rooms(data, agents, time.time()),
        )
        issued = {agent: authority.issue_agent(agent) for agent in agents}
        self.members = [
            Member(agent, Identity(ca=authority.certificate, certificate=one.certificate, key=one.key))
            for agent, one in issued.items()
        ]

    def stored_count(self) -> int:
        """Readings in the journal."""
        with contextlib.closing(JournalReader(self.centre.folder / "journal.db")) as journal:
            return sum(one.stored_count for one in journal.evidence([one.agent for one in self.members]).accounts)


def until_all_live(crowd: Crowd, count: int, since_mono_s: float) -> float:
    """Seconds until each had something acknowledged."""
    while (live_count := crowd.live_count(since_mono_s)) < count:
        if time.monotonic() > since_mono_s + LIVE_WITHIN_S:
            pytest.fail(f"{live_count} of {count} are live {LIVE_WITHIN_S:g} s after the return")
        time.sleep(0.1)
    return time.monotonic() - since_mono_s


def lose(program: Program, away_s: float, crowd: Crowd, count: int) -> float:
    """Kill it, start it again after a while; seconds until all are live."""
    program.kill()
    time.sleep(away_s)
    back_mono_s = time.monotonic()
    program.start()
    return until_all_live(crowd, count, back_mono_s)


@pytest.mark.bar("reconnect storm", load="500 agents with certificates; mosquitto, or the collector, killed and back")
@pytest.mark.parametrize(
    "load", [pytest.param(SHORT, id="40 agents"), pytest.param(LONG, marks=pytest.mark.long, id="500 agents")]
)
def test_all_are_live_within_a_minute_of_the_brokers_or_the_collectors_return(
    load: Load, tmp_path: Path, mosquitto: StartMosquitto, collector: StartCollector, seen: Seen
) -> None:
    site = Site([f"pc-{number:03d}" for number in range(load.agents)], tmp_path, mosquitto, collector)
    broker, centre = site.broker.program, site.centre.program
    with crowd_of(site.members, Broker(host="localhost", port=site.broker.port), load.tick_s) as crowd:
        site.centre.wait_for(lambda: crowd.live_count(0.0) == load.agents)
        for name, program, away_s in [
            ("broker", broker, 0.0),
            ("broker", broker, load.away_s),
            ("collector", centre, load.away_s),
        ]:
            live_s = lose(program, away_s, crowd, load.agents)
            # What is tried while nobody is there burdens nobody.
            most = crowd.most_tries_a_second(time.monotonic() - live_s)
            assert most <= load.most_a_second
            tries = f", at most {most} tried to connect in one second" if program is broker else ""
            seen(f"{name} away {away_s:g} s: all live after {live_s:.0f} s{tries}")
        crowd.is_quiet.set()
        site.centre.wait_for(lambda: crowd.waiting_count() == 0 and site.stored_count() == crowd.made_count(), 150.0)
        seen(f"{crowd.made_count()} readings of {load.agents} agents stored, each once")
