"""MG-SNMP-UPS-MIB: Eaton's and MGE's network cards."""

from typing import Final

from agent.ups.table import YES_NO, Figure, State, Table

TABLE: Final = Table(
    name="MG-SNMP-UPS-MIB",
    root="1.3.6.1.4.1.705.1",
    families=("1.3.6.1.4.1.705.1",),
    signs=(".7.3.0", ".5.2.0"),
    figures=(
        Figure("runtime_s", ".5.1.0"),
        Figure("charge_ratio", ".5.2.0", 0.01),
        Figure("battery_v", ".5.5.0", 0.1),
        Figure("battery_celsius", ".5.7.0"),
        # Some cards number the phases .1.0, .2.0, others .1, .2.
        Figure("inputs_v", ".6.2.1.2", 0.1, phases=3, tail=".0"),
        Figure("inputs_v", ".6.2.1.2", 0.1, phases=3),
        Figure("inputs_hz", ".6.2.1.3", phases=3, tail=".0"),
        Figure("inputs_hz", ".6.2.1.3", phases=3),
        Figure("outputs_v", ".7.2.1.2", 0.1, phases=3),
        Figure("loads_ratio", ".7.2.1.4", 0.01, phases=3),
    ),
    states=(
        State("is_low", ".5.14.0", YES_NO),
        State("is_worn", ".5.11.0", YES_NO),
        State("is_worn", ".5.9.0", YES_NO),
        State("is_mains_failed", ".6.4.0", {1: False, 4: True}),
        State("is_on_battery", ".7.3.0", YES_NO),
    ),
)
