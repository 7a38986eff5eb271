"""The collector's connection to the broker: turns messages into arrivals, and carries acks and plans back.

Who speaks is read from the topic alone; the broker lets each agent write only its own.
"""

import logging
import queue
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from collector.allowance import Allowance
from contract.batch import Batch, ContractError, decode_batch
from contract.messages import Ack, State, decode_state, encode_small
from contract.names import Topic, parse_topic

log = logging.getLogger(__name__)

WAITING_MAX_COUNT: Final = 10_000
"""Arrivals that may wait for the pipeline; what comes beyond is forgotten, and sent again by its agent."""
_KEEPALIVE_S: Final = 15
_IN_FLIGHT: Final = 1000
_FLOOD_TOLD_EVERY_S: Final = 10.0


class BatchArrival(NamedTuple):
    """A good batch, when it came (Unix seconds, our clock), and what it weighed."""

    agent: str
    batch: Batch
    size_bytes: int
    arrived_s: float


class StateArrival(NamedTuple):
    """An agent's birth, goodbye or Will; `retained` ones tell of an unknown time before we listened."""

    agent: str
    state: State
    retained: bool
    arrived_s: float


class BadArrival(NamedTuple):
    """A message that breaks the contract, and how."""

    agent: str
    topic: str
    why: str
    body: bytes
    arrived_s: float


class LinkArrival(NamedTuple):
    """The broker became reachable, or was lost."""

    connected: bool
    reason: str
    arrived_s: float


class FloodArrival(NamedTuple):
    """An agent sent more than it may; so many of its messages have been turned away since the last such word."""

    agent: str
    refused_count: int
    arrived_s: float


Arrival = BatchArrival | StateArrival | BadArrival | LinkArrival | FloodArrival


def read_arrival(topic: str, payload: bytes, *, retained: bool, arrived_s: float) -> Arrival:
    """What a message is. Never raises: whatever breaks the contract is a BadArrival."""
    parts = parse_topic(topic)
    if parts is None or parts.way != "up":
        return BadArrival("", topic[:200], "no topic of ours", payload, arrived_s)
    try:
        if parts.what == "batch":
            return BatchArrival(parts.agent, decode_batch(payload), len(payload), arrived_s)
        return StateArrival(parts.agent, decode_state(payload), retained, arrived_s)
    except ContractError as error:
        return BadArrival(parts.agent, topic, str(error), payload, arrived_s)


class BrokerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and how the collector shows who it is."""

    host: str
    port: int
    user: str = "collector"
    password: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Inlet:
    """One MQTT 3.1.1 client with a clean session. Arrivals go into `arrivals`, in the order in which they came."""

    def __init__(self, access: BrokerAccess, *, clock_s: Callable[[], float]) -> None:
        self._access = access
        self._clock_s = clock_s
        self.arrivals: queue.Queue[Arrival] = queue.Queue(WAITING_MAX_COUNT)
        self.overflow_total = 0
        self._allowance = Allowance()
        self._turned_away: Counter[str] = Counter()
        self._flood_told_s = float("-inf")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="collector", protocol=mqtt.MQTTv311)
        client.username_pw_set(access.user, access.password or None)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(20 * _IN_FLIGHT)
        client.reconnect_delay_set(1, 10)
        if access.ca is not None:
            context = ssl.create_default_context(cafile=str(access.ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if access.certificate is not None:
                context.load_cert_chain(access.certificate, access.key)
            client.tls_set_context(context)
        client.on_connect, client.on_disconnect, client.on_message = (
            self._on_connect,
            self._on_disconnect,
            self.on_message,
        )
        client.on_connect_fail = self._on_connect_fail
        self._client = client

    def start(self) -> None:
        """Begin to connect, and go on connecting for ever."""
        self._client.connect_async(self._access.host, self._access.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye and end the thread."""
        self._client.on_disconnect = None  # we know
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledge(self, agent: str, ack: Ack) -> None:
        """Tell an agent what is on our disk. One that is lost on the way is repeated by the next."""
        self._send(Topic(agent, "down", "ack"), encode_small(ack), qos=0, retain=False)

    def publish_plan(self, agent: str, plan: bytes) -> None:
        """Leave an agent its plan at the broker, whether it listens now or later."""
        self._send(Topic(agent, "down", "plan"), plan, qos=1, retain=True)

    def _send(self, topic: Topic, payload: bytes, *, qos: int, retain: bool) -> None:
        # While offline paho would queue without end; agents send again and plans are published at each connect.
        if self._client.is_connected():
            self._client.publish(str(topic), payload, qos=qos, retain=retain)

    def on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        """Step 6 of the line: from a message to an arrival."""
        try:
            topic, payload, now_s = message.topic, bytes(message.payload), self._clock_s()
            parts = parse_topic(topic)
            agent = parts.agent if parts is not None else ""
            if self._allowance.take(agent, len(payload), now_s):
                self._put(read_arrival(topic, payload, retained=message.retain, arrived_s=now_s))
            else:
                # Not even decoded. What is not acknowledged comes again, when its sender has calmed down.
                self._turn_away(agent, now_s)
        except Exception:  # the border of one message: what rises here would end paho's thread without a word
            log.exception("a message could not even be put aside")

    def _turn_away(self, agent: str, now_s: float) -> None:
        self._turned_away[agent] += 1
        if abs(now_s - self._flood_told_s) >= _FLOOD_TOLD_EVERY_S:
            self._flood_told_s = now_s
            for one, count in self._turned_away.items():
                self._put(FloodArrival(one, count, now_s))
            self._turned_away.clear()

    def _put(self, arrival: Arrival) -> None:
        try:
            self.arrivals.put_nowait(arrival)
        except queue.Full:
            self.overflow_total += 1

    def _on_connect(self, client: mqtt.Client, _data: object, _flags: object, code: Any, _props: object) -> None:  # noqa: ANN401 - paho's reason codes
        if code.is_failure:
            self._put(LinkArrival(connected=False, reason=f"the broker refused: {code}", arrived_s=self._clock_s()))
            return
        client.subscribe("sansang/v1/+/up/#", qos=1)
        self._put(LinkArrival(connected=True, reason="", arrived_s=self._clock_s()))

    def _on_disconnect(self, _client: mqtt.Client, _data: object, _flags: object, code: Any, _props: object) -> None:  # noqa: ANN401 - as above
        self._put(LinkArrival(connected=False, reason=f"the connection ended: {code}", arrived_s=self._clock_s()))

    def _on_connect_fail(self, _client: mqtt.Client, _data: object) -> None:
        where = f"{self._access.host}:{self._access.port}"
        self._put(LinkArrival(connected=False, reason=f"{where} cannot be reached", arrived_s=self._clock_s()))
