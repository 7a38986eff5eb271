"""Asks the operating system how the PC's run before this one ended: Windows' event log, Linux' login records."""

import itertools
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

SHUT_DOWN: Final = 1
UPDATED: Final = 2
CUT: Final = 3
CRASHED: Final = 4
HELD: Final = 5

MEANINGS: Final = {
    SHUT_DOWN: "orderly",
    UPDATED: "orderly, by an update or an installer",
    CUT: "without a word: the power went, or the PC hung",
    CRASHED: "the operating system itself crashed",
    HELD: "the power button was held down",
}
"""`previous_stop_code`, as readiness reads it (`readiness.causes.Stop`)."""

_WTMP: Final = (Path("/var/log/wtmp.1"), Path("/var/log/wtmp"))
"""Older first; logrotate begins a new one each month."""
_PSTORES: Final = (Path("/sys/fs/pstore"), Path("/var/lib/systemd/pstore"))
"""Where the kernel's last words are, if it had any (pstore), and where systemd puts them at the next boot."""
_REBOOTS_WITHIN_S: Final = 300.0
"""So long after a crash the PC is up again, if it starts by itself."""
_EVENTS_S: Final = 10.0
_EVENTS_MAX_COUNT: Final = 100
_WATCHED: Final = (41, 1074, 6005, 6006, 6008)
_UNEXPECTED: Final = (41, 6008)
_QUERY: Final = "*[System[" + " or ".join(f"EventID={number}" for number in _WATCHED) + "]]"
_INSTALLERS: Final = ("trustedinstaller", "mousocoreworker", "usoclient", "wuauclt", "msiexec", "updateorchestrator")
"""Programs that restart a PC by themselves, as event 1074 names them."""
_SPACE: Final = "{http://schemas.microsoft.com/win/2004/08/events/event}"
_HIDDEN: Final = 0x08000000  # CREATE_NO_WINDOW


def previous_stop() -> int | None:
    """How the run before this one ended (MEANINGS); None where nobody remembers. Reads files or starts a program."""
    if sys.platform == "win32":
        return stop_in_events(_windows_events())
    return _stop_on_linux()


class Login(NamedTuple):
    """One record of wtmp (utmp(5)): its type, its user and its wall time."""

    kind: int
    user: str
    wall_s: int


_RECORD: Final = struct.Struct("<h2xi32s4s32s256shhiii16s20s")
_RUN_LEVEL: Final = 1
_BOOT: Final = 2


def read_wtmp(content: bytes) -> Iterator[Login]:
    """The records of a wtmp file as glibc writes them on 64-bit Linux, the oldest first; a last half one is left."""
    whole = len(content) - len(content) % _RECORD.size
    for fields in _RECORD.iter_unpack(content[:whole]):
        user = fields[4].partition(b"\0")[0].decode("ascii", "replace")
        yield Login(fields[0], user, fields[9])


def stop_in_wtmp(logins: list[Login]) -> tuple[int, int] | None:
    """(how the run before the last boot ended, when that boot was); None when the records do not reach so far back."""
    boots = [place for place, one in enumerate(logins) if one.kind == _BOOT and one.user == "reboot"]
    if len(boots) < 2:  # noqa: PLR2004 - this boot and the one before
        return None
    before, last = boots[-2:]
    orderly = any(one.kind == _RUN_LEVEL and one.user == "shutdown" for one in logins[before:last])
    return (SHUT_DOWN if orderly else CUT), logins[last].wall_s


def _stop_on_linux() -> int | None:
    logins: list[Login] = []
    for path in _WTMP:
        try:
            logins += read_wtmp(path.read_bytes())
        except OSError:
            continue  # none kept, or not for us to read
    found = stop_in_wtmp(logins)
    if found is None:
        return None
    stop, booted_s = found
    return CRASHED if stop == CUT and kernel_had_last_words(_PSTORES, booted_s) else stop


def kernel_had_last_words(folders: Iterable[Path], booted_wall_s: float) -> bool:
    """Whether the kernel's last words were written, or filed away, around a boot: those of an earlier crash were filed
    at the boot that followed it.
    """
    since_s = booted_wall_s - _REBOOTS_WITHIN_S
    for folder in folders:
        try:
            if any(path.stat().st_mtime >= since_s for path in folder.rglob("dmesg-*")):
                return True
        except OSError:
            continue
    return False


class Event(NamedTuple):
    """One event of Windows' System log: its number, and its data by name (or place, where they have none)."""

    number: int
    data: dict[str, str]


def read_events(text: str) -> list[Event]:
    """The events in what `wevtutil qe System /f:xml` prints, in its order; none when it is not that."""
    try:
        root = fromstring(f"<events>{text}</events>")
    except (ParseError, DefusedXmlException, ValueError):
        return []
    return [event for one in root if (event := _event(one)) is not None]


def _event(element: Element) -> Event | None:
    number = element.findtext(f"{_SPACE}System/{_SPACE}EventID", "")
    if not number.isdigit():
        return None
    found = element.findall(f"{_SPACE}EventData/{_SPACE}Data")
    return Event(int(number), {one.get("Name") or str(place): one.text or "" for place, one in enumerate(found)})


def stop_in_events(events: list[Event]) -> int | None:
    """How the run before the last start ended; `events` with the newest first.

    Microsoft's numbers: 6005 the log began, 6006 it ended in order, 6008 the shutdown before was unexpected, 41
    (Kernel-Power) restarted without shutting down, 1074 somebody or something asked for a restart.
    """
    start = next((place for place, one in enumerate(events) if one.number == 6005), None)  # noqa: PLR2004 - as above
    if start is None:
        return None
    # What tells of the stop before is written at the start, on either side of the log's own first entry.
    told = events[:start] + list(itertools.takewhile(lambda one: one.number in _UNEXPECTED, events[start + 1 :]))
    for one in told:
        if one.number == 41:  # noqa: PLR2004 - as above
            if _number(one.data.get("BugcheckCode")):
                return CRASHED
            return HELD if _number(one.data.get("PowerButtonTimestamp")) else CUT
    if any(one.number == 6008 for one in told):  # noqa: PLR2004 - as above
        return CUT
    ended_in_order = False
    for one in events[start + 1 :]:
        if one.number == 6005:  # noqa: PLR2004 - the start before: what is older tells of other runs
            break
        if one.number == 1074:  # noqa: PLR2004 - as above
            by = (one.data.get("param1") or one.data.get("0", "")).lower()
            return UPDATED if any(name in by for name in _INSTALLERS) else SHUT_DOWN
        ended_in_order = ended_in_order or one.number == 6006  # noqa: PLR2004 - as above
    return SHUT_DOWN if ended_in_order else None


def _number(text: str | None) -> int:
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def _windows_events() -> list[Event]:
    command = ["wevtutil", "qe", "System", f"/q:{_QUERY}", f"/c:{_EVENTS_MAX_COUNT}", "/rd:true", "/f:xml"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, timeout=_EVENTS_S, check=False, creationflags=_HIDDEN
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return read_events(done.stdout.decode("utf-8", "replace"))
