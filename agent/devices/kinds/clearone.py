"""ClearOne's CONVERGE: audio processors by telnet at TCP 23.

Rests on ClearOne's manuals, and on no recording.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import PATIENCE, TRIES, Wire, talk
from contract.parts import State

_PORT: Final = 23
_USER: Final = re.compile(r"(?i)(?:user(?:name)?|login): ?$")
_PASSWORD: Final = re.compile(r"(?i)pass(?:word)?: ?$")
_ENTERED: Final = re.compile(r"(?i)authenticated|invalid|incorrect|denied|(?:user(?:name)?|login): ?$")
_MAKER: Final = re.compile(r"(?i)clearone|converge")
_VERSION: Final = re.compile(r"(?i)version\s*:?\s*([0-9]+(?:\.[0-9]+)+)")
_ANSWER: Final = re.compile(r"[0-9]+\.[0-9]+[^\r\n]*\r?\n")


class ClearOne:
    """Reads the greeting; with a login enters and asks for the version. Sets nothing."""

    name = "clearone"
    way = "clearone"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By what it says before it asks for the user; nothing is sent to whoever greets otherwise."""

        async def exchange(wire: Wire) -> str:
            return await wire.until(_USER)

        greeting = await talk(device, self.way, _PORT, exchange)
        if not _MAKER.search(greeting):
            return None
        version = _VERSION.search(greeting)
        return Identity(
            kind=self.name,
            family="dsp",
            vendor="ClearOne",
            model="CONVERGE",
            firmware=version[1] if version else "",
            by="ClearOne CONVERGE",
        )

    async def ask(self, device: Device) -> Told:
        """That it lets us in and answers; without a login nothing is known but that it greets. Raises ProbeFailed."""
        if device.key is None:
            return Told()

        async def exchange(wire: Wire) -> None:
            greeting = await wire.until(_USER)
            if not _MAKER.search(greeting):
                raise wire.nonsense("ClearOne's greeting", greeting.strip())
            login = wire.login(in_clear=True)
            wire.write(login.user.encode() + b"\r\n")
            await wire.until(_PASSWORD)
            wire.write(login.password.encode() + b"\r\n")
            said = await wire.until(_ENTERED)
            if not said.lower().endswith("authenticated"):
                raise wire.denied()
            wire.accepted()
            wire.write(b"VERSION\r\n")
            await wire.until(_ANSWER)

        await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        return Told(parts={"system": State.OK})


KIND: Final = ClearOne()
