"""CPS-MIB: CyberPower's cards, and PowerPanel on a PC."""

from typing import Final

from agent.ups.codes import Source
from agent.ups.table import NO_YES, Figure, State, Table

TABLE: Final = Table(
    name="CPS-MIB",
    root="1.3.6.1.4.1.3808.1.1.1",
    families=("1.3.6.1.4.1.3808",),
    signs=(".4.1.1.0", ".2.1.1.0"),
    figures=(
        Figure("on_battery_s", ".2.1.2.0", 0.01),
        Figure("charge_ratio", ".2.2.1.0", 0.01),
        Figure("battery_v", ".2.2.2.0", 0.1),
        Figure("battery_celsius", ".2.2.3.0"),
        Figure("runtime_s", ".2.2.4.0", 0.01),
        Figure("inputs_v", ".3.2.1.0", 0.1),
        Figure("inputs_hz", ".3.2.4.0"),
        Figure("outputs_v", ".4.2.1.0", 0.1),
        Figure("loads_ratio", ".4.2.3.0", 0.01),
    ),
    states=(
        State("is_low", ".2.1.1.0", {2: False, 3: True}),
        State("is_worn", ".2.2.5.0", NO_YES),
        State("is_mains_failed", ".3.2.6.0", {1: False, 5: True}),
        State(
            "source",
            ".4.1.1.0",
            {
                2: Source.NORMAL,
                3: Source.BATTERY,
                4: Source.BOOSTER,
                5: Source.NONE,
                6: Source.NONE,
                7: Source.NONE,
            },
        ),
    ),
)
