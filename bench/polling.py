"""Our SNMP poller as a program: `python -m bench.polling CYCLES IDLE_S PORT ...` prints what it costs, also idle."""

import asyncio
import sys
import time
from typing import Final

import msgspec

from agent.snmp import client as snmp
from agent.snmp.login import SnmpLogin

OIDS: Final = (
    *(f"1.3.6.1.2.1.1.{number}.0" for number in (1, 2, 3, 5, 6)),
    *(f"1.3.6.1.2.1.2.2.1.{column}.1" for column in (5, 8, 10, 14, 16, 20)),
    "1.3.6.1.2.1.25.1.1.0",
)
"""Twelve objects that every host has."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """CPU of a cycle over all devices (the mean), of the first, and of a minute in which nothing was asked."""

    cycle_cpu_s: float
    first_cpu_s: float
    idle_cpu_s_per_min: float
    answers_count: int


async def account(ports: list[int], cycles_count: int, idle_s: float) -> Account:
    """Poll all devices at once, again and again, and then nothing for a while."""
    login = SnmpLogin(community="public")
    devices = [snmp.Device("127.0.0.1", port, login, 2.0, 1, f"snmp {port}") for port in ports]

    async def cycle() -> int:
        return sum(map(len, await asyncio.gather(*(snmp.get(device, OIDS) for device in devices))))

    began_s = time.process_time()
    answers_count = await cycle()
    first_s = time.process_time()
    for _ in range(cycles_count):
        answers_count += await cycle()
    cycled_s = time.process_time()
    await asyncio.sleep(idle_s)
    return Account(
        cycle_cpu_s=(cycled_s - first_s) / cycles_count,
        first_cpu_s=first_s - began_s,
        idle_cpu_s_per_min=(time.process_time() - cycled_s) * 60 / idle_s,
        answers_count=answers_count,
    )


def main() -> None:
    """Print the account as JSON."""
    cycles_count, idle_s, *ports = sys.argv[1:]
    found = asyncio.run(account([int(port) for port in ports], int(cycles_count), float(idle_s)))
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
