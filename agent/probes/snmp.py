"""Whether a device answers SNMP, since when it runs, and its network interfaces (SNMPv2-MIB, IF-MIB)."""

import asyncio
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec

from agent.probe import ProbeFailed, Value, Values
from agent.snmp import client as snmp
from agent.snmp import mib2
from agent.snmp.login import SnmpLogin
from contract.outcome import Outcome
from contract.settings import Phrase, Port, Problem, Seconds, Target
from contract.units import UNITS, unit_of

_MORE: Final = 2
"""A device answers several requests; those after the first may take so many times `timeout_s` together."""
_OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
_ASKED = re.compile(r"(?P<oid>[0-9]+(?:\.[0-9]+)+)(?: ?/ ?(?P<divisor>[0-9]+))?")

_Asked = Annotated[str, msgspec.Meta(pattern=rf"^{_ASKED.pattern}$".replace("?P<oid>", "").replace("?P<divisor>", ""))]


class Snmp(SnmpLogin, frozen=True, kw_only=True):
    """Asks a device for its uptime and the counters of its interfaces (SNMPv2-MIB, HOST-RESOURCES-MIB, IF-MIB).

    `interface` is a name or an index; without it all Ethernet and wireless interfaces are taken together. `oids` names
    further numbers, each with its unit in its name: `{ cpu_celsius = "1.3.6.1.4.1.9.1.0 / 10" }`. A text never becomes
    a value. The battery of a UPS is the power probe's.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port = 161
    interface: str | None = None
    oids: dict[str, _Asked] | None = None
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 2.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=5)] = 1

    values: ClassVar[tuple[Value, ...]] = (
        Value("response_ms", "From the first request to its answer."),
        Value(
            "uptime_s", "Since the device started: its SNMP agent's uptime, or its host's where that is clearly longer."
        ),
        Value("if_up_bool", "The interface passes packets; of several, at least one does."),
        Value("if_speed_bps", "Speed of the interface; of several, that of the fastest that is up."),
        Value("if_received_bytes_total", "Bytes received."),
        Value("if_sent_bytes_total", "Bytes sent."),
        Value("if_errors_total", "Packets lost to errors, in both directions."),
        Value("if_discards_total", "Sound packets thrown away, in both directions."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "switch", "address": "192.168.1.2", "community": "public"}

    def doubts(self) -> Iterator[Problem]:
        """Values without a unit, and what is wrong with the login."""
        taken = {value.name for value in self.values}
        for name in self.oids or {}:
            if unit_of(name) is None or re.fullmatch(r"[a-z][a-z0-9_]{1,47}", name) is None or name in taken:
                rule = "a new name of a-z, 0-9, _ that ends in " + ", ".join(unit.ending for unit in UNITS)
                expected = Phrase("expect.text_rule", {"rule": rule})
                yield Problem(f"oids.{name}", "settings.expected", {"expected": expected, "got": repr(name)})
        yield from SnmpLogin.doubts(self)

    @property
    def longest_s(self) -> float:
        """Resolving, then asking."""
        return self.timeout_s + self._limit_s

    @property
    def _limit_s(self) -> float:
        return (1 + self.retries + _MORE) * self.timeout_s

    async def measure(self) -> Values:
        """One look at the device. Raises ProbeFailed; ABSENT when it has no such interface."""
        what = f"snmp {self.address}:{self.port}"
        device = snmp.Device(self.address, self.port, self.login, self.timeout_s, self.retries, what)
        await snmp.warm(device)
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._measure(device)
        except TimeoutError:
            detail = f"{what}: answers, but not to all within {self._limit_s:g} s"
            raise ProbeFailed(Outcome.TIMEOUT, detail) from None

    async def _measure(self, device: snmp.Device) -> Values:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        system = await snmp.get(device, [mib2.UPTIME, mib2.HOST_UPTIME, _OBJECT_ID])
        values: Values = {"response_ms": (loop.time() - began_s) * 1000}
        values |= mib2.uptime(system)
        values |= await self._asked(device)
        try:
            values |= await self._interfaces(device)
        except ProbeFailed as failure:
            raise ProbeFailed(failure.outcome, failure.detail, values | failure.values) from None
        return values

    async def _asked(self, device: snmp.Device) -> Values:
        wanted = {name: _ASKED.fullmatch(written) for name, written in (self.oids or {}).items()}
        answers = await snmp.get(device, [match["oid"] for match in wanted.values() if match is not None])
        values: Values = {}
        for name, match in wanted.items():
            answer = None if match is None else answers.get(match["oid"])
            if match is None or not isinstance(answer, int):
                continue
            unit = unit_of(name)
            hundredths = 100 if isinstance(answer, snmp.Ticks) and unit is not None and unit.ending == "_s" else 1
            number = answer / (int(match["divisor"] or 1) * hundredths)
            values[name] = round(number) if unit is not None and unit.whole else number
        return values

    async def _interfaces(self, device: snmp.Device) -> Values:
        if self.interface is None:
            types = await snmp.get_rows(device, [mib2.TYPE, mib2.STATUS], mib2.ROWS_MAX_COUNT)
            indexes = mib2.counted(types)
        elif self.interface.isdecimal():
            indexes = [self.interface]
        else:
            indexes = await self._named(device, self.interface)
        if not indexes:
            return {}
        answers = await snmp.get(device, [f"{column}.{index}" for index in indexes for column in mib2.COLUMNS])
        each = [one for index in indexes if (one := mib2.interface(answers, index))]
        if self.interface is not None and not each:
            raise ProbeFailed(Outcome.ABSENT, f"{device.what}: has no interface {self.interface}")
        return mib2.together(each)

    async def _named(self, device: snmp.Device, name: str) -> list[str]:
        rows = await snmp.get_rows(device, list(mib2.NAMES), mib2.ROWS_MAX_COUNT)
        for column in mib2.NAMES:
            for index, row in rows.items():
                told = row.get(column)
                if isinstance(told, bytes) and told.rstrip(b"\0").decode("utf-8", "replace") == name:
                    return [index]
        raise ProbeFailed(Outcome.ABSENT, f"{device.what}: has no interface {name}")
