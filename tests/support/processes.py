"""Runs real programs for a test: starts, waits until ready, stops by process id, shows what they logged."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.ports import is_listening

_POLL_S = 0.02
_LOG_TAIL_CHARS = 6000


class DidNotStart(Exception):
    """The program ended or stayed silent: its command, and the end of its log."""


class Program:
    """One program with its log file. It can be killed and started again, as a broker is when its host loses power."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool],
        within_s: float = 30.0,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = tuple(map(str, command))
        self.log = log
        self._ready = ready
        self._within_s = within_s
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it is ready. Raises DidNotStart."""
        if self.running:
            raise RuntimeError(f"{self.command[0]} runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        deadline_s = time.monotonic() + self._within_s
        while not self._ready():
            if not self.running:
                raise DidNotStart(f"{self._shown()} ended with exit code {self._process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline_s:
                self.kill()
                raise DidNotStart(f"{self._shown()} was not ready in {self._within_s:g} s:\n{self.tail()}")
            time.sleep(_POLL_S)
        if not self.running:  # another program answered at its port
            raise DidNotStart(f"{self._shown()} ended with exit code {self._process.returncode}:\n{self.tail()}")

    def stop(self, within_s: float = 15.0) -> int:
        """Ask it to end (SIGTERM), kill it when it does not; its exit code, negative for the signal that ended it."""
        process = self._started()
        if self.running:
            process.send_signal(signal.SIGCONT)  # a paused one would never hear the next
            process.terminate()
            try:
                process.wait(within_s)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        process = self._started()
        process.kill()
        process.wait()

    def pause(self) -> None:
        """Freeze it: it holds its connections and answers nothing, as a hung host does."""
        self._started().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        self._started().send_signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send it any signal, such as SIGHUP."""
        self._started().send_signal(number)

    def tail(self) -> str:
        """The end of what it has written so far, over all its starts."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARS:] if self.log.exists() else ""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.command[0]} has not been started")
        return self._process

    def _shown(self) -> str:
        return " ".join(self.command)


def listens(port: int) -> Callable[[], bool]:
    """Ready when the loopback port accepts TCP connections."""
    return lambda: is_listening(port)


class Programs:
    """The programs of one test, which end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Program] = []
        self._short: list[Path] = []

    def short_folder(self) -> Path:
        """A folder of its own for sockets, whose paths must be shorter than pytest's are (108 bytes)."""
        self._short.append(Path(tempfile.mkdtemp(prefix="sockets-")))
        return self._short[-1]

    def start(
        self,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        within_s: float = 30.0,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Program:
        """Start one, and return when `ready()` holds (see `listens`). Raises DidNotStart."""
        log = self._folder / f"{Path(command[0]).name}-{len(self._all)}.log"
        program = Program(command, log=log, ready=ready, within_s=within_s, environment=environment, folder=folder)
        self._all.append(program)
        program.start()
        return program

    def stop_all(self) -> None:
        """Stop what still runs, the latest first, and print the end of each log."""
        for program in reversed(self._all):
            if program.running:
                program.stop()
            # pytest shows this below a test that failed, and below no other.
            print(f"--- log of {program.command[0]}\n{program.tail()}")  # noqa: T201 - the way into pytest's report
        for folder in self._short:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.stop_all()
