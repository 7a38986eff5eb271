"""Looks at what the agent stands on - clock, name, broker, rights, disk - and says what is wrong in plain sentences."""

import contextlib
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from agent.link import try_broker
from agent.orders import Orders
from agent.settings import AgentSettings
from contract.catalogue import Language, say
from contract.moment import Clock
from contract.spool import SpoolReader

_EARLIEST_S: Final = 1_735_689_600.0  # 2025-01-01: this program did not exist before
_LATEST_S: Final = 2_524_608_000.0  # 2050-01-01
_SMALL_DISK_BYTES: Final = 200 << 20
_PATIENCE_S: Final = 10.0


class Seen(NamedTuple):
    """One thing looked at: the catalogue code less its ending, whether it is well, and the facts."""

    what: str
    well: bool
    facts: dict[str, object]

    def sentence(self, language: Language) -> str:
        """In plain words."""
        return say(f"doctor.{self.what}.{'well' if self.well else 'ill'}", language, **self.facts)


def examine(settings: AgentSettings, orders: Orders, clock: Clock, version: str) -> Iterator[Seen]:
    """Look at one thing after the other, those that others rest on first."""
    system = f"{platform.system()} {platform.release()}"
    yield Seen("version", True, {"version": version, "python": platform.python_version(), "system": system})
    yield _clock(clock.now().wall_s)
    yield from _broker(settings)
    yield _icmp()
    yield from _disk(settings.folder)
    yield _spool(settings.folder / "spool.db")
    count = len(orders.probes)
    yield Seen("plan", bool(count), {"count": count, "tick": f"{orders.plan.tick_s:g}"})


def _clock(wall_s: float) -> Seen:
    time = datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Seen("clock", _EARLIEST_S < wall_s < _LATEST_S, {"time": time})


def _broker(settings: AgentSettings) -> Iterator[Seen]:
    """Name, then port, then the broker's own answer: the first that fails is the reason for all after it."""
    host, port = settings.broker.host, settings.broker.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: what cannot be a name at all
        yield Seen("dns", False, {"host": host, "reason": error})
        return
    addresses = ", ".join(sorted({str(one[4][0]) for one in found}))
    yield Seen("dns", True, {"host": host, "addresses": addresses})
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_S).close()
    except OSError as error:
        yield Seen("port", False, {"host": host, "port": port, "reason": error})
        return
    yield Seen("port", True, {"host": host, "port": port})
    reason = try_broker(settings.agent, settings.broker, settings.identity)
    yield Seen("broker", not reason, {"agent": settings.agent, "reason": reason})


def _icmp() -> Seen:
    if sys.platform == "win32":
        return Seen("icmp", True, {})  # IcmpSendEcho2 needs no rights
    reason: object = ""
    kinds: tuple[Callable[[], socket.socket], ...] = (
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    )
    for kind in kinds:
        try:
            kind().close()
        except OSError as error:
            reason = error
        else:
            return Seen("icmp", True, {})
    return Seen("icmp", False, {"reason": reason})


def _disk(folder: Path) -> Iterator[Seen]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / "trial"
        trial.write_bytes(b"1")
        trial.unlink()
    except OSError as error:
        yield Seen("disk", False, {"folder": folder, "reason": error})
        return
    free_bytes = shutil.disk_usage(folder).free
    free = f"{free_bytes / (1 << 30):.1f} GB"
    if free_bytes < _SMALL_DISK_BYTES:
        yield Seen("disk_small", False, {"folder": folder, "free": free})
    else:
        yield Seen("disk", True, {"folder": folder, "free": free})


def _spool(path: Path) -> Seen:
    if not path.exists():
        return Seen("spool_empty", True, {})
    try:
        with contextlib.closing(SpoolReader(path)) as spool:
            stat = spool.stat()
    except (sqlite3.DatabaseError, OSError) as error:
        return Seen("spool", False, {"path": path, "reason": error})
    facts = {"waiting": stat.waiting_count, "kept": stat.kept_count, "dropped": stat.dropped_count}
    return Seen("spool", True, dict(facts))
