"""Looks at what the agent stands on - clock, way, broker, rights, disk - and says what is wrong in plain sentences."""

import asyncio
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

import msgspec

from agent.link import Broker, try_broker
from agent.network.ladder import Step, first_failed
from agent.orders import Orders
from agent.probe import ProbeFailed
from agent.settings import AgentSettings
from contract.catalogue import Language, say
from contract.moment import Clock
from contract.rung import Rung
from contract.spool import SpoolReader

_EARLIEST_S: Final = 1_735_689_600.0  # 2025-01-01: this program did not exist before
_LATEST_S: Final = 2_524_608_000.0  # 2050-01-01
_SMALL_DISK_BYTES: Final = 200 << 20
_PATIENCE_S: Final = 5.0
_RUNGS: Final = {
    Rung.NIC: "nic",
    Rung.ADDRESS: "address",
    Rung.GATEWAY: "gateway",
    Rung.ISP: "isp",
    Rung.NATIONAL: "national",
    Rung.INTERNATIONAL: "international",
    Rung.DNS: "names",
    Rung.DNS_LIES: "lies",
    Rung.PORTAL: "portal",
    Rung.MTU: "mtu",
    Rung.LESSON: "lesson",
    Rung.COLLECTOR_NAME: "dns",
    Rung.COLLECTOR_TCP: "port",
    Rung.COLLECTOR_TLS: "tls",
    Rung.COLLECTOR_MQTT: "mqtt",
    Rung.COLLECTOR_REFUSED: "broker",
}
"""What each rung is called in the catalogue."""


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
    yield from _way(settings, orders)
    yield _icmp()
    yield from _disk(settings.folder)
    yield _spool(settings.folder / "spool.db")
    count = len(orders.probes)
    yield Seen("plan", bool(count), {"count": count, "tick": f"{orders.plan.tick_s:g}"})


def _clock(wall_s: float) -> Seen:
    time = datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Seen("clock", _EARLIEST_S < wall_s < _LATEST_S, {"time": time})


def _way(settings: AgentSettings, orders: Orders) -> Iterator[Seen]:
    """The ladder of the plan, with the agent's own broker at its end: what holds, and the first rung that does not.

    Without a `link` probe in the plan nobody is contacted but the broker.
    """
    from agent.probes.link import Link  # noqa: PLC0415 - with all that it stands on: only who asks the doctor pays

    planned = next((probe for probe in orders.probes if isinstance(probe, Link)), Link(timeout_s=_PATIENCE_S))
    # Whether the broker's TLS is to be believed, the broker is asked itself.
    ladder = msgspec.structs.replace(planned, collector=_written(settings.broker), collector_tls=False)
    try:
        steps, _ = asyncio.run(ladder.walk())
    except ProbeFailed as failure:
        yield Seen("nic", False, {"detail": failure.detail})
        return
    facts = {"host": settings.broker.host, "port": settings.broker.port, "agent": settings.agent}
    failed = first_failed(steps)
    for step in steps:
        if step.holds and (failed is None or step.rung < failed.rung or step.rung >= Rung.COLLECTOR_NAME):
            yield Seen(_RUNGS[step.rung], True, _facts(step, facts))
    if failed is not None:
        yield Seen(_RUNGS[failed.rung], False, _facts(failed, facts))
    if any(step.rung is Rung.COLLECTOR_TCP and step.holds for step in steps):
        lost = try_broker(settings.agent, settings.broker, settings.identity)
        rung, reason = (Rung.COLLECTOR_REFUSED, "") if lost is None else (lost.rung, lost.reason)
        yield Seen(_RUNGS[rung], lost is None, facts | {"reason": reason})


def _facts(step: Step, facts: dict[str, object]) -> dict[str, object]:
    """A failure's detail begins with what was asked, which the sentence says by itself."""
    reason = step.detail.partition(": ")[2] or step.detail
    return facts | {"detail": step.detail, "addresses": step.detail, "reason": reason}


def _written(broker: Broker) -> str:
    """The broker as a plan writes an endpoint."""
    host = f"[{broker.host}]" if ":" in broker.host else broker.host
    return f"{host}:{broker.port}"


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
