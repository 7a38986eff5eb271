"""HIKVISION-MIB: Hikvision's recorders."""

from typing import Final

from agent.devices.table import PartAt, Table
from contract.parts import State

KIND: Final = Table(
    name="hikvision_recorder",
    family="device",
    mib="HIKVISION-MIB",
    vendor="Hikvision",
    root="1.3.6.1.4.1.50001.1",
    families=("1.3.6.1.4.1.50001",),
    sign_oids=(".230.0",),
    parts=(
        PartAt(
            "storage", ".241.1.3", {0: State.OK, 1: State.DEGRADED, 2: State.FAILED, 3: State.FAILED}, is_worst=True
        ),
    ),
)
