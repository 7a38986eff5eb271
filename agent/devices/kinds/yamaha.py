"""Yamaha's remote control protocol: mixers and processors (TF, CL, QL, MTX, MRX) by TCP 49280.

Rests on Yamaha's protocol specifications, and on no recording.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, talk
from contract.parts import State

_PORT: Final = 49280
_MODES: Final = {"normal": State.OK, "emergency": State.DEGRADED}


class Yamaha:
    """Sends `devstatus` and `devinfo`; sets nothing."""

    name = "yamaha"
    way = "yamaha"
    is_generic = False
    logs_in = False
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By the answer about its running mode, which it wants to be asked first."""

        async def exchange(wire: Wire) -> str:
            await _get(wire, "devstatus runmode")
            return await _get(wire, "devinfo productname")

        model = await talk(device, self.way, _PORT, exchange)
        return Identity(kind=self.name, family="dsp", vendor="Yamaha", model=model, by="Yamaha SCP")

    async def ask(self, device: Device) -> Told:
        """Its running mode. Raises ProbeFailed."""

        async def exchange(wire: Wire) -> str:
            return await _get(wire, "devstatus runmode")

        mode = await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        return Told(parts={"system": _MODES.get(mode.lower(), State.UNKNOWN)} if mode else {})


async def _get(wire: Wire, command: str) -> str:
    """The value, empty for a command that it does not know."""
    wire.write(f"{command}\n".encode())
    line = ""
    for _ in range(ANSWER_MAX_LINES):
        line = await wire.read()
        found = re.fullmatch(rf'OKm? {command} "?([^"]*)"?', line)
        if found is not None:
            return found[1].strip()
        if line.startswith(f"ERROR {command.split(maxsplit=1)[0]}"):
            return ""
        # NOTIFY: somebody moved a fader.
    raise wire.nonsense(f"OK {command}", line)


KIND: Final = Yamaha()
