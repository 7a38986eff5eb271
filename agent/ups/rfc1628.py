"""UPS-MIB (RFC 1628): every vendor's common tongue; the only one of Riello, Huawei, Delta, Generex and CE+T."""

from typing import Final

from agent.ups.table import BATTERY_LOW, OUTPUT_SOURCES, Figure, State, Table

_ALARM: Final = "1.3.6.1.2.1.33.1.6.3."

TABLE: Final = Table(
    name="UPS-MIB",
    root="1.3.6.1.2.1.33.1",
    families=("1.3.6.1.2.1.33",),
    signs=(".4.1.0", ".2.1.0"),
    figures=(
        Figure("on_battery_s", ".2.2.0"),
        Figure("runtime_s", ".2.3.0", 60),
        Figure("charge_ratio", ".2.4.0", 0.01),
        Figure("battery_v", ".2.5.0", 0.1),
        Figure("battery_celsius", ".2.7.0"),
        Figure("inputs_hz", ".3.3.1.2", phases=3),
        Figure("inputs_v", ".3.3.1.3", phases=3),
        Figure("outputs_v", ".4.4.1.2", phases=3),
        Figure("loads_ratio", ".4.4.1.5", 0.01, phases=3),
        Figure("alarms_count", ".6.1.0"),
        Figure("nominal_v", ".9.1.0"),
        Figure("transfer_low_v", ".9.9.0"),
        Figure("transfer_high_v", ".9.10.0"),
    ),
    states=(
        State("is_low", ".2.1.0", BATTERY_LOW),
        State("source", ".4.1.0", OUTPUT_SOURCES),
        State("is_testing", ".7.3.0", {5: True}),
    ),
    alarms=".6.2.1.2",
    alarm_means={
        f"{_ALARM}1": ("is_worn", True),
        f"{_ALARM}3": ("is_low", True),
        f"{_ALARM}4": ("is_low", True),
        f"{_ALARM}20": ("is_deaf", True),
        f"{_ALARM}24": ("is_testing", True),
    },
)
