"""Says on what machine a benchmark ran, when, and what else the machine was doing."""

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

_LOOK_S: Final = 2.0


class View(NamedTuple):
    """The machine at one moment, between benchmarks: `busy_ratio` of all its cores, and its load of the last minute."""

    at: datetime
    busy_ratio: float
    load_1min: float


class Circumstances(NamedTuple):
    """The machine just before and just after a benchmark."""

    before: View
    after: View

    def sentences(self) -> tuple[str, ...]:
        """When, where, and how quiet it was."""
        return (
            f"{self.before.at:%Y-%m-%d %H:%M} to {self.after.at:%H:%M} UTC on {describe()}.",
            f"Other work took {self.before.busy_ratio:.0%} of the cores before, {self.after.busy_ratio:.0%} after.",
            f"Load {self.before.load_1min:.2f} before and {self.after.load_1min:.2f} after, our own work included.",
        )


def look_around() -> View:
    """Watch the machine for two seconds in which we do nothing ourselves."""
    busy_before, all_before = _ticks()
    time.sleep(_LOOK_S)
    busy, everything = _ticks()
    share = (busy - busy_before) / max(1, everything - all_before)
    return View(datetime.now(UTC), share, os.getloadavg()[0])


def _ticks() -> tuple[int, int]:
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def describe() -> str:
    """Cores, memory, operating system and Python."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory_kib = int(next(line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")))
    system = next(
        (line.split("=")[1].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY")), "?"
    )
    return (
        f"{os.cpu_count()} cores ({model}), {memory_kib / 2**20:.0f} GiB, {system}, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
