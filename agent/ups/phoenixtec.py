"""PPC-MIB: Phoenixtec and Megatec, the makers behind Santak and many a shop's own name.

Its battery voltage is that of one cell and its runtime has no known unit; UPS-MIB, which these cards have too, is
heard about both.
"""

from typing import Final

from agent.ups.codes import Source
from agent.ups.table import Figure, State, Table

TABLE: Final = Table(
    name="PPC-MIB",
    root="1.3.6.1.4.1.935.1.1.1",
    families=("1.3.6.1.4.1.935",),
    signs=(".4.1.1.0", ".2.1.1.0"),
    figures=(
        Figure("on_battery_s", ".2.1.2.0"),
        Figure("charge_ratio", ".2.2.1.0", 0.01),
        Figure("battery_celsius", ".2.2.3.0", 0.1),
        Figure("inputs_v", ".3.2.1.0", 0.1),
        Figure("inputs_hz", ".3.2.4.0"),
        Figure("outputs_v", ".4.2.1.0", 0.1),
        Figure("loads_ratio", ".4.2.3.0", 0.01),
    ),
    states=(
        State("is_low", ".2.1.1.0", {2: False, 3: True}),
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
                8: Source.NONE,
                9: Source.REDUCER,
            },
        ),
    ),
)
