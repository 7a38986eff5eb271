"""Runs the agent as a Windows service: starts with the PC, says goodbye before it goes down, sleeps and wakes with it.

`python -m deploy.windows.service install | remove | start | stop`, as an administrator. Windows itself starts it with
the word `host`. What Windows asks becomes an Order; `Runner` follows orders and knows nothing of Windows.
"""

import asyncio
import contextlib
import enum
import logging
import logging.handlers
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from contract.messages import Goodbye

log = logging.getLogger(__name__)

NAME: Final = "SanSangAgent"
DISPLAY_NAME: Final = "Sẵn Sàng agent"
DESCRIPTION: Final = "Đo đường truyền, điện và thiết bị của phòng học, và báo về trung tâm."
ACCOUNT: Final = rf"NT SERVICE\{NAME}"
"""The service's own account: Windows makes it, it has no password and no rights beyond what install grants."""
RESUME_AT_LATEST_S: Final = 60.0
"""Awake this long after a suspend was announced, the agent runs again even if nobody said that the PC woke up."""
_FAREWELL_S: Final = 1.5
"""How long the announcement of a suspend is held up for the goodbye; Windows waits two seconds for all services."""
_STOP_S: Final = 20.0
_RESTART_MS: Final = 15_000


class Control(enum.IntEnum):
    """Control codes of a service (winsvc.h); pywin32 has the same numbers, on Windows only."""

    STOP = 1
    SHUTDOWN = 5
    POWER = 13
    PRESHUTDOWN = 15


class Power(enum.IntEnum):
    """Kinds of a power event (winuser.h, PBT_APM...)."""

    SUSPEND = 4
    RESUME_SUSPEND = 7
    RESUME_AUTOMATIC = 18


class Order(enum.Enum):
    """What Windows wants of the service."""

    STOP = "service_stop"
    SHUTDOWN = "shutdown"
    SUSPEND = "suspend"
    RESUME = "resume"


_FAREWELLS: Final[dict[Order, Goodbye]] = {
    Order.STOP: "service_stop",
    Order.SHUTDOWN: "shutdown",
    Order.SUSPEND: "suspend",
}


_ENDS: Final = (Order.STOP, Order.SHUTDOWN)


def order_of(control: int, event_type: int) -> Order | None:
    """The order in a control code, and in the kind of a power event; None for what the agent need not know."""
    match control, event_type:
        case Control.STOP, _:
            return Order.STOP
        case Control.SHUTDOWN | Control.PRESHUTDOWN, _:
            return Order.SHUTDOWN
        case Control.POWER, Power.SUSPEND:
            return Order.SUSPEND
        case Control.POWER, Power.RESUME_SUSPEND | Power.RESUME_AUTOMATIC:
            return Order.RESUME
    return None


def image_path(python: str, settings: Path) -> str:
    """The command line under which Windows starts the service, quoted: an unquoted blank would let others in."""
    words = subprocess.list2cmdline(["-m", "deploy.windows.service", "host", "--config", str(settings)])
    return f'"{python}" {words}'


class Runnable(Protocol):
    """An agent as the Runner needs it."""

    async def run(self) -> int:
        """Run until stopped; the exit code, 0 after a stop."""
        ...

    def stop(self, reason: Goodbye | None) -> None:
        """Say goodbye and end; from the loop's own thread, once `run` has begun."""
        ...


class Runner:
    """Runs an agent, and another one after each sleep of the PC."""

    def __init__(self, make: Callable[[], Runnable], *, resume_at_latest_s: float = RESUME_AT_LATEST_S) -> None:
        self._make = make
        self._resume_at_latest_s = resume_at_latest_s
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._stop_agent: Callable[[Goodbye], None] | None = None
        self._changed = threading.Event()
        self._resting = threading.Event()

    def run(self) -> int:
        """Run until an order to stop, or until the agent ends by itself; its exit code."""
        while True:
            code = asyncio.run(self._run_once())
            self._resting.set()
            with self._lock:
                slept = self._order in (Order.SUSPEND, Order.RESUME)
            if not slept:
                return code
            self._changed.wait(self._resume_at_latest_s)
            with self._lock:
                if self._order in _ENDS:
                    return code
                self._order = None
            self._resting.clear()

    def follow(self, order: Order) -> None:
        """Take an order, from any thread; a stop is never overtaken by a later sleep or waking."""
        with self._lock:
            if self._order in _ENDS or (order is Order.RESUME and self._order is not Order.SUSPEND):
                return
            self._order = order
            if order is Order.SUSPEND:
                self._changed.clear()
            else:
                self._changed.set()
            if self._stop_agent is not None and order in _FAREWELLS:
                self._stop_agent(_FAREWELLS[order])

    def wait_resting(self, wait_s: float) -> bool:
        """Whether the agent has said goodbye and ended, within this time."""
        return self._resting.wait(wait_s)

    async def _run_once(self) -> int:
        agent = self._make()
        loop = asyncio.get_running_loop()
        running = loop.create_task(agent.run())
        await asyncio.sleep(0)  # `run` begins, and can be stopped from here on
        with self._lock:
            if self._order in _FAREWELLS:  # it came while the agent was being made
                agent.stop(_FAREWELLS[self._order])
            elif self._order is Order.RESUME:
                self._order = None
            self._stop_agent = lambda reason: _call_soon(loop, lambda: agent.stop(reason))
        try:
            return await running
        finally:
            with self._lock:
                self._stop_agent = None


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
        loop.call_soon_threadsafe(call)


def log_to_file(folder: Path) -> None:
    """Log into `agent.log` of a folder, at most 6 MB with its five predecessors: a service has no console."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "agent.log", maxBytes=1_000_000, backupCount=5, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)


def default_config() -> Path:
    """Where the PC's small file lies."""
    return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "SanSang" / "agent.toml"


if sys.platform == "win32":
    import argparse

    import servicemanager
    import win32service
    import win32serviceutil

    def _make_agent(settings_path: Path) -> Runnable:
        from agent.app import Agent  # noqa: PLC0415 - installing must work where an agent's parts do not load
        from agent.probes import load_probe  # noqa: PLC0415 - as above
        from agent.settings import load_settings  # noqa: PLC0415 - as above

        return Agent(load_settings(settings_path), load_probe=load_probe)

    class AgentService(win32serviceutil.ServiceFramework):
        """The service as the service control manager sees it."""

        _svc_name_ = NAME
        _svc_display_name_ = DISPLAY_NAME
        _svc_description_ = DESCRIPTION
        config = default_config()

        def __init__(self, args: list[str]) -> None:
            super().__init__(args)
            self._runner = Runner(lambda: _make_agent(self.config))

        def GetAcceptedControls(self) -> int:  # noqa: N802 - pywin32 calls it so
            """Stop, the early word of a shutdown (there is time for a goodbye), and sleep."""
            return (
                win32service.SERVICE_ACCEPT_STOP
                | win32service.SERVICE_ACCEPT_PRESHUTDOWN
                | win32service.SERVICE_ACCEPT_POWEREVENT
            )

        def ServiceCtrlHandlerEx(self, control: int, event_type: int, data: object) -> object:  # noqa: N802 - as above
            """Hear what Windows wants."""
            order = order_of(control, event_type)
            if order is None:
                return super().ServiceCtrlHandlerEx(control, event_type, data)
            log.info("Windows says: %s", order.value)
            if order in _ENDS:
                self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING, waitHint=int(_STOP_S * 1000))
            self._runner.follow(order)
            if order is Order.SUSPEND:
                self._runner.wait_resting(_FAREWELL_S)
            return 0

        def SvcDoRun(self) -> None:  # noqa: N802 - as above
            """The service's life."""
            log_to_file(self.config.parent / "log")
            servicemanager.LogInfoMsg(f"{DISPLAY_NAME}: {self.config}")
            try:
                code = self._runner.run()
            except Exception as error:
                # The border of the process: what ends it must be found in the event log and the file.
                log.exception("the agent broke down")
                servicemanager.LogErrorMsg(f"{DISPLAY_NAME}: {error}")
                code = 1
            if code != 0:
                logging.shutdown()
                os._exit(code)  # an end that was not reported is what makes Windows start the service again

    def install(settings: Path) -> None:
        """Make the service, to start with the PC and again 15 s after it breaks down."""
        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
        try:
            service = win32service.CreateService(
                manager,
                NAME,
                DISPLAY_NAME,
                win32service.SERVICE_ALL_ACCESS,
                win32service.SERVICE_WIN32_OWN_PROCESS,
                win32service.SERVICE_AUTO_START,
                win32service.SERVICE_ERROR_NORMAL,
                image_path(sys.executable, settings),
                None,
                False,
                None,
                ACCOUNT,
                None,
            )
            try:
                win32service.ChangeServiceConfig2(service, win32service.SERVICE_CONFIG_DESCRIPTION, DESCRIPTION)
                again = (win32service.SC_ACTION_RESTART, _RESTART_MS)
                failure = {"ResetPeriod": 86400, "RebootMsg": "", "Command": "", "Actions": [again, again, again]}
                win32service.ChangeServiceConfig2(service, win32service.SERVICE_CONFIG_FAILURE_ACTIONS, failure)
            finally:
                win32service.CloseServiceHandle(service)
        finally:
            win32service.CloseServiceHandle(manager)

    def main(argv: list[str] | None = None) -> int:
        """One command."""
        parser = argparse.ArgumentParser(prog="python -m deploy.windows.service", description=DISPLAY_NAME)
        parser.add_argument("command", choices=["install", "remove", "start", "stop", "host"])
        parser.add_argument("--config", type=Path, default=default_config(), help="the PC's settings (%(default)s)")
        arguments = parser.parse_args(argv)
        match arguments.command:
            case "install":
                install(arguments.config)
            case "remove":
                win32serviceutil.RemoveService(NAME)
            case "start":
                win32serviceutil.StartService(NAME)
            case "stop":
                win32serviceutil.StopService(NAME)
            case "host":
                AgentService.config = arguments.config
                servicemanager.Initialize()
                servicemanager.PrepareToHostSingle(AgentService)
                servicemanager.StartServiceCtrlDispatcher()
        return 0

    if __name__ == "__main__":
        sys.exit(main())
