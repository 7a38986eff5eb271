"""Extron's Simple Instruction Set: switchers, scalers and processors by telnet at TCP 23.

Rests on Extron's manuals, and on no recording.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import PATIENCE, TRIES, Wire, talk
from contract.parts import State

_PORT: Final = 23
_BANNER: Final = re.compile(
    r"\(c\) Copyright [0-9-]+, Extron Electronics, (?P<model>[^,\r\n]+), V(?P<firmware>[^,\r\n]+)[^\r\n]*\r?\n"
)
_PROMPT: Final = re.compile(r"(?i:login|username|user|password): ?$")
_GREETED: Final = re.compile(rf"{_BANNER.pattern}|{_PROMPT.pattern}")
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\S*\r\n")
_PROMPT_AFTER_S: Final = 1.0
"""A password is asked for right behind the banner; without one nothing but the date follows."""


class Extron:
    """Reads the banner, and asks for the version with `Q`; sets nothing."""

    name = "extron"
    way = "extron"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By its banner; nothing is sent to whoever greets otherwise."""

        async def exchange(wire: Wire) -> str:
            return await wire.until(_GREETED)

        found = _BANNER.search(await talk(device, self.way, _PORT, exchange))
        if found is None:
            return None
        return Identity(
            kind=self.name,
            family="device",
            vendor="Extron",
            model=found["model"].strip(),
            firmware=found["firmware"].strip(),
            by="Extron SIS",
        )

    async def ask(self, device: Device) -> Told:
        """That it obeys: it answers the simplest of its instructions. Raises ProbeFailed."""

        async def exchange(wire: Wire) -> None:
            greeting = await wire.until(_GREETED)
            if not _BANNER.search(greeting):
                raise wire.nonsense("Extron's banner", greeting.strip())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_PROMPT_AFTER_S, device.timeout_s / 2)):
                    await wire.until(_PROMPT)
                    wire.write(wire.login(in_clear=True).password.encode() + b"\r")
            wire.write(b"Q\r")
            said = await wire.until(re.compile(rf"{_VERSION.pattern}|{_PROMPT.pattern}"))
            if _PROMPT.search(said):
                raise wire.denied()
            wire.accepted()

        await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        return Told(parts={"system": State.OK})


KIND: Final = Extron()
