"""An agent of a test's making: the real spool, Forwarder and link, fed with records as fast as the test wants."""

import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.forward import Forwarder, Pace
from agent.link import Broker, Connected, Disconnected, Identity, Link, LinkEvent, Message
from contract.batch import encode_batch
from contract.messages import State, decode_ack
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits

_LEAST_WAIT_S: Final = 0.01


class Sender:
    """One agent. `put` stores a record; a thread of its own sends what the Forwarder says, as the agent's does.

    Without a folder its spool is in memory.
    """

    def __init__(
        self,
        agent: str,
        folder: Path | None,
        broker: Broker,
        *,
        seed: int,
        identity: Identity | None = None,
        link_chance: random.Random | None = None,
    ) -> None:
        chance = random.Random(seed)
        self.agent = agent
        self.boot = f"boot-{agent}"
        self.batches_count = 0
        self.heard_mono_s = float("-inf")
        """When the collector last acknowledged anything."""
        self._lock = threading.Lock()
        path = folder / f"{agent}.db" if folder else None
        self.spool = Spool(path, SpoolLimits(), boot=self.boot, mono_s=self.now().mono_s)
        self._forwarder = Forwarder(self.spool.epochs, pace=Pace(backlog_bps=1e9), chance=chance)
        self._link = Link(
            agent,
            broker,
            identity,
            birth=lambda: State(state="online"),
            on_event=self._hear,
            chance=link_chance or chance,
        )
        self._stopping = threading.Event()
        self._stir = threading.Event()
        self._thread = threading.Thread(target=self._run, name=agent, daemon=True)

    def start(self) -> None:
        """Connect and begin to send."""
        self._link.start()
        self._thread.start()

    def now(self) -> Moment:
        """This PC's two clocks, which here agree with the collector's."""
        return Moment(boot=self.boot, mono_s=time.monotonic(), wall_s=time.time())

    def put(self, values: Mapping[str, int | float], *, probe: str = "ping", target: str = "gateway") -> Moment:
        """Store one record with one reading; the moment at which it was taken."""
        moment = self.now()
        reading = Reading(probe=probe, target=target, values=dict(values))
        with self._lock:
            self.spool.put(Record(taken=moment, readings=(reading,)), mono_s=moment.mono_s)
        self._stir.set()
        return moment

    def waiting_count(self) -> int:
        """Records that the collector has not acknowledged."""
        with self._lock:
            return self.spool.stat().waiting_count

    def stop(self) -> None:
        """Say goodbye and let go of the spool."""
        self._stopping.set()
        self._stir.set()
        self._thread.join(10)
        self._link.stop(State(state="offline", reason="service_stop"))
        self.spool.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stir.clear()
            with self._lock:
                while (batch := self._forwarder.next(self.now())) is not None:
                    payload = encode_batch(batch)
                    if not self._link.publish("batch", payload):
                        self._forwarder.disconnected()
                        break
                    self._forwarder.sent(len(payload))
                    self.batches_count += 1
                wake_mono_s = self._forwarder.wake_mono_s(self.now())
            self._stir.wait(None if wake_mono_s is None else max(_LEAST_WAIT_S, wake_mono_s - self.now().mono_s))

    def _hear(self, event: LinkEvent) -> None:
        with self._lock:
            match event:
                case Connected():
                    self._forwarder.connected(self.now())
                case Disconnected():
                    self._forwarder.disconnected()
                case Message("ack", payload):
                    self._forwarder.acked(decode_ack(payload), self.now())
                    self.heard_mono_s = self.now().mono_s
                case _:
                    pass
        self._stir.set()
