"""XUPS-MIB: Eaton's own tree, of Powerware descent. Says nothing of a worn or low battery but in alarms."""

from typing import Final

from agent.ups.codes import Source
from agent.ups.table import OUTPUT_SOURCES, Figure, State, Table

TABLE: Final = Table(
    name="XUPS-MIB",
    root="1.3.6.1.4.1.534.1",
    families=("1.3.6.1.4.1.534",),
    signs=(".4.5.0", ".2.4.0"),
    figures=(
        Figure("runtime_s", ".2.1.0"),
        Figure("battery_v", ".2.2.0"),
        Figure("charge_ratio", ".2.4.0", 0.01),
        Figure("inputs_hz", ".3.1.0"),
        Figure("inputs_v", ".3.4.1.2", phases=3),
        Figure("loads_ratio", ".4.1.0", 0.01),
        Figure("outputs_v", ".4.4.1.2", phases=3),
        Figure("nominal_v", ".10.2.0"),
    ),
    states=(
        State("is_discharging", ".2.5.0", {1: False, 2: True, 3: False, 4: False}),
        State(
            "source",
            ".4.5.0",
            # 8 to 10 and 12 are ways to run several units, or to save power; 11 is a bypass for maintenance.
            {
                **OUTPUT_SOURCES,
                8: Source.NORMAL,
                9: Source.NORMAL,
                10: Source.NORMAL,
                11: Source.BYPASS,
                12: Source.NORMAL,
            },
        ),
    ),
)
