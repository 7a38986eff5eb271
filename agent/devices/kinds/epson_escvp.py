"""ESC/VP21 over ESC/VP.net: Epson's projectors by TCP 3629, where PJLink is off.

Rests on Epson's command guide, and on no recording.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.parts import plausible
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, shown, talk
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 3629
_NAME: Final = b"ESC/VP.net"
_CONNECT: Final = _NAME + b"\x10\x03\x00\x00\x00"
"""Version 1.0, type CONNECT; then follows the number of headers."""
_PASSWORD: Final = b"\x01\x01\x01"
"""One header: the password, as it is, in 16 bytes."""
_PASSWORD_MAX_BYTES: Final = 16
_ANSWER_BYTES: Final = 16
_STATUS_AT: Final = 14
_WELCOME: Final = 0x20
_WANTS_PASSWORD: Final = (0x41, 0x43)
_BUSY: Final = 0x53
_POWER: Final = {
    "00": State.STANDBY, "01": State.OK, "02": State.STANDBY, "03": State.STANDBY, "04": State.STANDBY,
    "05": State.FAILED, "09": State.STANDBY,
}  # fmt: skip
"""Off, on, warming up, cooling down, standby with network, standby after a fault, A/V standby."""
_ERRORS: Final = {
    "01": "fan", "03": "lamp", "04": "temperature", "06": "lamp", "07": "cover", "0C": "filter", "0D": "filter",
    "0E": "power_supply", "13": "power_supply",
}  # fmt: skip
"""What ERR's number is about; any other is the projector's own."""


class EpsonEscVp:
    """Connects as a client of ESC/VP.net, and asks; sets nothing."""

    name = "epson_escvp"
    way = "escvp"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By its handshake, be it that it wants a password."""
        await talk(device, self.way, _PORT, _knock)
        return Identity(kind=self.name, family="projector", vendor="Epson", by="ESC/VP.net")

    async def ask(self, device: Device) -> Told:
        """Power, fault, lamp and mute. Raises ProbeFailed."""
        is_asked_for = False

        async def exchange(wire: Wire) -> dict[str, str] | None:
            nonlocal is_asked_for
            if not is_asked_for and not await _knock(wire):
                is_asked_for = True
                return None
            if is_asked_for:
                await _enter(wire)
            return {key: await _get(wire, key) for key in ("PWR", "ERR", "LAMP", "MUTE")}

        said = await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        # With the password it is to be connected to anew.
        said = said or await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        return _told(said or {})


async def _knock(wire: Wire) -> bool:
    """Connect without a password; False when it wants one."""
    wire.write(_CONNECT + b"\x00")
    return await _is_welcome(wire)


async def _enter(wire: Wire) -> None:
    """Connect with the password."""
    password = wire.login(in_clear=True).password.encode()
    wire.write(_CONNECT + _PASSWORD + password[:_PASSWORD_MAX_BYTES].ljust(_PASSWORD_MAX_BYTES, b"\0"))
    if not await _is_welcome(wire):
        raise wire.denied()
    wire.accepted()


async def _is_welcome(wire: Wire) -> bool:
    answer = await wire.reader.readexactly(_ANSWER_BYTES)
    if not answer.startswith(_NAME):
        raise wire.nonsense("ESC/VP.net", shown(answer))
    status = answer[_STATUS_AT]
    if status in _WANTS_PASSWORD:
        return False
    if status != _WELCOME:
        said = "is busy with somebody else" if status == _BUSY else f"refused the connection with {status:#04x}"
        raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: {said}")
    return True


async def _get(wire: Wire, key: str) -> str:
    """The value, empty for a command that it does not know, or not in standby."""
    wire.write(f"{key}?\r".encode())
    said = ""
    for _ in range(ANSWER_MAX_LINES):
        # A colon ends an answer; the one behind the handshake, which some send, ends none.
        said = await wire.read(b":")
        lines = said.split()
        for line in lines:
            if line.startswith(f"{key}="):
                return line.removeprefix(f"{key}=")
        if "ERR" in lines:
            return ""
    raise wire.nonsense(f"{key}=", said)


def _told(said: dict[str, str]) -> Told:
    parts: dict[str, State] = {}
    power = _POWER.get(said.get("PWR", ""))
    if power is not None:
        parts["power"] = power
    error = said["ERR"].upper()
    if re.fullmatch(r"[0-9A-F]{2}", error):
        named = _ERRORS.get(error, "system")
        parts |= dict.fromkeys(("system", "fan", "lamp", "temperature", "cover", "filter"), State.OK)
        parts |= {named: State.FAILED} if error != "00" else {}
    if said["MUTE"] in ("ON", "OFF"):
        parts["screen1"] = State.MUTED if said["MUTE"] == "ON" else State.OK
    is_hours = re.fullmatch(r"[0-9]{1,5}", said["LAMP"])
    return Told(parts=parts, figures=plausible({"lamp_used_h": int(said["LAMP"])}) if is_hours else {})


KIND: Final = EpsonEscVp()
