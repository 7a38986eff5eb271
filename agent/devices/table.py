"""What a vendor's tree of SNMP objects is to us: a table of parts and figures. One file in `kinds/` holds one.

An object's id that begins with a dot lies below the table's root. One that ends in `.0` is one object; any other is a
column, whose rows are parts numbered in order, or figures of which one is picked.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from agent.devices.kind import Device, Family, Identity, Told
from agent.devices.parts import plausible
from agent.devices.vendors import vendor_of
from agent.probe import Values
from agent.snmp.mib2 import Answers
from agent.ups.table import UNKNOWN
from contract.parts import State, names_of

DESCRIPTION: Final = "1.3.6.1.2.1.1.1.0"
OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
NAME: Final = "1.3.6.1.2.1.1.5.0"
SERVICES: Final = "1.3.6.1.2.1.1.7.0"
ROWS_MAX_COUNT: Final = 16
"""More rows of a device's own table are not read."""

Reader = Callable[[Device], Awaitable[Told]]
"""Reads something of its own beside a table: interfaces, processors and disks."""

_WORST_FIRST: Final = (
    State.FAILED,
    State.BLOCKED,
    State.DEGRADED,
    State.MUTED,
    State.UNKNOWN,
    State.STANDBY,
    State.OK,
    State.DISABLED,
)
_NUMBER: Final = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)")


class PartAt(msgspec.Struct, frozen=True):
    """Where the state of a part is, and what its numbers mean; others say nothing.

    A column with `is_worst` is one part: the worst of its rows. `sums` marks an object that tells of all parts of the
    name together: it counts where its rows say nothing, and where it has failed though none of them has.
    """

    into: str
    oid: str
    means: Mapping[int, State]
    is_worst: bool = False
    sums: bool = False


class FigureAt(msgspec.Struct, frozen=True):
    """Where a figure is: `times` its number, which may be a text that begins with one. Of a column, and of `also`, more
    columns like it, the largest, their mean or how many there are. Of several into one figure the first that says
    something counts.
    """

    into: str
    oid: str
    times: float = 1.0
    pick: Literal["largest", "mean", "rows"] = "largest"
    also: tuple[str, ...] = ()

    @property
    def oids(self) -> tuple[str, ...]:
        """All to ask for."""
        return (self.oid, *self.also)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of device by SNMP.

    It is recognised by one of `signs` that answers, by a sysObjectID below one of `families`, or by a sysDescr in which
    `description`, a regular expression, is found; its groups `model`, `firmware` and `vendor` are used. `model` and
    `firmware` name objects whose text is better than that; `readers` read what stands in other trees.
    """

    name: str
    family: Family
    mib: str
    """The tree's name, as its documents call it."""
    vendor: str = ""
    root: str = ""
    families: tuple[str, ...] = ()
    description: str = ""
    sign_oids: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    parts: tuple[PartAt, ...] = ()
    figures: tuple[FigureAt, ...] = ()
    readers: tuple[Reader, ...] = ()
    layers: int = 0
    """Bits of sysServices (RFC 3418), one of which is enough."""
    is_generic: bool = False

    @property
    def way(self) -> str:
        """By SNMP, all of them."""
        return "snmp"

    @property
    def logs_in(self) -> bool:
        """SNMP has its own way."""
        return False

    @property
    def signs(self) -> Sequence[str]:
        """In full."""
        return [self._full(oid) for oid in self.sign_oids]

    def _full(self, oid: str) -> str:
        return self.root + oid if oid.startswith(".") else oid

    async def recognise(self, device: Device) -> Identity | None:
        """By what is known already; asks only for the names of model and firmware."""
        by = self._recognised_by(device.system)
        if not by:
            return None
        wanted = [self._full(oid) for oid in (*self.model, *self.firmware)]
        asked = [oid for oid in wanted if oid not in device.system]
        answers = {**device.system, **(await device.snmp.get(asked) if asked and device.snmp is not None else {})}
        found = re.search(self.description, text(device.system.get(DESCRIPTION))) if self.description else None
        said = {} if found is None else {name: part or "" for name, part in found.groupdict().items()}

        def named(oids: tuple[str, ...], group: str) -> str:
            texts = [text(answers.get(self._full(oid))) for oid in oids]
            return next((one for one in texts if one), said.get(group, "").strip())

        return Identity(
            kind=self.name,
            family=self.family,
            vendor=said.get("vendor", "") or self.vendor or vendor_of(device.system.get(OBJECT_ID)),
            model=named(self.model, "model"),
            firmware=named(self.firmware, "firmware"),
            by=by,
        )

    def _recognised_by(self, system: Answers) -> str:
        if any(sign in system for sign in self.signs):
            return self.mib
        oid = system.get(OBJECT_ID)
        if isinstance(oid, str) and any(f"{oid}.".startswith(f"{family}.") for family in self.families):
            return f"sysObjectID {oid}"
        if self.description and re.search(self.description, text(system.get(DESCRIPTION))):
            return "sysDescr"
        services = system.get(SERVICES)
        if isinstance(services, int) and services & self.layers:
            return f"sysServices {services}"
        return ""

    async def ask(self, device: Device) -> Told:
        """One GET, one GETBULK, and what the readers need. Raises ProbeFailed."""
        told = Told()
        if device.snmp is not None:
            named = [*(part.oid for part in self.parts), *(oid for figure in self.figures for oid in figure.oids)]
            oids = list(dict.fromkeys(map(self._full, named)))
            single = [oid for oid in oids if oid.endswith(".0")]
            columns = [oid for oid in oids if not oid.endswith(".0")]
            answers = await device.snmp.get(single) if single else {}
            rows = await device.snmp.rows(columns, ROWS_MAX_COUNT) if columns else {}
            # Not that it is in no call: nothing at all of the tree is there.
            told = self.read(answers, rows) if answers or rows else Told()
        for reader in self.readers:
            told = merged(told, await reader(device))
        return told

    def read(self, answers: Answers, rows: Mapping[str, Answers]) -> Told:
        """What the answers say: numbers that cannot be are left out, states that mean nothing too."""
        parts: dict[str, State] = {}
        for one in sorted(self.parts, key=lambda part: part.sums):
            if one.oid.endswith(".0"):
                _add(parts, one, _state(one, answers.get(self._full(one.oid))))
            else:
                _add_rows(parts, one, _column(rows, self._full(one.oid)))
        figures: Values = {}
        for figure in self.figures:
            full = [self._full(oid) for oid in figure.oids]
            found = [answers[oid] for oid in full if oid in answers]
            found += [answer for oid in full for answer in _column(rows, oid).values()]
            number = _picked(figure, found)
            if number is not None and figure.into not in figures:
                figures |= plausible({figure.into: number})
        if "calls_count" in figures:
            figures["call_active_bool"] = int(figures["calls_count"] > 0)
        return Told(parts=parts, figures=figures)


def merged(first: Told, second: Told) -> Told:
    """One account of two; where both speak the first is heard."""
    identity = first.identity or second.identity
    return Told(parts={**second.parts, **first.parts}, figures={**second.figures, **first.figures}, identity=identity)


def text(answer: int | str | bytes | None) -> str:
    """A device's text without what pads it; empty for anything else."""
    if not isinstance(answer, bytes):
        return ""
    return " ".join(answer.decode("utf-8", "replace").replace("\0", " ").split())


def number_in(answer: int | str | bytes | None) -> float | None:
    """A number, also one that begins a text (`15 PERCENT`); None for what devices say for "don't know"."""
    if isinstance(answer, int):
        return None if answer in UNKNOWN else answer
    found = _NUMBER.match(text(answer))
    return None if found is None or float(found[1]) in UNKNOWN else float(found[1])


def _state(one: PartAt, answer: int | str | bytes | None) -> State | None:
    return one.means.get(answer) if isinstance(answer, int) else None


def _column(rows: Mapping[str, Answers], column: str) -> dict[str, int | str | bytes]:
    found = {index: row[column] for index, row in rows.items() if column in row}
    return dict(sorted(found.items(), key=lambda one: tuple(map(int, one[0].split(".")))))


def _add_rows(parts: dict[str, State], one: PartAt, found: Mapping[str, int | str | bytes]) -> None:
    if one.is_worst:
        _add(parts, one, worst([state for answer in found.values() if (state := _state(one, answer)) is not None]))
        return
    names = names_of(one.into)
    # The device's own numbers, so that camera 2 stays camera 2 when camera 1 leaves the list; else their order.
    own = [int(index) if index.isdecimal() else 0 for index in found]
    numbers = own if all(1 <= number <= len(names) for number in own) else range(1, len(own) + 1)
    for number, answer in zip(numbers, found.values(), strict=True):
        state = _state(one, answer)
        if state is not None and number <= len(names):
            parts.setdefault(names[number - 1], state)


def _add(parts: dict[str, State], one: PartAt, state: State | None) -> None:
    if state is None:
        return
    if not one.sums:
        parts.setdefault(one.into, state)
        return
    known = [name for name in parts if name.rstrip("0123456789") == one.into]
    if not known or (state is State.FAILED and State.FAILED not in (parts[name] for name in known)):
        # What has failed is not in the device's list: one more than that.
        free = [name for name in names_of(one.into) if name not in parts]
        parts.update(dict.fromkeys(free[:1], state))


def worst(states: Sequence[State]) -> State | None:
    """The state that matters most; None of none."""
    return min(states, key=_WORST_FIRST.index, default=None)


def _picked(figure: FigureAt, found: Sequence[int | str | bytes]) -> int | float | None:
    if figure.pick == "rows":
        return len(found)
    numbers = [number for answer in found if (number := number_in(answer)) is not None]
    if not numbers:
        return None
    return (max(numbers) if figure.pick == "largest" else sum(numbers) / len(numbers)) * figure.times
