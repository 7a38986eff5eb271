"""The plainest collector that one would write: one topic a metric, JSON, a row in SQLite. A peer, and nothing more.

As durable as ours (WAL, synchronous FULL, one transaction for whatever has come), so that the comparison is fair; no
index, no account of what is missing, nothing judged. `python -m bench.plain_store PORT FILE` serves a broker.
"""

import json
import queue
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.ports import LOOPBACK

STORED_TOPIC: Final = "plain/stored"
_GROUP_MAX_COUNT: Final = 20_000


class PlainStore:
    """One table."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS metric"
            " (agent TEXT, probe TEXT, target TEXT, name TEXT, measured_s REAL, value REAL)"
        )

    def keep(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Store messages, topic and payload, in one durable transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        for topic, payload in messages:
            _, _, agent, _, probe, target, name = topic.split("/")
            said = json.loads(payload)
            row = (agent, probe, target, name, said["time"], said["value"])
            self._db.execute("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?)", row)
        self._db.execute("COMMIT")


def serve(port: int, path: Path) -> None:
    """Store what comes, and tell the running total after each transaction; until killed."""
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="plain-store", protocol=mqtt.MQTTv311)

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe("sansang/v1/+/up/#", qos=1)

    def on_subscribe(client: mqtt.Client, *_: object) -> None:
        client.publish(STORED_TOPIC, "0", retain=True)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        arrived.put((message.topic, bytes(message.payload)))

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect(LOOPBACK, port)
    client.loop_start()
    store = PlainStore(path)
    stored_count = 0
    while True:
        group = [arrived.get()]
        while len(group) < _GROUP_MAX_COUNT and not arrived.empty():
            group.append(arrived.get())
        store.keep(group)
        stored_count += len(group)
        client.publish(STORED_TOPIC, str(stored_count))


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
