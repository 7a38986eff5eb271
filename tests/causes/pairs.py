"""Two faults of one room at once, the second before the first is over: what happens, and what may be answered."""

from collections.abc import Callable
from typing import Final, NamedTuple

from readiness.causes import Cause, Stop
from tests.causes.village import House, Village


class Fault(NamedTuple):
    """One fault, until it is mended. `truths` are the right answers: a power cut is one by several names."""

    begin: Callable[[House], None]
    mend: Callable[[House, float], None]
    truths: frozenset[Cause]


def _broken(part: str, cause: Cause) -> Fault:
    return Fault(
        lambda house: setattr(house, part, False), lambda house, _now: setattr(house, part, True), frozenset({cause})
    )


def _stopped(stop: Stop, cause: Cause) -> Fault:
    return Fault(lambda house: house.cut_pc(stop), House.start_pc, frozenset({cause}))


def _restart_agent(house: House, now: float) -> None:
    house.agent, house.agent_start_s = True, now


def _power_is_back(house: House, now: float) -> None:
    house.mains = True
    if not house.pc:
        house.start_pc(now)


FAULTS: Final = {
    "provider fails": _broken("provider", Cause.ISP),
    "router dies": _broken("router", Cause.ROUTER),
    "cable pulled": _broken("carrier", Cause.CABLE),
    "names do not resolve": _broken("names", Cause.DNS),
    "foreign page": _broken("portal", Cause.CAPTIVE_PORTAL),
    "PC asleep": _broken("awake", Cause.PC_ASLEEP),
    "PC crashes": _stopped(Stop.CRASHED, Cause.PC_CRASHED),
    "PC switched off": _stopped(Stop.SHUT_DOWN, Cause.PC_SWITCHED_OFF),
    "agent killed": Fault(
        lambda house: setattr(house, "agent", False), _restart_agent, frozenset({Cause.AGENT_CRASHED})
    ),
    "mains fail": Fault(
        lambda house: setattr(house, "mains", False),
        _power_is_back,
        frozenset({Cause.POWER_CUT, Cause.POWER_CUT_NETWORK, Cause.UPS_EMPTY}),
    ),
}


def suffer(village: Village, first: Fault, second: Fault, *, has_ups: bool, is_nested: bool) -> list[Cause]:
    """Let both happen; what was answered for good of each silence. A nested second fault is mended before the first."""
    house = village.house
    house.has_ups, house.network_on_ups = has_ups, False
    village.run(600.0)
    first.begin(house)
    village.run(village.chance.choice([60.0, 300.0, 900.0]))
    second.begin(house)
    village.run(village.chance.choice([300.0, 900.0]))
    for number, one in enumerate((second, first) if is_nested else (first, second)):
        village.run(village.chance.choice([60.0, 300.0]) if number else 0.0)
        one.mend(house, village.now)
    village.run(1200.0)
    return [one.explanation.cause for one in village.settled]
