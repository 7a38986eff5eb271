"""Thousands of batches through the whole line, broker and collector killed once in the middle: nothing is lost.

`test_chaos.py` kills everything, and often; here batches are as many and as close as the machine allows.
"""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from agent.link import Broker
from tests.support.line import StartLine, room_of
from tests.support.sender import Sender

ROOMS: Final = 5
RECORDS_AT_LEAST: Final = 400
RECORDS_AT_MOST: Final = 2000
BATCHES: Final = 2000
"""On a slow machine several records share a batch: it goes on until there were so many batches."""
DRAINED_WITHIN_S: Final = 150.0


def batches_of(senders: list[Sender]) -> int:
    return sum(sender.batches_count for sender in senders)


@pytest.mark.parametrize("seed", [1])
def test_every_sample_is_in_the_database_exactly_once_whoever_is_killed(
    seed: int,
    tmp_path: Path,
    line: StartLine,
) -> None:
    chance = random.Random(seed)
    agents = [f"pc-{number}" for number in range(ROOMS)]
    broker, database, centre = line(agents)
    senders = [
        Sender(agent, tmp_path, Broker(host="127.0.0.1", port=broker.port, tls=False), seed=number)
        for number, agent in enumerate(agents)
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
        (series,) = database.series(f'{{__name__="ping_sent_count",room="{room_of(agents[number])}"}}')
        assert Counter(int(value) for value in series.values) == Counter(range(step))
        (series,) = database.series(f'{{__name__="ping_rtt_avg_ms",room="{room_of(agents[number])}"}}')
        assert sorted(round(value, 3) for value in series.values) == [
            round(number + place / 1000, 3) for place in range(step)
        ]
    assert batches_of(senders) >= BATCHES
