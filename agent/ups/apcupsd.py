"""Asks apcupsd for its status over its network information server, and reads it as Told."""

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

PORT: Final = 3551
_ASK: Final = b"\x00\x06status"
"""Every message is two bytes of length, then so many bytes; an empty one ends the answer."""
_LINES_MAX_COUNT: Final = 200
_NUMBER = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\b.*")


async def ask_apcupsd(endpoint: Endpoint, what: str, timeout_s: float) -> dict[str, str]:
    """Its status, line by line. Raises ProbeFailed."""
    status: dict[str, str] = {}
    async with converse(endpoint, what, timeout_s) as (reader, writer):
        writer.write(_ASK)
        for _ in range(_LINES_MAX_COUNT):
            size_bytes = int.from_bytes(await reader.readexactly(2))
            if not size_bytes:
                break
            line = (await reader.readexactly(size_bytes)).decode("utf-8", "replace")
            name, colon, text = line.partition(":")
            if colon:
                status[name.strip()] = text.strip()
        else:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: more than {_LINES_MAX_COUNT} lines")
    if "STATUS" not in status:
        raise ProbeFailed(Outcome.BROKEN, f"{what}: this is no apcupsd: its answer has no STATUS")
    return status


_SOURCES: Final = (
    ("ONBATT", Source.BATTERY),
    ("BOOST", Source.BOOSTER),
    ("TRIM", Source.REDUCER),
    ("ONLINE", Source.NORMAL),
)


def tell_of_apcupsd(status: Mapping[str, str]) -> Told:
    """What apcupsd's status says. ITEMP is the inside's temperature, not the battery's."""
    flags = frozenset(status["STATUS"].replace("SHUTTING DOWN", "SHUTTING-DOWN").split())

    def figure(field: str, name: str, times: float = 1.0) -> float | None:
        number = _NUMBER.fullmatch(status.get(name, ""))
        return None if number is None else plausible(field, float(number[1]) * times)

    def phase(field: str, name: str, times: float = 1.0) -> tuple[float, ...]:
        found = figure(field, name, times)
        return () if found is None else (found,)

    transfers = figure("transfers_count", "NUMXFERS")
    return Told(
        source=next((source for flag, source in _SOURCES if flag in flags), None),
        on_battery_s=figure("on_battery_s", "TONBATT"),
        is_testing="CAL" in flags or status.get("SELFTEST", "") == "IP",
        is_deaf="COMMLOST" in flags,
        is_low=bool(flags & {"LOWBATT", "SHUTTING-DOWN"}),
        is_worn=bool(flags & {"REPLACEBATT", "NOBATT"}),
        charge_ratio=figure("charge_ratio", "BCHARGE", 0.01),
        runtime_s=figure("runtime_s", "TIMELEFT", 60.0),
        battery_v=figure("battery_v", "BATTV"),
        inputs_v=phase("inputs_v", "LINEV"),
        inputs_hz=phase("inputs_hz", "LINEFREQ"),
        outputs_v=phase("outputs_v", "OUTPUTV"),
        loads_ratio=phase("loads_ratio", "LOADPCT", 0.01),
        transfers_count=None if transfers is None else int(transfers),
        nominal_v=figure("nominal_v", "NOMINV"),
        transfer_low_v=figure("transfer_low_v", "LOTRANS"),
        transfer_high_v=figure("transfer_high_v", "HITRANS"),
    )
