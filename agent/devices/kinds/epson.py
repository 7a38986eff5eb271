"""EPSON-PJ-MIB: Epson's projectors. Whether it is switched on it says by PJLink, not by SNMP."""

from typing import Final

from agent.devices.readers import ports
from agent.devices.table import FigureAt, Table

KIND: Final = Table(
    name="epson",
    family="projector",
    mib="EPSON-PJ-MIB",
    vendor="Epson",
    root="1.3.6.1.4.1.1248.4.1",
    families=("1.3.6.1.4.1.1248.4",),
    description=r"(?i)^epson .*projector",
    figures=(FigureAt("lamp_used_h", ".1.1.1.0"),),
    readers=(ports,),
)
