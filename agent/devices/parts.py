"""The published lists: which parts a device can have, which states these can be in, and which figures it can give."""

import enum
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.probe import Value, Values


class State(enum.IntEnum):
    """How one part is. The first four have the numbers of a verdict's levels; what was not said is absent."""

    OK = 0
    DEGRADED = 1  # it works, and asks for attention: a warning, a worn lamp
    FAILED = 2
    UNKNOWN = 3  # the device itself says that it does not know
    DISABLED = 4  # switched off on purpose, not configured, or not fitted: no fault
    STANDBY = 5  # asleep, cooling down or warming up: no fault
    MUTED = 6


STATES: Final = ", ".join(f"{state.value} {state.name.lower()}" for state in State)


class Part(NamedTuple):
    """A part that devices have: several of them, numbered from 1, where `most` is above 1."""

    name: str
    most: int
    meaning: str

    def names(self) -> list[str]:
        """`camera1`, `camera2`, … or just `lamp`."""
        return [f"{self.name}{number}" for number in range(1, self.most + 1)] if self.most > 1 else [self.name]


PARTS: Final = (
    Part("system", 1, "The device as a whole, as it judges itself"),
    Part("power", 1, "Whether it is switched on"),
    Part("camera", 4, "A camera"),
    Part("microphone", 4, "A microphone"),
    Part("speaker", 2, "A loudspeaker, or the sound that goes out"),
    Part("screen", 2, "A screen or a projector on the device"),
    Part("video", 4, "A video input or stream"),
    Part("audio", 4, "An audio input or stream"),
    Part("sip_registration", 1, "Registration with the SIP server"),
    Part("h323_registration", 1, "Registration with the H.323 gatekeeper"),
    Part("sip", 1, "The SIP stack"),
    Part("h323", 1, "The H.323 stack"),
    Part("network", 1, "The network port"),
    Part("lamp", 1, "The lamp"),
    Part("fan", 1, "The fans"),
    Part("temperature", 1, "The temperature, as the device judges it"),
    Part("cover", 1, "The cover or casing"),
    Part("filter", 1, "The air filter"),
    Part("power_supply", 1, "The power supply"),
    Part("storage", 1, "Disk or memory card"),
)
_PARTS: Final = {part.name: part for part in PARTS}
PART_NAMES: Final = frozenset(name for part in PARTS for name in part.names())
"""All that may be told of: `camera1` to `camera4`, `lamp`; not `camera5`, not `camera`."""


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
    Figure("call_active_bool", "It is in a call.", high=1.0),
    Figure("calls_count", "Calls that it is in.", high=1000.0),
    Figure("call_loss_ratio", "Packets lost in the call, as the device counts; the worst of its streams.", high=1.0),
    Figure("call_jitter_ms", "Jitter in the call, as the device measures it; the worst of its streams.", high=60_000.0),
    Figure("call_latency_ms", "Delay in the call, as the device measures it; the longest.", high=60_000.0),
    Figure("call_received_bps", "Rate of the call from the far side.", high=1e9),
    Figure("call_sent_bps", "Rate of the call to the far side.", high=1e9),
    Figure("if_up_bool", "The network interface that matters (a router's way out) passes packets.", high=1.0),
    Figure("if_speed_bps", "Its speed; absent where the device does not know.", high=1e13),
    Figure("if_received_bytes_total", "Bytes that it received."),
    Figure("if_sent_bytes_total", "Bytes that it sent."),
)
_RANGES: Final = {figure.name: figure for figure in FIGURES}


def part_values() -> Iterator[Value]:
    """A value for each part that may be told of."""
    for part in PARTS:
        for place, name in enumerate(part.names(), start=1):
            which = f"{part.meaning} (number {place})" if part.most > 1 else part.meaning
            yield Value(f"{name}_status_code", f"{which}: {STATES}.")


def figure_values() -> Iterator[Value]:
    """A value for each figure."""
    return (Value(figure.name, figure.meaning) for figure in FIGURES)


def names_of(part: str) -> list[str]:
    """The names of all that there can be of a part: `camera1` to `camera4`, or just `lamp`. KeyError for no part."""
    return _PARTS[part].names()


def plausible(figures: Values) -> Values:
    """The figures that can be true. KeyError for a name that is not published."""
    return {name: number for name, number in figures.items() if _RANGES[name].low <= number <= _RANGES[name].high}
