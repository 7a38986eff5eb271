"""Decides what of a UPS's account is believed, and makes the power probe's values of it.

Learned from recordings of real devices: an inverter that says "battery" while it runs on the mains, a UPS that says
"discharging" while healthy, single-phase units that report three phases, runtimes of four billion minutes.
"""

from collections.abc import Iterator
from typing import Final

from agent.probe import Values
from agent.ups.codes import ON_MAINS, Source
from agent.ups.told import Told

_DEAD_RATIO: Final = 0.1
"""Below this share of the nominal voltage the mains are interrupted (IEEE 1159); real outages leave a residue."""
_HEALTHY_RATIO: Final = 0.8
_DEAD_V: Final = 20.0
_HEALTHY_V: Final = 80.0
"""The same where nobody knows the nominal voltage, which may be 100 V."""
_OUTPUT_NOMINAL_V: Final = (90.0, 300.0)
_FULL_ENOUGH_RATIO: Final = 0.5
"""A battery so full is not low, whatever a flag says on the mains."""
_EMPTY_RATIO: Final = 0.05


def believe(told: Told) -> Values:
    """The values of `agent.probes.power`, whatever the source. What is unknown or contradicted is absent."""
    on_battery = is_on_battery(told)
    input_v = _lowest_live(told.inputs_v)
    if input_v is not None and on_battery is False and _is_dead(told, input_v):
        input_v = None  # no voltmeter, or one that contradicts all else
    values: Values = {}
    flags = {"on_battery_bool": on_battery, "low_battery_bool": _is_low(told, on_battery)}
    flags["battery_replace_bool"] = told.is_worn
    values |= {name: int(flag) for name, flag in flags.items() if flag is not None}
    figures = {
        "battery_charge_ratio": told.charge_ratio,
        "battery_runtime_s": _runtime_s(told, on_battery),
        "battery_v": told.battery_v,
        "battery_celsius": told.battery_celsius,
        "input_v": input_v,
        "input_hz": _input_hz(told, input_v),
        "output_v": _lowest_live(told.outputs_v),
        "load_ratio": max(told.loads_ratio, default=None),
    }
    values |= {name: float(figure) for name, figure in figures.items() if figure is not None}
    if told.source is not None:
        values["output_source_code"] = int(told.source)
    if told.alarms_count is not None:
        values["alarms_count"] = told.alarms_count
    if told.transfers_count is not None:
        values["transfers_total"] = told.transfers_count
    return values


def is_on_battery(told: Told) -> bool | None:
    """Whether the room lives on its battery because the mains failed; None when nobody knows.

    The witnesses vote: an inverter fed with direct current says "battery" for ever, and its clock and voltmeter deny
    it. A lone witness is believed; as many for it as against is a contradiction, and that is no knowledge. A test of
    the battery is no failure of the mains.
    """
    if told.is_testing and _mains_are_alive(told) is not False:
        return False
    witnesses = list(_witnesses(told))
    for_it, against_it = witnesses.count(True), witnesses.count(False)
    return None if for_it == against_it else for_it > against_it


def _witnesses(told: Told) -> Iterator[bool]:
    """What each of the things that can tell says: True for on battery."""
    says = told.is_on_battery
    if says is None and told.source is not None:
        says = True if told.source is Source.BATTERY else False if told.source in ON_MAINS else None
    if says is not None:
        yield says
    if told.on_battery_s is not None:
        yield told.on_battery_s > 0
    mains_are_alive = _mains_are_alive(told)
    if mains_are_alive is not None:
        yield not mains_are_alive
    if told.is_discharging and says is not False:  # healthy Back-UPS say "on line, discharging"
        yield True


def _mains_are_alive(told: Told) -> bool | None:
    """By what is measured or said of the input itself; None for neither yes nor no."""
    input_v = _lowest_live(told.inputs_v)
    if input_v is None:
        return None if told.is_mains_failed is None else not told.is_mains_failed
    if _is_dead(told, input_v) or told.is_mains_failed:
        return False
    if told.transfer_high_v is not None and input_v > told.transfer_high_v:
        return False
    nominal_v = _nominal_v(told)
    return True if input_v >= (_HEALTHY_V if nominal_v is None else nominal_v * _HEALTHY_RATIO) else None


def _is_dead(told: Told, input_v: float) -> bool:
    nominal_v = _nominal_v(told)
    dead_v = _DEAD_V if nominal_v is None else nominal_v * _DEAD_RATIO
    return input_v < max(dead_v, told.transfer_low_v or 0.0)


def _nominal_v(told: Told) -> float | None:
    if told.nominal_v is not None:
        return told.nominal_v
    output_v = _lowest_live(told.outputs_v)
    low_v, high_v = _OUTPUT_NOMINAL_V
    return output_v if output_v is not None and low_v <= output_v <= high_v else None


def _lowest_live(phases_v: tuple[float, ...]) -> float | None:
    """The worst phase. One that reads 0 beside another that does not is not connected."""
    return min((phase_v for phase_v in phases_v if phase_v > 0), default=0.0 if phases_v else None)


def _is_low(told: Told, on_battery: bool | None) -> bool | None:  # noqa: FBT001 - one of the facts
    if told.is_low and on_battery is False and (told.charge_ratio or 0.0) >= _FULL_ENOUGH_RATIO:
        return None
    return told.is_low


def _runtime_s(told: Told, on_battery: bool | None) -> float | None:  # noqa: FBT001 - one of the facts
    if told.runtime_s == 0 and not on_battery and (told.charge_ratio is None or told.charge_ratio > _EMPTY_RATIO):
        return None  # a UPS that cannot estimate says 0
    return told.runtime_s


def _input_hz(told: Told, input_v: float | None) -> float | None:
    """Of the first phase that has one. A dead line has none, whatever a UPS remembers."""
    if input_v is not None and _is_dead(told, input_v):
        return None
    return next(iter(told.inputs_hz), None)
