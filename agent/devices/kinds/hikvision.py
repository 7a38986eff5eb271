"""HIK-DEVICE-MIB: Hikvision's cameras, some of which do not even have a system group."""

from typing import Final

from agent.devices.table import FigureAt, Table

KIND: Final = Table(
    name="hikvision",
    family="camera",
    mib="HIK-DEVICE-MIB",
    vendor="Hikvision",
    root="1.3.6.1.4.1.39165.1",
    families=("1.3.6.1.4.1.39165",),
    sign_oids=(".1.0",),
    model=(".1.0",),
    firmware=(".3.0",),
    figures=(
        FigureAt("cpu_ratio", ".7.0", 0.01),
        FigureAt("memory_used_ratio", ".11.0", 0.01),
    ),
)
