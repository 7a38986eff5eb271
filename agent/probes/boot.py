"""How this PC came to run: since when, how its run before ended, and how long it slept."""

import functools
from typing import Any, ClassVar

import msgspec
import psutil

from agent.clock import SystemClock, slept_s
from agent.last_run import MEANINGS, previous_stop
from agent.probe import Value, Values
from agent.threads import in_thread
from contract.settings import Target


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the operating system's memory of its last stop: Windows' System log (events 41, 1074, 6005, 6006, 6008),
    Linux' utmp(5) records and pstore; and the uptimes of the PC and of the agent (psutil).

    It explains a silence afterwards: whether the PC ran on, slept, was shut down, lost its power or crashed. Asks
    nobody else. What the system does not remember is absent.
    """

    target: Target = "pc"

    values: ClassVar[tuple[Value, ...]] = (
        Value("uptime_s", "Since the PC booted; on Windows with fast start-up, since its last full start."),
        Value("agent_uptime_s", "Since the agent's process started."),
        Value("slept_s", "How long the PC has slept or hibernated since it booted; absent where it does not tell."),
        Value(
            "previous_stop_code",
            "How the run before this one ended: "
            + ", ".join(f"{code} {text}" for code, text in MEANINGS.items())
            + ".",
        ),
    )
    rights: ClassVar[str] = "None. Windows lets services read the System log; Linux keeps wtmp readable."
    example: ClassVar[dict[str, object]] = {}

    @property
    def longest_s(self) -> float:
        """Windows takes a moment to look through its log, once."""
        return 15.0

    async def measure(self) -> Values:
        """What is remembered; the log is looked through once in the life of the agent."""
        uptime_s = SystemClock().now().mono_s
        values: Values = {"uptime_s": uptime_s}
        own: Any = psutil.Process()
        age_s = uptime_s - (own.create_time() - psutil.boot_time())
        if 0 <= age_s <= uptime_s:  # else the wall clock was set meanwhile, and nothing can be said
            values["agent_uptime_s"] = age_s
        if (slept := slept_s()) is not None:
            values["slept_s"] = slept
        if (stop := await in_thread("boot", lambda _: _previous_stop())) is not None:
            values["previous_stop_code"] = stop
        return values


@functools.cache
def _previous_stop() -> int | None:
    return previous_stop()
