"""What UPSes say about themselves, vendor by vendor, and what of it can be believed."""

from typing import Final

from agent.ups import apc, cyberpower, mg_snmp, phoenixtec, rfc1628, xups
from agent.ups.table import Table

TABLES: Final[tuple[Table, ...]] = (
    apc.TABLE,
    cyberpower.TABLE,
    mg_snmp.TABLE,
    xups.TABLE,
    phoenixtec.TABLE,
    rfc1628.TABLE,
)
"""In the order in which they are heard: a vendor's own tree is finer than the common one, which fills the gaps."""
