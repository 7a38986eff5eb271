"""The collector's CPU for a room-minute and how many rooms a core serves, against one topic a metric in JSON and SQLite.

In a row: the collector's own pipeline, journal, watch and SQLite sink take batches of the standard job (170 samples a
minute) in groups of 50, each stage on the process's CPU clock, with all the reviews of a minute; the peer
(`bench/plain_store.py`, the plainest alternative: one topic a metric, json, sqlite) takes the same samples as JSON
messages, commits as often and as durably, and judges nothing. Through a broker: both as programs of their own behind
mosquitto, fed 20 rooms a second until all is stored (ours: until every batch is acknowledged, and a second more for
the sink), reviewing as often a round as it does a minute, their CPU from the kernel. The embedded broker is measured in the same way, its own CPU within the collector's.
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
from collector.settings import AlertSettings
from contract.batch import Batch, encode_batch
from contract.names import Topic
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program

GROUP_COUNT: Final = 50
ROOMS_A_SECOND: Final = 20
SETTLE_S: Final = 1.0
_THROUGH_COUNT: Final = 100
_EMBEDDED_COUNT: Final = 20
_PATIENCE_S: Final = 60.0
PEER: Final = "one topic a metric, json, sqlite"
Message = tuple[str, bytes]


def run(size: Size) -> Result:
    """The stages in a row, then the programs behind brokers."""
    with contextlib.ExitStack() as until, tempfile.TemporaryDirectory() as folder:
        rows = in_a_row(Path(folder, "row"), rooms_count=size.rooms, rounds=size.rounds)
        rows += through_mosquitto(until, Path(folder), rooms_count=min(size.rooms, _THROUGH_COUNT), rounds=size.rounds)
        rows += through_the_embedded(until, Path(folder, "embedded"), minutes=max(2, size.rounds))
    return Result(rows=tuple(rows), notes=(f"{size.rooms} rooms in a row; the first minute of each is not counted.",))


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
            peer=f"{PEER}; judges nothing",
            theirs=_ms(theirs),
        ),
        Row(
            what="in a row: decode, journal, ack and fold alone",
            unit="ms CPU",
            ours=_ms(storing),
            peer=f"{PEER}; judges nothing",
            theirs=_ms(theirs),
        ),
        Row(
            what="in a row: rooms a core can serve",
            unit="rooms",
            ours=tuple(TICK_S / cpu_s for cpu_s in whole),
            peer=f"{PEER}; judges nothing",
            theirs=tuple(TICK_S / cpu_s for cpu_s in theirs),
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
        self.latest = b""
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


def start_collector(until: contextlib.ExitStack, folder: Path, broker: str, *, rooms_count: int) -> Program:
    """The shipped program with a broker's settings, once it says that it is ready.

    A minute of the rooms passes here in a few seconds, in which it reviews them as often as in a minute.
    """
    web_port = free_port()
    lasts_s = rooms_count / ROOMS_A_SECOND + SETTLE_S
    review_every_s = max(0.2, lasts_s * AlertSettings().review_every_s / TICK_S)
    config = folder / "collector.toml"
    config.write_text(
        f'data_dir = "{folder}"\n[broker]\n{broker}\n[web]\nport = {web_port}\n'
        f'base_url = "http://{LOOPBACK}:{web_port}"\n[alerts]\nreview_every_s = {review_every_s:.2f}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "collector", "--log-level", "WARNING", "run", "--config", config]
    return start(until, folder, command, ready=lambda: _is_ready(web_port))


def _is_ready(web_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{web_port}/readyz", timeout=1.0) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's "all is well"
    except OSError:
        return False


def through_mosquitto(until: contextlib.ExitStack, folder: Path, *, rooms_count: int, rounds: int) -> list[Row]:
    """The collector and the peer as programs behind one mosquitto, in turn."""
    _, port = start_open_broker(until, folder)
    _, peers_port = start_open_broker(until, folder)
    rooms = [Room(f"room-{number:05d}", breadth="full") for number in range(rooms_count)]
    home = folder / "through"
    enter_rooms(home, [room.agent for room in rooms], time.time())
    settings = f'mode = "mqtt"\nhost = "{LOOPBACK}"\nport = {port}'
    ours = start_collector(until, home, settings, rooms_count=rooms_count)
    peer_command = [sys.executable, "-m", "bench.plain_store", str(peers_port), folder / "peer.db"]
    sender = Sender(until, port, hears="sansang/v1/+/down/ack")
    peers_sender = Sender(until, peers_port, hears=STORED_TOPIC)
    theirs = start(until, folder, peer_command, ready=lambda: bool(peers_sender.latest))
    ours_s, theirs_s, waits_ms, stored_count = [], [], [], 0
    for minute in range(rounds + 1):
        batches = [(room.agent, room.batch(time.time(), minute)) for room in rooms]
        cpu_s, wait_ms = _round_of_ours(sender, ours.pid, batches)
        messages = [their_messages(batch, agent) for agent, batch in batches]
        stored_count += sum(map(len, messages))
        peers_cpu_s = _round_of_theirs(peers_sender, theirs.pid, messages, stored_count)
        if minute:
            ours_s.append(cpu_s / rooms_count)
            theirs_s.append(peers_cpu_s / rooms_count)
            waits_ms.append(wait_ms)
    return [
        Row(
            what="through mosquitto: all that a room-minute takes",
            unit="ms CPU",
            ours=_ms(ours_s),
            peer=f"{PEER}; judges nothing",
            theirs=_ms(theirs_s),
        ),
        Row(what="through mosquitto: from sending to the collector's ack", unit="ms", ours=tuple(waits_ms)),
    ]


def _round_of_ours(sender: Sender, pid: int, batches: Sequence[tuple[str, Batch]]) -> tuple[float, float]:
    """CPU seconds of one minute of all rooms, and the median wait for the ack in ms."""
    messages = [(str(Topic(agent, "down", "ack")), our_message(batch, agent)) for agent, batch in batches]
    sender.heard.clear()
    before_s = cost_of(pid).cpu_s
    sent: dict[str, float] = {}
    for _ in _paced(len(messages)):
        topic, message = messages[len(sent)]
        sent[topic] = sender.send([message])
    wait_until(lambda: len(sender.heard) == len(sent), _PATIENCE_S, "acks of all rooms")
    time.sleep(SETTLE_S)  # for the sink, which follows by itself
    waits_s = [sender.heard[topic] - sent_s for topic, sent_s in sent.items()]
    return cost_of(pid).cpu_s - before_s, 1000 * statistics.median(waits_s)


def _round_of_theirs(sender: Sender, pid: int, rooms: Sequence[Sequence[Message]], stored_count: int) -> float:
    before_s = cost_of(pid).cpu_s
    for place in _paced(len(rooms)):
        sender.send(rooms[place])
    wait_until(lambda: int(sender.latest) == stored_count, _PATIENCE_S, f"{stored_count} metrics stored by the peer")
    return cost_of(pid).cpu_s - before_s


def _paced(count: int) -> "Paced":
    return Paced(count)


class Paced:
    """Counts up at an even pace of ROOMS_A_SECOND."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._place = -1
        self._began_s = time.monotonic()

    def __iter__(self) -> "Paced":
        return self

    def __next__(self) -> int:
        self._place += 1
        if self._place == self._count:
            raise StopIteration
        time.sleep(max(0.0, self._began_s + self._place / ROOMS_A_SECOND - time.monotonic()))
        return self._place


def through_the_embedded(until: contextlib.ExitStack, folder: Path, *, minutes: int) -> list[Row]:
    """The collector with its own broker, a connection a room."""
    rooms = [Room(f"room-{number:05d}", breadth="full") for number in range(_EMBEDDED_COUNT)]
    enter_rooms(folder, [room.agent for room in rooms], time.time())
    port = free_port()
    ours = start_collector(until, folder, f'mode = "embedded"\nport = {port}', rooms_count=len(rooms))
    senders = [
        Sender(until, port, hears=str(Topic(room.agent, "down", "ack")), user=room.agent, name=room.agent)
        for room in rooms
    ]
    ours_s = []
    for minute in range(minutes + 1):
        messages = [our_message(room.batch(time.time(), minute), room.agent) for room in rooms]
        for sender in senders:
            sender.heard.clear()
        before_s = cost_of(ours.pid).cpu_s
        for place in _paced(len(rooms)):
            senders[place].send([messages[place]])
        wait_until(lambda: all(sender.heard for sender in senders), _PATIENCE_S, "acks through the embedded broker")
        time.sleep(SETTLE_S)  # for the sink, which follows by itself
        if minute:
            ours_s.append((cost_of(ours.pid).cpu_s - before_s) / len(rooms))
    return [Row(what="through the embedded broker: a room-minute", unit="ms CPU", ours=_ms(ours_s))]
