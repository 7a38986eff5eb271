"""Whatever runs Linux with net-snmp and shows no more of itself: HOST-RESOURCES-MIB."""

from typing import Final

from agent.devices.readers import host_resources
from agent.devices.table import Table

KIND: Final = Table(
    name="linux",
    family="host",
    mib="HOST-RESOURCES-MIB",
    families=("1.3.6.1.4.1.8072.3.2.10",),
    description=r"^(?P<model>Linux) \S+ (?P<firmware>[0-9]\S*)",
    readers=(host_resources,),
    is_generic=True,
)
