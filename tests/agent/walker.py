"""Walks the ladder on a PC of namespaces, one walk for each line of its input; prints what it saw, a line each.

A process of its own, since Linux tells a thread in a namespace the network cards of its process.
"""

import asyncio
import sys

import msgspec

from agent.clock import SystemClock
from agent.probes import load_probe
from agent.taking import take_reading


async def walk(settings: dict[str, object]) -> None:
    probe = load_probe("link", settings)
    while await asyncio.to_thread(sys.stdin.readline):
        taken = await take_reading("link", probe, SystemClock())
        sys.stdout.write(msgspec.json.encode(taken.reading).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(walk(msgspec.json.decode(sys.argv[1], type=dict[str, object])))
