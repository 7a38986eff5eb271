"""A PC of a town that runs the real agent: its boots, how they ended as its system remembers it, its sleep, its UPS.

What a PC knows of itself is the machine's, but for what a boot makes new: the time since it (a time namespace), its
name, the login records, the kernel's last words, and systemd's word for where the system stands, which are files
mounted over the system's own. Sleep is the program standing still while its monotonic clock does not go on.
"""

import enum
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Final

import dev
from agent.last_run import _RECORD as RECORD
from tests.support.dial import Dial
from tests.support.processes import Program, Programs
from tests.support.town import School

_BOOT: Final = 2
_RUN_LEVEL: Final = 1
_BOOT_AGE_S: Final = 7200.0
BOOT_TOOK_S: Final = 5.0
_SYSTEMCTL: Final = Path("/usr/bin/systemctl")
_PSTORE: Final = Path("/sys/fs/pstore")


class Ending(enum.Enum):
    """How a boot ends."""

    ORDERLY = "somebody shut it down"
    CUT = "the power went"
    PANIC = "the kernel gave up"


class Pc:
    """One PC. `config` is its agent's file, to be written before it starts."""

    def __init__(self, school: School, folder: Path, shim: Path, programs: Programs) -> None:
        self._school, self._programs = school, programs
        self.folder = folder
        self.config = folder / "agent.toml"
        self.dial = Dial(folder / "clocks", shim)
        self.dial.leave_boot()
        self._logs = folder / "log"
        self._pstore = folder / "pstore"
        for place in (self._logs, self._pstore):
            place.mkdir()
        self._boot_id, self._systemctl = folder / "boot_id", folder / "systemctl"
        self._is_going_down = folder / "going-down"
        self._systemctl.write_text(
            f"#!/bin/sh\n[ -e {self._is_going_down} ] && echo stopping || echo running\n", encoding="ascii"
        )
        self._systemctl.chmod(0o755)
        self.agent: Program | None = None
        self._note(_BOOT, "reboot", time.time() - 30 * _BOOT_AGE_S)
        self._note(_RUN_LEVEL, "shutdown", time.time() - 2 * _BOOT_AGE_S)
        self._begin_boot(_BOOT_AGE_S)

    def _note(self, kind: int, user: str, wall_s: float) -> None:
        record = RECORD.pack(kind, 0, b"~", b"~~", user.encode(), b"6.1.0", 0, 0, 0, int(wall_s), 0, b"", b"")
        with (self._logs / "wtmp").open("ab") as file:
            file.write(record)

    def _begin_boot(self, age_s: float) -> None:
        self._offset_s = round(age_s - time.clock_gettime(time.CLOCK_BOOTTIME))
        self._boot_id.write_text(f"{secrets.token_hex(16)}\n", encoding="ascii")
        self._is_going_down.unlink(missing_ok=True)
        self._note(_BOOT, "reboot", time.time() + self.dial.wall_ahead_s - age_s)

    def boot(self, ended: Ending) -> None:
        """It is switched on again, the run before having ended so, and starts its agent."""
        if ended is Ending.ORDERLY:
            self._note(_RUN_LEVEL, "shutdown", time.time() + self.dial.wall_ahead_s)
        elif ended is Ending.PANIC:
            (self._pstore / "dmesg-efi-1").write_bytes(b"Kernel panic - not syncing\n")
        self._begin_boot(BOOT_TOOK_S)
        self.start_agent()

    def start_agent(self) -> None:
        """Start the agent's program in the present boot."""
        mounts = {
            self._logs: "/var/log",
            self._boot_id: "/proc/sys/kernel/random/boot_id",
            **({self._pstore: str(_PSTORE)} if _PSTORE.is_dir() else {}),
            **({self._systemctl: str(_SYSTEMCTL)} if _SYSTEMCTL.exists() else {}),
        }
        words = (sys.executable, "-m", "agent", "run", "--config", self.config)
        since = ("unshare", "--time", f"--boottime={self._offset_s}", f"--monotonic={self._offset_s}", "--")
        self.agent = self._programs.start(
            self._school.on_pc(*since, *words, mounts=mounts),
            ready=lambda: True,
            environment=self.dial.environment,
            folder=dev.ROOT,
        )

    def stop_agent(self) -> None:
        """Somebody stops or updates the service, which says goodbye."""
        self._running().stop()

    def kill_agent(self) -> None:
        """The agent dies; the system closes its connections."""
        self._running().kill()

    def shut_down(self) -> None:
        """Somebody shuts the PC down, and its agent says so."""
        self._is_going_down.touch()
        self._running().stop()
        self.unplug()

    def lose_power(self) -> None:
        """It is dark, and says nothing any more."""
        self.unplug()
        self._running().kill()

    def unplug(self) -> None:
        """Its card sends nothing more."""
        self._school.pc.ip("link set dev lan down")

    def plug_in(self) -> None:
        """As before."""
        self._school.pc.ip("link set dev lan up", "route add default via 192.168.7.1")

    def sleep(self) -> None:
        """It sleeps, and all that runs on it stands still."""
        self.unplug()
        self._running().pause()
        self._asleep_since_s = time.monotonic()

    def wake(self) -> None:
        """It goes on as if no time had passed, but for the clocks that go on while it sleeps."""
        self.dial.slept(time.monotonic() - self._asleep_since_s)
        self.plug_in()
        self._running().resume()

    def _running(self) -> Program:
        assert self.agent is not None
        return self.agent

    def close(self) -> None:
        if self.agent is not None and self.agent.running:
            os.kill(self.agent.pid, signal.SIGCONT)
            self.agent.kill()
        self.dial.close()
