"""What kinds that are talked to have in common: a conversation with a second try, lines, telnet's refusals."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from agent.conversation import converse
from agent.devices.key import Door, LoginFailed, denied
from agent.devices.kind import Device
from agent.devices.login import Login
from agent.endpoint import Endpoint
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.secret import redact

TRIES: Final = 2
"""One retry: a device that serves one client at a time is busy now and then, and a packet is lost."""
PATIENCE: Final = 2
"""Several questions in one conversation may take so many times `device.timeout_s` together."""
ANSWER_MAX_LINES: Final = 64
"""So many lines that are no answer are passed over: what a device says unasked."""
_WORTH_ANOTHER: Final = (Outcome.TIMEOUT, Outcome.BROKEN, Outcome.REFUSED)
_PAUSE_S: Final = 0.3
"""Before the second try: what serves one client needs a moment to be rid of the last."""
_GREETING_MAX_BYTES: Final = 4096
_LOOKED_BACK_BYTES: Final = 160
_SHOWN_MAX_CHARACTERS: Final = 60
_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240


class Wire(NamedTuple):
    """A connection to a device. What is read may raise what `converse` makes a ProbeFailed of."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    device: Device
    door: Door

    @property
    def what(self) -> str:
        """Begins every error: `device 192.168.1.20: pjlink 4352`."""
        return self.door.what

    def login(self, *, in_clear: bool) -> Login:
        """What to log in with, to be sent now; `in_clear` where it goes as it is. Raises LoginFailed."""
        if self.device.key is None:
            raise denied(None, self.door)
        return self.device.key.hand_out(self.door, in_clear=in_clear)

    def accepted(self) -> None:
        """The device has let us in, or wanted no login."""
        if self.device.key is not None:
            self.device.key.accepted()

    async def is_hung_up(self) -> bool:
        """Whether the other side closes after its answer, without having said so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_S):
                await self.reader.read(1)
        return self.reader.at_eof()

    def write(self, data: bytes) -> None:
        """Send this."""
        self.writer.write(data)

    async def read(self, end: bytes = b"\n") -> str:
        """The next line without its end, in letters that can be shown."""
        return shown((await self.reader.readuntil(end))[: -len(end)])

    async def until(self, wanted: re.Pattern[str]) -> str:
        """What a telnet server says until `wanted` is found in the last of it.

        Every option that it offers or asks for is refused (RFC 854), since the device may wait for that.
        """
        said = bytearray()
        while len(said) < _GREETING_MAX_BYTES:
            byte = (await self.reader.readexactly(1))[0]
            if byte == _IAC:
                await self._refuse()
                continue
            said.append(byte)
            if wanted.search(said[-_LOOKED_BACK_BYTES:].decode("latin-1")) is not None:
                return said.decode("utf-8", "replace")
        raise self.nonsense("a prompt", shown(bytes(said)))

    async def _refuse(self) -> None:
        command = (await self.reader.readexactly(1))[0]
        if command in (_DO, _WILL):
            option = await self.reader.readexactly(1)
            self.write(bytes([_IAC, _WONT if command == _DO else _DONT]) + option)
        elif command in (_DONT, _WONT):
            await self.reader.readexactly(1)
        elif command == _SB:
            await self.reader.readuntil(bytes([_IAC, _SE]))

    def nonsense(self, expected: str, said: str) -> ProbeFailed:
        """What came is not what its protocol has there."""
        # Before it is cut: half a password that a device repeats would be found by nobody behind us.
        login = self.device.key.login if self.device.key is not None else None
        came = f"{expected} was expected, and came {redact(said, login)[:_SHOWN_MAX_CHARACTERS]!r}"
        return ProbeFailed(Outcome.BROKEN, f"{self.what}: {came}")

    def denied(self) -> LoginFailed:
        """It lets nobody in with what the plan has."""
        return denied(self.device.key, self.door)


T = TypeVar("T")
Exchange = Callable[[Wire], Awaitable[T]]
"""Asks, and reads the answers."""


def place(device: Device, protocol: str, usual_port: int) -> tuple[Endpoint, str]:
    """Where the device listens, and how an error begins."""
    endpoint = Endpoint(device.host, device.port or usual_port)
    return endpoint, f"{device.what}: {protocol} {endpoint.port}"


def door_of(device: Device, protocol: str, usual_port: int) -> Door:
    """The same as a door, by which a login is remembered."""
    endpoint, what = place(device, protocol, usual_port)
    return Door(what, f"{protocol} {endpoint.host}:{endpoint.port}")


async def talk(
    device: Device, protocol: str, usual_port: int, exchange: Exchange[T], *, tries: int = 1, patience: int = 1
) -> T:
    """One conversation over TCP, and what came of it. Raises ProbeFailed."""
    endpoint, what = place(device, protocol, usual_port)
    door = door_of(device, protocol, usual_port)
    while True:
        tries -= 1
        try:
            async with converse(endpoint, what, patience * device.timeout_s) as (reader, writer):
                return await exchange(Wire(reader, writer, device, door))
        except ProbeFailed as failure:
            is_login_lost = device.key is not None and device.key.is_under_way  # to send it twice may lock the account
            if not tries or failure.outcome not in _WORTH_ANOTHER or is_login_lost:
                raise
            await asyncio.sleep(_PAUSE_S)


def shown(said: bytes) -> str:
    """Text of a device: what is no letter is a space or a question mark."""
    text = said.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
