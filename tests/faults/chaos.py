"""Kills and freezes the real processes of the whole line, and holds what is stored to what was made."""

import contextlib
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pytest

import dev
from collector.samples import OUTCOME
from collector.storage.journal import JournalReader
from contract.spool import SpoolReader, SpoolStat
from tests.faults.chaos_agent import (
    FIELDS,
    NUMBER,
    PROBE,
    SAMPLES_A_READING,
    TARGETS,
    Measured,
    read_account,
    values_of,
)
from tests.support.line import StartLine
from tests.support.mosquitto import Mosquitto
from tests.support.processes import Program, Programs
from tests.support.victoria_metrics import Series

Fault = Literal["kill", "stop"]
SHARES: Final = {"agents": 0.5, "broker": 0.2, "collector": 0.2, "database": 0.1}
"""Of the faults. The database's "stored" is believed after half a minute of life, which it must have now and then."""
LONGEST_STOP_S: Final = 5.0
RIGHT_WITHIN_S: Final = 2.0
"""How wrong a time may be (docs/protocol.md)."""
_CALM_S: Final = 5.0
_NO_STAT: Final = SpoolStat(
    epoch="",
    low=1,
    next_seq=1,
    acked_upto=0,
    waiting_count=0,
    kept_count=0,
    used_bytes=0,
    made_count=0,
    dropped_count=0,
)
_NOTHING_TO_DO: Final = 'tick_s = "1s"\nprofile = "zoom-720p"\nbacklog_bps = 1000000\n'
_PLAN: Final = _NOTHING_TO_DO + "".join(f'[[probe]]\nname = "{PROBE}"\ntarget = "{target}"\n' for target in TARGETS)


class Load(NamedTuple):
    """What is done to the line. One more agent is the control."""

    agents: int
    samples: int
    kills: int
    stops: int
    apart_s: float
    seed: int
    drained_within_s: float = 120.0

    @property
    def faults(self) -> tuple[tuple[Fault, int], ...]:
        return ("kill", self.kills), ("stop", self.stops)


class ChaosAgent:
    """One agent process and its room."""

    def __init__(self, name: str, folder: Path, broker: Mosquitto, programs: Programs, manner: str = "") -> None:
        self.name = name
        self._folder = folder / name
        config = folder / f"{name}.toml"
        config.write_text(
            f'agent = "{name}"\ndata_dir = "{self._folder}"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\ntls = false\n',
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "tests.faults.chaos_agent", str(config), *([manner] if manner else [])]
        self.program = programs.start(command, ready=lambda: True, folder=dev.ROOT)

    def account(self) -> list[Measured]:
        """What its probe says that it measured."""
        return read_account(self._folder / "account.txt")

    def stat(self) -> SpoolStat | None:
        """What its spool says; None while there is none."""
        path = self._folder / "spool.db"
        if not path.exists():
            return None
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(SpoolReader(path)) as reader:
            return reader.stat()
        return None

    def is_drained(self) -> bool:
        """Whether nothing waits, and nothing will be measured any more."""
        stat, plan = self.stat(), self._folder / "plan.json"
        is_idle = plan.exists() and b'"probe"' not in plan.read_bytes()
        return is_idle and stat is not None and stat.waiting_count == 0


class Found(NamedTuple):
    """What of one agent's samples is stored, against what it made.

    `known` were surely stored by the agent: it went on to the next in the same life. The last of a life that ended in
    a SIGKILL may have been measured and not stored: it may be missing, but if it came it counts like the others.
    """

    known: int
    unsure: int
    unsure_came: int
    lost: int
    doubled: int
    wrong: int
    samples: int
    worst_s: float

    @property
    def is_exact(self) -> bool:
        """Whether everything is there once, and right."""
        return self.lost == self.doubled == self.wrong == 0

    def plus(self, other: "Found") -> "Found":
        """Both together."""
        sums = (one + two for one, two in zip(self[:-1], other[:-1], strict=True))
        return Found._make((*sums, max(self.worst_s, other.worst_s)))


NOTHING: Final = Found(known=0, unsure=0, unsure_came=0, lost=0, doubled=0, wrong=0, samples=0, worst_s=0.0)


def compare(agent: str, account: Sequence[Measured], stored: Sequence[Series]) -> Found:
    """Hold what the database has of an agent to what the agent's probe entered. All counts are of samples."""
    found = NOTHING
    for target in TARGETS:
        by_field = {
            one.metric["__name__"].removeprefix(f"{PROBE}_"): one for one in stored if one.metric["target"] == target
        }
        found = found.plus(_compare_target(agent, target, [one for one in account if one.target == target], by_field))
    return found


def _compare_target(agent: str, target: str, made: Sequence[Measured], stored: Mapping[str, Series]) -> Found:
    last_of_life = {one.life: one.number for one in made}
    unsure = set(last_of_life.values())
    wall_s = {one.number: one.wall_ms / 1000 for one in made}
    numbers = {at_ms: int(number) for at_ms, number in points_of(stored[NUMBER])}
    times = Counter(numbers.values())
    lost = len([number for number in wall_s if number not in times and number not in unsure]) * SAMPLES_A_READING
    doubled = (times.total() - len(times)) * SAMPLES_A_READING
    wrong = len(times.keys() - wall_s.keys()) * SAMPLES_A_READING
    late_s = [abs(at_ms / 1000 - wall_s[number]) for at_ms, number in numbers.items() if number in wall_s]
    wrong += sum(one > RIGHT_WITHIN_S for one in late_s) * SAMPLES_A_READING
    samples = 0
    for name in (*stored.keys(), *((OUTCOME, *FIELDS) - stored.keys())):
        points = points_of(stored[name]) if name in stored else []
        held = dict(points)
        samples += len(held)
        doubled += len(points) - len(held)
        expected = {at_ms: (values_of(agent, target, n) | {OUTCOME: 0})[name] for at_ms, n in numbers.items()}
        lost += len(expected.keys() - held.keys())
        wrong += len(held.keys() - expected.keys())
        wrong += sum(abs(held[at_ms] - expected[at_ms]) > 1e-9 for at_ms in held.keys() & expected.keys())
    return Found(
        known=(len(wall_s) - len(unsure)) * SAMPLES_A_READING,
        unsure=len(unsure) * SAMPLES_A_READING,
        unsure_came=len(unsure & times.keys()) * SAMPLES_A_READING,
        lost=lost,
        doubled=doubled,
        wrong=wrong,
        samples=samples,
        worst_s=max(late_s, default=0.0),
    )


def points_of(series: Series) -> list[tuple[int, float]]:
    return list(zip(series.timestamps, series.values, strict=True))


class Chaos:
    """The line under faults. The last agent is the control: it deletes what the broker acknowledged."""

    def __init__(self, load: Load, start: StartLine, folder: Path, programs: Programs) -> None:
        self._load = load
        self._chance = random.Random(load.seed)
        self._plan = folder / "plans" / "default.toml"
        self._plan.parent.mkdir()
        self._plan.write_text(_PLAN, encoding="utf-8")
        names = [*(f"pc-{number}" for number in range(load.agents)), "control"]
        self.line = start(names, plans=self._plan.parent)
        self.agents = [ChaosAgent(name, folder, self.line.broker, programs) for name in names[:-1]]
        self.control = ChaosAgent(names[-1], folder, self.line.broker, programs, "trusting")
        self._timers: list[threading.Timer] = []
        self.done: Counter[tuple[Fault, str]] = Counter()

    def run(self) -> None:
        """From the first record to the last: calm, faults, calm, and quiet until nothing waits any more."""
        self._await("the first acks", lambda: all((one.stat() or _NO_STAT).acked_upto >= 3 for one in self.agents))
        self._go_wild()
        self._await("enough samples", lambda: self._made_count() >= self._load.samples, within_s=600.0)
        time.sleep(_CALM_S)
        self._plan.write_text(_NOTHING_TO_DO, encoding="utf-8")
        self._await("all spools acknowledged", lambda: all(one.is_drained() for one in self.agents))
        wanted = {one.name: self.journaled(one).total() for one in self.agents}
        self._await("the database fed", lambda: all(self._points(name) >= count for name, count in wanted.items()))

    def _made_count(self) -> int:
        """Samples that were surely stored by their agents, as `Found.known`."""
        accounts = [one.account() for one in self.agents]
        unsure_count = sum(len({(line.life, line.target) for line in account}) for account in accounts)
        return (sum(map(len, accounts)) - unsure_count) * SAMPLES_A_READING

    def _points(self, agent: str) -> int:
        return sum(len(set(one.timestamps)) for one in self.line.stored(agent, f"{PROBE}_{NUMBER}"))

    def _await(self, what: str, holds: Callable[[], bool], within_s: float | None = None) -> None:
        until_s = time.monotonic() + (within_s or self._load.drained_within_s)
        while not holds():
            if time.monotonic() > until_s:
                pytest.fail(f"waited in vain for {what}: {[(one.name, one.stat()) for one in self.agents]}")
            time.sleep(1.0)

    def _go_wild(self) -> None:
        due_s = time.monotonic()
        try:
            for fault, where in self._deck():
                due_s += self._chance.uniform(0.0, 2 * self._load.apart_s)
                time.sleep(max(0.0, due_s - time.monotonic()))
                self._strike(fault, self._victim(where))
                self.done[fault, where] += 1
        finally:
            for timer in self._timers:
                timer.join()

    def _deck(self) -> list[tuple[Fault, str]]:
        deck: list[tuple[Fault, str]] = []
        for fault, count in self._load.faults:
            wheres = [where for where, share in SHARES.items() for _ in range(round(count * share))]
            deck += [(fault, where) for where in (wheres + ["agents"] * count)[:count]]
        self._chance.shuffle(deck)
        return deck

    def _victim(self, where: str) -> Program:
        line = self.line
        servers = {"broker": line.broker.program, "collector": line.centre.program, "database": line.database.program}
        return servers[where] if where in servers else self._chance.choice([*self.agents, self.control]).program

    def _strike(self, fault: Fault, victim: Program) -> None:
        if fault == "kill":
            victim.kill()
            victim.start()
            return
        victim.pause()
        # Other faults go on meanwhile, also against the frozen one.
        timer = threading.Timer(self._chance.uniform(0.1, LONGEST_STOP_S), victim.resume)
        self._timers.append(timer)
        timer.start()

    def _journal(self) -> "contextlib.closing[JournalReader]":
        return contextlib.closing(JournalReader(self.line.centre.folder / "journal.db"))

    def count(self, fault: Fault) -> int:
        """How many faults of a kind there were."""
        return sum(count for (kind, _), count in self.done.items() if kind == fault)

    def gaps(self) -> set[str]:
        """Agents of which something was declared lost."""
        with self._journal() as journal:
            return {gap.agent for gap in journal.gaps()}

    def found(self, agent: ChaosAgent) -> Found:
        """What the database has of an agent, against its own account."""
        return compare(agent.name, agent.account(), self.line.stored(agent.name, f"{PROBE}_.*"))

    def journaled(self, agent: ChaosAgent) -> Counter[tuple[str, int]]:
        """How often the journal holds each of an agent's measurements: target and number."""
        counts: Counter[tuple[str, int]] = Counter()
        with self._journal() as journal:
            after_id = 0
            while kept := journal.after(after_id, 1000):
                after_id = kept[-1].id
                readings = [reading for one in kept if one.agent == agent.name for reading in one.record.readings]
                counts.update((reading.target, int(reading.values[NUMBER])) for reading in readings)
        return counts
