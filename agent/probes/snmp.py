"""Whether a device answers SNMP, since when it runs, and its network interfaces (SNMPv2-MIB, IF-MIB)."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

import msgspec

from agent import snmp
from agent.probe import ProbeFailed, Value, Values
from agent.snmp_login import SnmpLogin
from contract.outcome import Outcome
from contract.settings import Phrase, Port, Problem, Seconds, Target
from contract.units import UNITS, unit_of

_MORE: Final = 2
"""A device answers several requests; those after the first may take so many times `timeout_s` together."""
_UPTIME: Final = "1.3.6.1.2.1.1.3.0"
_HOST_UPTIME: Final = "1.3.6.1.2.1.25.1.1.0"
_CLEARLY_LONGER: Final = 6000
"""Hundredths of a second."""
_OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
_IF: Final = "1.3.6.1.2.1.2.2.1."
_IFX: Final = "1.3.6.1.2.1.31.1.1.1."
_TYPE: Final = f"{_IF}3"
_NAMES: Final = (f"{_IFX}1", f"{_IF}2", f"{_IFX}18")
"""ifName, ifDescr, ifAlias."""
_SPEED: Final = f"{_IF}5"
_STATUS: Final = f"{_IF}8"
_HIGH_SPEED: Final = f"{_IFX}15"
_RECEIVED: Final = (f"{_IFX}6", f"{_IF}10")
_SENT: Final = (f"{_IFX}10", f"{_IF}16")
"""64 bits, and the 32 bits that wrap after six minutes at 100 Mb/s."""
_ERRORS: Final = (f"{_IF}14", f"{_IF}20")
_DISCARDS: Final = (f"{_IF}13", f"{_IF}19")
_COLUMNS: Final = (_STATUS, _SPEED, _HIGH_SPEED, *_RECEIVED, *_SENT, *_ERRORS, *_DISCARDS)
_PORTS: Final = frozenset({6, 62, 69, 71, 117})
"""Types of interfaces that packets enter and leave a device by: Ethernet and wireless."""
_LOOPBACK: Final = 24
_UP: Final = {1: 1, 2: 0, 5: 1, 6: 0, 7: 0}
"""up, down, dormant, notPresent, lowerLayerDown; testing and unknown say nothing."""
_SPEED_BEYOND: Final = 0xFFFFFFFF
"""What ifSpeed says when only ifHighSpeed can tell."""
_ROWS_MAX_COUNT: Final = 64
_COUNTED_MAX_COUNT: Final = 24
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
        system = await snmp.get(device, [_UPTIME, _HOST_UPTIME, _OBJECT_ID])
        values: Values = {"response_ms": (loop.time() - began_s) * 1000}
        values |= _uptime(system)
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
            types = await snmp.get_rows(device, [_TYPE, _STATUS], _ROWS_MAX_COUNT)
            indexes = _counted(types)
        elif self.interface.isdecimal():
            indexes = [self.interface]
        else:
            indexes = await self._named(device, self.interface)
        if not indexes:
            return {}
        answers = await snmp.get(device, [f"{column}.{index}" for index in indexes for column in _COLUMNS])
        each = [one for index in indexes if (one := _interface(answers, index))]
        if self.interface is not None and not each:
            raise ProbeFailed(Outcome.ABSENT, f"{device.what}: has no interface {self.interface}")
        return _together(each)

    async def _named(self, device: snmp.Device, name: str) -> list[str]:
        rows = await snmp.get_rows(device, list(_NAMES), _ROWS_MAX_COUNT)
        for column in _NAMES:
            for index, row in rows.items():
                told = row.get(column)
                if isinstance(told, bytes) and told.rstrip(b"\0").decode("utf-8", "replace") == name:
                    return [index]
        raise ProbeFailed(Outcome.ABSENT, f"{device.what}: has no interface {name}")


def _uptime(system: snmp.Answers) -> Values:
    """By the SNMP agent; by its host where that has run clearly longer: the agent alone was started anew, or its 32
    bits have run over, which they do after 497 days.
    """
    own, hosts = system.get(_UPTIME), system.get(_HOST_UPTIME)
    if isinstance(hosts, snmp.Ticks) and (not isinstance(own, snmp.Ticks) or hosts > own + _CLEARLY_LONGER):
        return {"uptime_s": hosts / 100}
    return {"uptime_s": own / 100} if isinstance(own, snmp.Ticks) else {}


def _counted(rows: Mapping[str, snmp.Answers]) -> list[str]:
    """The interfaces to take together; bridges and tunnels would count the same packets twice."""
    ports = [index for index, row in rows.items() if row.get(_TYPE) in _PORTS]
    others = [index for index, row in rows.items() if row.get(_TYPE) != _LOOPBACK]
    found = ports or others
    up_first = sorted(found, key=lambda index: rows[index].get(_STATUS) != 1)
    return up_first[:_COUNTED_MAX_COUNT]


def _interface(answers: snmp.Answers, index: str) -> Values:
    """The values of one interface."""

    def number(column: str) -> int | None:
        answer = answers.get(f"{column}.{index}")
        return answer if isinstance(answer, int) and answer >= 0 else None

    values: Values = {}
    status = number(_STATUS)
    if status in _UP:
        values["if_up_bool"] = _UP[status]
    megabits, bits = number(_HIGH_SPEED), number(_SPEED)
    if megabits:
        values["if_speed_bps"] = megabits * 1e6
    elif bits and bits != _SPEED_BEYOND:
        values["if_speed_bps"] = float(bits)
    for name, columns in (("if_received_bytes_total", _RECEIVED), ("if_sent_bytes_total", _SENT)):
        counts = [count for column in columns if (count := number(column)) is not None]
        if counts:
            values[name] = counts[0] or counts[-1]  # some have the 64-bit counters, at 0 for ever
    for name, columns in (("if_errors_total", _ERRORS), ("if_discards_total", _DISCARDS)):
        counts = [count for column in columns if (count := number(column)) is not None]
        if counts:
            values[name] = sum(counts)
    return values


def _together(each: list[Values]) -> Values:
    """Interfaces as if they were one."""
    values: Values = {}
    for one in each:
        for name, value in one.items():
            if name == "if_speed_bps":
                if one.get("if_up_bool") != 0 or len(each) == 1:
                    values[name] = max(values.get(name, 0.0), value)
            elif name == "if_up_bool":
                values[name] = max(values.get(name, 0), value)
            else:
                values[name] = values.get(name, 0) + value
    return values
