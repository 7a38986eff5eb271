"""Bytes on the wire for a room-minute, against one JSON message a metric.

Ours: the agent's own link and codec send one batch a minute through a real mosquitto (mutual TLS, the configuration we
ship), and a stub in the collector's place acknowledges it. Theirs: paho publishes the same samples by the same broker,
certificates and minute, each as a JSON message of its own topic, with QoS 1 and again with QoS 0. A relay counts what
both ways carry between client and broker: MQTT, TLS, acknowledgements, keepalives, and headers of 52 bytes (IP, TCP
with timestamps) for each TCP segment that the kernel counted. Each round is a minute of real time; the handshake lies
before the first and is told by itself.
"""

import contextlib
import json
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.link import Broker, Connected, Link, LinkEvent, Message, tls_context
from bench.broker import TlsBroker, start_tls_broker
from bench.figures import Result, Row, Size, plain
from bench.job import Breadth, Metric, Room, metrics_of
from bench.programs import wait_until
from bench.relay import Carried, Relay
from contract.batch import decode_batch, encode_batch
from contract.messages import Ack, State, encode_small
from contract.names import Topic, parse_topic

MINUTE_S: Final = 60.0
_DAY_MINUTES: Final = 1440
_PATIENCE_S: Final = 20.0
_BREADTHS: Final[tuple[Breadth, ...]] = ("lean", "full")


def run(size: Size) -> Result:
    """As many rounds as minutes."""
    with contextlib.ExitStack() as until, tempfile.TemporaryDirectory() as folder:
        return measure(until, Path(folder), rounds=size.minutes, minute_s=MINUTE_S)


def measure(until: contextlib.ExitStack, folder: Path, *, rounds: int, minute_s: float) -> Result:
    """All lines at the same time, minute after minute."""
    broker = start_tls_broker(until, folder, time.time())
    AckingStub(until, broker)
    ours = [OurLine(until, broker, f"room-{breadth}", breadth) for breadth in _BREADTHS]
    theirs = [
        TheirLine(until, broker, f"peer-{qos}-{breadth}", breadth, qos=qos) for breadth in _BREADTHS for qos in (1, 0)
    ]
    lines: list[OurLine | TheirLine] = [*ours, *theirs]
    hello = {line.name: line.relay.carried() for line in lines}
    spent: dict[str, list[Carried]] = {line.name: [] for line in lines}
    for minute in range(rounds):
        ends_s = time.monotonic() + minute_s
        before = {line.name: line.relay.carried() for line in lines}
        for line in lines:
            line.send(minute)
        for line in lines:
            wait_until(line.is_through, _PATIENCE_S, f"{line.name}: acknowledgements of minute {minute}")
        time.sleep(max(0.0, ends_s - time.monotonic()))
        for line in lines:
            spent[line.name].append(line.relay.carried() - before[line.name])
    rows = [row for our in ours for row in _rows(our, [one for one in theirs if one.breadth == our.breadth], spent)]
    connecting = spent_once(hello[ours[0].name])
    return Result(
        rows=tuple(rows),
        notes=(
            f"Each new connection costs ours {connecting} more (TCP, mutual TLS, MQTT, subscriptions, birth).",
            "Keepalives are in all figures: ours after 65 idle seconds, the peer's after paho's own 60.",
        ),
    )


def spent_once(carried: Carried) -> str:
    """A few bytes in words."""
    return f"{plain(carried.wire_bytes)} B"


def _rows(our: "OurLine", theirs: Sequence["TheirLine"], spent: dict[str, list[Carried]]) -> list[Row]:
    ours = spent[our.name]
    rows = []
    for peer in theirs:
        name = f"a JSON message a metric, QoS {peer.qos}"
        rows.append(
            Row(
                what=f"{our.samples_count} samples: a minute on the wire",
                unit="B",
                ours=tuple(one.wire_bytes for one in ours),
                peer=name,
                theirs=tuple(one.wire_bytes for one in spent[peer.name]),
            )
        )
        rows.append(
            Row(
                what=f"{our.samples_count} samples: a day",
                unit="MB",
                ours=tuple(one.wire_bytes * _DAY_MINUTES / 1e6 for one in ours),
                peer=name,
                theirs=tuple(one.wire_bytes * _DAY_MINUTES / 1e6 for one in spent[peer.name]),
            )
        )
    rows.append(Row(what=f"{our.samples_count} samples: the batch alone", unit="B", ours=tuple(our.sizes_bytes)))
    segments = tuple(float(one.segments_count) for one in ours)
    rows.append(Row(what=f"{our.samples_count} samples: TCP segments a minute", unit="", ours=segments))
    return rows


class AckingStub:
    """Stands where the collector stands: acknowledges each batch once it is decoded, as the collector's inlet does."""

    def __init__(self, until: contextlib.ExitStack, broker: TlsBroker) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="collector", protocol=mqtt.MQTTv311)
        self._client.tls_set_context(tls_context(broker.identity("collector")))
        self._listening = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("sansang/v1/+/up/batch", qos=1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._on_message
        self._client.connect("localhost", broker.port)
        self._client.loop_start()
        until.callback(self._client.loop_stop)
        until.callback(self._client.disconnect)
        if not self._listening.wait(_PATIENCE_S):
            raise TimeoutError("the stub in the collector's place was not let in")

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        topic = parse_topic(message.topic)
        assert topic is not None  # noqa: S101 - the broker's rules allow nothing else
        batch = decode_batch(bytes(message.payload))
        ack = Ack(epoch=batch.epoch, upto=batch.last, generation="0123456789abcdef", collector_s=time.time())
        client.publish(str(Topic(topic.agent, "down", "ack")), encode_small(ack), qos=0)


class OurLine:
    """The agent's link and codec over a counted wire."""

    def __init__(self, until: contextlib.ExitStack, broker: TlsBroker, name: str, breadth: Breadth) -> None:
        self.name = name
        self.breadth = breadth
        self.samples_count = 0
        self.sizes_bytes: list[float] = []
        self._room = Room(name, breadth=breadth)
        self._acks_count = 0
        self._up = threading.Event()
        self.relay = Relay(until, broker.port)
        self._link = Link(
            name,
            Broker(host="localhost", port=self.relay.port),
            broker.identity(name),
            birth=lambda: State(state="online", version="0.1.0", plan="5f3a0c1d2e4b", at=None),
            on_event=self._hear,
            chance=random.Random(1),  # noqa: S311 - jitter, no secret
        )
        self._link.start()
        until.callback(self._link.stop, None)
        if not self._up.wait(_PATIENCE_S):
            raise TimeoutError(f"{name} was not let in")
        time.sleep(1.0)  # for what the broker still has to answer: it belongs to the connection, not to a minute

    def _hear(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self._up.set()
        elif isinstance(event, Message):
            self._acks_count += 1

    def send(self, minute: int) -> None:
        """The minute's batch."""
        batch = self._room.batch(time.time(), minute)
        self.samples_count = len(metrics_of(batch.records[0]))
        payload = encode_batch(batch)
        self.sizes_bytes.append(len(payload))
        if not self._link.publish("batch", payload):
            raise ConnectionError(f"{self.name} lost its broker")

    def is_through(self) -> bool:
        """Whether the collector's stub has acknowledged all."""
        return self._acks_count >= len(self.sizes_bytes)


class TheirLine:
    """paho alone, as one would write it: connect once, publish each sample."""

    def __init__(
        self, until: contextlib.ExitStack, broker: TlsBroker, name: str, breadth: Breadth, *, qos: int
    ) -> None:
        self.name = name
        self.breadth = breadth
        self.qos = qos
        self._room = Room(f"room-{breadth}", breadth=breadth)
        self._sent: list[mqtt.MQTTMessageInfo] = []
        self._up = threading.Event()
        self.relay = Relay(until, broker.port)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
        self._client.tls_set_context(tls_context(broker.identity(name)))
        self._client.on_connect = lambda *_: self._up.set()
        self._client.connect("localhost", self.relay.port)
        self._client.loop_start()
        until.callback(self._client.loop_stop)
        until.callback(self._client.disconnect)
        if not self._up.wait(_PATIENCE_S):
            raise TimeoutError(f"{name} was not let in")

    def send(self, minute: int) -> None:
        """The minute's samples, one by one."""
        record = self._room.batch(time.time(), minute).records[0]
        self._sent = [
            self._client.publish(metric_topic(self.name, metric), metric_payload(metric), qos=self.qos)
            for metric in metrics_of(record)
        ]

    def is_through(self) -> bool:
        """Whether all has left, and with QoS 1 was acknowledged by the broker."""
        return all(one.is_published() for one in self._sent)


def metric_topic(agent: str, metric: Metric) -> str:
    """`sansang/v1/<agent>/up/ping/gateway/rtt_avg_ms`: under `up`, where alone an agent may write."""
    return f"sansang/v1/{agent}/up/{metric.probe}/{metric.target}/{metric.name}"


def metric_payload(metric: Metric) -> bytes:
    """`{"value": 1.25, "time": 1795500012.5}`: the least that says when."""
    return json.dumps({"value": metric.value, "time": round(metric.measured_s, 3)}).encode()
