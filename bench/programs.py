"""Starts the programs that a benchmark needs, and tells what they cost: CPU to the nanosecond, memory, wake-ups."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.debian import find
from tests.support.processes import Program


class MissingError(Exception):
    """A program that a benchmark needs is not installed."""


def need(program: str) -> str:
    """The program's path. Raises MissingError."""
    path = find(program)
    if path is None:
        raise MissingError(f"{program} is not installed; 'python3 dev.py bench' installs it as root on Debian")
    return path


def start(
    until: contextlib.ExitStack,
    folder: Path,
    command: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Program:
    """Start one that ends with the stack, and return when it is ready; its log lies in the folder."""
    log = folder / f"{Path(command[0]).name}-{len(list(folder.glob('*.log')))}.log"
    program = Program(command, log=log, ready=ready, environment=environment)
    program.start()
    until.callback(program.stop)
    return program


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait for something. Raises TimeoutError that names it."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


class Cost(NamedTuple):
    """What a process and its children have used since they began (CPU, wake-ups), and hold now (memory)."""

    cpu_s: float
    wakes_count: int
    rss_bytes: int
    pss_bytes: int


def cost_of(pid: int) -> Cost:
    """The cost of a process with its children, dead and alive."""
    family = [pid, *_children(pid)]
    return Cost(
        cpu_s=sum(_cpu_s(one) for one in family) + _buried_cpu_s(pid),
        wakes_count=sum(_wakes_count(one) for one in family),
        rss_bytes=sum(_memory_bytes(one, "Rss") for one in family),
        pss_bytes=sum(_memory_bytes(one, "Pss") for one in family),
    )


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text(encoding="ascii").split()):
            found += [child, *_children(child)]
    return found


def _cpu_s(pid: int) -> float:
    """By the process's own CPU clock (as clock_getcpuclockid(3) names it): /proc counts in steps of 10 ms only."""
    return time.clock_gettime((~pid << 3) | 2)


def _buried_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _wakes_count(pid: int) -> int:
    """How often a thread slept and was woken again."""
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            lines = (task / "status").read_text(encoding="ascii").splitlines()
            count += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return count


def _memory_bytes(pid: int, kind: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"smaps_rollup of {pid} has no {kind}")
