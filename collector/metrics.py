"""The collector's own figures for Prometheus, read from the snapshot when they are asked for."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.snapshot import RoomView, Snapshot
from collector.web.pages import level_of, province_of
from readiness.verdict import Level

CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_registry(snapshot: Callable[[], Snapshot | None]) -> CollectorRegistry:
    """A registry of its own, so that two collectors in one process do not share their figures."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_FromSnapshot(snapshot))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything in the registry, in Prometheus' text format (CONTENT_TYPE)."""
    return generate_latest(registry)


class _FromSnapshot(Collector):
    """Makes its metrics anew for each scrape: nothing is counted twice, and a room that is gone leaves none behind."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Nothing: the names are known without asking for a snapshot, which may not be there yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All figures of the present snapshot; before the first one, only that there is none."""
        taken = self._snapshot()
        ready = "1 once the rooms have been reviewed for the first time"
        yield GaugeMetricFamily("sansang_snapshot_bool", ready, value=0 if taken is None else 1)
        if taken is not None:
            yield from _rooms(taken.rooms)
            yield from _health(taken)


def _rooms(rooms: tuple[RoomView, ...]) -> Iterator[Metric]:
    counted = Counter(level_of(room) for room in rooms)
    by_level = GaugeMetricFamily("sansang_rooms", "Rooms at each level", labels=["level"])
    for level in Level:
        by_level.add_metric([level.name.lower()], counted[level])
    yield by_level
    each = GaugeMetricFamily(
        "sansang_room_level_code", "Level of a room: 0 fit, 1 degraded, 2 unfit, 3 unknown", labels=["room", "province"]
    )  # fmt: skip
    for room in rooms:
        each.add_metric([room.room, province_of(room)], level_of(room))
    yield each


def _health(taken: Snapshot) -> Iterator[Metric]:
    health = taken.health
    yield GaugeMetricFamily("sansang_reviewed_timestamp_seconds", "When rooms were last reviewed", value=taken.taken_s)
    yield CounterMetricFamily("sansang_batches", "Batches received", value=health.batches_total)
    yield CounterMetricFamily("sansang_records", "Records stored", value=health.records_total)
    yield CounterMetricFamily("sansang_quarantined", "Bad messages put aside", value=health.quarantined_total)
    yield CounterMetricFamily("sansang_duplicates", "Records that came again", value=health.duplicates_total)
    yield GaugeMetricFamily("sansang_journal_bytes", "Size of the journal on disk", value=health.journal_bytes)
    yield GaugeMetricFamily("sansang_journal_last_id", "Newest entry of the journal", value=health.journal_last_id)
    connected = "1 while the broker is connected"
    yield GaugeMetricFamily("sansang_broker_connected_bool", connected, value=int(health.broker_connected))
    yield GaugeMetricFamily("sansang_outbox_waiting", "Letters waiting to be sent", value=health.outbox_waiting_count)
    yield GaugeMetricFamily("sansang_outbox_refused", "Letters refused for good", value=health.outbox_refused_count)
    # Absent until there is a proof, as what is missing is; an alert asks for both.
    proved_s = health.mail_proved_s
    proven = "1 once a daily mail was taken by the mail server; see its age"
    yield GaugeMetricFamily("sansang_mail_proven_bool", proven, value=int(proved_s is not None))
    if proved_s is not None:
        age = "Since the mail server last took a daily mail, which proves that letters leave"
        yield GaugeMetricFamily("sansang_mail_proof_age_seconds", age, value=max(0.0, taken.taken_s - proved_s))
    yield GaugeMetricFamily("sansang_problems", "Known problems of the collector", value=len(health.problems))
    behind = GaugeMetricFamily("sansang_sink_behind", "Entries of the journal not in the sink yet", labels=["sink"])
    refused = CounterMetricFamily("sansang_sink_refused", "Samples the sink refused", labels=["sink"])
    for sink in health.sinks:
        behind.add_metric([sink.name], sink.behind_count)
        refused.add_metric([sink.name], sink.refused_total)
    yield behind
    yield refused
    agents = GaugeMetricFamily("sansang_agents", "Agents, by whether they are connected", labels=["state"])
    states = Counter(agent.online for room in taken.rooms for agent in room.agents)
    for state, online in (("online", True), ("offline", False), ("unheard", None)):
        agents.add_metric([state], states[online])
    yield agents
    backlog = sum(agent.backlog_count for room in taken.rooms for agent in room.agents)
    yield GaugeMetricFamily("sansang_backlog_records", "Records that agents still hold", value=backlog)
