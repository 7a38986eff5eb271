"""BARCO-CLICKSHARE-MIB: Barco's base units for showing a laptop's picture."""

from typing import Final

from agent.devices.table import FigureAt, Table

KIND: Final = Table(
    name="barco_clickshare",
    family="screen",
    mib="BARCO-CLICKSHARE-MIB",
    vendor="Barco",
    root="1.3.6.1.4.1.7312.2468.1",
    families=("1.3.6.1.4.1.7312.2468",),
    sign_oids=(".2.3.0",),
    figures=(FigureAt("temperature_celsius", ".2.3.0"),),
)
