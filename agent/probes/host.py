"""How the PC itself is: processor, memory, disk, network card, clock, and what the agent costs it (psutil)."""

import asyncio
import ctypes
import ipaddress
import os
import struct
import sys
from typing import Annotated, Any, ClassVar, Final

import msgspec
import psutil

from agent.clock import SystemClock
from agent.network.nic import choose_card, read_card
from agent.probe import ProbeFailed, Value, Values
from contract.outcome import Outcome
from contract.settings import Seconds, Target

_STA_UNSYNC: Final = 0x0040  # <sys/timex.h>
_TIMEX_BYTES: Final = 512  # struct timex is 208 bytes on 64-bit Linux; the kernel writes no more than its own
_STATUS_OFFSET: Final = 40  # of `status`, after modes, offset, freq, maxerror and esterror


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the PC's own figures through psutil, opens nothing and asks nobody; NIC speeds as IEEE 802.3 names them.

    The network card is the one that `nic` names, else the one of the default route, else the first that is up. What
    the system does not tell is absent. A PC whose clock the system keeps by NTP says so on Linux (adjtimex(2)).
    """

    target: Target = "pc"
    nic: str = ""
    sample_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=10)] = 0.5

    values: ClassVar[tuple[Value, ...]] = (
        Value("cpu_ratio", "Share of all processors that was busy during `sample_s`."),
        Value("memory_free_ratio", "Share of memory that programs can still get."),
        Value("memory_free_bytes", "Memory that programs can still get."),
        Value("disk_free_ratio", "Free share of the disk that the system is on."),
        Value("disk_free_bytes", "Free room on the disk that the system is on."),
        Value("uptime_s", "Since the PC booted; on Windows with fast start-up, since its last full start."),
        Value("nic_up_bool", "Whether the network card has a link."),
        Value("nic_speed_bps", "Speed that the card and its switch agreed on; absent when unknown, as of most Wi-Fi."),
        Value("nic_full_duplex_bool", "Whether both directions may be used at once; absent when unknown."),
        Value("nic_sent_bytes_total", "Bytes sent by the card."),
        Value("nic_received_bytes_total", "Bytes received by the card."),
        Value("nic_errors_total", "Packets that the card could not send or receive rightly."),
        Value("nic_drops_total", "Packets that the card or its driver had to drop."),
        Value("address_link_local_bool", "1 when the card has only a 169.254 address: DHCP gave it none (RFC 3927)."),
        Value("clock_synced_bool", "Whether the system keeps its clock by NTP; absent where it does not tell."),
        Value("agent_rss_bytes", "Memory of the agent itself."),
        Value("agent_cpu_s", "Processor time that the agent has used since it started."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {}

    @property
    def longest_s(self) -> float:
        """The sampling of the processor, and a moment."""
        return self.sample_s + 2.0

    async def measure(self) -> Values:
        """Everything, now. Raises ProbeFailed with ABSENT for a network card that is not there."""
        before = psutil.cpu_times()
        await asyncio.sleep(self.sample_s)
        values = _busy(before, psutil.cpu_times())
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(os.environ.get("SYSTEMDRIVE", "/") + ("\\" if sys.platform == "win32" else ""))
        own = psutil.Process()
        times = own.cpu_times()
        values |= {
            "memory_free_ratio": memory.available / memory.total,
            "memory_free_bytes": memory.available,
            "disk_free_ratio": disk.free / (disk.used + disk.free),
            "disk_free_bytes": disk.free,
            "uptime_s": SystemClock().now().mono_s,
            "agent_rss_bytes": own.memory_info().rss,
            "agent_cpu_s": times.user + times.system,
        }
        if (synced := _clock_synced()) is not None:
            values["clock_synced_bool"] = int(synced)
        try:
            values |= _nic_values(choose_card(self.nic))
        except KeyError:
            known = ", ".join(sorted(psutil.net_if_stats()))
            raise ProbeFailed(
                Outcome.ABSENT, f"host: there is no network card {self.nic}; there are {known}", values
            ) from None
        return values


def _busy(before: Any, after: Any) -> Values:  # noqa: ANN401 - psutil's tuple differs from system to system
    spent = {name: getattr(after, name) - getattr(before, name) for name in before._fields}
    for counted_elsewhere in ("guest", "guest_nice"):  # Linux counts them in user and nice too
        spent.pop(counted_elsewhere, None)
    total_s = sum(spent.values())
    if total_s <= 0:
        return {}
    idle_s = spent["idle"] + spent.get("iowait", 0.0)
    return {"cpu_ratio": min(1.0, max(0.0, 1 - idle_s / total_s))}


def _nic_values(name: str) -> Values:
    if not name:
        return {"nic_up_bool": 0}
    card = read_card(name)
    values: Values = {"nic_up_bool": int(card.is_up)}
    if card.speed_bps is not None:
        values["nic_speed_bps"] = card.speed_bps
    if card.is_full_duplex is not None:
        values["nic_full_duplex_bool"] = int(card.is_full_duplex)
    counters = psutil.net_io_counters(pernic=True).get(name)
    if counters is not None:
        values |= {
            "nic_sent_bytes_total": counters.bytes_sent,
            "nic_received_bytes_total": counters.bytes_recv,
            "nic_errors_total": counters.errin + counters.errout,
            "nic_drops_total": counters.dropin + counters.dropout,
        }
    own = [ipaddress.ip_address(one) for one in card.addresses]
    if own_4 := [one for one in own if isinstance(one, ipaddress.IPv4Address)]:
        values["address_link_local_bool"] = int(all(one.is_link_local for one in own_4))
    return values


def _clock_synced() -> bool | None:
    """Whether the kernel's clock is disciplined; None where that cannot be asked."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: look, and change nothing
    if library.adjtimex(timex) < 0:
        return None
    (status,) = struct.unpack_from("=i", timex.raw, _STATUS_OFFSET)
    return not status & _STA_UNSYNC
