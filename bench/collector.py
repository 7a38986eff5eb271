"""The collector's CPU for a room-minute and the rooms that a core can serve, against one topic a metric, JSON, SQLite.

In a row: the collector's own pipeline, journal, watch and SQLite sink take batches of the standard job (167 samples a
minute) in groups of 50, each stage on the process's CPU clock, with all the reviews of a minute; the peer
(`bench/plain_store.py`, the plainest alternative: one topic a metric, json, sqlite) takes the same samples as JSON
messages, commits as often and as durably, and judges nothing. Behind a broker: the shipped collector and the peer as
programs of their own, a mosquitto each, and a second collector with its embedded broker (a fifth of the rooms, a
connection each), all at the same time; the rooms' batches are spread over a minute of real time, which is a round, and
the CPU is the kernel's count for each process.
"""

import contextlib
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.broker import start_open_broker
from bench.centre import STAGES, Centre, enter_rooms
from bench.figures import Result, Row, Size
from bench.job import TICK_S, Room, metrics_of
from bench.plain_store import STORED_TOPIC, PlainStore
from bench.programs import cost_of, start, wait_until
from bench.wire import metric_payload, metric_topic
from contract.batch import Batch, encode_batch
from contract.names import Topic
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program

GROUP_COUNT: Final = 50
PEER: Final = "one topic a metric, json, sqlite; judges nothing"
_PATIENCE_S: Final = 60.0
_BEHIND_ROUNDS: Final = 3
_EMBEDDED_SHARE: Final = 5
Message = tuple[str, bytes]


def run(size: Size) -> Result:
    """The stages in a row, then the programs behind brokers."""
    behind_rounds = min(size.rounds, _BEHIND_ROUNDS)
    with contextlib.ExitStack() as until, tempfile.TemporaryDirectory() as folder:
        rows = in_a_row(Path(folder, "row"), rooms_count=size.rooms, rounds=size.rounds)
        rows += behind_brokers(until, Path(folder), rooms_count=size.rooms, rounds=behind_rounds, minute_s=TICK_S)
    return Result(rows=tuple(rows), notes=(f"{size.rooms} rooms; the first minute of each part is not counted.",))


def our_message(batch: Batch, agent: str) -> Message:
    """A batch as it travels."""
    return str(Topic(agent, "up", "batch")), encode_batch(batch)


def their_messages(batch: Batch, agent: str) -> list[Message]:
    """The same samples as the peer has them."""
    return [
        (metric_topic(agent, metric), metric_payload(metric))
        for record in batch.records
        for metric in metrics_of(record)
    ]


# Without a network.


def in_a_row(folder: Path, *, rooms_count: int, rounds: int) -> list[Row]:
    """CPU of each stage for a room-minute; a round is a minute of all rooms, ours and then theirs."""
    began_s = time.time() - (rounds + 2) * TICK_S
    rooms = [Room(f"room-{number:05d}", breadth="full") for number in range(rooms_count)]
    centre = Centre(folder, [room.agent for room in rooms], began_s)
    plain = PlainStore(folder / "plain.db")
    ours: dict[str, list[float]] = {stage: [] for stage in STAGES}
    theirs: list[float] = []
    for minute in range(rounds + 1):
        now_s = began_s + minute * TICK_S
        batches = [(room.agent, room.batch(now_s, minute)) for room in rooms]
        before = dict(centre.cpu_s)
        _minute_of_ours(centre, [our_message(batch, agent) for agent, batch in batches], now_s)
        messages = [their_messages(batch, agent) for agent, batch in batches]
        theirs_s = _minute_of_theirs(plain, messages)
        if minute:
            theirs.append(theirs_s / rooms_count)
            for stage in STAGES:
                ours[stage].append((centre.cpu_s[stage] - before[stage]) / rooms_count)
    centre.close()
    return _rows(ours, theirs, centre.reviews_a_minute)


def _minute_of_ours(centre: Centre, messages: Sequence[Message], now_s: float) -> None:
    reviewed = 0
    for place in range(0, len(messages), GROUP_COUNT):
        passed = place / len(messages)
        centre.take(messages[place : place + GROUP_COUNT], now_s + passed * TICK_S)
        while reviewed < passed * centre.reviews_a_minute:
            centre.review(now_s + passed * TICK_S)
            reviewed += 1
    for _ in range(reviewed, centre.reviews_a_minute):
        centre.review(now_s + TICK_S * 0.99)


def _minute_of_theirs(plain: PlainStore, messages: Sequence[Sequence[Message]]) -> float:
    began_s = time.process_time()
    for place in range(0, len(messages), GROUP_COUNT):
        plain.keep(message for room in messages[place : place + GROUP_COUNT] for message in room)
    return time.process_time() - began_s


def _rows(ours: dict[str, list[float]], theirs: list[float], reviews_a_minute: int) -> list[Row]:
    whole = [sum(stages) for stages in zip(*ours.values(), strict=True)]
    storing = [sum(stages) for stages in zip(ours[STAGES[0]], ours[STAGES[1]], strict=True)]
    rows = [
        Row(
            what="in a row: all that a room-minute takes",
            unit="ms CPU",
            ours=_ms(whole),
            peer=PEER,
            theirs=_ms(theirs),
        ),
        Row(
            what="in a row: decode, journal, ack and fold alone",
            unit="ms CPU",
            ours=_ms(storing),
            peer=PEER,
            theirs=_ms(theirs),
        ),
        Row(
            what="in a row: rooms a core can serve",
            unit="rooms",
            ours=tuple(TICK_S / cpu_s for cpu_s in whole),
        ),
    ]
    for stage in STAGES:
        times = f", {reviews_a_minute} times" if stage == STAGES[2] else ""
        rows.append(Row(what=f"of it: {stage}{times}", unit="ms CPU", ours=_ms(ours[stage])))
    return rows


def _ms(seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(1000 * one for one in seconds)


# Through a broker.


class Sender:
    """One connection for many rooms: publishes at an even pace, and hears what is acknowledged or stored."""

    def __init__(self, until: contextlib.ExitStack, port: int, *, hears: str, user: str = "", name: str = "") -> None:
        self.heard: dict[str, float] = {}
        self.latest: bytes | bytearray = b""
        self._up = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(1000)
        if user:
            self._client.username_pw_set(user)
        self._client.on_connect = lambda client, *_: client.subscribe(hears)
        self._client.on_subscribe = lambda *_: self._up.set()
        self._client.on_message = self._hear
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        until.callback(self._client.loop_stop)
        until.callback(self._client.disconnect)
        if not self._up.wait(_PATIENCE_S):
            raise TimeoutError(f"{name or 'the sender'} was not let in")

    def _hear(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self.latest = message.payload
        self.heard[message.topic] = time.monotonic()

    def send(self, messages: Sequence[Message]) -> float:
        """Publish a room's messages; when that was."""
        sent_s = time.monotonic()
        for topic, payload in messages:
            self._client.publish(topic, payload, qos=1)
        return sent_s


def start_collector(until: contextlib.ExitStack, folder: Path, broker: str, agents: Sequence[str]) -> Program:
    """The shipped program with a broker's settings and a room for each agent, once it says that it is ready."""
    enter_rooms(folder, agents, time.time())
    web_port = free_port()
    config = folder / "collector.toml"
    config.write_text(
        f'data_dir = "{folder}"\n[broker]\n{broker}\n[web]\nport = {web_port}\n'
        f'base_url = "http://{LOOPBACK}:{web_port}"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "collector", "--log-level", "WARNING", "run", "--config", str(config)]
    return start(until, folder, command, ready=lambda: _is_ready(web_port))


def _is_ready(web_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{web_port}/readyz", timeout=1.0) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's "all is well"
    except OSError:
        return False


class Behind:
    """Our collector behind mosquitto and with its own broker, and the peer, each with its senders."""

    def __init__(self, until: contextlib.ExitStack, folder: Path, agents: Sequence[str]) -> None:
        _, port = start_open_broker(until, folder)
        _, peers_port = start_open_broker(until, folder)
        inner_port = free_port()
        inner_agents = agents[: max(1, len(agents) // _EMBEDDED_SHARE)]
        ours = start_collector(until, folder / "outer", f'mode = "mqtt"\nhost = "{LOOPBACK}"\nport = {port}', agents)
        inner = start_collector(until, folder / "inner", f'mode = "embedded"\nport = {inner_port}', inner_agents)
        self.sender = Sender(until, port, hears="sansang/v1/+/down/ack")
        self.inner_senders = {
            agent: Sender(until, inner_port, hears=_ack_topic(agent), user=agent, name=agent) for agent in inner_agents
        }
        self.peers_sender = Sender(until, peers_port, hears=STORED_TOPIC)
        command = [sys.executable, "-m", "bench.plain_store", str(peers_port), str(folder / "peer.db")]
        theirs = start(until, folder, command, ready=lambda: bool(self.peers_sender.latest))
        self._pids = (ours.pid, theirs.pid, inner.pid)
        self._stored_count = 0

    def cpu_s(self) -> tuple[float, float, float]:
        """Of ours, of theirs, and of ours with the embedded broker, so far."""
        ours, theirs, inner = (cost_of(pid).cpu_s for pid in self._pids)
        return ours, theirs, inner

    def pass_minute(self, batches: Sequence[tuple[str, Batch]], minute_s: float) -> list[float]:
        """Send a minute of all rooms, evenly; how long each waited for its ack behind mosquitto, in ms."""
        began_s = time.monotonic()
        for sender in (self.sender, *self.inner_senders.values()):
            sender.heard.clear()
        sent_s: dict[str, float] = {}
        for place, (agent, batch) in enumerate(batches):
            time.sleep(max(0.0, began_s + minute_s * place / len(batches) - time.monotonic()))
            message = our_message(batch, agent)
            sent_s[_ack_topic(agent)] = self.sender.send([message])
            if agent in self.inner_senders:
                self.inner_senders[agent].send([message])
            metrics = their_messages(batch, agent)
            self.peers_sender.send(metrics)
            self._stored_count += len(metrics)
        time.sleep(max(0.0, began_s + minute_s - time.monotonic()))
        wait_until(lambda: self.sender.heard.keys() == sent_s.keys(), _PATIENCE_S, "acks behind mosquitto")
        inner = self.inner_senders.values()
        wait_until(lambda: all(sender.heard for sender in inner), _PATIENCE_S, "acks of the embedded broker")
        wait_until(lambda: int(self.peers_sender.latest) == self._stored_count, _PATIENCE_S, "the peer's storing")
        return [1000 * (self.sender.heard[topic] - began_s) for topic, began_s in sent_s.items()]


def _ack_topic(agent: str) -> str:
    return str(Topic(agent, "down", "ack"))


def behind_brokers(
    until: contextlib.ExitStack, folder: Path, *, rooms_count: int, rounds: int, minute_s: float
) -> list[Row]:
    """All three at the same time, minute after minute."""
    rooms = [Room(f"room-{number:05d}", breadth="full") for number in range(rooms_count)]
    behind = Behind(until, folder, [room.agent for room in rooms])
    looks = []
    waits_ms = []
    for minute in range(rounds + 1):
        batches = [(room.agent, room.batch(time.time(), minute)) for room in rooms]
        before = behind.cpu_s()
        found_ms = behind.pass_minute(batches, minute_s)
        if minute:
            waits_ms.append(found_ms)
            looks.append([after - was for after, was in zip(behind.cpu_s(), before, strict=True)])
    ours, theirs, inner = zip(*looks, strict=True)
    inner_count = len(behind.inner_senders)
    outer = Row(
        what="behind mosquitto: all that a room-minute takes",
        unit="ms CPU",
        ours=_ms([cpu_s / rooms_count for cpu_s in ours]),
        peer=PEER,
        theirs=_ms([cpu_s / rooms_count for cpu_s in theirs]),
    )
    median_ms = tuple(statistics.median(found_ms) for found_ms in waits_ms)
    worst_ms = tuple(max(found_ms) for found_ms in waits_ms)
    embedded_ms = _ms([cpu_s / inner_count for cpu_s in inner])
    return [
        outer,
        Row(what="behind mosquitto: from sending to the collector's ack, median", unit="ms", ours=median_ms),
        Row(what="behind mosquitto: from sending to the collector's ack, longest", unit="ms", ours=worst_ms),
        Row(what=f"with the embedded broker, {inner_count} rooms: a room-minute", unit="ms CPU", ours=embedded_ms),
    ]
