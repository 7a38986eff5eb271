"""Holds the parts that a PC has against those that it should have; reads nothing."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, get_args

from agent.probe import Values
from contract.parts import STATUS, State, names_of

PartKind = Literal["camera", "microphone", "speaker", "screen"]
KINDS: Final[tuple[PartKind, ...]] = get_args(PartKind)


class Fitted(NamedTuple):
    """One part that is there: what it is, what it calls itself, and how the system says that it is."""

    kind: PartKind
    name: str
    state: State = State.OK


class Expected(NamedTuple):
    """A part that should be there; `name` is a piece of what it calls itself, empty for any."""

    kind: PartKind
    name: str = ""


def parse_expected(text: str) -> Expected | None:
    """`camera`, or `camera Logitech`; None for what names no kind.

    >>> parse_expected("microphone Jabra Speak"), parse_expected("printer")
    (Expected(kind='microphone', name='Jabra Speak'), None)
    """
    kind, _, name = text.strip().partition(" ")
    return next((Expected(one, name.strip()) for one in KINDS if one == kind), None)


def values_of(fitted: Sequence[Fitted], expected: Sequence[Expected]) -> Values:
    """How many of each kind are there, and the state of each: those expected come first, in their order.

    One that is expected and not there has failed, and one that is there and switched off by the system is blocked;
    else it is merely disabled.
    """
    values: Values = {}
    for kind in KINDS:
        of_kind = sorted((one for one in fitted if one.kind == kind), key=lambda one: (one.state, one.name))
        values[f"{kind}s_count"] = len(of_kind)
        states = list(_in_order(of_kind, [one for one in expected if one.kind == kind]))
        for part, state in zip(names_of(kind), states, strict=False):  # more than the contract names are only counted
            values[f"{part}{STATUS}"] = int(state)
    return values


def _words(name: str) -> str:
    """A name as it is compared: makers are free with spaces and capitals."""
    return " ".join(name.lower().split())


def _in_order(of_kind: list[Fitted], expected: Sequence[Expected]) -> Iterator[State]:
    rest = list(of_kind)
    taken: dict[int, Fitted] = {}
    # Those expected by name choose first: else one that is expected by no name might take theirs.
    for place, wanted in sorted(enumerate(expected), key=lambda one: not one[1].name):
        found = next((one for one in rest if _words(wanted.name) in _words(one.name)), None)
        if found is not None:
            rest.remove(found)
            taken[place] = found
    for place in range(len(expected)):
        state = taken[place].state if place in taken else State.FAILED
        yield State.BLOCKED if state is State.DISABLED else state
    # By name, so that each keeps its number when another changes its state.
    yield from (one.state for one in sorted(rest, key=lambda one: one.name))
