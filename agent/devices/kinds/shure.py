"""Shure's command strings: ceiling microphones (MXA), processors (P300, ANI) and the like, by TCP 2202."""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Exchange, Wire, talk
from contract.parts import State

_PORT: Final = 2202
_MUTE: Final = {"ON": State.MUTED, "OFF": State.OK}


class Shure:
    """Sends GET only; SET, which meters would want, is never sent."""

    name = "shure"
    way = "shure"
    is_generic = False
    logs_in = False
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By a report in Shure's form, be it of an error."""
        said = await talk(device, self.way, _PORT, _asking("MODEL", "FW_VER"))
        return Identity(
            kind=self.name,
            family="dsp",
            vendor="Shure",
            model=said["MODEL"],
            firmware=said["FW_VER"],
            by="Shure command strings",
        )

    async def ask(self, device: Device) -> Told:
        """Whether all of it is muted, which silences the room. Raises ProbeFailed."""
        said = await talk(device, self.way, _PORT, _asking("DEVICE_AUDIO_MUTE"), tries=TRIES, patience=PATIENCE)
        state = _MUTE.get(said["DEVICE_AUDIO_MUTE"])
        return Told(parts={} if state is None else {"microphone1": state})


def _asking(*names: str) -> Exchange[dict[str, str]]:
    """Asks for these, one after the other; empty is what the device does not know."""

    async def exchange(wire: Wire) -> dict[str, str]:
        return {name: await _get(wire, name) for name in names}

    return exchange


async def _get(wire: Wire, name: str) -> str:
    wire.write(f"< GET {name} >".encode())
    line = ""
    for _ in range(ANSWER_MAX_LINES):
        line = await wire.read(b">")
        if re.fullmatch(r"< ?REP ERR", line):
            return ""
        # Reports that nobody asked for come in between: levels, other names, other channels' too.
        found = re.fullmatch(rf"< ?REP (?:0 )?{name} (.*)", line)
        if found is not None:
            return found[1].strip("{} ")
    raise wire.nonsense(f"< REP {name} … >", line)


KIND: Final = Shure()
