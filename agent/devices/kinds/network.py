"""Routers and switches of any maker, by the layers that sysServices names (SNMPv2-MIB): IF-MIB."""

from typing import Final

from agent.devices.readers import host_resources, ports, way_out
from agent.devices.table import Table

KIND: Final = Table(
    name="network",
    family="router",
    mib="IF-MIB",
    layers=0b110,  # 2: bridges, 3: forwards packets
    readers=(host_resources, way_out, ports),
    is_generic=True,
)
