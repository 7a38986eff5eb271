"""Routers with OpenWrt: HOST-RESOURCES-MIB, IF-MIB, and NET-SNMP-EXTEND-MIB where somebody set it up."""

from typing import Final

from agent.devices.readers import host_resources, way_out
from agent.devices.table import Table


def _extended(name: str) -> str:
    """nsExtendOutput1Line of a command of this name."""
    return f"1.3.6.1.4.1.8072.1.3.2.3.1.1.{len(name)}." + ".".join(str(ord(letter)) for letter in name)


KIND: Final = Table(
    name="openwrt",
    family="router",
    mib="NET-SNMP-EXTEND-MIB",
    vendor="OpenWrt",
    description=r"^Linux OpenWrt (?P<firmware>\S+)",
    model=(_extended("hardware"),),
    firmware=(_extended("distro"),),
    readers=(host_resources, way_out),
)
