"""One process of the chaos run: the shipping agent, whose probe is made and writes down by itself what it measured.

`python -m tests.faults.chaos_agent SETTINGS [trusting]`; a trusting one believes the broker, which is the control.
"""

import asyncio
import logging
import os
import secrets
import sys
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import paho.mqtt.client as mqtt

from agent.app import Agent
from agent.cli import stop_on_signals
from agent.probe import Probe, Value, Values
from agent.settings import load_settings
from contract.batch import Batch, encode_batch
from contract.names import Topic

PROBE: Final = "made"
TARGETS: Final = ("gateway", "camera-1", "camera-2", "lesson", "ups")
NUMBER: Final = "number_count"
FIELDS: Final = ("a_total", "b_bytes", "c_code", "d_ms", "e_ratio", "f_s", "g_bps", "h_v")
SAMPLES_A_READING: Final = 2 + len(FIELDS)  # and the code of the outcome
SAMPLES_A_RECORD: Final = SAMPLES_A_READING * len(TARGETS)


def values_of(agent: str, target: str, number: int) -> Values:
    """What this target's measurement of this number brings: known to whoever knows the three."""
    values: Values = {NUMBER: number}
    for name in FIELDS:
        drawn = zlib.crc32(f"{agent} {target} {number} {name}".encode())
        is_whole = name.endswith(("_total", "_bytes", "_code"))
        values[name] = drawn if is_whole else drawn % 10_000 / 100  # four digits are all that an agent keeps
    return values


class Measured(NamedTuple):
    """A line of the account: in which life of the process a target's measurement was made, and when."""

    life: str
    target: str
    number: int
    wall_ms: int


class Account:
    """What the probe made, in a file of its own that no other part of the agent knows.

    A line is one write, done before the agent gets the values, so it outlives a SIGKILL as the page cache does.
    """

    def __init__(self, path: Path) -> None:
        self._life = secrets.token_hex(4)
        self._numbers = {one.target: one.number for one in read_account(path)}
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def enter(self, target: str) -> int:
        """The number of the next measurement of a target."""
        number = self._numbers[target] = self._numbers.get(target, 0) + 1
        os.write(self._handle, f"{self._life} {target} {number} {time.time_ns() // 1_000_000}\n".encode())
        return number


def read_account(path: Path) -> list[Measured]:
    """All lines, oldest first; none before the process's first life."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [Measured(life, target, int(number), int(wall)) for life, target, number, wall in map(str.split, lines)]


class ChaosProbe(msgspec.Struct, frozen=True, kw_only=True):
    """Brings known numbers."""

    target: str
    agent: str
    account: Account
    longest_s: float = 0.5

    values: ClassVar[tuple[Value, ...]] = tuple(Value(name, "A number.") for name in (NUMBER, *FIELDS))
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "gateway"}

    async def measure(self) -> Values:
        # Never waits: so the record of one tick is stored before the next tick's measurement is entered.
        return values_of(self.agent, self.target, self.account.enter(self.target))


class TrustingAgent(Agent):
    """Deletes what the broker acknowledged, as if that were storage."""

    def __init__(self, *arguments: Any, **parts: Any) -> None:
        super().__init__(*arguments, **parts)
        self._sent: list[tuple[Batch, mqtt.MQTTMessageInfo]] = []
        self._believed: dict[str, set[int]] = {}

    def _send_due(self) -> float | None:
        self._trim()
        while (batch := self._forwarder.next(self._clock.now())) is not None:
            payload = encode_batch(batch)
            client = self._link._client
            if client is None or not self._link._up:
                self._forwarder.disconnected()
                break
            topic = str(Topic(self._settings.agent, "up", "batch"))
            self._sent.append((batch, client.publish(topic, payload, qos=1)))
            self._forwarder.sent(len(payload))
        return self._forwarder.wake_mono_s(self._clock.now())

    def _trim(self) -> None:
        waiting = []
        for batch, info in self._sent:
            if info.rc != mqtt.MQTT_ERR_SUCCESS or not info.is_published():
                waiting.append((batch, info))
            else:
                self._believed.setdefault(batch.epoch, set()).update(range(batch.first, batch.last + 1))
        self._sent = waiting[-1000:]
        spool = self._store.spool
        for epoch in list(spool.epochs):
            believed, upto = self._believed.get(epoch.epoch, set()), epoch.acked_upto
            while upto + 1 in believed:
                upto += 1
            if upto > epoch.acked_upto:
                epoch.acknowledge(upto, mono_s=self._clock.now().mono_s)
                spool._delete_upto(epoch, epoch.acked_seq)


def main(config: str, manner: str = "") -> int:
    """Run until stopped; the exit code."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load_settings(Path(config))
    settings.folder.mkdir(parents=True, exist_ok=True)
    account = Account(settings.folder / "account.txt")

    def load_probe(_name: str, probe_settings: Mapping[str, object]) -> Probe:
        return ChaosProbe(target=str(probe_settings["target"]), agent=settings.agent, account=account)

    kind = TrustingAgent if manner == "trusting" else Agent
    agent = kind(settings, load_probe=load_probe)

    async def serve() -> int:
        stop_on_signals(agent)
        return await agent.run()

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
