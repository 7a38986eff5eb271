"""Finds out what a device is and how it is: SNMP first, then conversations, and at the least whether it is there."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from agent.devices.floor import find_alive
from agent.devices.kind import Device, Identity, Kind, Told
from agent.devices.table import DESCRIPTION, NAME, OBJECT_ID, SERVICES, merged, text
from agent.devices.vendors import vendor_of
from agent.mib2 import HOST_UPTIME, UPTIME, uptime
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import Recognition

_SYSTEM: Final = (DESCRIPTION, OBJECT_ID, UPTIME, NAME, SERVICES, HOST_UPTIME)


class Seen(NamedTuple):
    """What was found out. `identity` is None of a device that said nothing of what it is."""

    recognition: Recognition
    identity: Identity | None = None
    description: str = ""
    """What it calls itself, in its own words."""
    told: Told = Told()
    alive_by: str = ""
    """How it was seen to be there."""
    response_s: float | None = None
    """From the first question to its answer."""


async def look(
    device: Device, kinds: Sequence[Kind], stopwatch: Callable[[], float], *, is_known: bool, ports: Sequence[int]
) -> Seen:
    """Ask the device, as one of these kinds; `is_known` when it is surely of the only one.

    Raises ProbeFailed: when it is not there, denies access, or stops amid its answers (BROKEN, with what it said
    before, since it is there all the same).
    """
    began_s = stopwatch()
    silence: ProbeFailed | None = None
    response_s: float | None = None
    if device.snmp is not None:
        try:
            system = await device.snmp.get(_SYSTEM)
            response_s = stopwatch() - began_s
            device = msgspec.structs.replace(device, system=system)
        except ProbeFailed as failure:
            silence = failure
            device = msgspec.structs.replace(device, snmp=None)
    asked = _Asked(device)
    try:
        found = await asked.find(kinds, is_known=is_known)
        if found is None:
            return await _unfound(asked, silence, response_s, ports)
        kind, identity = found
        if response_s is None:
            response_s = stopwatch() - began_s
        told = await kind.ask(asked.device)
    except ProbeFailed as failure:
        if asked.is_silent:
            raise
        # It has answered, so that its silence now must not read as its absence.
        outcome = Outcome.BROKEN if failure.outcome is Outcome.TIMEOUT else failure.outcome
        raise ProbeFailed(outcome, failure.detail, failure.values | uptime(asked.device.system)) from None
    told = merged(told, Told(figures=uptime(asked.device.system)))
    return Seen(Recognition.RECOGNISED, identity, asked.description, told, kind.way, response_s)


_Found = tuple[Kind, Identity] | None


class _Asked:
    """A device in the course of being asked: what it has said by now."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.is_silent = device.snmp is None
        self.denial: ProbeFailed | None = None

    @property
    def description(self) -> str:
        return text(self.device.system.get(DESCRIPTION))

    async def find(self, kinds: Sequence[Kind], *, is_known: bool) -> _Found:
        """The kind that knows the device."""
        has_snmp = self.device.snmp is not None
        if is_known:
            (kind,) = kinds
            self.is_silent = self.is_silent and kind.way == "snmp"
            return None if kind.way == "snmp" and not has_snmp else (kind, Identity(kind=kind.name, by="plan"))
        tables = [kind for kind in kinds if kind.way == "snmp" and has_snmp]
        special = [kind for kind in tables if not kind.is_generic]
        found = await self._first(special)
        if found is None and self.device.snmp is not None:
            signs = [sign for kind in tables for sign in kind.signs]
            system = {**self.device.system, **(await self.device.snmp.get(signs) if signs else {})}
            self.device = msgspec.structs.replace(self.device, system=system)
            found = await self._first(special)
        if found is None:
            found = await self._talk([kind for kind in kinds if kind.way != "snmp"])
        return found or await self._first([kind for kind in tables if kind.is_generic])

    async def _first(self, kinds: Sequence[Kind]) -> _Found:
        for kind in kinds:
            identity = await kind.recognise(self.device)
            if identity is not None:
                return kind, identity
        return None

    async def _talk(self, kinds: Sequence[Kind]) -> _Found:
        answers = await asyncio.gather(*(_recognised(kind, self.device) for kind in kinds))
        for kind, answer in zip(kinds, answers, strict=True):
            if isinstance(answer, Identity):
                self.is_silent = False
                return kind, answer
            if isinstance(answer, ProbeFailed) and answer.outcome is Outcome.DENIED:
                self.denial = self.denial or answer
        return None


async def _recognised(kind: Kind, device: Device) -> Identity | ProbeFailed | None:
    try:
        async with asyncio.timeout(device.timeout_s):
            return await kind.recognise(device)
    except ProbeFailed as failure:
        return failure
    except TimeoutError:
        return None


async def _unfound(asked: _Asked, silence: ProbeFailed | None, response_s: float | None, ports: Sequence[int]) -> Seen:
    """No kind knows it. What it says of itself, or at least that it is there."""
    device = asked.device
    if device.snmp is not None:
        oid = device.system.get(OBJECT_ID)
        identity = (
            Identity(kind="", vendor=vendor_of(oid), by=f"sysObjectID {oid}")
            if isinstance(oid, str)
            else Identity(kind="")
        )
        told = Told(figures=uptime(device.system))
        return Seen(Recognition.UNIDENTIFIED, identity, asked.description, told, "snmp", response_s)
    for failure in (asked.denial, silence):
        if failure is not None and failure.outcome in (Outcome.DENIED, Outcome.NO_NAME):
            raise failure
    alive_by = await find_alive(device.host, device.what, device.timeout_s, ports)
    return Seen(Recognition.UNIDENTIFIED if silence is None else Recognition.SILENT, alive_by=alive_by)
