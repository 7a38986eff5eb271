"""Biamp's Tesira Text Protocol: audio processors by telnet at TCP 23."""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.parts import plausible
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, talk
from agent.probe import Values
from contract.parts import State

_PORT: Final = 23
_BANNER: Final = re.compile(r"Welcome to the Tesira Text Protocol Server[^\r\n]*\r?\n")
_GREETED: Final = re.compile(rf"{_BANNER.pattern}|(?i:login|username|user|password): ?$")
_UP: Final = {"LINK_10_MB": 1e7, "LINK_100_MB": 1e8, "LINK_1_GB": 1e9}


class Tesira:
    """Refuses every option of telnet, waits for the banner, and sends `get` only."""

    name = "biamp_tesira"
    way = "tesira"
    is_generic = False
    logs_in = False
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By its banner; nothing is sent to whoever greets otherwise."""

        async def exchange(wire: Wire) -> str | None:
            if not _BANNER.search(await wire.until(_GREETED)):
                return None
            return await _get(wire, "version")

        said = await talk(device, self.way, _PORT, exchange)
        if said is None:
            return None
        version = re.search(r'"value":"([^"]*)"', said)
        return Identity(
            kind=self.name,
            family="dsp",
            vendor="Biamp",
            model="Tesira",
            firmware=version[1] if version else "",
            by="Tesira Text Protocol",
        )

    async def ask(self, device: Device) -> Told:
        """Its list of faults, and its network. Raises ProbeFailed."""

        async def exchange(wire: Wire) -> list[str]:
            greeting = await wire.until(_GREETED)
            if not _BANNER.search(greeting):
                raise wire.nonsense("Tesira's banner", greeting.strip())
            return [await _get(wire, name) for name in ("activeFaultList", "networkStatus")]

        faults, network = await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        system, speeds = _system(faults), _speeds(network)
        parts = {} if system is None else {"system": system}
        figures: Values = {"if_speed_bps": max(speeds)} if speeds else {}
        return Told(parts=parts | ({"network": State.OK} if speeds else {}), figures=plausible(figures))


async def _get(wire: Wire, name: str) -> str:
    """What follows `+OK`; empty for what it cannot say. It echoes the command before it answers."""
    wire.write(f"DEVICE get {name}\n".encode())
    line = ""
    for _ in range(ANSWER_MAX_LINES):
        line = await wire.read()
        if line.startswith("+OK"):
            return line.removeprefix("+OK").strip()
        if re.match(r"-(ERR|CANNOT_DELIVER|GENERAL_FAILURE)", line):
            return ""
    raise wire.nonsense("+OK", line)


def _system(faults: str) -> State | None:
    """`"list":[{"id":INDICATOR_NONE_IN_DEVICE … "faults":[] …} …]`, one for each device; `"value"` in newer ones."""
    if not re.match(r'"(list|value)":\[', faults):
        return None
    grades = set(re.findall(r'"id":"?INDICATOR_(NONE|MINOR|MAJOR)_IN_', faults))
    if "MAJOR" in grades:
        return State.FAILED
    has_faults = re.search(r'"faults":\[\s*[^\]\s]', faults) is not None
    return State.DEGRADED if "MINOR" in grades or has_faults else State.OK


def _speeds(network: str) -> list[float]:
    return [_UP[one] for one in re.findall(r'"linkStatus":"?(\w+)', network) if one in _UP]


KIND: Final = Tesira()
