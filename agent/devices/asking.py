"""Finds out what a device is and how it is: SNMP first, then conversations, and at the least whether it is there."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from agent.devices.floor import find_alive
from agent.devices.key import LoginFailed
from agent.devices.kind import Device, Identity, Kind, Told
from agent.devices.table import DESCRIPTION, NAME, OBJECT_ID, SERVICES, merged, text
from agent.devices.vendors import vendor_of
from agent.probe import ProbeFailed
from agent.snmp.mib2 import HOST_UPTIME, UPTIME, uptime
from contract.outcome import Outcome
from contract.parts import Admission, Recognition

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
    silent_to: tuple[str, ...] = ()
    """What it was asked by in vain, when nothing else brought an answer."""
    response_s: float | None = None
    """From the first question to its answer."""
    admission: Admission | None = None
    """What became of the login; None where none was wanted."""
    refusal: str = ""
    """Why it did not let us in, or we sent no login; what it tells anybody was heard all the same."""


async def look(
    device: Device, kinds: Sequence[Kind], stopwatch: Callable[[], float], *, is_known: bool, ports: Sequence[int]
) -> Seen:
    """Ask the device, as one of these kinds; `is_known` when it is surely of the only one.

    Raises ProbeFailed: when it is not there, denies access, or stops amid its answers (BROKEN, with what it said
    before, since it is there all the same).
    """
    asked = _Asked(device, ports, stopwatch)
    try:
        await asked.greet()
        found = await asked.find(kinds, is_known=is_known)
        if found is None:
            return await asked.at_least(kinds)
        kind, identity = found
        told = await asked.told_by(kind)
        is_doubtful = is_known and kind.way == "snmp" and told == Told()
        if is_doubtful and await kind.recognise(asked.device) is None:
            return await asked.at_least(kinds)  # the plan takes it for what it is not, or not any more
    except ProbeFailed as failure:
        if asked.is_silent:
            raise
        # It has answered, so that its silence now must not read as its absence: who serves one client is busy.
        is_gone = failure.outcome in (Outcome.TIMEOUT, Outcome.REFUSED)
        outcome = Outcome.BROKEN if is_gone else failure.outcome
        raise ProbeFailed(outcome, failure.detail, failure.values | uptime(asked.device.system)) from None
    finally:
        await asked.close()
    told = merged(told, Told(figures=uptime(asked.device.system)))
    return Seen(
        Recognition.RECOGNISED,
        told.identity or identity,
        asked.description,
        told,
        kind.way,
        response_s=asked.response_s,
        admission=asked.admission,
        refusal=asked.refusal,
    )


_Found = tuple[Kind, Identity] | None


class _Asked:
    """A device in the course of being asked: what it has said by now."""

    def __init__(self, device: Device, ports: Sequence[int], stopwatch: Callable[[], float]) -> None:
        # Nobody gets the key before he is recognised.
        self.device = msgspec.structs.replace(device, key=None)
        self.admission: Admission | None = None
        self.refusal = ""
        self._key = device.key
        self.is_silent = True
        self.response_s: float | None = None
        self._began_s = stopwatch()
        self._stopwatch = stopwatch
        self._ports = ports
        self._floor: asyncio.Task[str] | None = None
        self._silence: ProbeFailed | None = None
        self._denial: ProbeFailed | None = None
        self._unshown: LoginFailed | None = None

    @property
    def description(self) -> str:
        """In its own words."""
        return text(self.device.system.get(DESCRIPTION))

    def _has_answered(self) -> None:
        self.is_silent = False
        if self.response_s is None:
            self.response_s = self._stopwatch() - self._began_s

    async def greet(self) -> None:
        """Ask for the system group, if by SNMP at all. What is silent to the first request is meanwhile looked for by
        other ways, so that a dead device is known to be dead as soon as SNMP has given it up.
        """
        if self.device.snmp is None:
            return
        asking = asyncio.ensure_future(self.device.snmp.get(_SYSTEM))
        try:
            done, _ = await asyncio.wait({asking}, timeout=self.device.timeout_s)
            if not done:
                self._look_for_it()
            system = await asking
        except ProbeFailed as failure:
            self._silence = failure
            self.device = msgspec.structs.replace(self.device, snmp=None)
        else:
            self._has_answered()
            self.device = msgspec.structs.replace(self.device, system=system)
        finally:
            asking.cancel()

    def _look_for_it(self) -> asyncio.Task[str]:
        if self._floor is None:
            device = self.device
            self._floor = asyncio.ensure_future(find_alive(device.host, device.what, device.timeout_s, self._ports))
        return self._floor

    async def close(self) -> None:
        """Look for it no further, and keep what became of the login."""
        if self._floor is not None:
            self._floor.cancel()
            await asyncio.gather(self._floor, return_exceptions=True)
        if self._key is not None:
            await self._key.settle()

    async def told_by(self, kind: Kind) -> Told:
        """How the device is, asked as the kind that it was recognised as; where it does not let us in, what it tells
        anybody.
        """
        try:
            told = await kind.ask(msgspec.structs.replace(self.device, key=self._key))
        except LoginFailed as failure:
            self.admission, self.refusal = failure.admission, failure.detail
        else:
            if self._key is not None and self._key.is_accepted:
                self.admission = Admission.ACCEPTED
            return told
        if self._key is not None:
            with contextlib.suppress(ProbeFailed):
                return await kind.ask(self.device)
        return Told()

    async def find(self, kinds: Sequence[Kind], *, is_known: bool) -> _Found:
        """The kind that knows the device."""
        tables = [kind for kind in kinds if kind.way == "snmp" and self.device.snmp is not None]
        if is_known and tables:
            return tables[0], Identity(kind=tables[0].name, by="plan")
        special = [kind for kind in tables if not kind.is_generic]
        found = await self._first(special)
        if found is None and self.device.snmp is not None:
            signs = [sign for kind in tables for sign in kind.signs]
            system = {**self.device.system, **(await self.device.snmp.get(signs) if signs else {})}
            self.device = msgspec.structs.replace(self.device, system=system)
            found = await self._first(special)
        if found is None:
            talkers = [kind for kind in kinds if kind.way != "snmp"]
            found = await self._talk(sorted(talkers, key=lambda kind: kind.is_generic))
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
                self._has_answered()
                return kind, answer
            if isinstance(answer, LoginFailed):
                self._unshown = self._unshown or answer
            elif isinstance(answer, ProbeFailed) and answer.outcome is Outcome.DENIED:
                self._denial = self._denial or answer
        return None

    async def at_least(self, kinds: Sequence[Kind]) -> Seen:
        """No kind knows it: what it says of itself, or else whether it is there. Raises ProbeFailed."""
        if self.device.snmp is not None:
            oid = self.device.system.get(OBJECT_ID)
            by = f"sysObjectID {oid}" if isinstance(oid, str) else ""
            return Seen(
                Recognition.UNIDENTIFIED,
                Identity(kind="", vendor=vendor_of(oid), by=by),
                self.description,
                Told(figures=uptime(self.device.system)),
                "snmp",
                response_s=self.response_s,
            )
        if self._unshown is not None and self._key is not None:
            return Seen(
                Recognition.UNIDENTIFIED,
                alive_by=kinds[0].way,
                admission=self._unshown.admission,
                refusal=self._unshown.detail,
            )
        for failure in (self._denial, self._silence):
            if failure is not None and failure.outcome in (Outcome.DENIED, Outcome.NO_NAME):
                raise failure
        alive_by = await self._look_for_it()
        silent_to = tuple(dict.fromkeys(kind.way for kind in kinds))
        recognition = Recognition.SILENT if silent_to else Recognition.UNIDENTIFIED
        return Seen(recognition, alive_by=alive_by, silent_to=silent_to)


async def _recognised(kind: Kind, device: Device) -> Identity | ProbeFailed | None:
    try:
        async with asyncio.timeout(device.timeout_s):
            return await kind.recognise(device)
    except ProbeFailed as failure:
        return failure
    except TimeoutError:
        return None
