"""A real SNMP agent, snmpsim, that plays recordings: a community, or a version 3 context, is a recording's name."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs

RECORDINGS = Path(__file__).parents[1] / "recordings"
"""Small recordings of our own making."""


class SnmpUser(NamedTuple):
    """A user of version 3, in snmpsim's words."""

    name: str
    auth: str = "NONE"
    auth_key: str = ""
    priv: str = "NONE"
    priv_key: str = ""

    def options(self) -> list[str]:
        """As snmpsim's command line has it."""
        options = [f"--v3-user={self.name}"]
        if self.auth_key:
            options += [f"--v3-auth-proto={self.auth}", f"--v3-auth-key={self.auth_key}"]
        if self.priv_key:
            options += [f"--v3-priv-proto={self.priv}", f"--v3-priv-key={self.priv_key}"]
        return options


class SnmpSim(NamedTuple):
    """A running agent. An unknown community is met with silence, as real devices do."""

    program: Program
    port: int

    @property
    def address(self) -> str:
        """`HOST:PORT`."""
        return f"{LOOPBACK}:{self.port}"


class StartSnmpSim(Protocol):
    """Starts an agent that ends with the test."""

    def __call__(self, recordings: Mapping[str, str], *users: SnmpUser) -> SnmpSim:
        """Start one that plays these recordings (name -> text of an .snmprec file)."""
        ...


def own_recordings() -> dict[str, str]:
    """Our own recordings by name."""
    return {path.stem: path.read_text(encoding="ascii") for path in sorted(RECORDINGS.glob("*.snmprec"))}


def edited(recording: str, changes: Mapping[str, str]) -> str:
    """A copy of a recording in which some objects have another value, their types kept; "" takes an object away.

    An object that the recording lacks is added as an Integer. `TAG|VALUE` gives it another type (5 is Null).
    """
    objects = {_numbers(oid): (oid, tag, value) for oid, tag, value in _lines(recording)}
    for oid, change in changes.items():
        _, tag, _ = objects.get(_numbers(oid), ("", "2", ""))
        tag, value = change.split("|") if "|" in change else (tag, change)
        if change:
            objects[_numbers(oid)] = (oid, tag, value)
        else:
            objects.pop(_numbers(oid), None)
    return "".join(f"{oid}|{tag}|{value}\n" for _, (oid, tag, value) in sorted(objects.items()))


def _lines(recording: str) -> Iterator[tuple[str, str, str]]:
    for line in recording.splitlines():
        oid, tag, value = line.split("|", 2)
        yield oid, tag, value


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


def launch_snmpsim(
    programs: Programs, folder: Path, recordings: Mapping[str, str], *users: SnmpUser, port: int | None = None
) -> SnmpSim:
    """Start one that ends with `programs`, for fixtures that outlive a test."""
    port = port or free_port(socket.SOCK_DGRAM)
    inside = folder / f"snmpsim-{port}"
    data, cache = inside / "recordings", inside / "cache"
    for place in (data, cache):
        place.mkdir(parents=True)
    for name, text in recordings.items():
        (data / f"{name}.snmprec").write_text(text, encoding="latin-1")
    command = [
        sys.executable,
        "-W",
        "ignore",  # it uses names that its own library calls old
        "-m",
        "snmpsim.commands.responder",
        f"--data-dir={data}",
        f"--cache-dir={cache}",
        f"--agent-udpv4-endpoint={LOOPBACK}:{port}",
        f"--logging-method=file:{inside / 'said'}",
        *(option for user in users for option in user.options()),
    ]
    # It would become another user when root starts it, who may be unable to read this Python; unless told so.
    program = programs.start(
        command,
        ready=lambda: _says(inside / "said", b"Listening at UDP/IPv4"),
        environment={"SNMPSIM_ALLOW_ROOT": "true"} if os.name == "posix" else {},
    )
    return SnmpSim(program, port)


def _says(log: Path, words: bytes) -> bool:
    return log.exists() and words in log.read_bytes()


@pytest.fixture
def snmpsim(programs: Programs, tmp_path: Path) -> StartSnmpSim:
    def start(recordings: Mapping[str, str], *users: SnmpUser) -> SnmpSim:
        return launch_snmpsim(programs, tmp_path, recordings, *users)

    return start
