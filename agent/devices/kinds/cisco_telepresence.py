"""CISCO-TELEPRESENCE-MIB and CISCO-TELEPRESENCE-CALL-MIB: Cisco's immersive rooms (CTS, TX, IX)."""

from collections.abc import Mapping
from typing import Final

from agent.devices.kind import Device, Told
from agent.devices.table import ROWS_MAX_COUNT, FigureAt, PartAt, Table
from agent.snmp.mib2 import Answers
from contract.parts import State, names_of

_ROOT: Final = "1.3.6.1.4.1.9.9"
_STATUS: Final = f"{_ROOT}.643.1.2.1.1.3"
_CATEGORY: Final = f"{_ROOT}.643.1.2.1.1.4"
_PARTS: Final = {4: "camera", 5: "screen", 7: "camera", 8: "screen", 13: "microphone"}
"""By category: camera, display, document camera, projector, microphone."""
_MEANS: Final = {0: State.OK, 1: State.UNKNOWN, **dict.fromkeys(range(2, 9), State.FAILED), 9: State.DISABLED}
"""noError, other, errors of the cable, the power and so on, detectionDisabled."""
_MICROPERCENT: Final = 1e-8


async def peripherals(device: Device) -> Told:
    """Cameras, screens and microphones of the room. Raises ProbeFailed."""
    if device.snmp is None:
        return Told()
    return told_of(await device.snmp.rows([_STATUS, _CATEGORY], ROWS_MAX_COUNT))


def told_of(rows: Mapping[str, Answers]) -> Told:
    """The states of the table's rows, numbered in its order among those of a category."""
    parts: dict[str, State] = {}
    for row in rows.values():
        category = row.get(_CATEGORY)
        part = _PARTS.get(category) if isinstance(category, int) else None
        free = [name for name in names_of(part) if name not in parts] if part is not None else []
        status = row.get(_STATUS)
        state = _MEANS.get(status) if isinstance(status, int) else None
        if free and state is not None:
            parts[free[0]] = state
    return Told(parts=parts)


KIND: Final = Table(
    name="cisco_telepresence",
    family="codec",
    mib="CISCO-TELEPRESENCE-MIB",
    vendor="Cisco",
    root=f"{_ROOT}.644.1",
    description=r"(?i)telepresence.*?\b(?P<model>(?:CTS|TX|IX)[ -]?[0-9]+\S*)",
    sign_oids=(f"{_STATUS}.1",),
    parts=(PartAt("sip_registration", ".2.6.1.4", {4: State.FAILED, 5: State.OK, 6: State.FAILED}, is_worst=True),),
    figures=(
        FigureAt("call_latency_ms", ".4.9.1.2"),
        FigureAt("call_loss_ratio", ".4.10.1.14", _MICROPERCENT, also=(".4.10.1.6",)),
    ),
    readers=(peripherals,),
)
