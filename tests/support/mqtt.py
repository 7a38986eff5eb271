"""An MQTT client for tests: remembers what it was given, and waits for it with a limit."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

_WAIT_S = 8.0


class Got(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes
    retain: bool


class Client:
    """One paho client (MQTT 3.1.1). `outcome` is the broker's answer to CONNECT, or why there was none."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str = "",
        token: str = "",
        client_id: str = "",
        tls: ssl.SSLContext | None = None,
        will: tuple[str, bytes] | None = None,
        keepalive_s: int = 30,
        protocol: MQTTProtocolVersion = paho.MQTTv311,
    ) -> None:
        self.got: list[Got] = []
        self.outcome = ""
        self.connected = False
        self._changed = threading.Condition()
        self._granted: dict[int, list[int]] = {}
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        if user:
            self.paho.username_pw_set(user, token or None)
        if tls is not None:
            self.paho.tls_set_context(tls)
        if will is not None:
            self.paho.will_set(will[0], will[1], qos=1, retain=True)
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = self._on_disconnect
        self.paho.on_message = self._on_message
        self.paho.on_subscribe = self._on_subscribe
        try:
            self.paho.connect(host, port, keepalive_s)
        except (OSError, ssl.SSLError) as error:
            self.outcome = str(error)
            return
        self.paho.loop_start()
        self._await(lambda: bool(self.outcome))

    def subscribe(self, topic: str) -> int:
        """Subscribe and wait for the answer: the granted QoS, or 128 for a refusal."""
        _, number = self.paho.subscribe(topic, qos=1)
        assert number is not None
        assert self._await(lambda: number in self._granted), f"no answer to SUBSCRIBE {topic}"
        return self._granted[number][0]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, wait_s: float = _WAIT_S) -> bool:
        """Publish with QoS 1; whether the broker acknowledged it in time."""
        info = self.paho.publish(topic, payload, qos=1, retain=retain)
        try:
            info.wait_for_publish(wait_s)
        except (RuntimeError, ValueError):
            return False
        return info.is_published()

    def wait(self, topic: str, payload: bytes | None = None, *, wait_s: float = _WAIT_S) -> Got | None:
        """The first message of this topic (and payload), or None when it does not come in time."""

        def find() -> Got | None:
            return next((one for one in self.got if one.topic == topic and payload in (None, one.payload)), None)

        self._await(lambda: find() is not None, wait_s)
        return find()

    def wait_disconnected(self, wait_s: float = _WAIT_S) -> bool:
        """Whether the connection ended in time."""
        return self._await(lambda: not self.connected, wait_s)

    def close(self) -> None:
        """Say goodbye."""
        self.paho.disconnect()
        self.paho.loop_stop()
        self.paho._reset_sockets()  # its inner socket pair, which paho leaves to the garbage collector

    def vanish(self) -> None:
        """Close the socket without a word, as a killed process does."""
        sock = self.paho.socket()
        self.paho.loop_stop()
        if sock is not None:
            sock.close()

    def _await(self, condition: Callable[[], bool], wait_s: float = _WAIT_S) -> bool:
        deadline_s = time.monotonic() + wait_s
        with self._changed:
            while not condition():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
        return True

    def _note(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        def change() -> None:
            self.connected = not reason.is_failure
            self.outcome = str(reason)

        self._note(change)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        def change() -> None:
            self.connected = False
            self.outcome = self.outcome or str(reason)

        self._note(change)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self._note(lambda: self.got.append(Got(message.topic, message.payload, message.retain)))

    def _on_subscribe(self, _client: Any, _data: Any, number: int, reasons: Any, _properties: Any) -> None:
        self._note(lambda: self._granted.__setitem__(number, [reason.value for reason in reasons]))


class Connect(Protocol):
    """Makes a client that ends with the test; arguments as `Client` takes them."""

    def __call__(self, host: str, port: int, **how: Any) -> Client:
        """Connect and wait for the broker's answer."""
        ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[Client] = []

    def make(host: str, port: int, **how: Any) -> Client:
        made.append(Client(host, port, **how))
        return made[-1]

    yield make
    for client in made:
        client.close()
