"""The published lists of what a device can tell: its parts' states, and its figures with the bounds of what can be."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.probe import Value, Values
from contract.parts import PARTS, STATES, STATUS


class Figure(NamedTuple):
    """A number that a device can give, what it means, and outside which bounds it cannot be true."""

    name: str
    meaning: str
    low: float = 0.0
    high: float = math.inf


_YEAR_S: Final = 366 * 86400.0
FIGURES: Final = (
    Figure("uptime_s", "Since the device started.", high=20 * _YEAR_S),
    Figure("temperature_celsius", "Its temperature; of several sensors the hottest.", -20.0, 90.0),
    Figure("cpu_ratio", "How busy its processors are, together.", high=1.0),
    Figure("memory_used_ratio", "Share of its memory in use.", high=1.0),
    Figure("disk_used_ratio", "Share in use of its fullest disk that can be written to.", high=1.0),
    Figure("lamp_used_h", "How long the lamp has burnt.", high=100_000.0),
    Figure("filter_used_h", "How long the air filter has been in use.", high=100_000.0),
    Figure(
        "input_code",
        "The input that it shows, as PJLink numbers them: 1x RGB, 2x video, 3x digital, 4x storage, 5x network, "
        "6x internal.",
        low=11.0,
        high=69.0,
    ),
    Figure(
        "device_clock_offset_s",
        "How far its clock is ahead of this PC's; negative when it is behind.",
        -100 * _YEAR_S,
        100 * _YEAR_S,
    ),
    Figure("call_active_bool", "It is in a call.", high=1.0),
    Figure("calls_count", "Calls that it is in.", high=1000.0),
    Figure("call_loss_ratio", "Packets lost in the call, as the device counts; the worst of its streams.", high=1.0),
    Figure("call_jitter_ms", "Jitter in the call, as the device measures it; the worst of its streams.", high=60_000.0),
    Figure("call_latency_ms", "Delay in the call, as the device measures it; the longest.", high=60_000.0),
    Figure("call_received_bps", "Rate of the call from the far side.", high=1e9),
    Figure("call_sent_bps", "Rate of the call to the far side.", high=1e9),
    Figure("if_up_bool", "The network interface that matters (a router's way out) passes packets.", high=1.0),
    Figure("if_speed_bps", "Its speed; absent where the device does not know.", low=1.0, high=1e13),
    Figure("if_received_bytes_total", "Bytes that it received."),
    Figure("if_sent_bytes_total", "Bytes that it sent."),
    Figure("wan_uptime_s", "How long a router's connection to the provider has stood.", high=20 * _YEAR_S),
    Figure("wan_down_bps", "Bitrate of a router's way out to the school, as its line was set up.", high=1e12),
    Figure("wan_up_bps", "Bitrate of a router's way out from the school.", high=1e12),
    Figure("wan_received_bytes_total", "Bytes that a router received by its way out; often only 32 bits."),
    Figure("wan_sent_bytes_total", "Bytes that a router sent by its way out; often only 32 bits."),
)
_RANGES: Final = {figure.name: figure for figure in FIGURES}


def part_values() -> Iterator[Value]:
    """A value for each part that may be told of."""
    for part in PARTS:
        for place, name in enumerate(part.names(), start=1):
            which = f"{part.meaning} (number {place})" if part.most > 1 else part.meaning
            yield Value(f"{name}{STATUS}", f"{which}: {STATES}.")


def figure_values() -> Iterator[Value]:
    """A value for each figure."""
    return (Value(figure.name, figure.meaning) for figure in FIGURES)


def plausible(figures: Values) -> Values:
    """The figures that can be true. KeyError for a name that is not published."""
    return {name: number for name, number in figures.items() if _RANGES[name].low <= number <= _RANGES[name].high}
