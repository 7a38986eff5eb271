"""Audio processors, each in its maker's own tongue, and what speaks another."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from agent.devices.kind import Identity, Kind, Told
from agent.devices.kinds.biamp_tesira import KIND as TESIRA
from agent.devices.kinds.clearone import KIND as CLEARONE
from agent.devices.kinds.extron import KIND as EXTRON
from agent.devices.kinds.qsys import KIND as QSYS
from agent.devices.kinds.shure import KIND as SHURE
from agent.devices.kinds.yamaha import KIND as YAMAHA
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from tests.agent.devices.speaking import RIGHT, WRONG, Behave, ask, mute

TELNET: Final = (TESIRA, EXTRON, CLEARONE)


# Shure


def shure(answers: Mapping[str, str], unasked: str = "") -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := (await reader.readuntil(b">")).decode().strip():
            assert said.startswith("< GET "), "nothing is ever set"
            name = said.removeprefix("< GET ").removesuffix(" >")
            answer = f"< REP {name} {answers[name]} >" if name in answers else "< REP ERR >"
            writer.write(f"{unasked}{answer}".encode())

    return behave


MXA: Final = {
    "MODEL": "{MXA910                          }",
    "FW_VER": "{4.1.2             }",
    "DEVICE_AUDIO_MUTE": "OFF",
}


def test_a_ceiling_microphone_tells_its_name_and_that_it_is_on() -> None:
    asked = ask(SHURE, shure(MXA))
    assert asked.identity == Identity(
        kind="shure", family="dsp", vendor="Shure", model="MXA910", firmware="4.1.2", by="Shure command strings"
    )
    assert asked.states == {"microphone1": "OK"}


def test_a_muted_microphone_is_muted_whatever_is_said_in_between() -> None:
    unasked = "< SAMPLE 001 002 003 >< REP 1 AUDIO_MUTE OFF >< REP 3 DEVICE_AUDIO_MUTE_LED OFF >\r\n"
    assert ask(SHURE, shure({**MXA, "DEVICE_AUDIO_MUTE": "ON"}, unasked)).states == {"microphone1": "MUTED"}


def test_one_that_cannot_be_muted_as_a_whole_says_nothing_of_it() -> None:
    asked = ask(SHURE, shure({"MODEL": "{ANI4IN}"}))
    assert isinstance(asked.identity, Identity)
    assert asked.states == {}


def test_reports_without_end_are_no_answer() -> None:
    failure = ask(SHURE, shure(MXA, "< SAMPLE 001 >" * 100)).failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith("< REP DEVICE_AUDIO_MUTE … > was expected, and came '< SAMPLE 001'")


# Biamp Tesira

NO_FAULT: Final = '"list":[{"id":INDICATOR_NONE_IN_DEVICE "name":"No fault in device" "faults":[] "serialNumber":"1"}]'
NETWORK: Final = (
    '"value":{"hostname":"T" "networkInterfaceStatusWithName":[{"interfaceId":"control" "linkStatus":LINK_1_GB}]}'
)
BANNER: Final = b"Welcome to the Tesira Text Protocol Server...\r\n\r\n"
OPTIONS: Final = b"\xff\xfd\x18\xff\xfb\x01\xff\xfa\x18\x01\xff\xf0\xff\xfe\x22\xff\xfd\x1f"
"""DO TERMINAL-TYPE, WILL ECHO, a subnegotiation, DONT LINEMODE, DO NAWS."""


def tesira(answers: Mapping[str, str], heard: list[bytes] | None = None) -> Behave:
    """Says nothing before its options are refused, as the real one does, and echoes what it is told."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPTIONS)
        refusals = await reader.readexactly(9)
        if heard is not None:
            heard.append(refusals)
        writer.write(BANNER)
        while said := (await reader.readuntil(b"\n")).decode().strip():
            assert said.startswith("DEVICE get "), "nothing is ever set"
            name = said.removeprefix("DEVICE get ")
            writer.write(f"{said}\r\n{answers.get(name, '-ERR INVALID_PARAMETER')}\r\n".encode())

    return behave


def test_a_tesira_is_well_without_faults_and_every_option_is_refused() -> None:
    heard: list[bytes] = []
    answers = {
        "version": '+OK "value":"3.14.1"',
        "activeFaultList": f"+OK {NO_FAULT}",
        "networkStatus": f"+OK {NETWORK}",
    }
    asked = ask(TESIRA, tesira(answers, heard))
    assert asked.identity == Identity(
        kind="biamp_tesira", family="dsp", vendor="Biamp", model="Tesira", firmware="3.14.1", by="Tesira Text Protocol"
    )
    assert asked.states == {"system": "OK", "network": "OK"}
    assert asked.figures == {"if_speed_bps": 1e9}
    assert heard == [b"\xff\xfc\x18\xff\xfe\x01\xff\xfc\x1f"] * 2


@pytest.mark.parametrize(
    ("faults", "states"),
    [
        (NO_FAULT, {"system": "OK"}),
        (NO_FAULT.replace("list", "value"), {"system": "OK"}),
        ('"list":[]', {"system": "OK"}),
        (NO_FAULT.replace("NONE", "MINOR"), {"system": "DEGRADED"}),
        (NO_FAULT.replace("NONE", "MAJOR"), {"system": "FAILED"}),
        (NO_FAULT.replace("INDICATOR_NONE_IN_DEVICE", '"INDICATOR_MAJOR_IN_SYSTEM"'), {"system": "FAILED"}),
        (NO_FAULT.replace('"faults":[]', '"faults":[{"id":FAULT_FAN "name":"Fan"}]'), {"system": "DEGRADED"}),
        ('"value":"none"', {}),
        ("", {}),
    ],
)
def test_faults_are_graded_as_the_device_grades_them(faults: str, states: Mapping[str, str]) -> None:
    assert ask(TESIRA, tesira({"activeFaultList": f"+OK {faults}"})).states == states


def test_a_command_that_it_does_not_know_is_left_out() -> None:
    asked = ask(TESIRA, tesira({}))
    assert isinstance(asked.identity, Identity)
    assert (asked.identity.firmware, asked.told) == ("", Told())


# Q-SYS


def qsys(engine: Mapping[str, object], login: str = "", unasked: Sequence[object] = ()) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(message: object) -> None:
            writer.write(json.dumps(message).encode() + b"\0")

        say({"jsonrpc": "2.0", "method": "EngineStatus", "params": engine})
        is_in = not login
        while said := await reader.readuntil(b"\0"):
            request = json.loads(said[:-1])
            for message in unasked:
                say(message)
            head = {"jsonrpc": "2.0", "id": request["id"]}
            assert request["method"] in ("Logon", "StatusGet"), "nothing is ever set"
            if request["method"] == "Logon":
                is_in = request["params"] == {"User": "room", "Password": login}
                say(head | ({"result": True} if is_in else {"error": {"code": 10, "message": "Logon required"}}))
            elif is_in:
                say(head | {"result": engine})
            else:
                say(head | {"error": {"code": 10, "message": "Logon required"}})

    return behave


def engine(code: int = 0, word: str = "OK", state: str = "Active") -> dict[str, object]:
    return {"Platform": "Core 110f", "State": state, "DesignName": "Room", "Status": {"Code": code, "String": word}}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (engine(), "OK"),
        (engine(1, "Compromised - 3 Compromised"), "DEGRADED"),
        (engine(2, "Fault - 1 Fault"), "FAILED"),
        (engine(4, "Missing - 1 Missing"), "FAILED"),
        (engine(5, "Initializing - 2 OK"), "UNKNOWN"),
        (engine(77, "What"), "DEGRADED"),
        (engine(state="Idle"), "DEGRADED"),
        (engine(state="Standby"), "STANDBY"),
    ],
)
def test_a_core_is_as_it_judges_itself(said: Mapping[str, object], state: str) -> None:
    asked = ask(QSYS, qsys(said))
    assert asked.identity == Identity(kind="qsys", family="dsp", vendor="QSC", model="Core 110f", by="QRC")
    assert asked.states == {"system": state}


def test_a_core_that_wants_a_login_gets_it_and_denies_another() -> None:
    assert ask(QSYS, qsys(engine(), RIGHT), user="room", password=RIGHT).states == {"system": "OK"}
    for given in ({}, {"user": "room", "password": WRONG}):
        failure = ask(QSYS, qsys(engine(), RIGHT), **given).failure
        assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)


def test_what_a_core_says_unasked_is_passed_over() -> None:
    chatter = [{"method": "ChangeGroup.Poll"}, [], 7, {"id": 99, "result": 1}]
    assert ask(QSYS, qsys(engine(), unasked=chatter)).states == {"system": "OK"}


@pytest.mark.parametrize("said", [{}, {"Status": "OK"}, {"Status": {"Code": "none"}}])
def test_a_status_that_is_none_is_nonsense(said: Mapping[str, object]) -> None:
    failure = ask(QSYS, qsys(said)).failure
    assert failure.outcome is Outcome.BROKEN
    assert ": no status of an engine: " in failure.detail


# Yamaha


def yamaha(answers: Mapping[str, str], unasked: str = "") -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := (await reader.readuntil(b"\n")).decode().strip():
            answer = f'OK {said} "{answers[said]}"' if said in answers else "ERROR devinfo UnknownCommand"
            writer.write(f"{unasked}{answer}\n".encode())

    return behave


@pytest.mark.parametrize(("mode", "state"), [("normal", "OK"), ("emergency", "DEGRADED"), ("update", "UNKNOWN")])
def test_a_mixer_tells_its_running_mode(mode: str, state: str) -> None:
    notify = 'NOTIFY set MIXER:Current/InCh/Fader/Level 0 0 -32768 "-∞"\n'
    asked = ask(YAMAHA, yamaha({"devstatus runmode": mode, "devinfo productname": "MTX3"}, notify))
    assert asked.identity == Identity(kind="yamaha", family="dsp", vendor="Yamaha", model="MTX3", by="Yamaha SCP")
    assert asked.states == {"system": state}


def test_a_mixer_without_a_name_is_one_all_the_same() -> None:
    identity = ask(YAMAHA, yamaha({"devstatus runmode": "normal"})).identity
    assert isinstance(identity, Identity)
    assert identity.model == ""


# Extron and ClearOne


def extron(password: str = "") -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\r\n(c) Copyright 2023, Extron Electronics, IN1804 DO, V1.08, 60-1699-13\r\n")
        writer.write(b"\r\nPassword:" if password else b"Mon, 09 Mar 2026 12:08:14\r\n")
        while password:
            if (await reader.readuntil(b"\r")).decode().strip() == password:
                writer.write(b"\r\nLogin User\r\n")
                break
            writer.write(b"\r\nPassword:")
        while said := await reader.readuntil(b"\r"):
            writer.write(b"1.08\r\n" if said == b"Q\r" else b"E10\r\n")

    return behave


def test_a_switcher_is_known_by_its_banner_and_obeys() -> None:
    for behave, given in ((extron(), ""), (extron(RIGHT), RIGHT)):
        asked = ask(EXTRON, behave, password=given)
        assert asked.identity == Identity(
            kind="extron", family="device", vendor="Extron", model="IN1804 DO", firmware="1.08", by="Extron SIS"
        )
        assert asked.states == {"system": "OK"}


@pytest.mark.parametrize("given", ["", WRONG])
def test_a_switcher_denies_a_wrong_password(given: str) -> None:
    failure = ask(EXTRON, extron(RIGHT), password=given).failure
    assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)


async def converge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"************\r\n* Converge *\r\n************\r\nVersion 4.2.3\r\n\r\n\r\nuser: ")
    user = (await reader.readuntil(b"\n")).decode().strip()
    writer.write(f"{user}\r\npassword: ".encode())
    given = (await reader.readuntil(b"\n")).decode().strip()
    if (user, given) != ("clearone", RIGHT):
        writer.write(b"\r\nInvalid login.\r\n\r\nuser: ")
        await mute(reader, writer)
        return
    writer.write(b"\r\nAuthenticated.\r\n")
    assert await reader.readuntil(b"\n") == b"VERSION\r\n"
    writer.write(b"\r\n> #30 VER 4.2.3\r\n")
    await mute(reader, writer)


def test_a_converge_is_known_by_its_greeting_and_lets_in_whom_it_knows() -> None:
    asked = ask(CLEARONE, converge, user="clearone", password=RIGHT)
    assert asked.identity == Identity(
        kind="clearone", family="dsp", vendor="ClearOne", model="CONVERGE", firmware="4.2.3", by="ClearOne CONVERGE"
    )
    assert asked.states == {"system": "OK"}
    assert ask(CLEARONE, converge).told == Told()
    failure = ask(CLEARONE, converge, user="clearone", password=WRONG).failure
    assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)


# What greets in another way


@pytest.mark.parametrize("greeting", [b"login: ", b"\xff\xfd\x18\r\nrouter login: ", b"Password: "])
@pytest.mark.parametrize("kind", TELNET, ids=lambda kind: kind.name)
def test_nothing_is_sent_to_a_stranger_at_the_port_of_telnet(kind: Kind, greeting: bytes) -> None:
    heard: list[bytes] = []

    async def router(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        heard.append(await reader.read())

    asked = ask(kind, router, user="room", password=RIGHT, timeout_s=0.5)
    assert asked.identity is None or isinstance(asked.identity, ProbeFailed)
    assert isinstance(asked.told, ProbeFailed)
    assert set(heard) <= {b"", b"\xff\xfc\x18"}
