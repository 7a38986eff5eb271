"""H.323 (ITU-T H.225.0): whether something takes calls at TCP 1720. No call is set up.

A firewall that helps H.323 along takes connections to 1720 for hosts that are long dead, so that an accepted
connection counts only where the host itself shows that it lives: by refusing a port that nobody listens at, or by ping.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from agent.devices.floor import find_alive
from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import TRIES, Wire, place, talk
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 1720
_NOBODYS_PORT: Final = 1
"""TCP Port Service Multiplexer (RFC 1078), which no room device has."""


class H323:
    """Connects and closes; sends nothing."""

    name = "h323"
    way = "h323"
    is_generic = True
    logs_in = False
    signs: Sequence[str] = ()

    def __init__(self, nobodys_port: int = _NOBODYS_PORT) -> None:
        self._nobodys_port = nobodys_port

    async def recognise(self, device: Device) -> Identity | None:
        """By an accepted connection, where that means something."""
        await talk(device, self.name, _PORT, _nothing)
        _, what = place(device, self.name, _PORT)
        if not await self._lives(device, what):
            return None
        return Identity(kind=self.name, by="H.323")

    async def ask(self, device: Device) -> Told:
        """That it takes calls. Raises ProbeFailed."""
        await talk(device, self.name, _PORT, _nothing, tries=TRIES)
        return Told(parts={"h323": State.OK})

    async def _lives(self, device: Device, what: str) -> bool:
        a_third_s = device.timeout_s / 3
        nobody = msgspec.structs.replace(device, port=self._nobodys_port, timeout_s=a_third_s)
        try:
            await talk(nobody, self.name, self._nobodys_port, _nothing)
        except ProbeFailed as failure:
            if failure.outcome is Outcome.REFUSED:
                return True
        else:
            return False  # something takes every connection
        try:
            await find_alive(device.host, what, a_third_s, ())
        except ProbeFailed:
            return False
        return True


async def _nothing(wire: Wire) -> None:
    del wire


KIND: Final = H323()
