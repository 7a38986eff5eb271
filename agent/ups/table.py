"""What a vendor's tree of SNMP objects is to us: a table of objects, each with what it means and in which unit.

A new kind of UPS is one more table (a file beside this one, and its name in `agent/ups/__init__.py`).
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from agent.ups.codes import Source
from agent.ups.told import Told

Number = int | float


class Figure(msgspec.Struct, frozen=True):
    """A number: `into` a field of Told, found at `oid` below the table's root, `times` its unit. Ends in `.0`, or is
    a column whose rows `.1`, `.2`, … are phases; `tail` follows their number.

    Of several figures into one field the first that makes sense counts.
    """

    into: str
    oid: str
    times: float = 1.0
    phases: int = 0
    tail: str = ""
    zero_is_absent: bool = False


class State(msgspec.Struct, frozen=True):
    """A number that stands for something: `means` lists what; others say nothing."""

    into: str
    oid: str
    means: Mapping[int, object]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One tree. A UPS has it when sysObjectID lies below one of `families`, or when one of `signs` answers.

    `alarms`, a column of OIDs, is read when alarms are present: `alarm_means` says what some of them mean.
    """

    name: str
    root: str
    families: tuple[str, ...]
    signs: tuple[str, ...]
    figures: tuple[Figure, ...]
    states: tuple[State, ...]
    alarms: str = ""
    alarm_means: Mapping[str, tuple[str, object]] = {}

    def oids(self) -> list[str]:
        """All to ask for, in full."""
        named = [oid for figure in self.figures for oid in self._oids_of(figure)]
        return list(dict.fromkeys([*named, *(self.root + state.oid for state in self.states)]))

    def sign_oids(self) -> list[str]:
        """Objects whose presence shows that the tree is there."""
        return [self.root + sign for sign in self.signs]

    def _oids_of(self, figure: Figure) -> list[str]:
        if not figure.phases:
            return [self.root + figure.oid]
        return [f"{self.root}{figure.oid}.{phase}{figure.tail}" for phase in range(1, figure.phases + 1)]

    def read(self, answers: Mapping[str, object], alarm_oids: frozenset[str] = frozenset()) -> Told:
        """What the answers say: values that cannot be are left out, states that mean nothing too."""
        told: dict[str, object] = {}
        for state in self.states:
            answer = answers.get(self.root + state.oid)
            if isinstance(answer, int) and answer in state.means:
                told.setdefault(state.into, state.means[answer])
        for figure in self.figures:
            if figure.into not in told:
                found = [
                    number for oid in self._oids_of(figure) if (number := _number(figure, answers.get(oid))) is not None
                ]
                if found:
                    told[figure.into] = tuple(found) if figure.into in _PHASED else found[0]
        told |= {field: value for oid, (field, value) in self.alarm_means.items() if oid in alarm_oids}
        return msgspec.convert(told, Told)


_PHASED: Final = frozenset({"inputs_v", "inputs_hz", "outputs_v", "loads_ratio"})
UNKNOWN: Final = frozenset({-1, 0xFFFF, 0x7FFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, -0x80000000, 71582788})
"""What devices say for "don't know": all ones of some width, and Windows' endless minutes."""
_WEEK_S: Final = 7 * 86400.0
_BYTE_OF_MINUTES_S: Final = 255 * 60.0
_RANGES: Final = {
    "charge_ratio": (0.0, 1.0),
    "runtime_s": (0.0, _WEEK_S),
    "on_battery_s": (0.0, _WEEK_S),
    "battery_v": (0.1, 1000.0),
    "battery_celsius": (-20.0, 90.0),
    "inputs_v": (0.0, 1000.0),
    "outputs_v": (0.0, 1000.0),
    "inputs_hz": (40.0, 70.0),
    "loads_ratio": (0.0, 2.0),
    "alarms_count": (0, 1000),
    "transfers_count": (0, 1_000_000),
    "nominal_v": (50.0, 1000.0),
    "transfer_low_v": (20.0, 1000.0),
    "transfer_high_v": (50.0, 1000.0),
}
_VOLTS: Final = frozenset({"inputs_v", "outputs_v", "battery_v", "nominal_v", "transfer_low_v", "transfer_high_v"})


def _number(figure: Figure, answer: object) -> Number | None:
    if not isinstance(answer, int) or answer in UNKNOWN or (figure.zero_is_absent and answer == 0):
        return None
    return plausible(figure.into, answer if figure.into == "alarms_count" else answer * figure.times)


def plausible(field: str, number: float) -> Number | None:
    """A number for a field of Told, brought to its scale where a device gives tenths or hundredths of its unit; None
    for one that cannot be.
    """
    scales = (1, 10) if field in _VOLTS else (1, 10, 100) if field == "inputs_hz" else (1,)
    low, high = _RANGES[field]
    found = next((number / scale for scale in scales if low <= number / scale <= high), None)
    if found is None or (field == "battery_celsius" and found == 0):
        return None  # 0 degrees is what a UPS without a thermometer says, and no classroom's battery has
    if field == "runtime_s" and found == _BYTE_OF_MINUTES_S:
        return None
    return number if found == number else found


BATTERY_LOW: Final[Mapping[int, bool]] = {2: False, 3: True, 4: True}
"""upsBatteryStatus and its copies: normal, low, depleted."""
YES_NO: Final[Mapping[int, bool]] = {1: True, 2: False}
NO_YES: Final[Mapping[int, bool]] = {1: False, 2: True}
OUTPUT_SOURCES: Final[Mapping[int, Source]] = {source.value: source for source in Source}
