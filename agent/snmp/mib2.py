"""What SNMP devices of all makers say alike: uptime and interfaces (SNMPv2-MIB, HOST-RESOURCES-MIB, IF-MIB).

Reads answers; asks nothing.
"""

from collections.abc import Mapping
from typing import Final

from agent.probe import Values

Answers = Mapping[str, int | str | bytes]
"""By OID: any numeric type is an int, an object id is a str, any other string is bytes; what is not there is absent."""

UPTIME: Final = "1.3.6.1.2.1.1.3.0"
HOST_UPTIME: Final = "1.3.6.1.2.1.25.1.1.0"
_CLEARLY_LONGER: Final = 6000
"""Hundredths of a second."""
_IF: Final = "1.3.6.1.2.1.2.2.1."
_IFX: Final = "1.3.6.1.2.1.31.1.1.1."
TYPE: Final = f"{_IF}3"
NAMES: Final = (f"{_IFX}1", f"{_IF}2", f"{_IFX}18")
"""ifName, ifDescr, ifAlias."""
STATUS: Final = f"{_IF}8"
_SPEED: Final = f"{_IF}5"
_HIGH_SPEED: Final = f"{_IFX}15"
_RECEIVED: Final = (f"{_IFX}6", f"{_IF}10")
_SENT: Final = (f"{_IFX}10", f"{_IF}16")
"""64 bits, and the 32 bits that wrap after six minutes at 100 Mb/s."""
_ERRORS: Final = (f"{_IF}14", f"{_IF}20")
_DISCARDS: Final = (f"{_IF}13", f"{_IF}19")
COLUMNS: Final = (STATUS, _SPEED, _HIGH_SPEED, *_RECEIVED, *_SENT, *_ERRORS, *_DISCARDS)
"""What `interface` reads."""
PORTS: Final = frozenset({6, 62, 69, 71, 117})
"""Types of interfaces that packets enter and leave a device by: Ethernet and wireless."""
LOOPBACK: Final = 24
_UP: Final = {1: 1, 2: 0, 5: 1, 6: 0, 7: 0}
"""up, down, dormant, notPresent, lowerLayerDown; testing and unknown say nothing."""
_ALL_ONES: Final = 0xFFFFFFFF
"""Also what ifSpeed says when only ifHighSpeed can tell."""
_DO_NOT_KNOW: Final = frozenset({_ALL_ONES, 0x7FFFFFFF, (1 << 63) - 1, (1 << 64) - 1})
"""What devices say for "don't know"; a counter that stands at one of these in truth is some other number next time."""
ROWS_MAX_COUNT: Final = 64
_COUNTED_MAX_COUNT: Final = 24


def uptime(system: Answers) -> Values:
    """By the SNMP agent; by its host where that has run clearly longer: the agent alone was started anew, or its 32
    bits have run over, which they do after 497 days.
    """
    own, hosts = _ticks(system.get(UPTIME)), _ticks(system.get(HOST_UPTIME))
    if hosts is not None and (own is None or hosts > own + _CLEARLY_LONGER):
        return {"uptime_s": hosts / 100}
    return {"uptime_s": own / 100} if own is not None else {}


def _ticks(answer: int | str | bytes | None) -> int | None:
    """A time in hundredths of a second; None for what is none, and for what stands for "don't know"."""
    if not isinstance(answer, int) or answer in _DO_NOT_KNOW:
        return None
    return answer if 0 <= answer < _ALL_ONES else None


def counted(rows: Mapping[str, Answers]) -> list[str]:
    """The interfaces to take together, of rows with TYPE and STATUS; bridges and tunnels would count the same packets
    twice.
    """
    ports = [index for index, row in rows.items() if row.get(TYPE) in PORTS]
    others = [index for index, row in rows.items() if row.get(TYPE) != LOOPBACK]
    found = ports or others
    up_first = sorted(found, key=lambda index: rows[index].get(STATUS) != 1)
    return up_first[:_COUNTED_MAX_COUNT]


def interface(answers: Answers, index: str) -> Values:
    """The values of one interface, of the answers to COLUMNS."""

    def number(column: str) -> int | None:
        answer = answers.get(f"{column}.{index}")
        return answer if isinstance(answer, int) and answer >= 0 and answer not in _DO_NOT_KNOW else None

    values: Values = {}
    status = number(STATUS)
    if status in _UP:
        values["if_up_bool"] = _UP[status]
    megabits, bits = number(_HIGH_SPEED), number(_SPEED)
    if megabits:
        values["if_speed_bps"] = megabits * 1e6
    elif bits:
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


def together(each: list[Values]) -> Values:
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
