"""H.323's port, of a codec, of what takes every connection, and of hosts that are dead behind a helpful firewall."""

import asyncio
import socket

import pytest

from agent.devices.asking import Seen, look
from agent.devices.floor import PORTS
from agent.devices.kind import Device, Identity
from agent.devices.kinds.h323 import H323
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from tests.agent.devices.speaking import a_device, ask, both, mute, rude, serving
from tests.support.network import Network
from tests.support.ports import free_port


def test_a_codec_that_takes_calls_is_recognised() -> None:
    asked = ask(H323(free_port()), mute)
    assert asked.identity == Identity(kind="h323", by="H.323")
    assert asked.states == {"h323": "OK"}


def test_one_that_hangs_up_at_once_has_taken_the_call() -> None:
    assert ask(H323(free_port()), rude).states == {"h323": "OK"}


def test_nothing_is_sent_so_that_no_call_is_set_up() -> None:
    heard: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        heard.append(await reader.read())

    ask(H323(free_port()), listening)
    assert b"".join(heard) == b""


def test_what_takes_every_connection_is_no_codec() -> None:
    async def done(port: int) -> None:
        asked = await both(H323(port), a_device(port))
        assert asked.identity is None

    asyncio.run(serving(mute, done))


def test_where_nobody_listens_h323_is_off() -> None:
    asked = asyncio.run(both(H323(free_port()), a_device(free_port())))
    assert asked.failure.outcome is Outcome.REFUSED
    assert asked.failure.detail.endswith("connection refused; the host is alive")


@pytest.mark.parametrize("is_dropped", [True, False], ids=["silently", "by ICMP"])
def test_a_dead_host_behind_a_firewall_that_takes_its_calls_is_not_alive(network: Network, is_dropped: bool) -> None:  # noqa: FBT001 - a case
    verdict = "drop" if is_dropped else "reject with icmp type host-unreachable"
    network.router.nft(f"""
        table ip helper {{
            chain before {{
                type nat hook prerouting priority -100; ip daddr 10.213.2.60 tcp dport 1720 redirect to :1720
            }}
            chain forward {{ type filter hook forward priority 0; ip daddr 10.213.2.60 {verdict}; }}
        }}""")
    with network.router.do(lambda: socket.create_server(("0.0.0.0", 1720))):  # noqa: S104 - in a namespace of its own
        device = Device(host="10.213.2.60", what="device", timeout_s=3.0)
        asked = network.pc.do(lambda: asyncio.run(both(H323(), device)))
        looked_at = network.pc.do(lambda: asyncio.run(looked(device)))
    assert asked.identity is None
    assert asked.states == {"h323": "OK"}, "the firewall has taken the call"
    assert isinstance(looked_at, ProbeFailed)
    assert looked_at.detail == "device: nothing answers, neither ping nor TCP 80, 443, 554, 4352, 5060"


async def looked(device: Device) -> Seen | ProbeFailed:
    try:
        return await look(device, [H323()], lambda: 0.0, is_known=True, ports=PORTS)
    except ProbeFailed as failure:
        return failure
