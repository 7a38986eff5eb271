"""PJLink, of projectors that keep to it and of such that do not."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping

import pytest

from agent.devices.asking import Seen, look
from agent.devices.kind import Identity
from agent.devices.kinds.pjlink import KIND
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import Recognition
from tests.agent.devices.speaking import (
    HASTY_S,
    REFUSED,
    RIGHT,
    WANTED,
    WRONG,
    Behave,
    a_device,
    ask,
    babbling,
    mute,
    rude,
    seen,
)
from tests.support.ports import LOOPBACK

ON = {
    "%1POWR": "1", "%1ERST": "000000", "%1LAMP": "1234 1", "%1INPT": "31", "%1AVMT": "30", "%1CLSS": "1",
    "%1INF1": "MadeUp", "%1INF2": "X-100",
}  # fmt: skip
STANDBY = {**ON, "%1POWR": "0", "%1INPT": "ERR3", "%1AVMT": "ERR3", "%1LAMP": "1234 0"}
CLASS_2 = {**ON, "%1CLSS": "2", "%2FILT": "321"}
NUMBER = "498e4a67"


def projector(answers: Mapping[str, str], *, password: str = "", end: str = "\r", silent: str = "") -> Behave:
    """Answers as told, ERR1 to what it does not know, and nothing at all to `silent`."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"PJLINK 1 {NUMBER}{end}".encode() if password else f"PJLINK 0{end}".encode())
        wanted = hashlib.md5(f"{NUMBER}{password}".encode()).hexdigest() if password else ""  # noqa: S324 - PJLink's
        while True:
            said = (await reader.readuntil(b"\r")).decode().removesuffix("\r")
            if not said.startswith(wanted):
                writer.write(f"PJLINK ERRA{end}".encode())
                return
            command = said.removeprefix(wanted).removesuffix(" ?")
            wanted = ""
            if command != silent:
                writer.write(f"{command}={answers.get(command, 'ERR1')}{end}".encode())

    return behave


def test_a_projector_that_is_on_tells_of_its_parts() -> None:
    asked = ask(KIND, projector(ON))
    assert asked.identity == Identity(
        kind="pjlink", family="projector", vendor="MadeUp", model="X-100", by="PJLink class 1"
    )
    well = ("power", "fan", "lamp", "temperature", "cover", "filter", "system", "screen1", "speaker1")
    assert asked.states == dict.fromkeys(well, "OK")
    assert asked.figures == {"lamp_used_h": 1234, "input_code": 31}


def test_standby_is_no_fault() -> None:
    asked = ask(KIND, projector(STANDBY))
    assert asked.states["power"] == "STANDBY"
    assert set(asked.states.values()) == {"STANDBY", "OK"}
    assert asked.figures == {"lamp_used_h": 1234}


@pytest.mark.parametrize(("said", "state"), [("0", "STANDBY"), ("1", "OK"), ("2", "STANDBY"), ("3", "STANDBY")])
def test_cooling_and_warming_are_standby(said: str, state: str) -> None:
    assert ask(KIND, projector({**ON, "%1POWR": said})).states["power"] == state


@pytest.mark.parametrize("place", range(6))
def test_each_digit_of_erst_is_a_part_of_its_own(place: int) -> None:
    part = ("fan", "lamp", "temperature", "cover", "filter", "system")[place]
    for digit, state in (("1", "DEGRADED"), ("2", "FAILED")):
        states = ask(KIND, projector({**ON, "%1ERST": "0" * place + digit + "0" * (5 - place)})).states
        assert {name for name, one in states.items() if one != "OK"} == {part}
        assert states[part] == state


@pytest.mark.parametrize(
    ("said", "screen", "speaker"),
    [("31", "MUTED", "MUTED"), ("30", "OK", "OK"), ("11", "MUTED", "OK"), ("21", "OK", "MUTED")],
)
def test_picture_and_sound_are_muted_each_for_itself(said: str, screen: str, speaker: str) -> None:
    states = ask(KIND, projector({**ON, "%1AVMT": said})).states
    assert (states["screen1"], states["speaker1"]) == (screen, speaker)


def test_of_several_lamps_the_oldest_counts() -> None:
    assert ask(KIND, projector({**ON, "%1LAMP": "100 1 2750 0"})).figures["lamp_used_h"] == 2750


def test_a_laser_has_no_lamp_hours() -> None:
    asked = ask(KIND, projector({**ON, "%1LAMP": "ERR1"}))
    assert "lamp_used_h" not in asked.figures
    assert asked.states["power"] == "OK"


def test_a_projector_that_reports_its_own_failure_has_failed() -> None:
    states = ask(KIND, projector({**ON, "%1POWR": "ERR4"})).states
    assert states["system"] == "FAILED"
    assert "power" not in states


def test_class_2_tells_of_its_filter() -> None:
    asked = ask(KIND, projector(CLASS_2))
    assert isinstance(asked.identity, Identity)
    assert asked.identity.by == "PJLink class 2"
    assert asked.figures["filter_used_h"] == 321


def test_the_password_goes_as_a_hash_once() -> None:
    asked = ask(KIND, projector(ON, password=RIGHT), password=RIGHT)
    assert asked.states["power"] == "OK"
    assert isinstance(asked.identity, Identity)
    assert (asked.identity.vendor, asked.identity.model) == ("MadeUp", "X-100")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [(WRONG, REFUSED), ("", WANTED)],
    ids=["wrong", "none"],
)
def test_without_the_right_password_it_is_denied_and_no_password_is_told(given: str, sentence: str) -> None:
    asked = ask(KIND, projector(ON, password=RIGHT), password=given)
    assert asked.identity == Identity(kind="pjlink", family="projector", by="PJLink class 1"), "by its greeting"
    failure = asked.failure
    assert failure.outcome is Outcome.DENIED
    assert failure.detail.startswith("device 127.0.0.1: pjlink ")
    assert failure.detail.endswith(sentence)
    assert WRONG not in failure.detail


@pytest.mark.parametrize("behave", [mute, rude], ids=["mute", "rude"])
def test_one_that_is_busy_with_somebody_else_is_not_down(behave: Behave) -> None:
    found = seen(KIND, behave, timeout_s=HASTY_S)
    assert isinstance(found, Seen)
    assert found.recognition is Recognition.SILENT


def test_one_that_is_busy_only_at_first_is_asked_again() -> None:
    talks = 0

    async def busy_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal talks
        talks += 1
        if talks == 2:
            return  # to the first try of `ask`
        await projector(ON)(reader, writer)

    assert ask(KIND, busy_at_first).states["power"] == "OK"
    assert talks == 3


def test_one_that_refuses_the_second_client_is_busy_and_not_down() -> None:
    async def run() -> ProbeFailed:
        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.close()  # whoever comes next is refused
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await projector(ON)(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve_one, LOOPBACK, 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProbeFailed) as caught:
            await look(a_device(port), [KIND], lambda: 0.0, is_known=True, ports=(port,))
        return caught.value

    failure = asyncio.run(run())
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith("connection refused; the host is alive")


@pytest.mark.parametrize(
    "answers",
    [
        {**ON, "%1ERST": "00000"},
        {**ON, "%1ERST": "0000003"},
        {**ON, "%1ERST": "OK"},
        {**ON, "%1LAMP": "many 1"},
        {**ON, "%1LAMP": "999999999 1"},
        {**ON, "%1INPT": "digital"},
        {**ON, "%1AVMT": "99"},
    ],
    ids=lambda answers: str(set(answers.items()) - set(ON.items())),
)
def test_an_answer_that_means_nothing_is_left_out(answers: Mapping[str, str]) -> None:
    asked = ask(KIND, projector(answers))
    assert asked.states["power"] == "OK"
    assert len(asked.states) + len(asked.figures) < 11


def test_lines_may_end_as_they_like_and_commands_be_small() -> None:
    small = {command: answer.lower() for command, answer in ON.items()}
    assert ask(KIND, projector(small, end="\r\n")).states["power"] == "OK"


def test_one_that_has_no_word_for_what_it_does_not_know_is_read_all_the_same() -> None:
    asked = ask(KIND, projector(ON, silent="%1LAMP"), timeout_s=1.0)
    assert (asked.states["power"], asked.states["fan"]) == ("OK", "OK")
    assert "lamp_used_h" not in asked.figures


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"220 mail.example ESMTP\r\n", "PJLink's greeting was expected, and came '220 mail.example ESMTP'"),
        (b"PJLINK\r", "PJLink's greeting was expected, and came 'PJLINK'"),
        (b"\xff\xfb\x01\r", "PJLink's greeting was expected, and came"),
    ],
    ids=["smtp", "half", "telnet"],
)
def test_what_greets_in_another_way_is_no_projector(greeting: bytes, sentence: str) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await mute(reader, writer)

    asked = ask(KIND, behave)
    assert asked.failure.outcome is Outcome.BROKEN
    assert sentence in asked.failure.detail


def test_half_a_greeting_is_said_to_be_half() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"PJLI")
        await writer.drain()

    failure = ask(KIND, behave).failure
    assert (failure.outcome, failure.detail.partition(": pjlink ")[0]) == (Outcome.BROKEN, "device 127.0.0.1")
    assert failure.detail.endswith("closed the connection before it had answered")


def test_a_greeting_without_end_is_cut_off() -> None:
    failure = ask(KIND, babbling).failure
    assert failure.detail.endswith("sent a line of more than 16384 bytes")


def test_a_login_of_a_later_class_is_denied_and_not_guessed() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PJLINK 2 0123456789abcdef0123456789abcdef\r")
        await mute(reader, writer)

    assert ask(KIND, behave, password=RIGHT).failure.outcome is Outcome.DENIED
