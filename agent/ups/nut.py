"""Asks Network UPS Tools' upsd for all variables of one UPS (its protocol is RFC 9271), and reads them as Told."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from agent.conversation import converse
from agent.endpoint import Endpoint
from agent.probe import ProbeFailed
from agent.ups.codes import Source
from agent.ups.table import plausible
from agent.ups.told import Told
from contract.outcome import Outcome

PORT: Final = 3493
_VARIABLE = re.compile(r'VAR \S+ (\S+) "((?:[^"\\]|\\.)*)"')
_NUMBER = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*")
_VARIABLES_MAX_COUNT: Final = 1000
_ERRORS: Final = {
    "UNKNOWN-UPS": (Outcome.ABSENT, "upsd knows no UPS of this name"),
    "DATA-STALE": (Outcome.ABSENT, "upsd has only old data: its driver has lost the UPS"),
    "DRIVER-NOT-CONNECTED": (Outcome.ABSENT, "upsd has no driver for this UPS: it does not run, or has lost the UPS"),
    "ACCESS-DENIED": (Outcome.DENIED, "upsd denies access"),
}


async def ask_nut(endpoint: Endpoint, ups: str, what: str, timeout_s: float) -> dict[str, str]:
    """All variables of a UPS. Raises ProbeFailed; ABSENT when upsd does not have it, or not at present."""
    variables: dict[str, str] = {}
    async with converse(endpoint, what, timeout_s) as (reader, writer):
        writer.write(f"LIST VAR {ups}\n".encode())
        first = await _line(reader)
        if first.startswith("ERR"):
            error = first.removeprefix("ERR").split(maxsplit=1)[:1]
            outcome, sentence = _ERRORS.get("".join(error), (Outcome.BROKEN, f"upsd answered {first}"))
            raise ProbeFailed(outcome, f"{what}: {sentence}")
        if first != f"BEGIN LIST VAR {ups}":
            raise ProbeFailed(Outcome.BROKEN, f"{what}: this is no upsd: it answered {first[:60]!r}")
        for _ in range(_VARIABLES_MAX_COUNT):
            line = await _line(reader)
            if line.startswith("END LIST VAR"):
                break
            if (variable := _VARIABLE.fullmatch(line)) is not None:
                variables[variable[1]] = re.sub(r"\\(.)", r"\1", variable[2])
        else:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: more than {_VARIABLES_MAX_COUNT} variables")
        writer.write(b"LOGOUT\n")
    return variables


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")


_SOURCES: Final = (  # in the order in which they count: a UPS in bypass is on line too
    ("OFF", Source.NONE),
    ("OB", Source.BATTERY),
    ("BYPASS", Source.BYPASS),
    ("BOOST", Source.BOOSTER),
    ("TRIM", Source.REDUCER),
    ("OL", Source.NORMAL),
)
_FIGURES: Final = (
    ("charge_ratio", "battery.charge", 0.01),
    ("runtime_s", "battery.runtime", 1.0),
    ("battery_v", "battery.voltage", 1.0),
    ("battery_celsius", "battery.temperature", 1.0),
    ("nominal_v", "input.voltage.nominal", 1.0),
    ("transfer_low_v", "input.transfer.low", 1.0),
    ("transfer_high_v", "input.transfer.high", 1.0),
)
_PHASED: Final = (
    ("inputs_v", ("input.voltage", "input.L1-N.voltage", "input.L2-N.voltage", "input.L3-N.voltage"), 1.0),
    ("inputs_hz", ("input.frequency",), 1.0),
    ("outputs_v", ("output.voltage", "output.L1-N.voltage", "output.L2-N.voltage", "output.L3-N.voltage"), 1.0),
    (
        "loads_ratio",
        ("ups.load", "output.L1.power.percent", "output.L2.power.percent", "output.L3.power.percent"),
        0.01,
    ),
)


def tell_of_nut(variables: Mapping[str, str]) -> Told | None:
    """What upsd's variables say; None while the driver is still looking for the UPS.

    ups.status is a set of tokens and tells all that is so: what is not in it is not so. ups.temperature is not the
    battery's. A charge is never computed from a voltage, which some drivers give for one cell.
    """
    tokens = frozenset(variables.get("ups.status", "").split())
    if not tokens or "WAIT" in tokens:
        return None
    figures: dict[str, float] = {}
    for field, name, times in _FIGURES:
        if (figure := _figure(field, variables.get(name), times)) is not None:
            figures[field] = figure
    phases: dict[str, tuple[float, ...]] = {}
    for field, names, times in _PHASED:
        found = [one for name in names if (one := _figure(field, variables.get(name), times)) is not None]
        phases[field] = tuple(found)
    return Told(
        source=next((source for token, source in _SOURCES if token in tokens), None),
        is_discharging="DISCHRG" in tokens,
        is_testing="CAL" in tokens or variables.get("ups.test.result", "").lower().startswith("in progress"),
        is_low=bool(tokens & {"LB", "FSD"}),
        is_worn="RB" in tokens,
        alarms_count=max(1, variables.get("ups.alarm", "").count("!")) if "ALARM" in tokens else 0,
        charge_ratio=figures.get("charge_ratio"),
        runtime_s=figures.get("runtime_s"),
        battery_v=figures.get("battery_v"),
        battery_celsius=figures.get("battery_celsius"),
        nominal_v=figures.get("nominal_v"),
        transfer_low_v=figures.get("transfer_low_v"),
        transfer_high_v=figures.get("transfer_high_v"),
        inputs_v=phases["inputs_v"],
        inputs_hz=phases["inputs_hz"],
        outputs_v=phases["outputs_v"],
        loads_ratio=phases["loads_ratio"],
    )


def _figure(field: str, text: str | None, times: float) -> float | None:
    number = _NUMBER.fullmatch(text or "")
    return None if number is None else plausible(field, float(number[1]) * times)
