"""One script for each row of the table of causes: what happens, and what the right answers are."""

from collections.abc import Callable
from typing import Final, NamedTuple

from readiness.causes import Cause, Stop
from tests.causes.village import House, Village

AREA_COUNT: Final = 7
"""Of the eight rooms of a district so many share an outage of the area."""


class Script(NamedTuple):
    """`live` is the right guess while the room is silent; UNKNOWN where no witness can speak then."""

    name: str
    happens: Callable[[Village], None]
    final: Cause
    live: Cause = Cause.UNKNOWN
    is_of_area: bool = False


def _silent_for(village: Village) -> None:
    village.run(village.chance.choice([360.0, 600.0, 1200.0, 3600.0]))


def _sleeps(village: Village) -> None:
    village.say_goodbye(village.house, "suspend")
    _sleeps_without_word(village)


def _sleeps_without_word(village: Village) -> None:
    village.house.awake = False
    _silent_for(village)
    village.house.awake = True


def _switched_off(village: Village) -> None:
    village.say_goodbye(village.house, "shutdown")
    _switched_off_without_word(village)


def _switched_off_without_word(village: Village) -> None:
    _restarts(village, Stop.SHUT_DOWN)


def _restarts(village: Village, stop: Stop) -> None:
    village.house.cut_pc(stop)
    _silent_for(village)
    village.house.start_pc(village.now)


def _updated(village: Village) -> None:
    village.say_goodbye(village.house, "update")
    village.house.agent = False
    _silent_for(village)
    village.house.agent, village.house.agent_start_s = True, village.now


def _updated_without_word(village: Village) -> None:
    _restarts(village, Stop.UPDATED)


def _mains_fail(village: Village, houses: list[House], lasts_s: float) -> None:
    for house in houses:
        house.mains = False
    village.run(lasts_s)
    for house in houses:
        house.mains = True
        if not house.pc:
            house.start_pc(village.now)


def _ups_runs_empty(village: Village) -> None:
    house = village.house
    house.runtime_s = house.charge_s = village.chance.choice([240.0, 600.0, 900.0])
    _mains_fail(village, [house], house.charge_s + village.chance.choice([600.0, 1800.0, 7200.0]))


def _router_not_on_ups(village: Village) -> None:
    house = village.house
    house.network_on_ups = False
    house.runtime_s = house.charge_s = 5400.0
    _mains_fail(village, [house], village.chance.choice([600.0, 1200.0, 2400.0]))


def _mains_fail_without_ups(village: Village) -> None:
    village.house.has_ups = False
    _mains_fail(village, [village.house], village.chance.choice([360.0, 1200.0, 7200.0]))


def _unplugged(village: Village) -> None:
    _restarts(village, Stop.CUT)


def _button_held(village: Village) -> None:
    _restarts(village, Stop.HELD)


def _crashes(village: Village) -> None:
    _restarts(village, Stop.CRASHED)


def _agent_crashes(village: Village) -> None:
    village.house.agent = False
    village.lose(village.house)
    _silent_for(village)
    village.house.agent, village.house.agent_start_s = True, village.now


def _breaks(part: str) -> Callable[[Village], None]:
    def happens(village: Village) -> None:
        setattr(village.house, part, False)
        _silent_for(village)
        setattr(village.house, part, True)

    return happens


def _area_loses_provider(village: Village) -> None:
    hit = village.district[:AREA_COUNT]
    for house in hit:
        house.provider = False
    _silent_for(village)
    for house in hit:
        house.provider = True


def _area_loses_power(village: Village) -> None:
    hit = village.district[:AREA_COUNT]
    for house in hit:
        house.has_ups = village.chance.random() < 0.7
        house.network_on_ups = False
        house.runtime_s = house.charge_s = 5400.0
    village.house.has_ups = True
    _mains_fail(village, hit, village.chance.choice([600.0, 1200.0, 2400.0]))


def _collector_is_away(village: Village) -> None:
    village.broker = False
    _silent_for(village)
    village.broker = True


SCRIPTS: Final = (
    Script("sleeps, says so", _sleeps, Cause.PC_ASLEEP, live=Cause.PC_ASLEEP),
    Script("sleeps without a word", _sleeps_without_word, Cause.PC_ASLEEP),
    Script("switched off, says so", _switched_off, Cause.PC_SWITCHED_OFF, live=Cause.PC_SWITCHED_OFF),
    Script("switched off without a word", _switched_off_without_word, Cause.PC_SWITCHED_OFF),
    Script("updated, says so", _updated, Cause.MAINTENANCE, live=Cause.MAINTENANCE),
    Script("updated without a word", _updated_without_word, Cause.MAINTENANCE),
    Script("mains fail, UPS runs empty", _ups_runs_empty, Cause.UPS_EMPTY, live=Cause.UPS_EMPTY),
    Script("mains fail, router not on the UPS", _router_not_on_ups, Cause.POWER_CUT_NETWORK),
    Script("mains fail, no UPS", _mains_fail_without_ups, Cause.POWER_CUT),
    Script("PC unplugged", _unplugged, Cause.PC_LOST_POWER),
    Script("power button held", _button_held, Cause.PC_LOST_POWER),
    Script("PC crashes", _crashes, Cause.PC_CRASHED),
    Script("agent crashes", _agent_crashes, Cause.AGENT_CRASHED),
    Script("cable pulled", _breaks("carrier"), Cause.CABLE),
    Script("no address from DHCP", _breaks("address"), Cause.NO_ADDRESS),
    Script("router dies", _breaks("router"), Cause.ROUTER),
    Script("provider fails", _breaks("provider"), Cause.ISP),
    Script("names do not resolve", _breaks("names"), Cause.DNS),
    Script("foreign page before the Internet", _breaks("portal"), Cause.CAPTIVE_PORTAL),
    Script("credentials refused", _breaks("welcome"), Cause.CREDENTIALS),
    Script("provider fails in the district", _area_loses_provider, Cause.AREA_LINE, is_of_area=True),
    Script("mains fail in the district", _area_loses_power, Cause.AREA_POWER, is_of_area=True),
)
