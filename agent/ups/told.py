"""What one source says about a UPS, brought into our units and not yet believed."""

from typing import Final

import msgspec

from agent.ups.codes import Source


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """None, or an empty tuple, is what was not said. Phases stand in tuples, one number for each."""

    source: Source | None = None
    """Where the load is fed from."""
    is_on_battery: bool | None = None
    """What the source says outright; by default what `source` means."""
    on_battery_s: float | None = None
    """How long it has run on battery."""
    is_discharging: bool | None = None
    is_mains_failed: bool | None = None
    """The input's own state, apart from its voltage."""
    is_testing: bool = False
    """A self-test or calibration discharges the battery on purpose."""
    is_deaf: bool = False
    """The card or program has lost its UPS: what it says is old."""
    is_low: bool | None = None
    is_worn: bool | None = None
    """The battery must be replaced, or is broken."""
    charge_ratio: float | None = None
    runtime_s: float | None = None
    battery_v: float | None = None
    battery_celsius: float | None = None
    inputs_v: tuple[float, ...] = ()
    inputs_hz: tuple[float, ...] = ()
    outputs_v: tuple[float, ...] = ()
    loads_ratio: tuple[float, ...] = ()
    alarms_count: int | None = None
    transfers_count: int | None = None
    """How often it went over to its battery since its program began to count."""
    nominal_v: float | None = None
    """What the mains should be."""
    transfer_low_v: float | None = None
    """Below this the UPS changes to its battery."""
    transfer_high_v: float | None = None


_EMPTY: Final = Told()


def merge(told: list[Told]) -> Told:
    """One account of several: the first that says something about a thing is heard about it."""
    heard: dict[str, object] = {}
    for one in told:
        for name in Told.__struct_fields__:
            value = getattr(one, name)
            if name not in heard and value != getattr(_EMPTY, name):
                heard[name] = value
    return msgspec.convert(heard, Told)
