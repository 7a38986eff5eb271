"""Cisco's (TANDBERG's) codecs with TC or CE software: SX, MX, C, Room Kit. SNMPv2-MIB is all that they answer.

Cameras, microphones and registrations are xAPI's to tell; by SNMP they stay unsaid.
"""

from typing import Final

from agent.devices.table import Table

KIND: Final = Table(
    name="cisco_codec",
    family="codec",
    mib="SNMPv2-MIB",
    vendor="Cisco",
    families=("1.3.6.1.4.1.5596.150",),
    description=r"Codec SoftW: (?P<firmware>\S+) MCU: (?:Cisco |TANDBERG )?(?P<model>.+?) Date:",
)
