"""A device on the loopback address that says what a test wants, and the event loop in which it is asked."""

import asyncio
import atexit
from collections.abc import Coroutine
from typing import Any

from agent.probe import ProbeFailed, Values
from agent.taking import sound
from tests.support.ports import LOOPBACK


class Loop:
    """One event loop for all inputs of a process; whatever ends in it unheard is a fault."""

    def __init__(self) -> None:
        self.unheard: list[str] = []
        self._loop = asyncio.new_event_loop()
        atexit.register(self.close)
        self._loop.set_exception_handler(lambda _loop, context: self.unheard.append(repr(context)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        done = self._loop.run_until_complete(work)
        unheard, self.unheard = self.unheard, []
        assert not unheard, unheard
        return done

    def measure(self, measuring: Coroutine[Any, Any, Values]) -> bool:
        """A probe's attempt: values that can be stored, or ProbeFailed; whether it was no failure."""
        is_good = True
        try:
            values = self.run(measuring)
        except ProbeFailed as failure:
            assert failure.detail
            is_good, values = False, failure.values
        assert sound(values).keys() == values.keys()
        return is_good

    def close(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()


class Speaker:
    """Hears a question, says `words`, whatever they are, and ends."""

    def __init__(self, loop: Loop) -> None:
        self.words = b""
        self.port = loop.run(self._listen())

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._speak, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(4096)
            writer.write(self.words)
            writer.write_eof()
            await reader.read()  # who closes first would take back what it said
        except OSError:
            pass  # who asked has heard enough
        finally:
            writer.close()
