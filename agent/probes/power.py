"""Mains and battery: from the PC itself, from NUT, from apcupsd, or from a UPS by SNMP (RFC 1628 and vendors' MIBs)."""

import asyncio
import importlib
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final

import msgspec
import psutil

from agent.endpoint import ENDPOINT_PATTERN, ENDPOINT_RULE, Endpoint, parse_endpoint
from agent.probe import ProbeFailed, Value, Values
from agent.snmp.login import SnmpLogin
from agent.ups.apcupsd import PORT as APCUPSD_PORT
from agent.ups.apcupsd import ask_apcupsd, tell_of_apcupsd
from agent.ups.belief import believe
from agent.ups.codes import Source
from agent.ups.nut import PORT as NUT_PORT
from agent.ups.nut import ask_nut, tell_of_nut
from agent.ups.table import plausible
from agent.ups.told import Told
from contract.outcome import Outcome
from contract.settings import Phrase, Problem, Seconds, Target

_SNMP_PORT: Final = 161
_SOURCES: Final = ("nut", "snmp", "apcupsd")
_MORE: Final = 2
"""A UPS answers several SNMP requests; those after the first may take so many times `timeout_s` together."""
_Nut = Annotated[
    str,
    msgspec.Meta(pattern=rf"^{ENDPOINT_PATTERN}/[A-Za-z0-9._-]+$", description=f"{ENDPOINT_RULE}, then /UPS"),
]
_Endpoint = Annotated[str, msgspec.Meta(pattern=rf"^{ENDPOINT_PATTERN}$", description=ENDPOINT_RULE)]


class Power(SnmpLogin, frozen=True, kw_only=True):
    """Whether the mains are there, and how long the battery lasts (RFC 1628 in meaning, whatever the source).

    `nut` asks NUT's upsd (`HOST[:PORT]/UPS`), `snmp` a UPS's network card by UPS-MIB and its vendor's tree, `apcupsd` a
    PC that runs it; without any of these psutil tells of this PC's own battery or USB UPS. What the UPS does not know
    is absent. "On battery" is what most witnesses say: its status, its clock, its voltmeter; it is absent when they
    are even.
    """

    target: Target = "ups"
    nut: _Nut | None = None
    snmp: _Endpoint | None = None
    apcupsd: _Endpoint | None = None
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 2.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=5)] = 1

    values: ClassVar[tuple[Value, ...]] = (
        Value("on_battery_bool", "The load lives on the battery because the mains failed; not during a test of it."),
        Value("low_battery_bool", "The UPS says that its battery is nearly empty."),
        Value("battery_charge_ratio", "Charge, as the UPS estimates it; never computed from a voltage."),
        Value("battery_runtime_s", "How long the battery would last at this load, as the UPS estimates it."),
        Value("battery_v", "Voltage of the battery, which some UPSes give for one cell."),
        Value("battery_celsius", "Temperature of the battery."),
        Value("battery_replace_bool", "The UPS asks for a new battery."),
        Value("input_v", "Voltage of the mains; with several phases the lowest that is connected."),
        Value("input_hz", "Frequency of the mains."),
        Value("output_v", "Voltage that the load gets; with several phases the lowest."),
        Value("load_ratio", "Share of what the UPS can carry; with several phases the fullest."),
        Value(
            "output_source_code",
            "What feeds the load, by RFC 1628: " + ", ".join(f"{one.value} {one.name.lower()}" for one in Source) + ".",
        ),
        Value("alarms_count", "Alarms present."),
        Value("transfers_total", "How often the battery was needed since apcupsd started; other sources do not count."),
    )
    urgent: ClassVar[frozenset[str]] = frozenset({"on_battery_bool"})
    """Told within seconds, whatever the tick: it may be the room's last word."""
    rights: ClassVar[str] = "None; NUT and apcupsd must listen where the agent can reach them."
    example: ClassVar[dict[str, object]] = {"target": "ups", "snmp": "192.168.1.30", "community": "public"}

    def doubts(self) -> Iterator[Problem]:
        """Two sources at once, ports that are none, and what is wrong with the login."""
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            yield Problem(given[1], "settings.one_of_two", {"first": given[0], "second": given[1]})
        for name in given:
            written: str = getattr(self, name)
            if parse_endpoint(written.partition("/")[0], 1) is None:
                expected = Phrase("expect.text_rule", {"rule": ENDPOINT_RULE})
                yield Problem(name, "settings.expected", {"expected": expected, "got": repr(written)})
        yield from SnmpLogin.doubts(self)

    @property
    def longest_s(self) -> float:
        """Resolving, then asking."""
        return self.timeout_s + (2 * self.timeout_s if self.snmp is None else self._snmp_limit_s)

    @property
    def _snmp_limit_s(self) -> float:
        return (1 + self.retries + _MORE) * self.timeout_s

    async def measure(self) -> Values:
        """One look at the power. Raises ProbeFailed; ABSENT without a battery, or when the UPS itself is lost."""
        if self.nut is not None:
            told = await self._ask_nut(self.nut)
        elif self.snmp is not None:
            told = await self._ask_snmp(self.snmp)
        elif self.apcupsd is not None:
            told = await self._ask_apcupsd(self.apcupsd)
        else:
            told = of_this_pc()
        return believe(told)

    async def _ask_nut(self, written: str) -> Told:
        where, ups = written.split("/")
        what = f"power nut {written}"
        told = tell_of_nut(await ask_nut(_endpoint(where, NUT_PORT), ups, what, self.timeout_s))
        if told is None:
            raise ProbeFailed(Outcome.ABSENT, f"{what}: the driver has no status yet")
        return told

    async def _ask_apcupsd(self, written: str) -> Told:
        what = f"power apcupsd {written}"
        told = tell_of_apcupsd(await ask_apcupsd(_endpoint(written, APCUPSD_PORT), what, self.timeout_s))
        if told.is_deaf:
            raise ProbeFailed(Outcome.ABSENT, f"{what}: apcupsd has lost its UPS")
        return told

    async def _ask_snmp(self, written: str) -> Told:
        # Only here, and in a thread: an agent whose plan has no SNMP never pays for pysnmp's memory.
        snmp: Any = await asyncio.to_thread(importlib.import_module, "agent.snmp.client")
        asking: Any = importlib.import_module("agent.ups.asking")
        endpoint = _endpoint(written, _SNMP_PORT)
        what = f"power snmp {written}"
        device = snmp.Device(endpoint.host, endpoint.port, self.login, self.timeout_s, self.retries, what)
        await snmp.warm(device)
        try:
            async with asyncio.timeout(self._snmp_limit_s):
                told: Told = await asking.ask_ups(device)
        except TimeoutError:
            detail = f"{what}: answers, but not to all within {self._snmp_limit_s:g} s"
            raise ProbeFailed(Outcome.TIMEOUT, detail) from None
        return told


def _endpoint(written: str, port: int) -> Endpoint:
    endpoint = parse_endpoint(written, port)
    assert endpoint is not None  # noqa: S101 - for mypy: `doubts` has seen to it
    return endpoint


def of_this_pc() -> Told:
    """What psutil tells of this PC's battery. Raises ProbeFailed with ABSENT when there is none."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        raise ProbeFailed(Outcome.ABSENT, "power: this PC has no battery and no UPS that it knows of")
    return tell_of_battery(battery.percent, battery.secsleft, battery.power_plugged)


def tell_of_battery(percent: float, left_s: float, is_plugged: bool | None) -> Told:  # noqa: FBT001 - psutil's
    """What psutil's figures say: `left_s` below 0 is unknown or endless, `is_plugged` None unknown."""
    runtime_s = plausible("runtime_s", left_s) if left_s >= 0 else None
    return Told(
        source=None if is_plugged is None else Source.NORMAL if is_plugged else Source.BATTERY,
        charge_ratio=plausible("charge_ratio", percent / 100),
        runtime_s=None if is_plugged else runtime_s,  # while it charges, what is left is no estimate
    )
