"""What stands in the same trees of many makers' devices: processors, memory, disks, interfaces, the way out."""

import re
from collections.abc import Mapping
from typing import Final

from agent.devices.kind import Device, Told
from agent.devices.parts import plausible
from agent.devices.table import number_in, text
from agent.probe import Values
from agent.snmp.mib2 import COLUMNS, NAMES, PORTS, ROWS_MAX_COUNT, STATUS, TYPE, Answers, counted, interface, together

_HR: Final = "1.3.6.1.2.1.25."
_LOAD: Final = f"{_HR}3.3.1.2"
_STORAGE: Final = f"{_HR}2.3.1."
_TYPE, _NAME, _UNIT, _SIZE, _USED = (f"{_STORAGE}{column}" for column in range(2, 7))
_RAM: Final = f"{_HR}2.1.2"
_FIXED_DISK: Final = f"{_HR}2.1.4"
_STORAGES_MAX_COUNT: Final = 48
_PROCESSORS_MAX_COUNT: Final = 64
_WRAP: Final = 1 << 32
_NO_DISK: Final = re.compile(r"/(rom|snap|sys|proc|dev|run)(/|$)")
"""Read-only images, which are full by their nature, and what only looks like a disk."""
_PPP: Final = 23
_WAN: Final = re.compile(r"(?i)\b(wan|pppoe|internet)\b|^(ppp|pppoe|wan)[0-9._-]*$")


async def host_resources(device: Device) -> Told:
    """HOST-RESOURCES-MIB: how busy its processors are, how full its memory and its fullest disk. Raises ProbeFailed."""
    if device.snmp is None:
        return Told()
    loads = await device.snmp.rows([_LOAD], _PROCESSORS_MAX_COUNT)
    storages = await device.snmp.rows([_TYPE, _NAME, _SIZE, _USED], _STORAGES_MAX_COUNT)
    percents = [percent for row in loads.values() if (percent := number_in(row.get(_LOAD))) is not None]
    memory = [share for row in storages.values() if row.get(_TYPE) == _RAM and (share := _share(row)) is not None]
    disks = [share for row in storages.values() if _is_disk(row) and (share := _share(row)) is not None]
    figures: Values = {}
    if percents:
        figures["cpu_ratio"] = sum(percents) / len(percents) / 100
    if memory:
        figures["memory_used_ratio"] = memory[0]
    if disks:
        figures["disk_used_ratio"] = max(disks)
    return Told(figures=plausible(figures))


def _is_disk(row: Answers) -> bool:
    return row.get(_TYPE) == _FIXED_DISK and not _NO_DISK.match(text(row.get(_NAME)))


def _share(row: Answers) -> float | None:
    size, used = row.get(_SIZE), row.get(_USED)
    if not isinstance(size, int) or not isinstance(used, int):
        return None
    # More than 2^31 units do not fit into an Integer32.
    size, used = (number + _WRAP if number < 0 else number for number in (size, used))
    return used / size if size and used <= size else None


async def ports(device: Device) -> Told:
    """IF-MIB: all Ethernet and wireless interfaces together. Raises ProbeFailed."""
    if device.snmp is None:
        return Told()
    return await _interfaces(device, counted(await device.snmp.rows([TYPE, STATUS], ROWS_MAX_COUNT)))


async def way_out(device: Device) -> Told:
    """IF-MIB: the interface by which a router reaches the Internet; nothing where none shows it by its type or name.
    Raises ProbeFailed.
    """
    if device.snmp is None:
        return Told()
    index = _way_out_of(await device.snmp.rows([TYPE, STATUS, *NAMES], ROWS_MAX_COUNT))
    told = await _interfaces(device, [] if index is None else [index])
    # Beside the names that all interfaces bear: what everybody sent and received, not what passed all ports together.
    counted = {f"wan_{way}_bytes_total": told.figures.get(f"if_{way}_bytes_total") for way in ("received", "sent")}
    known = {name: count for name, count in counted.items() if count is not None}
    return Told(figures={**told.figures, **known})


def _way_out_of(rows: Mapping[str, Answers]) -> str | None:
    """A dialled link that is up, else what is called "WAN", else a dialled link that is down."""
    dialled = [index for index, row in rows.items() if row.get(TYPE) == _PPP]
    called = [
        index
        for index, row in rows.items()
        if row.get(TYPE) in PORTS and any(_WAN.search(text(row.get(name))) for name in NAMES)
    ]
    up = [index for index in (*dialled, *called) if rows[index].get(STATUS) == 1]
    return next(iter([*up, *called, *dialled]), None)


async def _interfaces(device: Device, indexes: list[str]) -> Told:
    if device.snmp is None or not indexes:
        return Told()
    answers = await device.snmp.get([f"{column}.{index}" for index in indexes for column in COLUMNS])
    found = together([one for index in indexes if (one := interface(answers, index))])
    wanted = ("if_up_bool", "if_speed_bps", "if_received_bytes_total", "if_sent_bytes_total")
    return Told(figures=plausible({name: found[name] for name in wanted if name in found}))
