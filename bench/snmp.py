"""Our SNMP against net-snmp's snmpget: CPU of a cycle over five devices of twelve objects each, and of doing nothing.

Both ask the same snmpd on five ports, in turn. Ours is a process that runs on and asks all five at once; its CPU is
taken after the first cycle, which loads what it needs. snmpget is started for each device, all that the kernel charged
to it counts, and it translates no names.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from bench.figures import Result, Row, Size
from bench.peers import start_devices
from bench.polling import OIDS, Account
from bench.programs import need
from tests.support.ports import LOOPBACK

DEVICES_COUNT: Final = 5
CYCLES_COUNT: Final = 50


def run(size: Size) -> Result:
    """Rounds of both, in turn."""
    return measure(rounds=size.rounds, cycles_count=CYCLES_COUNT, idle_s=30.0)


def measure(*, rounds: int, cycles_count: int, idle_s: float) -> Result:
    """Ours idles in each round too; the peer has no such state."""
    snmpget = need("snmpget")
    with contextlib.ExitStack() as until:
        folder = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="sansang-")))
        ports = start_devices(until, folder, DEVICES_COUNT)
        found = [(_ours(ports, cycles_count, idle_s), _theirs(snmpget, ports)) for _ in range(rounds)]
    ours = [one for one, _ in found]
    rows = (
        Row(
            what=f"a cycle: {DEVICES_COUNT} devices, {len(OIDS)} objects each, CPU",
            unit="ms",
            ours=tuple(1000 * one.cycle_cpu_s for one in ours),
            peer="snmpget",
            theirs=tuple(1000 * theirs_s for _, theirs_s in found),
        ),
        Row(what="the first cycle, CPU", unit="ms", ours=tuple(1000 * one.first_cpu_s for one in ours)),
        Row(what="a minute without asking, CPU", unit="ms", ours=tuple(1000 * one.idle_cpu_s_per_min for one in ours)),
    )
    missing_count = sum((cycles_count + 1) * DEVICES_COUNT * len(OIDS) - one.answers_count for one in ours)
    return Result(rows=rows, notes=(f"{missing_count} objects of ours were not answered.",))


def _ours(ports: list[int], cycles_count: int, idle_s: float) -> Account:
    command = [sys.executable, "-m", "bench.polling", str(cycles_count), str(idle_s), *map(str, ports)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout, type=Account)


def _theirs(snmpget: str, ports: list[int]) -> float:
    """The CPU of a cycle."""
    before_s = _children_s()
    for port in ports:
        command = [snmpget, "-v2c", "-c", "public", "-On", "-m", "", f"{LOOPBACK}:{port}", *OIDS]
        subprocess.run(command, check=True, capture_output=True)
    return _children_s() - before_s


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
