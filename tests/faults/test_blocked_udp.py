"""A firewall that drops UDP, in a real network: the shipping probes measure, the shipping watch concludes."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

from agent.clock import SystemClock
from agent.probes import load_probe
from agent.taking import take_reading
from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.media.reflector import ReflectorService
from collector.rooms.registry import Agent, RegistryView, Room, Standing
from collector.settings import ReflectorSettings
from collector.watch import Watch
from contract.outcome import Outcome
from contract.plan import Job, Plan
from contract.reading import Reading
from contract.stamp import derive_key
from readiness.profile import default_profiles
from readiness.verdict import Finding
from tests.support.network import SERVER, Host, Network

SECRET: Final = b"a secret of the tests"
PORT, WEB_PORT = 8620, 4430
ROUNDS: Final = 4
START_S: Final = 1_795_500_000.0
DROPS: Final = """
table inet firewall {
    chain forward {
        type filter hook forward priority 0; policy accept;
        meta l4proto udp drop
    }
}
"""


@contextlib.contextmanager
def page(network: Network) -> Iterator[None]:
    """A TCP server beside the reflector, which lets its kernel answer."""
    with network.server.do(lambda: socket.create_server((SERVER, WEB_PORT), backlog=64)):
        yield


@contextlib.contextmanager
def reflector(network: Network) -> Iterator[None]:
    service = ReflectorService(ReflectorSettings(enabled=True, host=SERVER, port=PORT), SECRET)
    network.server.do(service.start)
    try:
        yield
    finally:
        service.stop()


@contextlib.contextmanager
def dead_reflector(network: Network) -> Iterator[None]:
    """Its port is open, and nobody reads."""
    sock = network.server.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with sock:
        sock.bind((SERVER, PORT))
        yield


def measured(host: Host, agent: str) -> list[Reading]:
    """What an agent on this host measures: a page by TCP, and test packets."""
    stamp = load_probe(
        "stamp",
        {
            "target": "lesson.centre", "address": SERVER, "port": PORT, "packets_per_s": 200.0, "duration_s": 0.1,
            "timeout_s": 0.5, "agent": agent, "key": derive_key(SECRET, agent).hex(),
        },
    )  # fmt: skip
    tcp = load_probe("tcp", {"target": "lesson-web", "address": SERVER, "port": WEB_PORT, "timeout_s": 2.0})

    async def take() -> list[Reading]:
        clock = SystemClock()
        return [(await take_reading(name, probe, clock)).reading for name, probe in (("stamp", stamp), ("tcp", tcp))]

    return host.do(lambda: asyncio.run(take()))


def room(name: str) -> Room:
    return Room(room=name, name=name, place=("Hà Giang",), province="ha-giang", profile="")


def standing(name: str) -> Agent:
    stands = (Standing(agent=name, room=name, from_s=START_S, until_s=None),)
    return Agent(
        agent=name, added_s=START_S, revoked_s=None, token_sha256="", certificate_serial="", standings=stands
    )  # fmt: skip


def concluded(readings: dict[str, list[Reading]]) -> dict[str, list[Finding]]:
    """What the watch finds in each room when its readings come again and again, a minute apart."""
    policy = Policy()
    watch = Watch(
        profiles=default_profiles(), policy=policy, incidents=Incidents(policy), told=Told(), silent_after_s=180.0
    )
    jobs = (
        Job(probe="stamp", every_s=60.0, settings={"target": "lesson.centre"}),
        Job(probe="tcp", every_s=60.0, settings={"target": "lesson-web"}),
    )
    plan = Plan(tick_s=60.0, profile="", backlog_bps=64_000.0, jobs=jobs)
    view = RegistryView(
        version=1,
        rooms={name: room(name) for name in readings},
        agents={name: standing(name) for name in readings},
        contacts={},
    )
    now = START_S
    for _ in range(ROUNDS):
        now += 60.0
        watch.set_rooms(view, lambda _: plan, now)
        for name, found in readings.items():
            watch.hear(name, "online", "", now)
            for reading in found:
                watch.fold(name, reading, now, now)
        review = watch.review(now)
    return {name: list(review.verdicts[name].findings) for name in readings}


def codes(found: list[Finding]) -> list[str]:
    return [one.code for one in found]


def test_a_firewall_that_drops_udp_is_named(network: Network) -> None:
    network.router.nft(DROPS)
    with reflector(network), page(network):
        readings = {"pc-101": measured(network.pc, "pc-101"), "pc-202": measured(network.router, "pc-202")}
    assert [one.outcome for one in readings["pc-101"]] == [Outcome.TIMEOUT, Outcome.OK]
    assert [one.outcome for one in readings["pc-202"]] == [Outcome.OK, Outcome.OK]
    found = concluded(readings)
    assert "UDP_BLOCKED" in codes(found["pc-101"])
    assert "UDP_BLOCKED" not in codes(found["pc-202"])


def test_a_dead_reflector_is_no_firewall(network: Network) -> None:
    with dead_reflector(network), page(network):
        readings = {"pc-101": measured(network.pc, "pc-101"), "pc-202": measured(network.router, "pc-202")}
    assert [[one.outcome for one in found] for found in readings.values()] == [[Outcome.TIMEOUT, Outcome.OK]] * 2
    assert [codes(found) for found in concluded(readings).values() if "UDP_BLOCKED" in codes(found)] == []


def test_a_reflector_that_does_not_run_is_no_firewall(network: Network) -> None:
    """The others are answered, as they were when it still ran; here the host says that nobody listens."""
    with page(network):
        here = measured(network.pc, "pc-101")
        with reflector(network):
            there = measured(network.router, "pc-202")
    assert [one.outcome for one in here] == [Outcome.REFUSED, Outcome.OK]
    assert "UDP_BLOCKED" not in codes(concluded({"pc-101": here, "pc-202": there})["pc-101"])


def test_a_line_that_is_dead_to_tcp_too_is_no_firewall(network: Network) -> None:
    network.router.nft(DROPS.replace("meta l4proto udp drop", "meta l4proto { tcp, udp } drop"))
    with reflector(network), page(network):
        there = measured(network.router, "pc-202")
        stamp = measured(network.pc, "pc-101")[0]
    assert stamp.outcome is Outcome.TIMEOUT
    dead = Reading(probe="tcp", target="lesson-web", outcome=Outcome.TIMEOUT)
    assert "UDP_BLOCKED" not in codes(concluded({"pc-101": [stamp, dead], "pc-202": there})["pc-101"])
