"""Finds the provider's first router by echoes that may not go far, and asks again whether packets get so far."""

import asyncio
import sys
from collections.abc import Collection
from typing import Final, NamedTuple

from agent.network.echo import Echo, Manner
from agent.network.nic import is_outside

if sys.platform == "win32":
    from agent.network.icmp_windows import echo_all
else:
    from agent.network.icmp import echo_all

_HOPS_MAX_COUNT: Final = 8
_PAYLOAD_BYTES: Final = 56
_TRIES: Final = 2


class Hop(NamedTuple):
    """A router on the way: who it is, and how many hops away."""

    address: str
    hops_count: int


async def find_provider(towards: str, own: Collection[str], timeout_s: float) -> Hop | None:
    """The first router on the way whose address lies outside the school; None when none says its name.

    Shared addresses of providers (100.64.0.0/10) count as outside, private ones do not, since schools have a second
    router of their own more often. Raises ProbeFailed without the right to ping.
    """
    answers = await asyncio.gather(
        *(_ask(towards, hops_count, timeout_s) for hops_count in range(1, _HOPS_MAX_COUNT + 1))
    )
    for hops_count, echo in enumerate(answers, start=1):
        if _is_beyond(echo, own):
            return Hop(echo.by, hops_count)
        if echo.rtt_s is not None:
            return None  # this is the end of the way already
    return None


async def passes_provider(hop: Hop, towards: str, own: Collection[str], timeout_s: float) -> bool:
    """Whether packets get as far as they did when the router was found. Raises ProbeFailed."""
    for _ in range(_TRIES):
        echo = await _ask(towards, hop.hops_count, timeout_s / _TRIES)
        if echo.rtt_s is not None or _is_beyond(echo, own):
            return True
    return False


def _is_beyond(echo: Echo, own: Collection[str]) -> bool:
    """The PC itself, too, says that a host is unreachable, with its own address."""
    return bool(echo.by) and echo.by not in own and is_outside(echo.by)


async def _ask(towards: str, hops_count: int, timeout_s: float) -> Echo:
    (echo,) = await echo_all(towards, 1, 0.0, timeout_s, _PAYLOAD_BYTES, manner=Manner(hops_max_count=hops_count))
    return echo
