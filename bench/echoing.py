"""Our pinger as a program: `python -m bench.echoing TARGETS COUNT SPACING_S TIMEOUT_S` prints its account."""

import asyncio
import sys
import time
from typing import Final

import msgspec

from agent.network.icmp import echo_all

_SIZE_BYTES: Final = 56


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips of what came back, how many were sent, and the CPU that it took after start-up."""

    sent_count: int
    rtts_ms: list[float]
    cpu_s: float


def addresses(count: int) -> list[str]:
    """So many different loopback addresses."""
    return [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count)]


async def account(targets_count: int, count: int, spacing_s: float, timeout_s: float) -> Account:
    """Ping all targets at once."""
    began_s = time.process_time()
    done = await asyncio.gather(
        *(echo_all(address, count, spacing_s, timeout_s, _SIZE_BYTES) for address in addresses(targets_count))
    )
    cpu_s = time.process_time() - began_s
    rtts_ms = [1000 * echo.rtt_s for echoes in done for echo in echoes if echo.rtt_s is not None]
    return Account(sent_count=sum(map(len, done)), rtts_ms=rtts_ms, cpu_s=cpu_s)


def main() -> None:
    """Print the account as JSON."""
    targets_count, count = map(int, sys.argv[1:3])
    spacing_s, timeout_s = map(float, sys.argv[3:5])
    print(msgspec.json.encode(asyncio.run(account(targets_count, count, spacing_s, timeout_s))).decode())


if __name__ == "__main__":
    main()
