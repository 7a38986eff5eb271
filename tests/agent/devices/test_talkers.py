"""Every kind that is talked to, asked of what says anything at all, or nothing."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.devices import kind_names, load_kind
from agent.devices.asking import Seen, look
from agent.devices.floor import PORTS
from agent.devices.kind import Device, Identity, Told
from agent.devices.parts import FIGURES
from agent.probe import ProbeFailed
from contract.parts import PART_NAMES
from tests.agent.devices import test_onvif as onvif
from tests.agent.devices import test_rtsp as rtsp
from tests.agent.devices.speaking import RIGHT, Asked, Behave, a_device, ask, babbling, both, listening, mute, rude
from tests.agent.devices.test_audio import MXA, extron, shure
from tests.agent.devices.test_pjlink import ON, projector
from tests.support.network import SERVER, Network

TALKERS: Final = [name for name in kind_names() if load_kind(name).way != "snmp"]
RANGES: Final = {figure.name: figure for figure in FIGURES}
BEGINNINGS: Final = [
    b"PJLINK 0\r", b"PJLINK 1 498e4a67\r", b"%1POWR=1\r", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 \r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 401 No\r\nWWW-Authenticate: Digest nonce=\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: x;branch=\r\n\r\n", b"ESC/VP.net\x10\x03\x00\x00\x20\x00:", b"PWR=99\r:", b"ERR\r:",
    b"< REP MODEL {} >", b"< REP ERR >", b"Welcome to the Tesira Text Protocol Server\r\n", b'+OK "list":[{\r\n',
    b"-ERR\r\n", b"\xff\xfd\x18", b"\xff\xfa\x18", b"(c) Copyright 2023, Extron Electronics, X, V1\r\n", b"1.08\r\n",
    b"* Converge *\r\nuser: ", b"Authenticated", b"-> ", b"status end\r\n", b"Password: ",
    b'OK devstatus runmode "normal"\n', b'{"id":1,"result":null}\0', b'{"id":2,"result":{"Status":{"Code":1e400}}}\0',
    b"[" * 500 + b"\0", b'{"id":2,"error":{"code":10}}\0', b"\r", b"\n", b"\0", b"\xff",
]  # fmt: skip


def check(asked: Asked) -> None:
    """Nothing but what may be told, and no error but one with a sentence."""
    assert asked.identity is None or isinstance(asked.identity, Identity | ProbeFailed)
    for failure in (asked.identity, asked.told):
        if isinstance(failure, ProbeFailed):
            assert failure.detail.startswith("device 127.0.0.1: ")
            assert failure.detail.isprintable()
            assert RIGHT not in failure.detail
    if isinstance(asked.told, Told):
        assert set(asked.told.parts) <= PART_NAMES
        for name, number in asked.told.figures.items():
            assert math.isfinite(number)
            assert RANGES[name].low <= number <= RANGES[name].high


said_by_a_device = st.lists(st.one_of(st.sampled_from(BEGINNINGS), st.binary(max_size=30)), max_size=5).map(b"".join)


@pytest.mark.parametrize("name", TALKERS)
@settings(max_examples=3, deadline=None)
@given(answers=st.lists(said_by_a_device, min_size=10, max_size=10))
def test_no_answer_breaks_a_kind_or_becomes_what_cannot_be(name: str, answers: list[bytes]) -> None:
    async def ask_one(said: bytes) -> Asked:
        async def says_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)

        async with listening(says_it) as port:
            device = a_device(port, user="room", password=RIGHT, path="/x", timeout_s=1.0)
            return await both(load_kind(name), device)

    async def ask_all() -> list[Asked]:
        return await asyncio.gather(*map(ask_one, answers))

    for asked in asyncio.run(ask_all()):
        check(asked)


@pytest.mark.parametrize("name", TALKERS)
def test_what_goes_on_without_end_is_cut_off(name: str) -> None:
    check(ask(load_kind(name), babbling, user="room", password=RIGHT, path="/x", timeout_s=2.0))


def test_a_device_in_a_traceback_tells_neither_password_nor_path() -> None:
    device = a_device(1, user="room", password=RIGHT, path=f"/{RIGHT}", what="device cam")
    assert repr(device) == "Device(device cam)"
    assert repr(device.key) == "Key(room)"


def test_every_kind_that_is_talked_to_has_a_way_of_its_own() -> None:
    ways = [load_kind(name).way for name in TALKERS]
    assert len(ways) == len(set(ways)) == 15


Servers = Mapping[int, Behave]
NO_CAMERA: Final = onvif.camera(lambda _: (404, ""))


@pytest.mark.parametrize(
    ("servers", "kind", "parts"),
    [
        ({4352: projector(ON), 554: rtsp.camera(), 80: NO_CAMERA}, "pjlink", {"power", "lamp"}),
        ({2202: shure(MXA), 80: NO_CAMERA, 23: rude}, "shure", {"microphone1"}),
        ({23: extron(), 80: NO_CAMERA}, "extron", {"system"}),
        ({80: onvif.camera(onvif.clock(timedelta())), 554: rtsp.camera()}, "onvif", set()),
        ({80: NO_CAMERA, 554: rtsp.camera(), 23: mute}, "rtsp", set()),
        ({80: NO_CAMERA, 1720: mute}, "h323", {"h323"}),
        ({80: NO_CAMERA, 443: rude, 23: mute, 24: babbling}, "", set()),
    ],
    ids=["projector", "microphone", "switcher", "camera", "stream", "codec", "unknown"],
)
def test_of_all_kinds_the_one_that_says_most_is_found_at_its_usual_port(
    network: Network, servers: Servers, kind: str, parts: set[str]
) -> None:
    sockets = {port: network.server.do(lambda port=port: socket.create_server((SERVER, port))) for port in servers}  # type: ignore[misc] # mypy does not see through the default

    async def run() -> Seen:
        device = Device(host=SERVER, what="device", timeout_s=4.0)
        async with contextlib.AsyncExitStack() as stack:
            for port, sock in sockets.items():
                await stack.enter_async_context(listening(servers[port], sock))
            return await look(device, [load_kind(name) for name in TALKERS], lambda: 0.0, is_known=False, ports=PORTS)

    seen = network.pc.do(lambda: asyncio.run(run()))
    assert (seen.identity.kind if seen.identity is not None else "") == kind
    assert parts <= set(seen.told.parts)
