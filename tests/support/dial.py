"""Turns the wall clock and the time since boot of a program that runs, as those of a PC whose battery is dead."""

import mmap
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import pytest

from tests.support.debian import require

_DIAL: Final = struct.Struct("=qqqqq")
_SOURCE: Final = Path(__file__).with_suffix(".c")
_SECOND_NS: Final = 1_000_000_000
_BOOT_TOOK_S: Final = 20.0


class Dial:
    """The clocks of one PC. Whoever is started with `environment` reads them instead of the machine's."""

    def __init__(self, folder: Path, shim: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "dial"
        path.write_bytes(bytes(_DIAL.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _DIAL.size)
        self._boot_id = folder / "boot_id"
        self._boots_ahead_s: dict[str, float] = {}
        self.environment = {
            "LD_PRELOAD": str(shim),
            "SANSANG_DIAL": str(path),
            "SANSANG_BOOT_ID": str(self._boot_id),
        }
        self.boot = ""
        self.wall_ahead_s = self._boot_ahead_s = self._slept_s = 0.0
        self.begin_boot()

    def begin_boot(self) -> None:
        """The PC is switched on: a new name, and a time since boot that begins again."""
        self.boot = f"boot-{len(self._boots_ahead_s)}"
        self._boot_id.write_text(f"{self.boot}\n", encoding="ascii")
        self._boot_ahead_s = _BOOT_TOOK_S - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._boots_ahead_s[self.boot] = self._boot_ahead_s
        self._turn()

    def set_wall(self, wall_s: float) -> None:
        """Somebody, or nobody for years, sets the wall clock."""
        self.wall_ahead_s = wall_s - time.time()
        self._turn()

    def sleep(self, lasts_s: float) -> float:
        """The PC sleeps so long in no time; how old its boot is when it wakes. Its boot is the same as before."""
        self.wall_ahead_s += lasts_s
        self._boot_ahead_s += lasts_s
        self._boots_ahead_s[self.boot] = self._boot_ahead_s
        self._turn()
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self._boot_ahead_s

    def leave_boot(self) -> None:
        """The machine itself tells since when the PC runs, and what its boot is called."""
        self._boot_ahead_s = 0.0
        self.environment.pop("SANSANG_BOOT_ID", None)
        self._turn()

    def slept(self, lasts_s: float) -> None:
        """The PC, whose programs stood still meanwhile, slept: its monotonic clock did not go on."""
        self._slept_s += lasts_s
        self._turn()

    def slew(self, ppm: int) -> None:
        """From now on the wall clock runs so much too fast, as a time service makes it."""
        self._turn(ppm)

    def _turn(self, slew_ppm: int = 0) -> None:
        wall_ns, boot_ns = round(self.wall_ahead_s * _SECOND_NS), round(self._boot_ahead_s * _SECOND_NS)
        slept_ns = round(self._slept_s * _SECOND_NS)
        _DIAL.pack_into(self._shared, 0, wall_ns, boot_ns, slew_ppm, time.monotonic_ns(), slept_ns)

    def true_s(self, boot: str, mono_s: float) -> float:
        """When it truly was, by this machine's clock, that the PC was so old in that boot."""
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME) - (mono_s - self._boots_ahead_s[boot])
        return time.time() - since_s

    def close(self) -> None:
        self._shared.close()


class MakeDial(Protocol):
    """Makes the clocks of one more PC."""

    def __call__(self, name: str) -> Dial: ...


def build_shim(folder: Path) -> Path:
    """The library to preload. Needs Linux and a C compiler."""
    shim = folder / "dial.so"
    subprocess.run([require("cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, _SOURCE], check=True)
    return shim


@pytest.fixture
def make_dial(tmp_path: Path) -> Iterator[MakeDial]:
    shim = build_shim(tmp_path)
    made: list[Dial] = []

    def make(name: str) -> Dial:
        made.append(Dial(tmp_path / f"clocks-{name}", shim))
        return made[-1]

    yield make
    for dial in made:
        dial.close()
