import pytest

from agent.probe import Values
from agent.vigil import Vigil

UPS = ("power", "ups")
URGENT = frozenset({"on_battery_bool"})
MAINS: Values = {"on_battery_bool": 0, "input_v": 220.0}
BATTERY: Values = {"on_battery_bool": 1, "battery_runtime_s": 900.0}


def after(told: Values) -> Vigil:
    vigil = Vigil()
    vigil.recorded(UPS, URGENT, told, 100.0)
    return vigil


@pytest.mark.parametrize(
    ("told", "seen", "later_s", "is_news"),
    [
        pytest.param(MAINS, BATTERY, 1.0, True, id="the mains fail"),
        pytest.param(BATTERY, MAINS, 1.0, True, id="the mains are back"),
        pytest.param(MAINS, MAINS | {"input_v": 180.0}, 1e6, False, id="nothing urgent has changed"),
        pytest.param(BATTERY, BATTERY, 29.0, False, id="still on battery, told lately"),
        pytest.param(BATTERY, BATTERY, 30.0, True, id="still on battery, told long ago"),
        pytest.param(MAINS, {}, 1e6, False, id="the UPS does not answer"),
        pytest.param({}, BATTERY, 1.0, False, id="the UPS answers for the first time, told lately"),
        pytest.param({}, BATTERY, 30.0, True, id="the UPS answers for the first time, from battery"),
    ],
)
def test_only_what_is_urgent_and_new_is_told_between_ticks(
    told: Values, seen: Values, later_s: float, *, is_news: bool
) -> None:
    assert after(told).is_news(UPS, URGENT, seen, 100.0 + later_s) is is_news


def test_what_no_tick_has_told_yet_waits_for_it() -> None:
    assert not Vigil().is_news(UPS, URGENT, BATTERY, 1e6)
