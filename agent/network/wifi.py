"""Reads how strong the Wi-Fi is: /proc/net/wireless on Linux, the WLAN API on Windows; asks nobody."""

import ctypes
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PLAUSIBLE_DBM: Final = range(-120, 0)
"""Drivers that do not know say 0, or -256."""
_INTERFACE: Final = struct.Struct("=16s512sI")
"""WLAN_INTERFACE_INFO: GUID, description, state."""
_LIST_HEAD: Final = struct.Struct("=II")
_CONNECTED: Final = 1
_RSSI: Final = 0x10000102
"""wlan_intf_opcode_rssi."""


def signal_dbm(card: str) -> float | None:
    """The strength at which a card hears its access point; None for a cable, and where the system does not tell.

    On Windows it is that of whichever card is connected by Wi-Fi.
    """
    if sys.platform == "win32":
        return _of_windows()
    try:
        lines = Path("/proc/net/wireless").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return parse_wireless(lines, card)


def parse_wireless(lines: Iterable[str], card: str) -> float | None:
    """The level of a card in /proc/net/wireless, where a dot behind a number says that it was measured lately."""
    for line in lines:
        name, colon, rest = line.strip().partition(":")
        fields = rest.split()
        if colon and name == card and len(fields) > 2:  # noqa: PLR2004 - status, quality, level
            return plausible(float(fields[2].rstrip(".")))
    return None


def plausible(level_dbm: float) -> float | None:
    """The level, if a receiver can have measured it."""
    return level_dbm if _PLAUSIBLE_DBM.start <= level_dbm < _PLAUSIBLE_DBM.stop else None


def connected_of(interfaces: bytes) -> bytes | None:
    """The GUID of the first connected card in Windows' WLAN_INTERFACE_INFO_LIST."""
    count, _ = _LIST_HEAD.unpack_from(interfaces)
    for place in range(count):
        guid, _, state = _INTERFACE.unpack_from(interfaces, _LIST_HEAD.size + place * _INTERFACE.size)
        if state == _CONNECTED:
            return bytes(guid)
    return None


def _of_windows() -> float | None:
    if sys.platform != "win32":
        return None
    try:
        library = ctypes.WinDLL("wlanapi")
    except OSError:
        return None  # a server edition without Wi-Fi
    handle, version = ctypes.c_void_p(), ctypes.c_uint32()
    if library.WlanOpenHandle(2, None, ctypes.byref(version), ctypes.byref(handle)):
        return None
    found, answer, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint32()
    try:
        if library.WlanEnumInterfaces(handle, None, ctypes.byref(found)) or not found.value:
            return None
        (count,) = struct.unpack("=I", ctypes.string_at(found.value, 4))
        guid = connected_of(ctypes.string_at(found.value, _LIST_HEAD.size + count * _INTERFACE.size))
        if guid is None or library.WlanQueryInterface(
            handle, guid, _RSSI, None, ctypes.byref(size), ctypes.byref(answer), None
        ):
            return None
        return plausible(struct.unpack("=i", ctypes.string_at(answer.value or 0, 4))[0])
    finally:
        library.WlanFreeMemory(answer)
        library.WlanFreeMemory(found)
        library.WlanCloseHandle(handle, None)
