"""MIKROTIK-MIB: routers with RouterOS."""

from typing import Final

from agent.devices.kind import Device, Told
from agent.devices.parts import plausible
from agent.devices.readers import host_resources, way_out
from agent.devices.table import ROWS_MAX_COUNT, FigureAt, Table, number_in

_ROOT: Final = "1.3.6.1.4.1.14988.1.1"
_GAUGE: Final = f"{_ROOT}.3.100.1.3"
_GAUGE_UNIT: Final = f"{_ROOT}.3.100.1.4"
_CELSIUS: Final = 1


async def gauges(device: Device) -> Told:
    """Its thermometers. Raises ProbeFailed."""
    if device.snmp is None:
        return Told()
    rows = await device.snmp.rows([_GAUGE, _GAUGE_UNIT], ROWS_MAX_COUNT)
    degrees = [number_in(row.get(_GAUGE)) for row in rows.values() if row.get(_GAUGE_UNIT) == _CELSIUS]
    known = [number for number in degrees if number is not None]
    return Told(figures=plausible({"temperature_celsius": max(known)})) if known else Told()


KIND: Final = Table(
    name="mikrotik",
    family="router",
    mib="MIKROTIK-MIB",
    vendor="MikroTik",
    root=_ROOT,
    families=("1.3.6.1.4.1.14988",),
    description=r"^RouterOS (?P<model>\S+)",
    model=(".7.9.0",),
    firmware=(".4.4.0",),
    figures=(
        # Before RouterOS 7: in tenths.
        FigureAt("temperature_celsius", ".3.11.0", 0.1),
        FigureAt("temperature_celsius", ".3.10.0", 0.1),
    ),
    readers=(gauges, host_resources, way_out),
)
