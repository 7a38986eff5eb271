"""How well a device is known, its parts, and the states these can be in: published names and numbers, for ever."""

import enum
import functools
from typing import Final, NamedTuple


class Recognition(enum.IntEnum):
    """How much a device told of what it is; the numbers are published."""

    RECOGNISED = 0
    UNIDENTIFIED = 1  # it is there, and no kind of ours knows it, or none was asked for
    SILENT = 2  # it is there, and does not answer what it is asked: by SNMP, by its own protocol


class Admission(enum.IntEnum):
    """What became of our login at a device; the numbers are published."""

    ACCEPTED = 0
    REFUSED = 1  # not sent again before it changes, or a day has passed
    UNSENT = 2  # kept back: it would go in clear, or to who shows another certificate, or hangs up on it
    WANTED = 3  # the device wants a login, and the plan has none


class State(enum.IntEnum):
    """How one part is. The first four have the numbers of a verdict's levels; what was not said is absent."""

    OK = 0
    DEGRADED = 1  # it works, and asks for attention: a warning, a worn lamp
    FAILED = 2
    UNKNOWN = 3  # the device itself says that it does not know
    DISABLED = 4  # switched off on purpose, not configured, or not fitted: no fault
    STANDBY = 5  # asleep, cooling down or warming up: no fault
    MUTED = 6
    BLOCKED = 7  # it is there, and the system keeps programs from it: a privacy switch


STATUS: Final = "_status_code"
"""How the name of a part's value ends: `camera1_status_code`."""
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
    Part("wan", 1, "The router's connection to the provider"),
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


def names_of(part: str) -> list[str]:
    """The names of all that there can be of a part: `camera1` to `camera4`, or just `lamp`. KeyError for no part."""
    return _PARTS[part].names()


@functools.lru_cache(maxsize=1024)  # asked of the same few names for every room, again and again
def part_of(value_name: str) -> tuple[str, int] | None:
    """The part that a status belongs to, and its number, 0 where there is only one; None for any other value.

    >>> part_of("camera2_status_code"), part_of("sip_registration_status_code"), part_of("rtt_avg_ms")
    (('camera', 2), ('sip_registration', 0), None)
    """
    name = value_name.removesuffix(STATUS)
    if name == value_name or name not in PART_NAMES:
        return None
    if name in _PARTS:
        return name, 0
    bare = name.rstrip("0123456789")
    return bare, int(name.removeprefix(bare))
