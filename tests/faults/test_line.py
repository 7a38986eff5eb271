"""The whole line with real servers, killed in the middle: every sample is in the database exactly once."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from agent.link import Broker
from collector.database import open_database, sqlite_url
from collector.registry import Registry
from tests.support.collector import StartCollector
from tests.support.mosquitto import StartMosquitto
from tests.support.sender import Sender
from tests.support.victoria_metrics import StartVictoriaMetrics

ROOMS: Final = 5
RECORDS_AT_LEAST: Final = 400
RECORDS_AT_MOST: Final = 2000
BATCHES: Final = 2000
"""On a slow machine several records share a batch: it goes on until there were so many batches."""
DRAINED_WITHIN_S: Final = 150.0


def enrol_rooms(database: Path) -> list[str]:
    engine = open_database(sqlite_url(database))
    registry = Registry(engine)
    agents = []
    for number in range(ROOMS):
        room, agent = f"room-{number}", f"pc-{number}"
        registry.add_room(room, name=room, province="Hà Giang", school="THCS")
        registry.add_agent(agent, room, time.time())
        agents.append(agent)
    engine.dispose()
    return agents


def batches_of(senders: list[Sender]) -> int:
    return sum(sender.batches_count for sender in senders)


@pytest.mark.parametrize("seed", [1])
def test_every_sample_is_in_the_database_exactly_once_whoever_is_killed(
    seed: int,
    tmp_path: Path,
    mosquitto: StartMosquitto,
    victoria_metrics: StartVictoriaMetrics,
    collector: StartCollector,
) -> None:
    chance = random.Random(seed)
    database, broker = victoria_metrics(), mosquitto()
    centre = collector(
        f'[broker]\nmode = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
        f'[store]\nkind = "influx"\nurl = "{database.url}"\n',
        prepare=lambda folder: enrol_rooms(folder / "collector.db"),
    )
    senders = [
        Sender(f"pc-{number}", tmp_path, Broker(host="127.0.0.1", port=broker.port, tls=False), seed=number)
        for number in range(ROOMS)
    ]
    centre_step, broker_step = (chance.randrange(50, RECORDS_AT_LEAST - 50) for _ in range(2))
    for sender in senders:
        sender.start()
    try:
        step = 0
        while step < RECORDS_AT_LEAST or (step < RECORDS_AT_MOST and batches_of(senders) < BATCHES):
            for number, sender in enumerate(senders):
                sender.put({"sent_count": step, "rtt_avg_ms": number + step / 1000})
            for victim in [centre.program] * (step == centre_step) + [broker.program] * (step == broker_step):
                victim.kill()
                victim.start()
            step += 1
            time.sleep(0.015)
        until_s = time.monotonic() + DRAINED_WITHIN_S
        while any(sender.waiting_count() for sender in senders) and time.monotonic() < until_s:
            time.sleep(0.2)
        assert [sender.waiting_count() for sender in senders] == [0] * ROOMS
        assert [sender.spool.dropped_count for sender in senders] == [0] * ROOMS
        centre.await_fed()
    finally:
        for sender in senders:
            sender.stop()
    for number in range(ROOMS):
        (series,) = database.series(f'{{__name__="ping_sent_count",room="room-{number}"}}')
        assert Counter(int(value) for value in series.values) == Counter(range(step))
        (series,) = database.series(f'{{__name__="ping_rtt_avg_ms",room="room-{number}"}}')
        assert sorted(round(value, 3) for value in series.values) == [
            round(number + place / 1000, 3) for place in range(step)
        ]
    assert batches_of(senders) >= BATCHES
