"""The way between PC and collector: a line that fails in every way that lines do, and a broker that forgets."""

import random
from collections.abc import Callable
from typing import Protocol

from tests.simulation.engine import Engine
from tests.simulation.truth import Truth

_CONNECT_S = 15.0
_KEEPALIVE_S = 45.0


class Inlet(Protocol):
    """The collector's end."""

    def arrive(self, agent: str, payload: bytes) -> None: ...


class Line:
    """One PC's last mile. `delay_s` is drawn anew for each message; what is lost or doubled is so at random."""

    def __init__(self, agent: str, broker: "Broker", *, engine: Engine, truth: Truth, chance: random.Random) -> None:
        self.agent = agent
        self.broker = broker
        self.engine = engine
        self.truth = truth
        self.chance = chance
        self.is_up = True
        self.delay_s = (0.02, 0.4)
        self.lost_ratio = 0.0
        self.doubled_ratio = 0.0
        self.is_unordered = False
        self.detect_s = (30.0, 180.0)
        self.connection: Connection | None = None

    def draw_delay_s(self) -> float:
        return self.chance.uniform(*self.delay_s)

    def is_hit(self, ratio: float) -> bool:
        hit = ratio > 0 and self.chance.random() < ratio
        if hit:
            self.truth.disturb(self.agent)
        return hit

    def connect(self, on_connected: "Callable[[Connection], None]", on_refused: Callable[[], None]) -> None:
        """As agent/link.py does; a line that is down shows only after the connect timeout."""

        def arrive() -> None:
            if self.is_up and self.broker.is_up:
                self.break_off()
                self.connection = Connection(self)
                self.broker.sessions[self.agent] = self.connection
                on_connected(self.connection)
            else:
                self.truth.disturb(self.agent)
                on_refused()

        self.truth.disturb(self.agent)
        wait_s = 2 * self.draw_delay_s() if self.is_up else _CONNECT_S
        self.engine.after(wait_s, arrive)

    def break_off(self) -> None:
        """Whatever is open ends without a word to the agent."""
        if self.connection is not None:
            self.connection.on_end = lambda: None
            self.connection.break_off()

    def cut(self) -> None:
        """The line is dead. Who speaks into it notices only after a while: its messages are late then, or lost."""
        self.is_up = False
        self.truth.disturb(self.agent)
        if (connection := self.connection) is not None:
            self.engine.after(self.chance.uniform(*self.detect_s), lambda: self._notice(connection))

    def _notice(self, connection: "Connection") -> None:
        if not self.is_up:
            connection.break_off()

    def mend(self) -> None:
        self.is_up = True
        self.truth.disturb(self.agent)
        if self.connection is not None:
            self.connection.flush()

    def fall_silent(self) -> None:
        """The PC sleeps: what is sent to it waits for it."""

    def speak_again(self, after_s: float) -> None:
        """The PC is awake: a broker that heard nothing for long has closed the connection."""
        if self.connection is not None and after_s > _KEEPALIVE_S:
            self.connection.break_off()


class Connection:
    """One TCP connection to the broker: in order, unless the world is unkind; both ways held up while the line is."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.is_open = True
        self.on_ack: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None
        self._last_up_s = self._last_down_s = 0.0
        self._held: list[Callable[[], None]] = []

    def publish(self, payload: bytes, on_puback: Callable[[], None] | None) -> bool:
        """Hand a batch over; True says only that there is a connection."""
        line = self._line
        if not self.is_open:
            return False
        if line.is_hit(line.lost_ratio):
            return True

        def arrive() -> None:
            line.broker.take(line.agent, payload)
            if on_puback is not None:
                line.engine.after(line.draw_delay_s(), lambda: on_puback() if self.is_open else None)

        lingers = line.chance.random() < 0.5
        for _ in range(2 if line.is_hit(line.doubled_ratio) else 1):
            when_s = line.engine.now_s + line.draw_delay_s()
            if not line.is_unordered:
                when_s = self._last_up_s = max(when_s, self._last_up_s)
            line.engine.at(when_s, lambda: self._carry(arrive, lingers=lingers))
        return True

    def deliver(self, payload: bytes) -> None:
        """An ack on its way down, at QoS 0."""
        line = self._line
        if line.is_hit(line.lost_ratio):
            return
        when_s = line.engine.now_s + line.draw_delay_s()
        if not line.is_unordered:
            when_s = self._last_down_s = max(when_s, self._last_down_s)
        line.engine.at(when_s, lambda: self._carry(lambda: self.on_ack(payload)))

    def _carry(self, arrive: Callable[[], None], *, lingers: bool = False) -> None:
        """Let a message arrive. Some do whose sender is gone already, but never behind those of a new connection."""
        if not self.is_open and (not lingers or self._line.connection is not None or not self._line.broker.is_up):
            return
        if self._line.is_up:
            arrive()
        else:
            self._held.append(arrive)

    def flush(self) -> None:
        held, self._held = self._held, []
        for arrive in held:
            if self.is_open:
                arrive()

    def break_off(self) -> None:
        """The end: what was under way is gone."""
        if self.is_open:
            self.is_open = False
            self._line.truth.disturb(self._line.agent)
            self._held.clear()
            if self._line.broker.sessions.get(self._line.agent) is self:
                del self._line.broker.sessions[self._line.agent]
            if self._line.connection is self:
                self._line.connection = None
            self.on_end()


class Broker:
    """A stateless pipe: clean sessions, nothing kept. What the collector is not there to take is gone."""

    def __init__(self, *, engine: Engine, truth: Truth, chance: random.Random) -> None:
        self._engine = engine
        self._truth = truth
        self._chance = chance
        self.is_up = True
        self.sessions: dict[str, Connection] = {}
        self.inlet: Inlet | None = None
        self.dropped_ratio = 0.0
        self.doubled_ratio = 0.0
        self._last_s = 0.0

    def take(self, agent: str, payload: bytes) -> None:
        """A batch has come, and is acknowledged whatever becomes of it."""
        if self.inlet is None:
            self._truth.disturb(agent)
            return
        if self.dropped_ratio and self._chance.random() < self.dropped_ratio:
            self._truth.disturb(agent)
            return
        for _ in range(2 if self.doubled_ratio and self._chance.random() < self.doubled_ratio else 1):
            self._last_s = max(self._last_s, self._engine.now_s + self._chance.uniform(0.001, 0.01))
            self._engine.at(self._last_s, lambda: self._hand_on(agent, payload))

    def _hand_on(self, agent: str, payload: bytes) -> None:
        if self.inlet is not None:
            self.inlet.arrive(agent, payload)
        else:
            self._truth.disturb(agent)

    def hand_down(self, agent: str, payload: bytes) -> None:
        if (session := self.sessions.get(agent)) is not None:
            session.deliver(payload)

    def stop(self) -> None:
        self.is_up = False
        self.inlet = None
        self._truth.disturb_all()
        for session in list(self.sessions.values()):
            session.break_off()

    def start(self) -> None:
        self.is_up = True
        self._truth.disturb_all()
