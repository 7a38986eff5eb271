"""PowerNet-MIB: APC's network cards, and PowerChute on a PC. Old ones have no tenths, and none has UPS-MIB for sure."""

from typing import Final

from agent.ups.codes import Source
from agent.ups.table import NO_YES, Figure, State, Table

TABLE: Final = Table(
    name="PowerNet-MIB",
    root="1.3.6.1.4.1.318.1.1.1",
    families=("1.3.6.1.4.1.318.1.3",),
    signs=(".4.1.1.0", ".2.1.1.0"),
    figures=(
        Figure("on_battery_s", ".2.1.2.0", 0.01),
        Figure("charge_ratio", ".2.3.1.0", 0.001),
        Figure("charge_ratio", ".2.2.1.0", 0.01, zero_is_absent=True),
        Figure("battery_celsius", ".2.3.2.0", 0.1),
        Figure("battery_celsius", ".2.2.2.0"),
        Figure("runtime_s", ".2.2.3.0", 0.01),
        Figure("battery_v", ".2.3.4.0", 0.1),
        Figure("battery_v", ".2.2.8.0"),
        Figure("inputs_v", ".3.3.1.0", 0.1),
        Figure("inputs_v", ".3.2.1.0"),
        Figure("inputs_hz", ".3.3.4.0"),
        Figure("inputs_hz", ".3.2.4.0"),
        Figure("outputs_v", ".4.3.1.0", 0.1),
        Figure("outputs_v", ".4.2.1.0"),
        Figure("loads_ratio", ".4.3.3.0", 0.001),
        Figure("loads_ratio", ".4.2.3.0", 0.01),
        Figure("nominal_v", ".5.2.1.0"),
        Figure("transfer_high_v", ".5.2.2.0"),
        Figure("transfer_low_v", ".5.2.3.0"),
    ),
    states=(
        State("is_low", ".2.1.1.0", {2: False, 3: True}),
        State("is_worn", ".2.2.4.0", NO_YES),
        State("is_worn", ".2.1.1.0", {4: True}),
        State(
            "source",
            ".4.1.1.0",
            {
                2: Source.NORMAL,
                3: Source.BATTERY,
                4: Source.BOOSTER,
                5: Source.NONE,
                6: Source.BYPASS,
                7: Source.NONE,
                9: Source.BYPASS,
                10: Source.BYPASS,
                11: Source.NONE,
                12: Source.REDUCER,
            },
        ),
        State("is_testing", ".7.2.3.0", {4: True}),
        State("is_deaf", ".8.1.0", {2: True}),
    ),
)
