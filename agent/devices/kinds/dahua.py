"""DAHUA-SNMP-MIB: Dahua's cameras and recorders, and those that others sell."""

from typing import Final

from agent.devices.table import PartAt, Table
from contract.parts import State

KIND: Final = Table(
    name="dahua",
    family="camera",
    mib="DAHUA-SNMP-MIB",
    vendor="Dahua",
    root="1.3.6.1.4.1.1004849.2.1",
    families=("1.3.6.1.4.1.1004849",),
    sign_oids=(".2.6.0",),
    model=(".2.6.0",),
    firmware=(".1.1.1.0", ".1.1.0"),
    parts=(PartAt("system", ".2.8.0", {1: State.OK}),),
)
