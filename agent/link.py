"""The agent's one connection: MQTT 3.1.1 over TCP or TLS, QoS 1, a retained birth, a Will, and an explicit goodbye.

Runs paho in a thread of its own that sleeps until something happens, and connects again with full jitter for ever.
"""

import contextlib
import errno
import logging
import os
import random
import re
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from agent.spending.meter import Wire, tcp_wire
from contract.batch import BATCH_MAX_BYTES
from contract.messages import State, encode_small
from contract.names import Topic
from contract.rung import Rung

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 65
"""Longer than the usual tick: a batch and its ack each minute already show that both ends live, and a ping between two
of them would cost 0.3 MB a day. A PC that dies without a word is noticed after one and a half times this."""
NO_TIME_CHECK: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: a PC whose CMOS battery died believes in 2009 and must still get through.
Safe with a private CA only: what the certificate's dates would tell, the CA's own revocation list does."""
UNANSWERED_S: Final = 30.0
"""How long TCP repeats into silence: then the connection is given up, and a new one is tried every few seconds. TCP by
itself goes on for a quarter of an hour, ever more rarely: after a black hole of 45 s its next try may come 45 s later.
Windows gives up after about 20 s by itself."""
_HANDSHAKE_S: Final = 8.0  # TCP's alone: it asks at 0, 1, 3 and 7 s, and then not before 15
_LOOP_S: Final = 10.0
_LAST_TURN_S: Final = 0.1
_LAST_TURNS: Final = 20
_CONNECT_S: Final = 15.0
_AFTER_LOSS_S: Final = 8.0
_FIRST_RETRY_S: Final = 4.0
_LONGEST_RETRY_S: Final = 40.0
_LONGEST_REFUSED_S: Final = 600.0


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and how the agent shows who it is."""

    host: Annotated[str, msgspec.Meta(min_length=1)]
    """Its name or address."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8883
    """Its port."""
    tls: bool = True
    """Whether it is spoken to by TLS; there is no other way beyond this machine."""
    token: str = ""
    """Shows who the agent is, at a broker without client certificates."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's certificate and key, and the CA that the broker must be of, as PEM text."""

    ca: str
    """The CA that the broker must be of (PEM)."""
    certificate: str = ""
    """The agent's certificate (PEM), with `key`."""
    key: str = ""
    """Its private key (PEM)."""


class Connected(NamedTuple):
    """The broker took us."""


class Disconnected(NamedTuple):
    """The connection ended or could not be made, with the broker's or the system's own reason.

    `rung` is the one of the agent's own steps that failed, NONE when a connection ended that had stood.
    """

    reason: str
    rung: Rung = Rung.NONE


class Message(NamedTuple):
    """Something from the collector: `what` is the topic's last level."""

    what: str
    payload: bytes


LinkEvent = Connected | Disconnected | Message

_HERE: Final = {
    errno.ENETDOWN: Rung.NIC,
    errno.ENETUNREACH: Rung.ADDRESS,
    errno.EADDRNOTAVAIL: Rung.ADDRESS,
}
"""What the system says when it has not even tried: no card, no address or no route."""
_REFUSED_CERTIFICATE: Final = re.compile(r"ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")
"""How OpenSSL names what a broker says of our own certificate (RFC 8446 6.2)."""
_REFUSALS: Final = ("Client identifier not valid", "Bad user name or password", "Not authorized")


def rung_of(error: Exception) -> Rung:
    """The step of connecting at which an error says that it failed.

    TLS does not ask for the time (NO_TIME_CHECK), so a certificate is refused for its issuer or its name: somebody
    else's broker, or somebody in between.
    """
    if isinstance(error, socket.gaierror | UnicodeError):
        return Rung.COLLECTOR_NAME
    if isinstance(error, ssl.SSLError) and _REFUSED_CERTIFICATE.search(error.reason or ""):
        return Rung.COLLECTOR_REFUSED
    # A handshake that takes too long is a timeout like any other, but for its words.
    if isinstance(error, ssl.SSLError) or "handshake" in str(error):
        return Rung.COLLECTOR_TLS
    if isinstance(error, OSError):
        return _HERE.get(error.errno or 0, Rung.COLLECTOR_TCP)
    return Rung.COLLECTOR_MQTT


def _rung_of_refusal(code: Any) -> Rung:  # noqa: ANN401 - paho's reason codes
    """The step that a broker's answer to CONNECT failed at (MQTT 3.1.1, 3.2.2.3, whose numbers paho gives version 5's
    names). Who is only busy, or speaks another version, has refused nobody's credentials.
    """
    return Rung.COLLECTOR_REFUSED if code in _REFUSALS else Rung.COLLECTOR_MQTT


class Ended(NamedTuple):
    """How a connection, or a try to make one, ended. `was_refused`: somebody was there, and did not want us."""

    reason: str
    was_up: bool = False
    was_refused: bool = False
    rung: Rung = Rung.NONE


class Patience:
    """How long to wait before the next try, at most; the wait itself is anything between, by chance (full jitter).

    A broker that starts anew loses all its agents in one moment, so already the first try is spread. After an outage of
    any length all must be back within a minute, which bounds the growth. Who is refused, as after being revoked, goes
    on ever more rarely: each of these tries costs a metered line a whole TLS handshake.
    """

    def __init__(self) -> None:
        self._retry_s = 0.0

    def ceiling_s(self, ended: Ended) -> float:
        """The longest wait after this end."""
        if ended.was_up:
            self._retry_s = 0.0
            return _AFTER_LOSS_S
        longest_s = _LONGEST_REFUSED_S if ended.was_refused else _LONGEST_RETRY_S
        self._retry_s = min(longest_s, max(_FIRST_RETRY_S, 2.0 * self._retry_s))
        return self._retry_s


def tls_context(identity: Identity) -> ssl.SSLContext:
    """A context that trusts the project's CA and nobody else, whatever the clock says. Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags(NO_TIME_CHECK)
    context.load_verify_locations(cadata=identity.ca)
    if identity.certificate:
        # ssl reads a key only from a file: a private one, gone at once.
        descriptor, name = tempfile.mkstemp(prefix="sansang-")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(identity.certificate + "\n" + identity.key)
            context.load_cert_chain(name)
        finally:
            Path(name).unlink()
    return context


class _Client(mqtt.Client):
    """paho's client, which pings only when nothing else was sent, and gives up a connection that nothing answers.

    paho 2.1 does not note what it has written, and so would ping right after a batch; and keeps to itself what TLS says
    after the handshake, which is when TLS 1.3 tells that our certificate is not wanted.
    """

    alert: ssl.SSLError | None = None

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            self.alert = error
            raise

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError:
            with contextlib.suppress(OSError):
                self._sock_recv(1)  # it may have been told why before it was cut off
            raise

    def _create_socket_connection(self) -> socket.socket:
        connection = socket.create_connection((self._host, self._port), timeout=_HANDSHAKE_S)
        if sys.platform == "linux":
            # RFC 5482's. One-sided silence too: what the other end sends is no answer to what we sent.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNANSWERED_S * 1000))
        return connection

    def _packet_write(self) -> MQTTErrorCode:
        code = super()._packet_write()
        if code == mqtt.MQTT_ERR_SUCCESS:
            self._last_msg_out = mqtt.time_func()  # paho's own clock; the broker's silence is looked at as before
        return code


class Link:
    """Keeps one connection up. Events come on the link's thread; `publish` may be called from any."""

    def __init__(
        self,
        agent: str,
        broker: Broker,
        identity: Identity | None,
        *,
        birth: Callable[[], State],
        on_event: Callable[[LinkEvent], None],
        chance: random.Random,
    ) -> None:
        self._agent = agent
        self._broker = broker
        self._context = tls_context(identity) if broker.tls and identity is not None else None
        self._birth = birth
        self._on_event = on_event
        self._chance = chance
        self._stopping = threading.Event()
        self._client: mqtt.Client | None = None
        self._up = False
        self._ended_wire = self._wire = Wire()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    @property
    def wire(self) -> Wire:
        """What all connections so far have cost on the line, TLS and headers included; from any thread."""
        return self._ended_wire.plus(self._wire)

    def publish(self, what: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the connection; False when there is none, and the message is then forgotten."""
        client = self._client
        if not self._up or client is None:
            return False
        topic = str(Topic(self._agent, "up", what))
        return client.publish(topic, payload, qos=1, retain=retain).rc == mqtt.MQTT_ERR_SUCCESS

    def stop(self, farewell: State | None, *, patience_s: float = 3.0) -> None:
        """Say goodbye if that still goes out, and end the thread. Without a farewell the Will speaks."""
        client = self._client
        if farewell is not None and client is not None and self._up:
            topic = str(Topic(self._agent, "up", "state"))
            goodbye = client.publish(topic, encode_small(farewell), qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # gone meanwhile: then the Will speaks after all
                goodbye.wait_for_publish(patience_s)
        self._stopping.set()
        if client is not None:
            if farewell is not None:
                client.disconnect()  # queued; the link's thread sends it and ends
            elif isinstance(connection := client.socket(), socket.socket):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        patience = Patience()
        while not self._stopping.is_set():
            try:
                ended = self._connection()
            except Exception as error:  # the border of the link's thread: without it the agent would go deaf for ever
                log.exception("the link broke")
                ended = Ended(f"{type(error).__name__}: {error}")
            self._up, self._client = False, None
            self._ended_wire, self._wire = self.wire, Wire()
            if self._stopping.is_set():
                break
            self._on_event(Disconnected(ended.reason, ended.rung))
            self._stopping.wait(self._chance.uniform(0.2, patience.ceiling_s(ended)))

    def _connection(self) -> Ended:
        """One connection from first to last."""
        client = _Client(CallbackAPIVersion.VERSION2, client_id=self._agent, protocol=mqtt.MQTTv311)
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(100)
        if self._context is not None:
            client.tls_set_context(self._context)
        client.username_pw_set(self._agent, self._broker.token or None)
        client.will_set(str(Topic(self._agent, "up", "state")), encode_small(State(state="lost")), qos=1, retain=True)
        # Without this paho writes to the socket in whichever thread publishes, while ours may be reading or writing it:
        # two halves of packets could meet, and OpenSSL forbids it.
        client.on_socket_register_write = _leave_to_the_loop
        ended: list[str] = []
        rungs: list[Rung] = []

        # None of these may hold the client itself: a client in a circle keeps its sockets until garbage is collected.
        def on_connect(mine: mqtt.Client, _data: object, _flags: object, code: Any, _properties: object) -> None:  # noqa: ANN401 - paho's reason codes
            if code.is_failure:
                ended.append(f"the broker refused: {code}")
                rungs.append(_rung_of_refusal(code))
                return
            mine.subscribe([(str(Topic(self._agent, "down", what)), 1) for what in ("ack", "plan")])
            mine.publish(str(Topic(self._agent, "up", "state")), encode_small(self._birth()), qos=1, retain=True)
            self._up = True
            self._on_event(Connected())

        def on_disconnect(_client: mqtt.Client, _data: object, _flags: object, code: Any, _properties: object) -> None:  # noqa: ANN401 - paho's reason codes
            ended.append(f"the connection ended: {code}")

        def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            if len(message.payload) <= BATCH_MAX_BYTES:
                self._on_event(Message(message.topic.rsplit("/", 1)[-1], bytes(message.payload)))

        client.on_connect, client.on_disconnect, client.on_message = on_connect, on_disconnect, on_message
        self._client = client
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            return Ended(f"{self._broker.host}:{self._broker.port}: {error}", rung=rung_of(error))
        was_up = False
        while not ended and not self._stopping.is_set():
            code = client.loop(timeout=_LOOP_S)
            was_up = was_up or self._up
            if (wire := tcp_wire(client.socket())).total_bytes:  # nothing once it is closed
                self._wire = wire
            if code != mqtt.MQTT_ERR_SUCCESS and not ended:
                ended.append(mqtt.error_string(code))
        if not self._stopping.is_set():
            reason, rung = _why_not(client, ended[0], rungs)
            return Ended(reason, was_up=was_up, was_refused=not was_up, rung=Rung.NONE if was_up else rung)
        for _ in range(_LAST_TURNS):  # the goodbye has to get out, or the Will would speak after it
            if ended or not was_up or client.loop(timeout=_LAST_TURN_S) != mqtt.MQTT_ERR_SUCCESS:
                break
        return Ended("stopped", was_up=was_up)


def _why_not(client: _Client, reason: str, rungs: list[Rung]) -> tuple[str, Rung]:
    """Why a broker that could be reached did not have us: by TLS' own word, by its answer, or without either."""
    if client.alert is not None:
        return str(client.alert), rung_of(client.alert)
    return reason, rungs[0] if rungs else Rung.COLLECTOR_MQTT


def _leave_to_the_loop(_client: mqtt.Client, _data: object, _socket: object) -> None:
    """What is to be written is queued, and the loop is woken for it."""


def try_broker(
    agent: str, broker: Broker, identity: Identity | None, *, patience_s: float = 15.0
) -> Disconnected | None:
    """Connect once and leave: None when the broker took us, else the reason that it or the system gave.

    A broker holds one connection per agent, so a running agent is cut off by this and comes back by itself.
    """
    client = _Client(CallbackAPIVersion.VERSION2, client_id=agent, protocol=mqtt.MQTTv311)
    client.connect_timeout = patience_s
    if broker.tls and identity is not None:
        client.tls_set_context(tls_context(identity))
    client.username_pw_set(agent, broker.token or None)
    answers: list[Disconnected | None] = []

    def on_connect(_client: mqtt.Client, _data: object, _flags: object, code: Any, _properties: object) -> None:  # noqa: ANN401 - paho's reason codes
        answers.append(Disconnected(str(code), _rung_of_refusal(code)) if code.is_failure else None)

    client.on_connect = on_connect
    try:
        client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)
    except (OSError, ValueError) as error:
        return Disconnected(str(error), rung_of(error))
    for _ in range(max(1, round(patience_s / 0.5))):
        if answers:
            break
        if (code := client.loop(timeout=0.5)) != mqtt.MQTT_ERR_SUCCESS:
            answers.append(Disconnected(*_why_not(client, mqtt.error_string(code), [])))
    client.disconnect()
    client.loop(timeout=0.1)
    return answers[0] if answers else Disconnected(f"no answer within {patience_s:g} s", Rung.COLLECTOR_MQTT)
