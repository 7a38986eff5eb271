"""Vivotek's cameras, which have the common trees only (IF-MIB)."""

from typing import Final

from agent.devices.readers import ports
from agent.devices.table import Table

KIND: Final = Table(
    name="vivotek",
    family="camera",
    mib="IF-MIB",
    vendor="Vivotek",
    description=r"(?i)vivotek(?:[ ,;:]+(?P<model>[A-Z]{1,3}[0-9]{4}\S*))?",
    readers=(ports,),
)
