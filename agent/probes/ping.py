"""Round-trip times and loss by ICMP echo (RFC 792, RFC 4443; loss as RFC 2680, jitter as RFC 3550 6.4.1)."""

import itertools
import statistics
import sys
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

import msgspec

from agent.network.resolving import resolve
from agent.probe import ProbeFailed, Value, Values
from contract.settings import Seconds, Target

if sys.platform == "win32":
    from agent.network.icmp_windows import echo_all
else:
    from agent.network.icmp import echo_all
_HEADERS_BYTES: Final = 28
"""IP and ICMP."""


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """Sends echo requests evenly and waits for each (RFC 792; RFC 4443 for IPv6).

    A host that does not answer is a successful measurement with `loss_ratio` 1. A late reply counts as lost, a
    duplicate as nothing. Needs CAP_NET_RAW or net.ipv4.ping_group_range on Linux; no rights on Windows.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    spacing_s: Annotated[Seconds, msgspec.Meta(ge=0.01, le=10)] = 0.2
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.05, le=30)] = 2.0
    size_bytes: Annotated[int, msgspec.Meta(ge=8, le=1400)] = 56

    values: ClassVar[tuple[Value, ...]] = (
        Value("sent_count", "Echo requests sent."),
        Value("received_count", "Requests answered in time; duplicates and late answers do not count."),
        Value("loss_ratio", "Share of requests without an answer in time (RFC 2680)."),
        Value("rtt_min_ms", "Shortest round trip."),
        Value("rtt_avg_ms", "Mean round trip."),
        Value("rtt_p50_ms", "Median round trip."),
        Value("rtt_p95_ms", "95th percentile of the round trips, by the nearest rank."),
        Value("rtt_max_ms", "Longest round trip."),
        Value("jitter_ms", "Smoothed difference of consecutive round trips (RFC 3550 6.4.1, gain 1/16)."),
    )
    rights: ClassVar[str] = "Linux: CAP_NET_RAW, or the agent's group in net.ipv4.ping_group_range. Windows: none."
    example: ClassVar[dict[str, object]] = {"target": "gateway", "address": "192.168.1.1"}

    @property
    def cost_bytes(self) -> int:
        """Every request and its answer."""
        return 2 * self.count * (self.size_bytes + _HEADERS_BYTES)

    @property
    def longest_s(self) -> float:
        """Resolving, all spacings, and the last request's wait."""
        return self.count * self.spacing_s + 2 * self.timeout_s

    async def measure(self) -> Values:
        """All echoes. Raises ProbeFailed with what somebody said when no answer came at all (UNREACHABLE, mostly), with
        NO_NAME, or with DENIED without the right to ping.
        """
        what = f"ping {self.address}"
        found = await resolve(self.address, what, self.timeout_s)
        echoes = await echo_all(found.address, self.count, self.spacing_s, self.timeout_s, self.size_bytes)
        values = figures([echo.rtt_s for echo in echoes])
        told = next((echo for echo in echoes if echo.told), None)
        if told is not None and not values["received_count"]:
            raise ProbeFailed(told.outcome, f"{what}: {told.told}", values)
        return values


def figures(rtts_s: Sequence[float | None]) -> Values:
    """The probe's values of the round trips in order of sending, None for lost."""
    times_ms = [rtt_s * 1000 for rtt_s in rtts_s if rtt_s is not None]
    values: Values = {
        "sent_count": len(rtts_s),
        "received_count": len(times_ms),
        "loss_ratio": (len(rtts_s) - len(times_ms)) / len(rtts_s),
    }
    if not times_ms:
        return values
    ordered = sorted(times_ms)
    values |= {
        "rtt_min_ms": ordered[0],
        "rtt_avg_ms": statistics.fmean(ordered),
        "rtt_p50_ms": statistics.median(ordered),
        "rtt_p95_ms": ordered[max(0, -(-len(ordered) * 95 // 100) - 1)],
        "rtt_max_ms": ordered[-1],
    }
    if len(times_ms) > 1:
        values["jitter_ms"] = jitter_ms(times_ms)
    return values


def jitter_ms(times_ms: Sequence[float]) -> float:
    """RFC 3550 6.4.1 over round trips: J += (|D| - J) / 16, begun with the first difference instead of 0."""
    differences = [abs(after - before) for before, after in itertools.pairwise(times_ms)]
    jitter = differences[0]
    for difference in differences[1:]:
        jitter += (difference - jitter) / 16
    return jitter
