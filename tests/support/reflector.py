"""A real reflector on loopback, and the settings by which a probe reaches it."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from collector.media.reflector import ReflectorService
from collector.settings import ReflectorSettings
from contract.stamp import derive_key

SECRET = b"a secret of the tests"
_numbers = itertools.count(1)


class Reflecting:
    """The service, and what it takes to be answered by it."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {
            "enabled": True,
            "host": "127.0.0.1",
            "port": 0,
            "stream_agent_bytes_per_day": 1 << 40,
        }
        self.service = ReflectorService(ReflectorSettings(**(plain | settings)), SECRET)
        self.service.start()

    @property
    def port(self) -> int:
        return self.service.port

    @staticmethod
    def agent() -> dict[str, Any]:
        """An agent that never spoke before: its name and its key."""
        name = f"pc-{next(_numbers)}"
        return {"agent": name, "key": derive_key(SECRET, name).hex()}

    def probe(self, port: int | None = None, **more: Any) -> dict[str, Any]:
        """Settings of a probe that reaches it, by way of a relay's port or straight."""
        reach: dict[str, Any] = {"target": "lesson.centre", "address": "127.0.0.1", "port": port or self.port}
        return reach | self.agent() | more


@pytest.fixture
def reflecting() -> Iterator[Reflecting]:
    one = Reflecting()
    yield one
    one.service.stop()
