"""Samsung's (Hanwha's) iPolis cameras: HOST-RESOURCES-MIB and IF-MIB, no tree of their own that says how they are."""

from typing import Final

from agent.devices.readers import host_resources, ports
from agent.devices.table import NAME, Table

KIND: Final = Table(
    name="samsung_camera",
    family="camera",
    mib="HOST-RESOURCES-MIB",
    vendor="Samsung",
    families=("1.3.6.1.4.1.36849",),
    description=r"(?i)samsung ipolis",
    model=(NAME,),
    readers=(host_resources, ports),
)
