"""Hundreds of agents in a few processes, since one cannot select on so many sockets: real links and Forwarders."""

import contextlib
import heapq
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agent.link import Broker, Identity
from tests.support.sender import Sender

IN_A_PROCESS: Final = 125
_LOOK_EVERY_S: Final = 0.2
_LONGEST_S: Final = 7200
_SPAWN: Final = multiprocessing.get_context("spawn")


class Member(NamedTuple):
    """One agent of the crowd."""

    agent: str
    identity: Identity


class Crowd:
    """Each agent measures once every `tick_s`, at a moment of its own. Usable while `crowd_of` runs."""

    def __init__(self, size: int) -> None:
        self.heard_mono_s = _SPAWN.Array("d", [float("-inf")] * size)
        """When each was last acknowledged something, on this machine's monotonic clock."""
        self.waiting = _SPAWN.Array("i", [0] * size)
        self.made = _SPAWN.Array("i", [0] * size)
        self._began_mono_s = time.monotonic()
        self._tries = _SPAWN.Array("i", [0] * _LONGEST_S)
        self.is_quiet = _SPAWN.Event()
        """Nothing is measured any more."""
        self.is_over = _SPAWN.Event()

    def live_count(self, since_mono_s: float) -> int:
        """How many were acknowledged something since a moment."""
        return sum(heard_mono_s > since_mono_s for heard_mono_s in self.heard_mono_s[:])

    def note_try(self, mono_s: float) -> None:
        """Somebody is going to try to connect at that moment."""
        second = int(mono_s - self._began_mono_s)
        with self._tries.get_lock():
            self._tries[second] += 1

    def most_tries_a_second(self, from_mono_s: float) -> int:
        """How many tried to connect within one second since a moment, at most."""
        tries: list[int] = self._tries[int(from_mono_s - self._began_mono_s) :]
        return max(tries)

    def waiting_count(self) -> int:
        """Records that nobody acknowledged yet."""
        return sum(self.waiting[:])

    def made_count(self) -> int:
        """Records made so far."""
        return sum(self.made[:])


class NotingChance(random.Random):
    """A link's chance, which notes for when each next try was drawn.

    The broker's own log does not tell: it stamps all that it accepts in one turn with the turn's beginning.
    """

    def __init__(self, seed: int, crowd: Crowd) -> None:
        super().__init__(seed)
        self._crowd = crowd

    def uniform(self, a: float, b: float) -> float:
        wait_s = super().uniform(a, b)
        self._crowd.note_try(time.monotonic() + wait_s)
        return wait_s


@contextlib.contextmanager
def crowd_of(members: Sequence[Member], broker: Broker, tick_s: float) -> Iterator[Crowd]:
    """Start them all at once; they end with the block."""
    crowd = Crowd(len(members))
    processes = [
        _SPAWN.Process(target=_run, args=(crowd, first, members[first : first + IN_A_PROCESS], broker, tick_s))
        for first in range(0, len(members), IN_A_PROCESS)
    ]
    for process in processes:
        process.start()
    try:
        yield crowd
    finally:
        crowd.is_over.set()
        for process in processes:
            process.join(60.0)
            if process.is_alive():
                process.kill()
                process.join()


def _run(crowd: Crowd, first: int, members: Sequence[Member], broker: Broker, tick_s: float) -> None:
    senders = [
        Sender(
            one.agent,
            None,
            broker,
            seed=seed,
            identity=one.identity,
            link_chance=NotingChance(seed, crowd),
        )
        for seed, one in enumerate(members, start=first)
    ]
    chance = random.Random(first)
    due = [(time.monotonic() + chance.uniform(0.0, tick_s), place) for place in range(len(senders))]
    heapq.heapify(due)
    for sender in senders:
        sender.start()
    while not crowd.is_over.wait(min(_LOOK_EVERY_S, max(0.0, due[0][0] - time.monotonic()))):
        while due[0][0] <= time.monotonic():
            due_s, place = due[0]
            if not crowd.is_quiet.is_set():
                senders[place].put({"sent_count": 10, "received_count": 10, "loss_ratio": 0.0})
                crowd.made[first + place] += 1
            heapq.heapreplace(due, (due_s + tick_s, place))
        for place, sender in enumerate(senders):
            crowd.heard_mono_s[first + place] = sender.heard_mono_s
            crowd.waiting[first + place] = sender.waiting_count()
