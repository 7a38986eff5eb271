"""Probes, plans and a clock of a test's making."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from agent.probe import Probe, Value, Values
from contract.moment import Moment
from contract.settings import Problem, SettingsError


def nothing() -> Values:
    return {}


class MadeProbe(msgspec.Struct, kw_only=True):
    """A probe that takes a while and then does what it was given: it may return anything, or raise."""

    target: str = "gateway"
    longest_s: float = 5.0
    takes_s: float = 0.0
    does: Callable[[], Any] = nothing

    values: ClassVar[tuple[Value, ...]] = (Value("a_ms", "A time."),)
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "gateway"}

    async def measure(self) -> Values:
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        done: Values = self.does()
        return done


class PcClock:
    """A PC's clocks, turned by hand."""

    def __init__(self, *, mono_s: float = 1000.0, wall_s: float = 1_795_500_000.0, boot: str = "boot") -> None:
        self.mono_s = mono_s
        self.wall_s = wall_s
        self.boot = boot

    def now(self) -> Moment:
        return Moment(boot=self.boot, mono_s=self.mono_s, wall_s=self.wall_s)


def loads(**made: Probe) -> Callable[[str, Mapping[str, object]], Probe]:
    """Loads these probes by name, whatever their settings but for `target`; refuses all other names."""

    def load(name: str, settings: Mapping[str, object]) -> Probe:
        if name not in made:
            facts = {"probe": name, "known": ", ".join(made)}
            raise SettingsError("probe", [Problem("name", "settings.unknown_probe", facts)])
        probe = made[name]
        if isinstance(probe, MadeProbe) and isinstance(settings.get("target"), str):
            return msgspec.structs.replace(probe, target=settings["target"])
        return probe

    return load


def plan_of(*probes: Mapping[str, object], **settings: object) -> bytes:
    """A plan as it travels, with these probes."""
    return msgspec.json.encode({"probe": probes} | settings)
