"""The MQTT broker inside the collector's process, for a school network or a first look; larger sites run Mosquitto.

amqtt keeps sessions and routes; this file is the door before it, since amqtt by itself never gives up on a silent
client, waits for ever for a CONNECT, lets a Will pass its topic rules, leaves the old connection of a client that
comes twice, and hands each newcomer what is retained for others. Nothing is kept on disk: it is a stateless pipe.
"""

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from amqtt.adapters import BufferReader, ReaderAdapter, WriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from collector.rooms.registry import COLLECTOR
from contract.catalogue import Language, say
from contract.names import is_id

log = logging.getLogger(__name__)

Authenticate = Callable[[str, str], bool]
"""Whether a token is an agent's present one: (agent, token). Called in the broker's thread, so it must not wait."""

PACKET_MAX_BYTES: Final = 256 * 1024
_CONNECT_MAX_BYTES: Final = 8 * 1024
_CONNECT_S: Final = 10.0
_PACKET_S: Final = 30.0
"""Longest that the rest of a packet may take once it began, and longest that a reader may stop reading."""
_GRACE: Final = 1.5
"""MQTT 3.1.1, 3.1.2.10: a client is gone when silent for one and a half times its keepalive."""
_LONGEST_SILENCE_S: Final = 1800.0
_GOODBYE_S: Final = 2.0
_STOP_S: Final = 10.0
_TURN_S: Final = 0.02
_UNHANDLED_MAX: Final = 100
"""Messages of one client waiting for amqtt; beyond it the client is not read."""
_LISTENER: Final = "default"
_DISCONNECT: Final = 14
_ROOT: Final = "sansang/v1/"
_BROKEN: Final = (AMQTTError, MQTTError, NoDataError, ValueError, struct.error, IndexError)


class BrokerError(Exception):
    """The broker cannot start as asked; the sentence says why."""

    def __init__(self, code: str, **facts: object) -> None:
        self.code = code
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return say(self.code, language, **self.facts)


class BrokerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the broker lets in. Connections that did not say who they are yet count as strangers."""

    connections_max_count: int = 1000
    strangers_max_count: int = 400
    connect_s: float = _CONNECT_S


def may(user: str, action: Action, topic: str) -> bool:
    """Whether a user may publish, subscribe to or receive a topic: an agent its own `up` and `down`, no more."""
    if user == COLLECTOR:
        return topic.startswith(_ROOT)
    way = "up" if action is Action.PUBLISH else "down"
    return topic.startswith(f"{_ROOT}{user}/{way}/")


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 or later with a certificate and key given as PEM. Raises ssl.SSLError when they do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # ssl reads keys from files only; this folder is ours alone
        both = Path(folder, "server.pem")
        both.touch(mode=0o600)
        both.write_text(key + certificate, encoding="ascii")
        context.load_cert_chain(both)
    return context


class EmbeddedBroker:
    """An MQTT 3.1.1 broker in a thread of its own.

    On a loopback address an agent is believed by its user name alone, and a token is looked at only where one is
    given. On any other address TLS and tokens are demanded: without a context the constructor raises BrokerError.
    The collector itself connects to `inside` as user COLLECTOR with `secret`, new at each start. A client's id is
    its user name, whatever it says, and sessions are always clean. Topic rules hold on loopback too.

    What it does not do: MQTT 5; messages in flight to a connection that breaks are not sent again (the end-to-end
    ack repairs that); more than about a thousand messages a second.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        authenticate: Authenticate,
        tls: ssl.SSLContext | None = None,
        limits: BrokerLimits | None = None,
    ) -> None:
        self._address = "127.0.0.1" if address == "localhost" else address
        if tls is None and not ipaddress.ip_address(self._address).is_loopback:
            raise BrokerError("broker.needs_tls", address=address)
        self.secret: Final = secrets.token_urlsafe(32)
        self._port = port
        self._authenticate = authenticate
        self._tls = tls
        self._limits = limits or BrokerLimits()
        self._inside_port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._listening = threading.Event()
        self._trouble: OSError | None = None
        self._guests: dict[str, _Guest] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._strangers: set[asyncio.Task[Any]] = set()
        self._full = False

    @property
    def port(self) -> int:
        """The port where agents connect; the true one once started, even if 0 was asked for."""
        return self._port

    @property
    def inside(self) -> tuple[str, int]:
        """Host and port, on loopback and without TLS, for the collector's own client."""
        return ("127.0.0.1" if self._tls else self._address, self._inside_port)

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen; returns once it does. BrokerError when the address cannot be had."""
        # amqtt logs each refusal and each lost client as an error with a traceback; what matters is logged here.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._listening.clear()
        self._trouble = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        self._listening.wait()
        if self._trouble is not None:
            self._thread.join()
            reason = self._trouble.strerror or self._trouble
            raise BrokerError("broker.cannot_listen", address=self._address, port=self._port, reason=reason)
        log.info("embedded broker listens on %s port %d%s", self._address, self._port, " with TLS" if self._tls else "")

    def stop(self) -> None:
        """Close all connections and the port; takes at most about ten seconds. Harmless when it does not run."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
            loop.call_soon_threadsafe(stopping.set)
        thread.join(_STOP_S + 2)
        if thread.is_alive():
            log.error("embedded broker did not stop within %.0f s", _STOP_S + 2)
        self._thread = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            # The border of the broker's thread: the collector sees `alive` turn false, and a person reads why.
            log.exception("embedded broker broke down")
        finally:
            self._listening.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_stray)
        self._stopping = asyncio.Event()
        broker = _Router()
        try:
            outside = await self._listen(broker, self._address, self._port, tls=self._tls, inside=False)
            servers = [outside]
            self._port = self._inside_port = _port_of(outside)
            if self._tls is not None:
                servers.append(await self._listen(broker, "127.0.0.1", 0, tls=None, inside=True))
                self._inside_port = _port_of(servers[-1])
        except OSError as error:
            self._trouble = error
            return
        await broker.start()
        self._listening.set()
        await self._stopping.wait()
        await asyncio.sleep(_TURN_S)  # asyncio leaks a connection accepted in the very turn that closes the server
        for server in servers:
            server.close()
        for stranger in self._strangers:
            stranger.cancel()
        for guest in list(self._guests.values()):
            guest.stream.feed_eof()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GOODBYE_S)
            for task in late:
                task.cancel()
        await asyncio.sleep(_TURN_S)  # an aborted connection is closed one turn of the loop later
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S - _GOODBYE_S):
                await broker.shutdown()

    async def _listen(
        self, broker: "_Router", address: str, port: int, *, tls: ssl.SSLContext | None, inside: bool
    ) -> asyncio.Server:
        async def receive(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = cast("asyncio.Task[None]", asyncio.current_task())
            self._tasks.add(task)
            try:
                await self._receive(broker, stream, writer, inside=inside)
            except Exception:
                # The border of one connection: it ends, the others go on.
                log.exception("embedded broker: a connection broke")
            finally:
                self._tasks.discard(task)
                self._strangers.discard(task)
                writer.transport.abort()

        handshake_s = self._limits.connect_s if tls else None
        return await asyncio.start_server(
            receive, address, port, ssl=tls, ssl_handshake_timeout=handshake_s, limit=PACKET_MAX_BYTES, backlog=1024
        )

    async def _receive(
        self, broker: "_Router", stream: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inside: bool
    ) -> None:
        if not self._has_room():
            return
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._strangers.add(task)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                packet = await _read_packet(stream, _CONNECT_MAX_BYTES)
                connect = await _parse_connect(packet)
        except (*_BROKEN, asyncio.IncompleteReadError, TimeoutError, ConnectionError, ssl.SSLError):
            return
        finally:
            self._strangers.discard(task)
        refusal = self._doubt(connect, inside=inside)
        if refusal is not None:
            writer.write((ConnackPacket.build(0, refusal)).to_bytes())
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_GOODBYE_S):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
            return
        await self._host(broker, connect, stream, writer)

    def _has_room(self) -> bool:
        if self._stopping is None or self._stopping.is_set():
            return False
        full = (
            len(self._guests) >= self._limits.connections_max_count
            or len(self._strangers) >= self._limits.strangers_max_count
        )
        if full and not self._full:
            log.warning("embedded broker is full: %d clients, %d strangers", len(self._guests), len(self._strangers))
        self._full = full
        return not full

    def _doubt(self, connect: ConnectPacket, *, inside: bool) -> int | None:
        """The MQTT return code that refuses a client, or None when it is welcome."""
        if connect.proto_name != "MQTT" or connect.proto_level != 4:  # noqa: PLR2004 - MQTT 3.1.1's number
            return UNACCEPTABLE_PROTOCOL_VERSION
        user, token = connect.username or "", connect.password or ""
        if user == COLLECTOR:
            # The secret opens the plain inner door only: over TLS the collector has no business.
            is_right = secrets.compare_digest(token.encode(), self.secret.encode())
            return None if is_right and (inside or self._tls is None) else NOT_AUTHORIZED
        if inside or not is_id(user):
            return NOT_AUTHORIZED
        if (token or self._tls is not None) and not self._authenticate(user, token):
            log.warning("embedded broker: the token of %s is not the present one", user)
            return NOT_AUTHORIZED
        if connect.will_flag and not may(user, Action.PUBLISH, connect.will_topic or ""):
            log.warning("embedded broker: %s came with a Will on a topic that is not its own", user)
            return NOT_AUTHORIZED
        return None

    async def _host(
        self, broker: "_Router", connect: ConnectPacket, stream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        user = connect.username or ""
        old = self._guests.get(user)
        guest = _Guest(stream, writer)
        self._guests[user] = guest
        if old is not None:
            await old.leave()
        if self._guests.get(user) is not guest:  # a third came while we waited for the first to go
            guest.gone.set()
            return
        keepalive_s = connect.keep_alive or 0
        silence_s = keepalive_s * _GRACE if keepalive_s else _LONGEST_SILENCE_S
        _watch_peer(writer)
        reader = _Reader(stream, _rewrite(connect, user), silence_s, lambda: broker.waiting_count(user))
        try:
            await broker.external_connected(reader, _Writer(writer), _LISTENER)
        finally:
            await broker.forget(user)
            if self._guests.get(user) is guest:
                del self._guests[user]
            guest.gone.set()


class _Guest:
    """One accepted connection, as its successor needs it."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stream = stream
        self.gone = asyncio.Event()
        self._writer = writer
        self._task = cast("asyncio.Task[None]", asyncio.current_task())

    async def leave(self) -> None:
        """End the connection, so that its Will is spoken before its successor's birth; after a while by force."""
        self.stream.feed_eof()
        for force in (self._writer.transport.abort, self._task.cancel):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S * 2):
                    await self.gone.wait()
                    return
            force()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self.gone.wait()


class AlreadyAtTheDoor(BaseAuthPlugin):
    """Tells amqtt that whoever reaches it was let in before."""

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the session has a name, which the door gave it."""
        return bool(session.username)


class TopicRule(BaseTopicPlugin):
    """Holds everybody to the topics of `may`."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Whether the session's user may do that with the topic."""
        if session is None or not session.username or not topic or action is None:
            return False
        return may(session.username, action, topic)


class _Steady(dict[str, Any]):
    """A dict that may change while somebody walks it: amqtt awaits in the middle of such walks."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().keys()))

    def items(self) -> Any:  # noqa: ANN401 - a list in place of the view
        return list(super().items())


class _Router(Broker):
    """amqtt's broker without a listener of its own, and with three of its habits mended."""

    def __init__(self) -> None:
        super().__init__(
            BrokerConfig(
                listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
                plugins={f"{__name__}.{plugin.__name__}": {} for plugin in (AlreadyAtTheDoor, TopicRule)},
            )
        )
        self._subscriptions: dict[str, list[tuple[Session, int]]] = _Steady()
        self._retained_messages: dict[str, RetainedApplicationMessage] = _Steady()

    def waiting_count(self, client_id: str) -> int:
        """Messages of a client that were read and not yet handed on."""
        session = self._sessions.get(client_id, (None, None))[0]
        return session.delivered_message_queue.qsize() if session else 0

    async def forget(self, client_id: str) -> None:
        """Drop what is left of a session, before amqtt's own sweep could hit its successor."""
        await self._delete_session(client_id)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        # amqtt calls this for a newcomer with the filters of everybody else, and would tell it what they may read.
        mine = any(subscriber is session for subscriber, _ in self._subscriptions.get(subscription[0], ()))
        if mine:
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Reader(ReaderAdapter):
    """Hands amqtt whole packets: none too large, none that never ends, and an end when the client falls silent."""

    def __init__(
        self, stream: asyncio.StreamReader, first: bytes, silence_s: float, waiting_count: Callable[[], int]
    ) -> None:
        self._stream = stream
        self._packet = first
        self._at = 0
        self._silence_s = silence_s
        self._waiting_count = waiting_count

    async def read(self, n: int = -1) -> bytes:
        """The next n bytes of the packet; asyncio.IncompleteReadError at the end of the connection."""
        if self._at >= len(self._packet):
            self._packet, self._at = await self._next(), 0
        end = len(self._packet) if n < 0 else self._at + n
        piece = self._packet[self._at : end]
        self._at = end
        return piece  # shorter than n where the packet lies about its length: amqtt then drops the packet

    def feed_eof(self) -> None:
        self._stream.feed_eof()

    async def _next(self) -> bytes:
        await asyncio.sleep(0)  # lets the packets read before be worked off, in order
        while self._waiting_count() > _UNHANDLED_MAX:  # noqa: ASYNC110 - amqtt's queue has no event to wait for
            await asyncio.sleep(0.005)
        try:
            packet = await _read_packet(self._stream, PACKET_MAX_BYTES, silence_s=self._silence_s)
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError, ssl.SSLError, MQTTError):
            await self._settle()
            raise asyncio.IncompleteReadError(b"", 1) from None
        if packet[0] >> 4 == _DISCONNECT:
            await self._settle()
        return packet

    async def _settle(self) -> None:
        """Wait for what the client sent before it left: amqtt would throw it away, a retained goodbye too."""
        for _ in range(int(_GOODBYE_S / 0.01)):
            await asyncio.sleep(0.01)
            if self._waiting_count() == 0:
                break


class _Writer(WriterAdapter):
    """Gives up on a client that does not read."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(_PACKET_S):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise ConnectionResetError("the client does not read") from None

    def get_peer_info(self) -> tuple[str, int]:
        found = self._writer.get_extra_info("peername")
        return (str(found[0]), int(found[1])) if found else ("", 0)

    def get_ssl_info(self) -> ssl.SSLObject | None:
        return cast("ssl.SSLObject | None", self._writer.get_extra_info("ssl_object"))

    async def close(self) -> None:
        self._writer.close()


async def _read_packet(stream: asyncio.StreamReader, max_bytes: int, *, silence_s: float | None = None) -> bytes:
    """One MQTT packet. TimeoutError when the client is silent or stops within it; MQTTError when it is too large."""
    async with asyncio.timeout(silence_s):
        head = await stream.readexactly(1)
    async with asyncio.timeout(_PACKET_S):
        length, shift = 0, 0
        while True:
            byte = await stream.readexactly(1)
            head += byte
            length |= (byte[0] & 0x7F) << shift
            if not byte[0] & 0x80:
                break
            shift += 7
            if shift > 21:  # noqa: PLR2004 - four bytes at most (MQTT 3.1.1, 2.2.3)
                raise MQTTError("a packet's length of more than four bytes")
        if length + len(head) > max_bytes:
            raise MQTTError(f"a packet of {length} bytes")
        return head + await stream.readexactly(length)


async def _parse_connect(packet: bytes) -> ConnectPacket:
    if packet[0] != 0x10:  # noqa: PLR2004 - CONNECT with its reserved flags (MQTT 3.1.1, 3.1.1)
        raise MQTTError("the first packet is no CONNECT")
    connect = await ConnectPacket.from_stream(BufferReader(packet))
    if connect.variable_header is None or connect.payload is None:
        raise MQTTError("an empty CONNECT")
    return connect


def _rewrite(connect: ConnectPacket, user: str) -> bytes:
    """The CONNECT that amqtt sees: its id is the user's name, the session clean, the keepalive our business."""
    connect.client_id = user
    connect.clean_session_flag = True
    connect.keep_alive = 0
    return bytes(connect.to_bytes())


def _watch_peer(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _log_stray(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What amqtt's tasks leave behind when a client vanishes in the middle of a message; no news by itself."""
    log.debug("embedded broker: %s", context.get("message"), exc_info=context.get("exception"))
