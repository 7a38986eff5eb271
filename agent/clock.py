"""The PC's two clocks and the name of its present boot."""

import secrets
import sys
import time
from pathlib import Path

from contract.moment import Moment


class SystemClock:
    """Reads wall time and a monotonic time that goes on while the PC sleeps (CLOCK_BOOTTIME; Windows' tick count)."""

    def __init__(self) -> None:
        self.boot = _boot_name()

    def now(self) -> Moment:
        """The present instant."""
        return Moment(boot=self.boot, mono_s=_mono_s(), wall_s=time.time())


if sys.platform == "linux":

    def _mono_s() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def slept_s() -> float | None:
        """How long the PC has slept since it booted; None where that cannot be asked."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC))

    def _boot_name() -> str:
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return secrets.token_hex(8)  # a container that hides it: each start then counts as a boot of its own

elif sys.platform == "win32":
    import ctypes

    # GetTickCount64 counts through sleep; before Python 3.13 time.monotonic() is the same clock.
    def _mono_s() -> float:
        return time.monotonic()

    def slept_s() -> float | None:
        """How long the PC has slept since it booted (QueryUnbiasedInterruptTime leaves sleep out)."""
        awake = ctypes.c_ulonglong()
        if not ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake)):
            return None
        return max(0.0, time.monotonic() - awake.value / 1e7)

    class _TimeOfDay(ctypes.Structure):
        _fields_ = (
            ("boot", ctypes.c_int64),
            ("now", ctypes.c_int64),
            ("bias", ctypes.c_int64),
            ("rest", ctypes.c_byte * 24),
        )

    def _boot_name() -> str:
        """SYSTEM_TIMEOFDAY_INFORMATION.BootTime less its bias: the kernel keeps it through steps of the clock."""
        info = _TimeOfDay()
        status = ctypes.windll.ntdll.NtQuerySystemInformation(3, ctypes.byref(info), ctypes.sizeof(info), None)
        return f"{info.boot - info.bias:x}" if status == 0 else secrets.token_hex(8)

else:

    def _mono_s() -> float:
        return time.monotonic()

    def slept_s() -> float | None:
        """Not known here."""
        return None

    def _boot_name() -> str:
        return secrets.token_hex(8)
