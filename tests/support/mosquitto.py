"""A real mosquitto with a configuration of the test's own."""

import os
from pathlib import Path
from typing import Final, Protocol

import pytest

from tests.support.debian import require
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs, listens

OPEN_PIPE: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 1000
max_queued_messages 10000
"""
"""No credentials, nothing kept: for tests that are about something else than the broker."""


class Mosquitto:
    """A running broker on the loopback address."""

    host: Final = LOOPBACK

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port


class StartMosquitto(Protocol):
    """Starts a broker that ends with the test."""

    def __call__(self, config: str = OPEN_PIPE, *, port: int | None = None) -> Mosquitto:
        """Start a broker with this configuration, in which `{port}` becomes its port."""
        ...


@pytest.fixture
def mosquitto(programs: Programs, tmp_path: Path) -> StartMosquitto:
    path = require("mosquitto")

    def start(config: str = OPEN_PIPE, *, port: int | None = None) -> Mosquitto:
        port = port or free_port()
        text = config.replace("{port}", str(port))
        if os.geteuid() == 0 and not any(line.split()[:1] == ["user"] for line in text.splitlines()):
            text = f"user root\n{text}"  # it would become the user mosquitto, who cannot read the test's folder
        file = tmp_path / f"mosquitto-{port}.conf"
        file.write_text(text, encoding="utf-8")
        return Mosquitto(programs.start([path, "-c", file, "-v"], ready=listens(port)), port)

    return start
