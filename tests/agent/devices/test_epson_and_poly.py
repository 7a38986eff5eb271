"""Epson's ESC/VP.net and Polycom's command line."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from agent.devices.kind import Identity
from agent.devices.kinds.epson_escvp import KIND as EPSON
from agent.devices.kinds.poly_api import KIND as POLY
from contract.outcome import Outcome
from tests.agent.devices.speaking import RIGHT, WRONG, Behave, ask

ON: Final = {"PWR": "01", "ERR": "00", "LAMP": "1234", "MUTE": "OFF"}


def epson(answers: Mapping[str, str], *, password: str = "", status: int = 0x20, colon: bytes = b"") -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(16)
        assert head[:15] == b"ESC/VP.net\x10\x03\x00\x00\x00"
        given = b""
        if head[15]:
            assert await reader.readexactly(2) == b"\x01\x01"
            given = (await reader.readexactly(16)).rstrip(b"\0")
        said = (0x43 if given else 0x41) if given != password.encode() else status
        writer.write(b"ESC/VP.net\x10\x03\x00\x00" + bytes([said, 0]) + colon)
        while said == 0x20:
            key = (await reader.readuntil(b"\r")).decode().removesuffix("?\r")
            writer.write(f"{key}={answers[key]}\r:".encode() if key in answers else b"ERR\r:")

    return behave


@pytest.mark.parametrize(
    "colon", [b"", b":", b"IMEVENT=0001 02 00000002 00000000 T1 F1\r:"], ids=["none", "one", "event"]
)
def test_a_projector_that_is_on_is_well(colon: bytes) -> None:
    asked = ask(EPSON, epson(ON, colon=colon))
    assert asked.identity == Identity(kind="epson_escvp", family="projector", vendor="Epson", by="ESC/VP.net")
    well = ("power", "system", "fan", "lamp", "temperature", "cover", "filter", "screen1")
    assert asked.states == dict.fromkeys(well, "OK")
    assert asked.figures == {"lamp_used_h": 1234}


@pytest.mark.parametrize(
    ("said", "state"),
    [("00", "STANDBY"), ("01", "OK"), ("02", "STANDBY"), ("03", "STANDBY"), ("04", "STANDBY"), ("05", "FAILED")],
)
def test_standby_is_no_fault_and_a_fault_is_one(said: str, state: str) -> None:
    assert ask(EPSON, epson({"PWR": said})).states == {"power": state}


@pytest.mark.parametrize(
    ("error", "part"), [("01", "fan"), ("04", "temperature"), ("06", "lamp"), ("0C", "filter"), ("0B", "system")]
)
def test_an_error_names_its_part(error: str, part: str) -> None:
    states = ask(EPSON, epson({**ON, "ERR": error})).states
    assert {name for name, state in states.items() if state == "FAILED"} == {part}


def test_a_projector_with_a_password_lets_in_whoever_has_it() -> None:
    assert ask(EPSON, epson(ON, password=RIGHT), password=RIGHT).states["power"] == "OK"
    for given in ("", WRONG):
        failure = ask(EPSON, epson(ON, password=RIGHT), password=given).failure
        assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)


def test_a_busy_projector_says_so() -> None:
    failure = ask(EPSON, epson(ON, status=0x53)).failure
    assert failure.detail.endswith("is busy with somebody else")


GREETING: Final = (
    "Hi, my name is :    Room 101\r\nHere is what I know about myself:\r\nModel: VSX 7000\r\n"
    "Serial Number: 82000000\r\nSoftware Version: Release 9.0.6\r\n"
)
STATUS: Final = (
    "inacall offline\r\nautoanswerp2p online\r\nmicrophones online\r\nipnetwork online\r\ngatekeeper offline\r\n"
    "sipserver online\r\nlogthreshold offline\r\nstatus end\r\n"
)


def poly(status: str, password: str = "", greeting: bytes = b"") -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while password:
            writer.write(b"\r\nPassword: ")
            if (await reader.readuntil(b"\r")).decode().strip() == password:
                break
        writer.write(f"{GREETING}-> ".encode())
        while said := await reader.readuntil(b"\r"):
            assert said == b"status\r", "no other command is given"
            writer.write(f"status\r\n{status}-> ".encode())

    return behave


@pytest.mark.parametrize("password", ["", RIGHT])
def test_a_codec_tells_what_is_online(password: str) -> None:
    asked = ask(POLY, poly(STATUS, password), password=password)
    assert asked.identity == Identity(
        kind="poly_api",
        family="codec",
        vendor="Poly",
        model="VSX 7000",
        firmware="Release 9.0.6",
        by="Polycom API",
    )
    assert asked.states == {
        "microphone1": "OK", "network": "OK", "h323_registration": "DISABLED", "sip_registration": "OK",
    }  # fmt: skip
    assert asked.figures == {"call_active_bool": 0}


def test_a_codec_in_a_call_says_so() -> None:
    assert ask(POLY, poly(STATUS.replace("inacall offline", "inacall online"))).figures == {"call_active_bool": 1}


@pytest.mark.parametrize("given", ["", WRONG])
def test_a_codec_denies_a_wrong_password(given: str) -> None:
    failure = ask(POLY, poly(STATUS, RIGHT), password=given).failure
    assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)


def test_a_status_without_end_is_nonsense() -> None:
    failure = ask(POLY, poly("inacall offline\r\n" * 100)).failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith("status end was expected, and came 'inacall offline'")
