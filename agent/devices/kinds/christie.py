"""Christie's projectors, known by their sysObjectID; IF-MIB says how they hang on the network."""

from typing import Final

from agent.devices.readers import ports
from agent.devices.table import Table

KIND: Final = Table(
    name="christie",
    family="projector",
    mib="IF-MIB",
    vendor="Christie",
    families=("1.3.6.1.4.1.25766",),
    readers=(ports,),
)
