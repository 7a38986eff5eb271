"""Looks for an MTU hole by echoes that nobody may cut: small ones pass, large ones vanish without a word (RFC 2923)."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.network.echo import Echo, Manner

if sys.platform == "win32":
    from agent.network.icmp_windows import echo_all
else:
    from agent.network.icmp import echo_all

_HEADERS_BYTES: Final = 28
"""IPv4 without options, and ICMP."""
_SMALL_BYTES: Final = 84
_SIZES_BYTES: Final = (1500, 1492, 1480, 1460, 1420, 1400, 1360, 1280)
"""Ethernet, PPPoE, and what tunnels leave of it; 1280 is what every path carries that carries IPv6 (RFC 8200)."""
_SPACING_S: Final = 0.1
_TRIES_AGAIN: Final = 3
"""Chance loses some: a hole swallows all."""


class PathMtu(NamedTuple):
    """The largest packet seen to pass, and whether larger ones vanish silently; None where it cannot be told."""

    largest_bytes: int | None
    has_hole: bool | None


async def look(address: str, own_mtu_bytes: int, timeout_s: float) -> PathMtu:
    """Try the way to an IPv4 host that answers pings of any size. Raises ProbeFailed without the right to ping.

    A router that says "too big" makes the path small, and no hole: everybody's packets adapt. Where not even 1280
    bytes pass, somebody filters large pings, and nothing is known. All well costs one packet of full size each way.
    """
    top_bytes = min(own_mtu_bytes, _SIZES_BYTES[0])
    small, top = await asyncio.gather(_try(address, _SMALL_BYTES, timeout_s), _try(address, top_bytes, timeout_s))
    if _passed(top):
        return PathMtu(top_bytes, has_hole=False)
    if not _passed(small):
        return PathMtu(None, None)
    sizes = [size for size in _SIZES_BYTES if size < top_bytes]
    again, *smaller = await asyncio.gather(
        *(_try(address, size, timeout_s, count=_TRIES_AGAIN) for size in (top_bytes, *sizes))
    )
    if _passed(again):
        return PathMtu(top_bytes, has_hole=False)
    passing = [size for size, echoes in zip(sizes, smaller, strict=True) if _passed(echoes)]
    if any(echo.told for echo in (*top, *again)):
        return PathMtu(max(passing, default=None), has_hole=False)
    return PathMtu(max(passing), has_hole=True) if passing else PathMtu(None, None)


def _passed(echoes: Sequence[Echo]) -> bool:
    return any(echo.rtt_s is not None for echo in echoes)


async def _try(address: str, size_bytes: int, timeout_s: float, *, count: int = 1) -> list[Echo]:
    return await echo_all(
        address, count, _SPACING_S, timeout_s, size_bytes - _HEADERS_BYTES, manner=Manner(may_split=False)
    )
