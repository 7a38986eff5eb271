"""What is live goes before any backlog, and what one agent sent stays in its order."""

import queue
import threading
import time

import pytest

from collector.inlet import Arrival, BatchArrival, LinkArrival, StateArrival
from collector.line.waiting import Waiting
from contract.batch import Batch
from contract.messages import State
from contract.moment import Moment
from contract.reading import Record
from tests.collector.centre import AGENT, EPOCH, ping


def test_all_that_waits_is_gathered_at_once() -> None:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    for number in range(5):
        arrivals.put(LinkArrival(connected=True, reason="", arrived_s=float(number)))
    waiting = Waiting(arrivals)
    assert [one.arrived_s for one in waiting.gather(1.0)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert waiting.gather(0.0) == []


def test_the_first_arrival_ends_the_wait() -> None:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    late = threading.Timer(0.1, arrivals.put, [LinkArrival(connected=True, reason="", arrived_s=1.0)])
    late.start()
    began_s = time.monotonic()
    assert len(Waiting(arrivals).gather(60.0)) == 1
    assert time.monotonic() - began_s < 30
    late.join()


def waiting_for(*came: Arrival) -> Waiting:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    for one in came:
        arrivals.put(one)
    return Waiting(arrivals)


def came(ago_s: float, *, agent: str = AGENT, boot: str = "boot-1", records: int = 1, at_s: float = 0) -> BatchArrival:
    """A batch whose newest record is so old."""
    now = Moment(boot=boot, mono_s=1e6, wall_s=1e6)
    record = Record(taken=Moment(boot=boot, mono_s=1e6 - ago_s, wall_s=1e6 - ago_s), readings=(ping(),))
    batch = Batch(
        epoch=EPOCH, low=1, first=1, now=now, made_count=1, dropped_count=0, records=(record,) * records
    )  # fmt: skip
    return BatchArrival(agent, batch, 500, at_s)


def test_what_is_measured_now_goes_before_all_backlog_and_a_group_takes_only_some_of_it() -> None:
    old = [came(7200.0, records=240) for _ in range(20)]
    live = [came(1.0, agent=f"pc-{number}") for number in range(30)]
    waiting = waiting_for(*old, *live)
    first = waiting.gather(0.0)
    assert first[:30] == live
    assert 0 < len(first[30:]) < 10
    rest = first[30:]
    while group := waiting.gather(0.0):
        rest += group
    assert rest == old


def test_what_is_measured_now_is_found_behind_any_amount_of_backlog() -> None:
    old = [came(7200.0, records=240) for _ in range(9000)]
    live = [came(1.0, agent=f"pc-{number}") for number in range(100)]
    waiting = waiting_for(*old, *live)
    assert waiting.gather(0.0)[:100] == live
    rest_count = 0
    while group := waiting.gather(0.0):
        rest_count += len(group)
    assert 4000 < rest_count < 9000, "what there was no room for is not acknowledged, and comes again"


def test_a_flood_of_agents_is_taken_in_groups() -> None:
    waiting = waiting_for(*(came(1.0, agent=f"pc-{number}") for number in range(500)))
    assert [len(waiting.gather(0.0)) for _ in range(4)] == [200, 200, 100, 0]


@pytest.mark.parametrize(
    "after",
    [
        StateArrival(AGENT, State(state="offline", reason="shutdown"), False, 2.0),
        came(1.0, boot="boot-2", at_s=2.0),
    ],
    ids=["goodbye", "next boot"],
)
def test_an_agents_goodbye_and_its_next_boot_do_not_overtake_its_backlog(after: Arrival) -> None:
    """Else a PC that was switched off would seem to be there, and two boots to take turns."""
    old = [came(7200.0, records=240, at_s=float(number)) for number in range(9)]
    other = came(7200.0, agent="pc-2")
    group = waiting_for(other, *old, after).gather(0.0)
    assert group[:10] == [*old, after]
