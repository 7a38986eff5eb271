"""What the frame holds of every kind that logs in: a refused login rests, a stranger gets none, none goes in clear."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from agent.app import Agent
from agent.devices import kind_names, load_kind
from agent.devices.asking import Seen, look
from agent.devices.key import Key
from agent.devices.kind import Device
from agent.devices.login import Login
from agent.devices.memory import DAY_S, Memory
from agent.link import Broker
from agent.probe import ProbeFailed
from agent.probes import load_probe
from agent.settings import AgentSettings
from contract.outcome import Outcome
from contract.parts import Admission, Recognition, State
from contract.secret import Secret
from tests.agent.devices import test_onvif as onvif
from tests.agent.devices import test_rtsp as rtsp
from tests.agent.devices.certificates import certificate_of_its_own
from tests.agent.devices.speaking import PATIENT_S, RIGHT, WRONG, Behave, listening, mute, rude
from tests.agent.devices.test_audio import BANNER, converge, engine, extron, qsys
from tests.agent.devices.test_cisco_xapi import CE, codec
from tests.agent.devices.test_epson_and_poly import ON as EPSON_ON
from tests.agent.devices.test_epson_and_poly import STATUS, epson, poly
from tests.agent.devices.test_memory import Hand
from tests.agent.devices.test_pjlink import ON, projector
from tests.agent.made import plan_of
from tests.support.ports import LOOPBACK, free_port


class LogsIn(NamedTuple):
    """A device of a kind that wants `RIGHT`, and how one sees that somebody has sent a login."""

    behave: Behave
    sign: bytes
    """Found in what the device hears, once for each login."""
    user: str = "room"
    path: str = ""
    goes_in_clear: bool = False
    is_tls: bool = False
    tells_strangers: frozenset[str] = frozenset()
    """Parts and figures that are measured without a login."""


PASSWORD: Final = f"(?:{RIGHT}|{WRONG})\r".encode()
DIGEST: Final = rtsp.LOGINS["digest"]
KINDS: Final = {
    "onvif": LogsIn(
        onvif.camera(onvif.clock(timedelta(), RIGHT)),
        rb"<o:Username>",
        tells_strangers=frozenset({"device_clock_offset_s"}),
    ),
    "rtsp": LogsIn(rtsp.camera(login=DIGEST), rb"Authorization: Digest", user=rtsp.USER, path="/stream1"),
    "cisco_xapi": LogsIn(codec(CE), rb"Authorization: Basic", user="viewer", is_tls=True),
    "poly_api": LogsIn(poly(STATUS, RIGHT, greeting=b"Polycom RealPresence"), PASSWORD, goes_in_clear=True),
    "pjlink": LogsIn(projector(ON, password=RIGHT), rb"[0-9a-f]{32}%1POWR"),
    "extron": LogsIn(extron(RIGHT), PASSWORD, goes_in_clear=True),
    "qsys": LogsIn(qsys(engine(), RIGHT), rb'"Logon"', goes_in_clear=True),
    "clearone": LogsIn(converge, rb"clearone\r\n", user="clearone", goes_in_clear=True),
    "epson_escvp": LogsIn(epson(EPSON_ON, password=RIGHT), rb"\x01\x01\x01[a-z]", goes_in_clear=True),
}  # fmt: skip


def test_every_kind_that_logs_in_is_held_to_it() -> None:
    assert set(KINDS) == {name for name in kind_names() if load_kind(name).logs_in}


class Ear:
    """Hears all that a device is sent."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.visits = asyncio.Semaphore(0)
        """Released for each connection."""

    def logins(self, one: LogsIn) -> int:
        return len(re.findall(one.sign, self.heard))

    def at(self, behave: Behave) -> Behave:
        async def overheard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            through = asyncio.StreamReader()
            self.visits.release()

            async def hand_on() -> None:
                while said := await reader.read(65536):
                    self.heard += said
                    through.feed_data(said)
                through.feed_eof()

            handing = asyncio.ensure_future(hand_on())
            try:
                await behave(through, writer)
            finally:
                handing.cancel()
                await asyncio.gather(handing, return_exceptions=True)

        return overheard


@contextlib.asynccontextmanager
async def served(one: LogsIn, behave: Behave, certificate: Path | None = None, port: int = 0) -> AsyncIterator[int]:
    context: ssl.SSLContext | None = None
    if one.is_tls:
        assert certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    async with listening(behave, socket.create_server((LOOPBACK, port)), tls=context) as where:
        yield where


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_of_its_own(tmp_path_factory.mktemp("device") / "own.pem")


@pytest.fixture(scope="module")
def strange_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_of_its_own(tmp_path_factory.mktemp("stranger") / "own.pem")


async def visit(
    name: str, port: int, memory: Memory, password: str, *, cleartext: bool = True, timeout_s: float = PATIENT_S,
    pinned: str = "",
) -> Seen | ProbeFailed:  # fmt: skip
    """One measurement by the plan."""
    one = KINDS[name]
    key = Key(Login(one.user, Secret(password)), memory, cleartext=cleartext, certificate=pinned)
    device = Device(host=LOOPBACK, what="device", timeout_s=timeout_s, port=port, path=one.path, key=key)
    try:
        return await look(device, [load_kind(name)], lambda: 0.0, is_known=True, ports=(port,))
    except ProbeFailed as failure:
        return failure


def admission(seen: Seen | ProbeFailed) -> Admission | None:
    assert isinstance(seen, Seen), seen
    assert seen.recognition is Recognition.RECOGNISED
    return seen.admission


@pytest.mark.parametrize("name", KINDS)
def test_a_refused_login_is_not_sent_again_until_it_changes_or_a_day_has_passed(
    name: str, certificate: Path, tmp_path: Path
) -> None:
    one, ear, hand, file = KINDS[name], Ear(), Hand(), tmp_path / "devices.json"

    async def run() -> None:
        async with served(one, ear.at(one.behave), certificate) as port:
            first = await visit(name, port, Memory(file, hand), WRONG)
            assert (admission(first), ear.logins(one)) == (Admission.REFUSED, 1)
            for _ in range(3):  # the agent was restarted in between
                hand.goes_on(60)
                seen = await visit(name, port, Memory(file, hand), WRONG)
                assert admission(seen) is Admission.REFUSED
                assert isinstance(seen, Seen)
                assert "refused the login before; it is not sent for 24 h, or until it is changed" in seen.refusal
                assert one.tells_strangers <= {*seen.told.parts, *seen.told.figures}
            assert ear.logins(one) == 1
            hand.goes_on(DAY_S)
            assert admission(await visit(name, port, Memory(file, hand), WRONG)) is Admission.REFUSED
            assert ear.logins(one) == 2
            assert admission(await visit(name, port, Memory(file, hand), RIGHT)) is Admission.ACCEPTED
            assert admission(await visit(name, port, Memory(file, hand), RIGHT)) is Admission.ACCEPTED

    asyncio.run(run())
    assert WRONG.encode() not in file.read_bytes()


@pytest.mark.parametrize("name", [name for name, one in KINDS.items() if one.goes_in_clear])
def test_a_password_goes_over_the_network_as_it_is_only_where_the_plan_says_so(name: str) -> None:
    one, ear = KINDS[name], Ear()

    async def run() -> Seen | ProbeFailed:
        async with served(one, ear.at(one.behave)) as port:
            return await visit(name, port, Memory(), RIGHT, cleartext=False)

    seen = asyncio.run(run())
    assert admission(seen) is Admission.UNSENT
    assert isinstance(seen, Seen)
    assert seen.refusal.endswith("takes the login only in clear, and it is not sent so without cleartext = true")
    assert RIGHT.encode() not in ear.heard


def stranger(said: bytes) -> Behave:
    """Says this to whoever comes, then takes all that it is given."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await mute(reader, writer)

    return behave


async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Of a printer, say: wants a login for everything, by Basic."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="Printer"\r\nContent-Length: 0\r\n\r\n')


STRANGERS: Final = {
    "telnet": stranger(b"\r\nrouter login: "),
    "password": stranger(b"\r\nPassword: "),
    "tesira": stranger(BANNER),
    "ssh": stranger(b"SSH-2.0-dropbear\r\n"),
    "web": web_server,
    "rude": rude,
    "projector": projector({**ON, "%1INF1": "other"}),
}


ASKS_FIRST: Final = {("cisco_xapi", "web"), ("poly_api", "password")}
"""Kinds whose own devices may ask for the login just so."""


@pytest.mark.parametrize("other", STRANGERS)
@pytest.mark.parametrize("name", KINDS)
def test_whoever_else_has_the_devices_address_now_gets_no_login(name: str, other: str, certificate: Path) -> None:
    one, ear = KINDS[name], Ear()

    async def run() -> Seen | ProbeFailed:
        async with served(one, ear.at(STRANGERS[other]), certificate) as port:
            return await visit(name, port, Memory(), RIGHT, timeout_s=0.5)

    seen = asyncio.run(run())
    assert RIGHT.encode() not in ear.heard
    assert ear.logins(one) == 0
    if (name, other) in ASKS_FIRST:
        assert isinstance(seen, Seen)
        assert (seen.recognition, seen.admission) == (Recognition.UNIDENTIFIED, Admission.UNSENT)
        assert seen.refusal.endswith(
            "wants a login before it shows that it is of the plan's kind; the login is not sent"
        )
    elif isinstance(seen, Seen) and (name, other) != ("pjlink", "projector"):
        assert (seen.recognition, seen.admission) == (Recognition.SILENT, None)


def test_a_certificate_that_changes_gets_no_login_until_the_plan_names_it(
    certificate: Path, strange_certificate: Path
) -> None:
    one, ear, memory = KINDS["cisco_xapi"], Ear(), Memory()

    async def run() -> None:
        async with served(one, one.behave, certificate) as port:
            assert admission(await visit("cisco_xapi", port, memory, RIGHT, cleartext=False)) is Admission.ACCEPTED
            known = memory.certificate_of(f"xapi {LOOPBACK}:{port}")
            assert re.fullmatch("[0-9a-f]{64}", known)
        # The same address, a name that is right, and another certificate.
        async with served(one, ear.at(one.behave), strange_certificate, port):
            seen = await visit("cisco_xapi", port, memory, RIGHT)
            assert (admission(seen), ear.logins(one)) == (Admission.UNSENT, 0)
            assert isinstance(seen, Seen)
            found = re.search(r"another certificate \(SHA-256 ([0-9a-f]{64})\) than the known one", seen.refusal)
            assert found is not None
            named = await visit("cisco_xapi", port, memory, RIGHT, pinned=found[1])
            assert admission(named) is Admission.ACCEPTED
            assert memory.certificate_of(f"xapi {LOOPBACK}:{port}") == found[1]
            assert admission(await visit("cisco_xapi", port, memory, RIGHT)) is Admission.ACCEPTED
            assert admission(await visit("cisco_xapi", port, memory, RIGHT, pinned=known)) is Admission.UNSENT

    asyncio.run(run())


def test_a_certificate_is_not_known_before_it_has_let_us_in(certificate: Path) -> None:
    one, memory = KINDS["cisco_xapi"], Memory()

    async def run() -> None:
        async with served(one, one.behave, certificate) as port:
            assert admission(await visit("cisco_xapi", port, memory, WRONG)) is Admission.REFUSED
            assert memory.certificate_of(f"xapi {LOOPBACK}:{port}") == ""

    asyncio.run(run())


def hangs_up(behave: Behave, one: LogsIn) -> Behave:
    """The same device, which says no by hanging up."""

    async def behaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        through, heard = asyncio.StreamReader(), bytearray()

        async def hand_on() -> None:
            while said := await reader.read(65536):
                heard.extend(said)
                if re.search(one.sign, heard):
                    writer.transport.abort()
                    return
                through.feed_data(said)
            through.feed_eof()

        handing = asyncio.ensure_future(hand_on())
        try:
            await behave(through, writer)
        finally:
            handing.cancel()
            await asyncio.gather(handing, return_exceptions=True)

    return behaves


@pytest.mark.parametrize("name", KINDS)
def test_a_device_that_hangs_up_on_the_login_is_not_hammered(name: str, certificate: Path) -> None:
    one, ear, hand = KINDS[name], Ear(), Hand()
    memory = Memory(None, hand)

    async def run() -> None:
        async with served(one, ear.at(hangs_up(one.behave, one)), certificate) as port:
            failure = await visit(name, port, memory, RIGHT)
            assert isinstance(failure, ProbeFailed), failure
            assert (failure.outcome, ear.logins(one)) == (Outcome.BROKEN, 1)
            for minutes in (1, 1, 1, 2, 5, 5, 5, 5, 5):
                hand.goes_on(minutes * 60)
                seen = await visit(name, port, memory, RIGHT)
                if isinstance(seen, Seen):
                    assert seen.admission is Admission.UNSENT
                    assert "did not answer the login before; it is not sent for " in seen.refusal
        assert ear.logins(one) == 4, "in half an hour"

    asyncio.run(run())


@pytest.mark.parametrize("name", KINDS)
def test_without_a_login_in_the_plan_it_is_said_to_be_wanted(name: str, certificate: Path) -> None:
    one, ear = KINDS[name], Ear()

    async def run() -> Seen | ProbeFailed:
        async with served(one, ear.at(one.behave), certificate) as port:
            device = Device(host=LOOPBACK, what="device", timeout_s=PATIENT_S, port=port, path=one.path)
            return await look(device, [load_kind(name)], lambda: 0.0, is_known=True, ports=(port,))

    seen = asyncio.run(run())
    assert ear.logins(one) == 0
    if name in ("onvif", "clearone"):  # they have nothing that they would need it for
        assert admission(seen) is None
    else:
        assert admission(seen) is Admission.WANTED
        assert isinstance(seen, Seen)
        assert "and the plan has none" in seen.refusal


def test_whoever_wants_no_login_gets_none_though_the_plan_has_one() -> None:
    one, ear = KINDS["pjlink"], Ear()

    async def run() -> Seen | ProbeFailed:
        async with served(one, ear.at(projector(ON))) as port:
            return await visit("pjlink", port, Memory(), RIGHT)

    seen = asyncio.run(run())
    assert (admission(seen), ear.logins(one)) == (None, 0)
    assert isinstance(seen, Seen)
    assert seen.told.parts["power"] is State.OK


def test_a_measurement_that_is_cut_off_amid_the_login_remembers_it(tmp_path: Path) -> None:
    hand, file = Hand(), tmp_path / "devices.json"

    async def run() -> None:
        was_sent = asyncio.Event()

        async def falls_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"PJLINK 1 498e4a67\r")
            await reader.readuntil(b"\r")
            was_sent.set()
            await mute(reader, writer)

        async with listening(falls_silent) as port:
            visiting = asyncio.ensure_future(visit("pjlink", port, Memory(file, hand), RIGHT))
            async with asyncio.timeout(PATIENT_S):
                await was_sent.wait()
            visiting.cancel()
            await asyncio.gather(visiting, return_exceptions=True)
            seen = await visit("pjlink", port, Memory(file, hand), RIGHT)
            assert admission(seen) is Admission.UNSENT

    asyncio.run(run())


def test_an_agent_that_is_started_anew_sends_a_refused_login_no_more(tmp_path: Path) -> None:
    """The whole agent, which measures each second and reaches no broker."""
    one, ear = KINDS["pjlink"], Ear()
    settings = AgentSettings(agent="pc-1", broker=Broker(host=LOOPBACK, port=free_port(), tls=False), data_dir=tmp_path)

    async def run() -> None:
        async with served(one, ear.at(one.behave)) as port:
            job = {"name": "device", "target": "projector", "address": LOOPBACK, "kind": "pjlink", "port": port}
            quick = {"password": WRONG, "every_s": 1, "timeout_s": 0.15, "retries": 0}
            (tmp_path / "plan.json").write_bytes(plan_of({**job, **quick}, tick_s=1))
            for _ in range(2):
                heard, ear.visits = 0, asyncio.Semaphore(0)
                agent = Agent(settings, load_probe=load_probe)
                running = asyncio.ensure_future(agent.run())
                async with asyncio.timeout(60):
                    while heard < 7:  # three measurements at the least
                        await ear.visits.acquire()
                        heard += 1
                agent.stop("service_stop")
                await running

    asyncio.run(run())
    assert ear.logins(one) == 1
