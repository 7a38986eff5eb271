"""Many agents in one thread: the real spool, Forwarder and link of each, and records from a test.

Each PC would have a processor of its own, so here a live record waits for no more than one batch of another's backlog.
"""

import queue
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from agent.forward import Forwarder, Pace
from agent.link import Broker, Connected, Disconnected, Link, LinkEvent, Message
from contract.batch import encode_batch
from contract.messages import State, decode_ack
from contract.moment import Moment
from contract.reading import Record
from contract.spool import Spool, SpoolLimits

_IDLE_S: Final = 0.01
_UP_FOR_S: Final = 30 * 86400.0
"""How long each PC has been up when a test begins: what it measured before is of the same boot."""


class Agent:
    """One PC whose clocks are right."""

    def __init__(self, agent: str, folder: Path, broker: Broker, *, pace: Pace, seed: int) -> None:
        chance = random.Random(seed)
        self.agent = agent
        self.boot = f"boot-{agent}"
        self.events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self.spool = Spool(folder / f"{agent}.db", SpoolLimits(), boot=self.boot, mono_s=self.now().mono_s)
        self._forwarder = Forwarder(self.spool.epochs, pace=pace, chance=chance)
        self._link = Link(
            agent, broker, None, birth=lambda: State(state="online"), on_event=self.events.put, chance=chance
        )
        self.wake_s = float("-inf")
        self.records_count = 0

    def now(self, ago_s: float = 0.0) -> Moment:
        """This PC's two clocks, now or a while ago."""
        return Moment(boot=self.boot, mono_s=time.monotonic() + _UP_FOR_S - ago_s, wall_s=time.time() - ago_s)

    def start(self) -> None:
        """Connect."""
        self._link.start()

    def stop(self) -> None:
        """Say goodbye, and let go of the spool."""
        self._link.stop(State(state="offline", reason="service_stop"))
        self.spool.close()

    def fill(self, records: Iterable[Record]) -> None:
        """Put what was measured before into the spool."""
        self.records_count += self.spool.take_over(records, mono_s=self.now().mono_s)

    def measure(self, record: Record) -> None:
        """Keep what was measured just now."""
        self.spool.put(record, mono_s=record.taken.mono_s)
        self.records_count += 1
        self.wake_s = float("-inf")

    def hear(self) -> bool:
        """Take in what came; whether anything did."""
        heard = False
        while not self.events.empty():
            heard = True
            match self.events.get():
                case Connected():
                    self._forwarder.connected(self.now())
                case Disconnected():
                    self._forwarder.disconnected()
                case Message("ack", payload):
                    self._forwarder.acked(decode_ack(payload), self.now())
                case _:
                    pass
        return heard

    def send_one(self) -> bool:
        """Send what is due first; whether anything was."""
        batch = self._forwarder.next(self.now())
        if batch is None:
            wake_mono_s = self._forwarder.wake_mono_s(self.now())
            self.wake_s = float("inf") if wake_mono_s is None else wake_mono_s
            return False
        payload = encode_batch(batch)
        if not self._link.publish("batch", payload):
            self._forwarder.disconnected()
            return False
        self._forwarder.sent(len(payload))
        return True


class ManyAgents:
    """Runs them. `measure` makes the record of an agent's minute; every agent has one each `live_every_s`."""

    def __init__(self, agents: Sequence[Agent], *, measure: Callable[[Agent], Record], live_every_s: float) -> None:
        self.agents = agents
        self._measure = measure
        self._live_every_s = live_every_s
        self._ready: deque[Agent] = deque()

    def run(self, until: Callable[[], bool], *, within_s: float) -> bool:
        """Go on until something holds, which is asked once a second; False when it does not in time."""
        began_s = time.monotonic()
        asked_s = began_s
        due_s = [began_s + place * self._live_every_s / len(self.agents) for place in range(len(self.agents))]
        while (now_s := time.monotonic()) - began_s < within_s:
            for place, agent in enumerate(self.agents):
                heard = agent.hear()
                if due_s[place] <= now_s:
                    due_s[place] += self._live_every_s
                    agent.measure(self._measure(agent))
                    agent.send_one()
                if (heard or agent.wake_s <= agent.now().mono_s) and agent not in self._ready:
                    self._ready.append(agent)
            if self._ready:
                agent = self._ready.popleft()
                if agent.send_one():
                    self._ready.append(agent)
            else:
                time.sleep(_IDLE_S)
            if now_s - asked_s >= 1.0:
                asked_s = now_s
                if until():
                    return True
        return False
