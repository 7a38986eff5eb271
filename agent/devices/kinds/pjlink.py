"""PJLink, class 1 and 2 (JBMIA): projectors and displays of most makers, by TCP 4352.

It serves one client at a time, and in standby some switch their network off: neither is a fault.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from agent.devices.kind import Device, Identity, Told
from agent.devices.login import Login
from agent.devices.parts import plausible
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, talk
from agent.probe import ProbeFailed, Values
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 4352
_CLASS_2: Final = "2"
_POWER: Final = {"0": State.STANDBY, "1": State.OK, "2": State.STANDBY, "3": State.STANDBY}
"""Off, on, cooling down, warming up."""
_ERRORS: Final = ("fan", "lamp", "temperature", "cover", "filter", "system")
"""What the six digits of ERST are about; the last is "other"."""
_ERROR: Final = {"0": State.OK, "1": State.DEGRADED, "2": State.FAILED}
_MUTED: Final = {"11": ("screen1",), "21": ("speaker1",), "31": ("screen1", "speaker1"), "30": (), "10": (), "20": ()}
_BROKEN: Final = "ERR4"
"""The projector has failed. The other errors say that it has no such thing (a laser no lamp), or not at present."""


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to what was asked, without those that are errors."""

    answers: dict[str, str]
    is_broken: bool

    def get(self, command: str) -> str:
        return self.answers.get(command, "")


_NOTHING: Final = _Said(answers={}, is_broken=False)
_NAMES: Final = ("1INF1", "1INF2", "1CLSS")


class PjLink:
    """Reads the greeting, gives the password as the protocol hashes it, and asks; sets nothing."""

    # Whoever listens can try passwords against the hash, and cannot read it.

    name = "pjlink"
    way = "pjlink"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By its greeting; one that wants a password tells its name to whom it lets in."""

        async def exchange(wire: Wire) -> _Said:
            if await _greeted(wire):
                return _NOTHING
            try:
                async with asyncio.timeout(device.timeout_s / 2):
                    return await _answers(wire, "", _NAMES)
            except (TimeoutError, asyncio.IncompleteReadError):
                return _NOTHING  # by its greeting it is known all the same

        return _identity(await talk(device, self.name, _PORT, exchange))

    async def ask(self, device: Device) -> Told:
        """Power, errors, lamp, input, mute; of class 2 the filter's hours too. Raises ProbeFailed."""

        async def exchange(wire: Wire) -> _Said:
            number = await _greeted(wire)
            prefix = _hashed(number, wire.login(in_clear=False)) if number else ""
            wanted = ["1POWR", "1ERST", "1LAMP", "1INPT", "1AVMT", *(_NAMES if number else _NAMES[-1:])]
            said = await _answers(wire, prefix, wanted)
            if said.get("1CLSS") != _CLASS_2:
                return said
            more = await _answers(wire, "", ["2FILT"])
            return msgspec.structs.replace(said, answers=said.answers | more.answers)

        said = await talk(device, self.name, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        told = _told(said)
        return msgspec.structs.replace(told, identity=_identity(said)) if said.get("1INF1") else told


def _identity(said: _Said) -> Identity:
    return Identity(
        kind="pjlink",
        family="projector",
        vendor=said.get("1INF1"),
        model=said.get("1INF2"),
        by=f"PJLink class {said.get('1CLSS') or '1'}",
    )


async def _greeted(wire: Wire) -> str:
    """The number that is to be hashed with the password; empty where it wants none."""
    greeting = await wire.read(b"\r")
    words = greeting.upper().split()
    if words[:2] == ["PJLINK", "0"]:
        return ""
    if words[:2] == ["PJLINK", "ERRA"]:
        raise wire.denied()
    found = re.fullmatch(r"(?i)PJLINK 1 ([0-9a-f]{8})", greeting)
    if found is not None:
        return found[1]
    if words[:1] == ["PJLINK"] and len(words) > 1:
        raise ProbeFailed(Outcome.DENIED, f"{wire.what}: wants a login that we do not know: {greeting[:40]!r}")
    raise wire.nonsense("PJLink's greeting", greeting)


def _hashed(number: str, login: Login) -> str:
    """What goes before the first command."""
    return hashlib.md5(f"{number}{login.password}".encode()).hexdigest()  # noqa: S324 - PJLink's own choice


async def _answers(
    wire: Wire,
    prefix: str,
    commands: Sequence[str],
) -> _Said:
    answers: dict[str, str] = {}
    is_broken = False
    is_silent = True
    for command in commands:
        wire.write(f"{prefix}%{command} ?\r".encode())
        prefix = ""
        try:
            async with asyncio.timeout(wire.device.timeout_s / 2):
                answer = await _answer(wire, command)
        except TimeoutError:
            if is_silent:
                raise
            continue  # some have no word for a command that they do not know
        if is_silent:
            wire.accepted()
        is_silent = False
        is_broken |= answer == _BROKEN
        if not re.fullmatch(r"ERR[1-4]", answer):
            answers[command] = answer
    return _Said(answers=answers, is_broken=is_broken)


async def _answer(wire: Wire, command: str) -> str:
    line = ""
    for _ in range(ANSWER_MAX_LINES):
        line = await wire.read(b"\r")
        if line.upper() == "PJLINK ERRA":
            raise wire.denied()
        head, equals, answer = line.partition("=")
        if equals and head.upper() == f"%{command}":
            return answer.strip().upper() if answer.upper().startswith("ERR") else answer.strip()
    raise wire.nonsense(f"%{command}=", line)


def _told(said: _Said) -> Told:
    parts: dict[str, State] = {}
    power = _POWER.get(said.get("1POWR"))
    if power is not None:
        parts["power"] = power
    errors = said.get("1ERST")
    if re.fullmatch(r"[012]{6}", errors):
        parts |= {part: _ERROR[digit] for part, digit in zip(_ERRORS, errors, strict=True)}
    muted = _MUTED.get(said.get("1AVMT"))
    if muted is not None:
        parts |= {part: State.MUTED if part in muted else State.OK for part in ("screen1", "speaker1")}
    if said.is_broken:
        parts["system"] = State.FAILED
    return Told(parts=parts, figures=_figures(said))


def _figures(said: _Said) -> Values:
    figures: Values = {}
    # `hours on` for each lamp; the oldest is the next to go.
    lamps = re.fullmatch(r"[0-9]{1,5} [01](?: [0-9]{1,5} [01]){0,7}", said.get("1LAMP"))
    if lamps is not None:
        figures["lamp_used_h"] = max(map(int, lamps[0].split()[::2]))
    if re.fullmatch(r"[1-6][1-9]", said.get("1INPT")):
        figures["input_code"] = int(said.get("1INPT"))
    if re.fullmatch(r"[0-9]{1,5}", said.get("2FILT")):
        figures["filter_used_h"] = int(said.get("2FILT"))
    return plausible(figures)


KIND: Final = PjLink()
