"""The collector's own pipeline, journal, watch and sink without a network, each stage on the clock; and its registry.

What `collector/app.py` wires into threads stands here in a row, so that the CPU of each stage can be told apart.
"""

import contextlib
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.inlet import LinkArrival, read_arrival
from collector.pipeline import Pipeline
from collector.rooms.registry import Registry, RegistryView
from collector.samples import samples_of
from collector.settings import AlertSettings
from collector.sinks.sqlite import SqliteSink
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import Journal
from collector.watch import Watch
from contract.messages import Ack, encode_small
from readiness.profile import default_profiles

STAGES: Final = ("decode", "journal, ack, fold", "judge and alert", "sink (SQLite)")
_RECORDS_A_WRITE: Final = 30  # about what the feeder's limit of 5,000 samples makes


def enter_rooms(folder: Path, agents: Sequence[str], now_s: float) -> Registry:
    """A registry in `folder` with a room for each agent, of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(open_database(sqlite_url(folder / "collector.db")))
    path = folder / "rooms.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("room", "name", "province", "school"))
        writer.writerows((agent, f"Phòng {agent}", "Hà Giang", "THCS Lũng Cú") for agent in agents)
    registry.import_rooms(path, now_s)
    for agent in agents:
        registry.add_agent(agent, agent, now_s)
    return registry


class _Answers:
    """Encodes each ack, and sends it nowhere."""

    def acknowledge(self, agent: str, ack: Ack) -> None:
        assert agent  # noqa: S101 - an ack without an addressee would be a fault
        encode_small(ack)


class Centre:
    """Takes batches and tells what CPU each stage took so far."""

    def __init__(self, folder: Path, agents: Sequence[str], now_s: float) -> None:
        view = enter_rooms(folder, agents, now_s).view()

        def unchanged(_last: RegistryView | None) -> RegistryView:
            return view

        self._journal = Journal(folder / "journal.db")
        alerts = AlertSettings()
        self.reviews_a_minute = round(60 / alerts.review_every_s)
        policy = Policy()
        self.watch = Watch(
            profiles=default_profiles(),
            policy=policy,
            incidents=Incidents(policy),
            told=Told(),
            silent_after_s=alerts.silent_after_s,
        )
        self._pipeline = Pipeline(
            journal=self._journal,
            answers=_Answers(),
            view=unchanged,
            plan_of=lambda _room: None,
            watch=self.watch,
            on_review=lambda _review, _now: None,
            generation="0123456789abcdef",
            grace_s=0.0,
            keep_s=86400.0,
            fed_id=lambda: self._fed_id,
        )
        self._pipeline.recall(now_s)
        self._pipeline.handle([LinkArrival(connected=True, reason="", arrived_s=now_s)], now_s)
        self._reader = self._journal.reader()
        self._sink = SqliteSink(folder / "series.db")
        self._fed_id = 0
        self.cpu_s = dict.fromkeys(STAGES, 0.0)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        self.cpu_s[stage] += time.process_time() - began_s

    def take(self, messages: Sequence[tuple[str, bytes]], now_s: float) -> None:
        """Messages that came together, topic and payload: to the journal, acknowledged, folded, and to the sink."""
        with self._timed(STAGES[0]):
            arrivals = [read_arrival(topic, payload, retained=False, arrived_s=now_s) for topic, payload in messages]
        with self._timed(STAGES[1]):
            self._pipeline.handle(arrivals, now_s)
        with self._timed(STAGES[3]):
            self._feed()

    def _feed(self) -> None:
        while found := self._reader.after(self._fed_id, _RECORDS_A_WRITE):
            self._sink.write([sample for kept in found for sample in samples_of(kept).samples], found[-1].id)
            self._fed_id = found[-1].id

    def review(self, now_s: float) -> None:
        """Judge all rooms once."""
        with self._timed(STAGES[2]):
            self._pipeline.review(now_s)
        with self._timed(STAGES[3]):
            self._feed()

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()
        self._sink.close()
        self._journal.close()
