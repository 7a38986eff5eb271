"""What a probe is: one file in `agent/probes/`, whose fields are its settings and whose values carry their units."""

from typing import ClassVar, NamedTuple, Protocol

from contract.outcome import Outcome

Values = dict[str, int | float]
"""A value's name, ending in its unit, to a finite number. What could not be measured is absent."""


class Value(NamedTuple):
    """One number that a probe can bring: its name (with unit) and what it means."""

    name: str
    meaning: str


class ProbeFailed(Exception):
    """The attempt ended without a full measurement: how, what was tried where and what came back, and what was
    measured all the same.
    """

    def __init__(self, outcome: Outcome, detail: str, values: Values | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.values: Values = values or {}


class Probe(Protocol):
    """Measures one target once, when asked. Owns no clock schedule, no retry beyond its protocol's, no state.

    A class in `agent/probes/<name>.py` is a frozen, keyword-only `msgspec.Struct` whose fields are its settings and
    whose docstring names the standard or MIB that it follows. It raises ProbeFailed for every failure that it
    recognises; anything else becomes `Outcome.BROKEN` at the border (`agent/taking.py`).
    """

    values: ClassVar[tuple[Value, ...]]
    rights: ClassVar[str]
    """What the agent must be allowed for it, on Linux and on Windows; for the docs."""
    example: ClassVar[dict[str, object]]
    """Settings that load, as a plan would write them; shown in the docs and loaded by a test."""

    @property
    def target(self) -> str:
        """Name of the thing probed; begins with its role (`contract.names.ROLES`)."""
        ...

    @property
    def longest_s(self) -> float:
        """The longest that one measurement can take by its own settings; the border cuts it off a little later."""
        ...

    async def measure(self) -> Values:
        """One measurement, now."""
        ...


def urgent_values(probe: Probe) -> frozenset[str]:
    """Those of a probe's values, each a yes or no, whose change must be told at once; most have none."""
    named: frozenset[str] = getattr(type(probe), "urgent", frozenset())
    return named


def is_test(probe: Probe) -> bool:
    """Whether it loads the line, and so must not run beside a lesson; most do not."""
    return bool(getattr(type(probe), "is_test", False))


def is_in_hours_only(probe: Probe) -> bool:
    """Whether a plan must name the hours in which it runs, since it takes much of the line; few do."""
    return bool(getattr(type(probe), "in_hours_only", False))


def cost_of(probe: Probe) -> int:
    """About how many bytes one measurement sends and receives, headers included; 0 for what asks nobody."""
    cost_bytes: int = getattr(probe, "cost_bytes", 0)
    return cost_bytes
