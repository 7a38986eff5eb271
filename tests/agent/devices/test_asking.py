"""Devices that are talked to, beside those that answer SNMP: a made-up protocol on loopback stands for all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest

from agent.conversation import converse
from agent.devices.asking import Seen, look
from agent.devices.kind import Device, Identity, Kind, Told
from agent.endpoint import Endpoint
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import Recognition, State
from tests.support.ports import LOOPBACK, free_port

TIMEOUT_S: Final = 1.0
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Parrot:
    """Says `HELLO <model>` when connected to, `MIC OK` or `MIC MUTED` when asked, `NO` to a wrong password."""

    is_generic = False
    logs_in = False
    signs: Sequence[str] = ()

    def __init__(self, name: str = "parrot", way: str = "parrot") -> None:
        self.name = name
        self.way = way

    async def recognise(self, device: Device) -> Identity | None:
        async with converse(Endpoint(device.host, device.port or 1), device.what, device.timeout_s) as (reader, _):
            said = (await reader.readline()).decode().split()
        if said[:1] == ["NO"]:
            raise ProbeFailed(Outcome.DENIED, f"{device.what}: wants another password")
        if said[:1] != ["HELLO"]:
            return None
        return Identity(kind=self.name, family="dsp", vendor="Parrot", model=said[1], by="its greeting")

    async def ask(self, device: Device) -> Told:
        async with converse(Endpoint(device.host, device.port or 1), device.what, device.timeout_s) as (reader, writer):
            await reader.readline()
            writer.write(b"MIC?\n")
            said = (await reader.readuntil(b"\n")).decode().strip()
        return Told(parts={"microphone1": State.MUTED if said.endswith("MUTED") else State.OK})


def talk(
    behave: Behave | None, kinds: Sequence[Kind], *, is_known: bool = False, timeout_s: float = TIMEOUT_S
) -> Seen | ProbeFailed:
    """Look at a device that behaves so (None: nobody listens at its port), as one of these kinds."""

    async def run() -> Seen | ProbeFailed:
        server = None if behave is None else await asyncio.start_server(behave, LOOPBACK, 0)
        port = free_port() if server is None else server.sockets[0].getsockname()[1]
        device = Device(host=LOOPBACK, what="device", timeout_s=timeout_s, port=port)
        try:
            return await look(device, kinds, time.monotonic, is_known=is_known, ports=(port,))
        except ProbeFailed as failure:
            return failure
        finally:
            if server is not None:
                server.close()

    return asyncio.run(run())


def speaking(*lines: bytes) -> Behave:
    """Greets with the first line, and answers each line with the next."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in lines:
            writer.write(line)
            if not await reader.readline():
                break
        writer.close()

    return behave


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("is_known", [False, True])
def test_a_device_that_is_talked_to_tells_of_its_parts(is_known: bool) -> None:  # noqa: FBT001 - a case
    seen = talk(speaking(b"HELLO P300\n", b"MIC MUTED\n"), [Parrot()], is_known=is_known)
    assert isinstance(seen, Seen)
    assert (seen.recognition, seen.alive_by) == (Recognition.RECOGNISED, "parrot")
    assert seen.identity == Identity(kind="parrot", family="dsp", vendor="Parrot", model="P300", by="its greeting")
    assert seen.told.parts == {"microphone1": State.MUTED}
    assert seen.response_s is not None


def test_what_greets_in_another_tongue_is_there_and_silent() -> None:
    seen = talk(speaking(b"220 mail.example\n"), [Parrot()])
    assert isinstance(seen, Seen)
    assert (seen.recognition, seen.identity, seen.silent_to) == (Recognition.SILENT, None, ("parrot",))


@pytest.mark.parametrize("is_known", [False, True])
def test_a_port_that_nobody_listens_at_is_no_loss_of_the_device(is_known: bool) -> None:  # noqa: FBT001 - a case
    seen = talk(None, [Parrot()], is_known=is_known)
    assert isinstance(seen, Seen)
    assert seen.recognition is Recognition.SILENT


def test_a_wrong_password_is_denied_and_no_silence() -> None:
    failure = talk(speaking(b"NO\n"), [Parrot()])
    assert isinstance(failure, ProbeFailed)
    assert (failure.outcome, failure.detail) == (Outcome.DENIED, "device: wants another password")


def test_one_that_stops_amid_its_answers_is_not_taken_for_lost() -> None:
    async def greets_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HELLO P300\n")
        await silent(reader, writer)

    failure = talk(greets_only, [Parrot()], timeout_s=0.3)
    assert isinstance(failure, ProbeFailed)
    assert failure.outcome is Outcome.BROKEN


def test_kinds_that_get_no_answer_are_waited_for_together() -> None:
    class Counted(Parrot):
        """Counts how many of its like wait at once."""

        waiting = 0
        most = 0

        async def recognise(self, device: Device) -> Identity | None:
            Counted.waiting += 1
            Counted.most = max(Counted.most, Counted.waiting)
            try:
                return await super().recognise(device)
            finally:
                Counted.waiting -= 1

    talkers = [Counted(f"parrot{number}") for number in range(5)]
    seen = talk(silent, talkers, timeout_s=0.3)
    assert isinstance(seen, Seen)
    assert seen.recognition is Recognition.SILENT
    assert Counted.most == len(talkers)


def test_a_kind_that_never_ends_is_cut_off() -> None:
    class Endless(Parrot):
        async def recognise(self, device: Device) -> Identity | None:
            del device
            await asyncio.sleep(3600)
            return None

    seen = talk(speaking(b"HELLO P300\n", b"MIC OK\n"), [Endless("endless"), Parrot()], timeout_s=0.5)
    assert isinstance(seen, Seen)
    assert seen.identity is not None
    assert seen.identity.kind == "parrot"
    assert seen.told.parts == {"microphone1": State.OK}
