"""TP-Link's home routers, which say neither maker nor model, and have 32-bit counters only (IF-MIB)."""

from typing import Final

from agent.devices.readers import way_out
from agent.devices.table import Table

KIND: Final = Table(
    name="tp_link",
    family="router",
    mib="IF-MIB",
    vendor="TP-Link",
    families=("1.3.6.1.4.1.16972", "1.3.6.1.4.1.11863"),
    description=r"^(?P<firmware>[0-9.]+ \S+ v\S+ Build [0-9]+ Rel\.\S+)",
    readers=(way_out,),
)
