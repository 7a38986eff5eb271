"""A real mail relay (aiosmtpd) on the loopback address, which can be told to answer otherwise than it would."""

import asyncio
import enum
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, NamedTuple, Protocol

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import LOOPBACK, free_port


class Misdeed(enum.Enum):
    """What a relay does in place of an answer. LATE_DROP: takes the letter, then closes without having said so;
    LATE_HANG: takes it, and says nothing.
    """

    DROP = enum.auto()
    LATE_DROP = enum.auto()
    HANG = enum.auto()
    LATE_HANG = enum.auto()


class Delivered(NamedTuple):
    """A letter that the relay took: who it was for, and its bytes."""

    sender: str
    to: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The letter, read."""
        return message_from_bytes(self.raw, policy=policy.default)


class Relay:
    """A running relay. `script` by command (CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, DOT) holds what it answers
    to the next ones, in their order; without an entry it does what the RFC says.
    """

    host = LOOPBACK

    def __init__(
        self, *, tls: ssl.SSLContext | None, starttls: ssl.SSLContext | None, login: tuple[str, str] | None
    ) -> None:
        self.port = free_port()
        self.letters: list[Delivered] = []
        self.logins: list[tuple[str, str]] = []
        self.greetings: list[str] = []
        self.script: dict[str, deque[str | Misdeed]] = defaultdict(deque)
        self.connections_count = 0
        self.hangs = threading.Event()
        self.login = login
        self.starttls = starttls
        self._tls = tls
        self._sessions: set[_Session] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def then(self, command: str, *answers: str | Misdeed) -> None:
        """What to answer to the next of these commands."""
        self.script[command].extend(answers)

    def start(self) -> None:
        """Listen, on the same port every time."""
        listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop, listening))
        self._thread.start()
        assert listening.wait(10), "the relay does not come up"

    def stop(self) -> None:
        """Fall silent, in the middle of whatever it was doing."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop = self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop, listening: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(loop.create_server(self._session, LOOPBACK, self.port, ssl=self._tls))
        listening.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(self._hang_up())
        loop.close()

    def _session(self) -> "_Session":
        self.connections_count += 1
        session = _Session(self)
        self._sessions.add(session)
        return session

    async def _hang_up(self) -> None:
        for session in self._sessions:
            session.abort()
        self._sessions.clear()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    # What aiosmtpd asks of its handler.

    async def handle_DATA(self, server: "_Session", _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """A letter is here in full."""
        planned = self.script["DOT"].popleft() if self.script["DOT"] else "250 2.0.0 taken"
        is_taken = planned in (Misdeed.LATE_DROP, Misdeed.LATE_HANG) or (
            isinstance(planned, str) and planned.startswith("250")
        )
        if is_taken:
            assert isinstance(envelope.content, bytes)
            self.letters.append(Delivered(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.content))
        if isinstance(planned, str):
            return planned
        await server.misbehave(planned)
        return "451 never said"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        """Whether a login is right."""
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self.login, handled=False)


class _Session(SMTP):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        super().__init__(
            relay,
            hostname="relay.test",
            ident="ready",
            tls_context=relay.starttls,
            auth_require_tls=relay.starttls is not None,
            authenticator=relay.authenticate if relay.login else None,
            auth_required=relay.login is not None and relay.starttls is not None,
            loop=asyncio.get_event_loop(),
        )

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def misbehave(self, how: Misdeed) -> None:
        if how in (Misdeed.HANG, Misdeed.LATE_HANG):
            self._relay.hangs.set()
            await asyncio.Event().wait()
        self.abort()
        await asyncio.sleep(60)  # until the lost connection cancels this

    async def _is_scripted(self, command: str) -> bool:
        if not self._relay.script[command]:
            return False
        planned = self._relay.script[command].popleft()
        if isinstance(planned, str):
            await self.push(planned)
        else:
            await self.misbehave(planned)
        return True

    async def _handle_client(self) -> None:
        if await self._is_scripted("CONNECT"):
            self.abort()
        else:
            await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd finds commands by these names
        self._relay.greetings.append(hostname)
        if not await self._is_scripted("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        if not await self._is_scripted("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        if not await self._is_scripted("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if not await self._is_scripted("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        if not await self._is_scripted("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if not await self._is_scripted("DATA"):
            await super().smtp_DATA(arg)


class StartRelay(Protocol):
    """Starts a relay that ends with the test."""

    def __call__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> Relay:
        """One with TLS from the first byte, or that offers STARTTLS; and that wants a login."""
        ...


@pytest.fixture
def mail_relay() -> Iterator[StartRelay]:
    started: list[Relay] = []

    def start(
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> Relay:
        relay = Relay(tls=tls, starttls=starttls, login=login)
        relay.start()
        started.append(relay)
        return relay

    yield start
    for relay in started:
        relay.stop()
