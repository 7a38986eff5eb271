"""Loopback servers that speak as devices do, well or badly, and how a kind is asked about one of them."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from agent.devices.asking import Seen, look
from agent.devices.key import Key
from agent.devices.kind import Device, Identity, Kind, Told
from agent.devices.login import Login
from agent.devices.memory import Memory
from agent.probe import ProbeFailed
from contract.secret import Secret
from tests.support.ports import LOOPBACK

RIGHT: Final = "only-to-look"
WRONG: Final = "very-wrong"
"""A device's password, and another."""
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REFUSED: Final = "refused the login; it is not sent again for a day, or until it is changed"
WANTED: Final = "wants a login (password, and login_name where it has one), and the plan has none"
"""How the two end."""
PATIENT_S: Final = 20.0
"""For what answers: a loaded machine must not make a test fail."""
HASTY_S: Final = 0.4
"""For what does not answer."""


class Asked(NamedTuple):
    """What became of asking: what was said, or why not."""

    identity: Identity | ProbeFailed | None
    told: Told | ProbeFailed

    @property
    def states(self) -> dict[str, str]:
        """Parts and their states' names."""
        assert isinstance(self.told, Told), self.told
        return {part: state.name for part, state in self.told.parts.items()}

    @property
    def figures(self) -> dict[str, int | float]:
        assert isinstance(self.told, Told), self.told
        return self.told.figures

    @property
    def failure(self) -> ProbeFailed:
        assert isinstance(self.told, ProbeFailed), self.told
        return self.told


@contextlib.asynccontextmanager
async def listening(
    behave: Behave, sock: socket.socket | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that behaves so, at a port of its own or at this socket; what it was saying ends with it."""
    talking: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the agent has hung up, or the test is over
        finally:
            talking.discard(task)
            writer.close()

    if sock is None:
        sock = socket.create_server((LOOPBACK, 0))
    server = await asyncio.start_server(connected, sock=sock, ssl=tls)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


async def serving(behave: Behave, done: Callable[[int], Awaitable[None]]) -> None:
    """Run `done` with the port of a server that behaves so."""
    async with listening(behave) as port:
        await done(port)


def a_device(port: int, *, user: str = "", password: str = "", cleartext: bool = True, **given: Any) -> Device:
    """With a key for this login, if any is given, of a plan that lets it go in clear."""
    login = Login(user, Secret(password))
    key = Key(login, Memory(), cleartext=cleartext) if user or password else None
    device = Device(host=LOOPBACK, what="device 127.0.0.1", timeout_s=PATIENT_S, port=port, key=key)
    return msgspec.structs.replace(device, **given)


async def both(kind: Kind, device: Device) -> Asked:
    """Recognise without the key, and ask with it, whatever comes of the first."""
    identity: Identity | ProbeFailed | None
    told: Told | ProbeFailed
    try:
        identity = await kind.recognise(msgspec.structs.replace(device, key=None))
    except ProbeFailed as failure:
        identity = failure
    try:
        told = await kind.ask(device)
    except ProbeFailed as failure:
        told = failure
    else:
        identity = told.identity or identity
    return Asked(identity, told)


def ask(kind: Kind, behave: Behave, **given: Any) -> Asked:
    """Recognise and ask a device that behaves so; `given` are fields of `Device`."""
    found: list[Asked] = []

    async def done(port: int) -> None:
        found.append(await both(kind, a_device(port, **given)))

    asyncio.run(serving(behave, done))
    return found[0]


def seen(kind: Kind, behave: Behave, **given: Any) -> Seen | ProbeFailed:
    """As the device probe looks at it when the plan names its kind."""
    found: list[Seen | ProbeFailed] = []

    async def done(port: int) -> None:
        try:
            found.append(await look(a_device(port, **given), [kind], lambda: 0.0, is_known=True, ports=(port,)))
        except ProbeFailed as failure:
            found.append(failure)

    asyncio.run(serving(behave, done))
    return found[0]


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything, and says nothing."""
    del writer
    while await reader.read(1000):
        pass


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up at once, as what serves one client only does to the second."""
    del reader, writer


async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Goes on and on without an end of a line."""
    del reader
    for _ in range(2000):
        writer.write(b"\x00\xfe0123456789" * 100)
        await writer.drain()
