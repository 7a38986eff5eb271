"""PCs with Windows and its SNMP service: HOST-RESOURCES-MIB."""

from typing import Final

from agent.devices.readers import host_resources
from agent.devices.table import Table

KIND: Final = Table(
    name="windows",
    family="host",
    mib="HOST-RESOURCES-MIB",
    vendor="Microsoft",
    families=("1.3.6.1.4.1.311.1.1.3",),
    description=r"Software: (?P<model>Windows) Version (?P<firmware>.+)$",
    readers=(host_resources,),
)
