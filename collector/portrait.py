"""Draws the frozen picture that the pages show; a room that has not changed is not drawn again."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from collector.alerting.incident import Incident
from collector.line.book import AgentBook
from collector.outages import Outage
from collector.pipeline import Pipeline
from collector.rooms.registry import Room
from collector.snapshot import (
    AgentView,
    Health,
    IncidentView,
    OutageView,
    ReadingView,
    RoomView,
    SinkView,
    Snapshot,
    Trail,
)
from collector.storage.database import DatabaseRefused
from collector.storage.journal import Journal
from collector.watch import RoomWatch
from contract.names import role_of

_INCIDENTS_SHOWN = 20


class Feeding(Protocol):
    """What a picture shows of a sink's feeder."""

    @property
    def view(self) -> SinkView: ...  # noqa: D102 - as in Feeder


class PastIncidents(Protocol):
    """Where a room's incidents and outages are looked up."""

    def recent(self, room: str, limit: int) -> Sequence[Incident]: ...  # noqa: D102 - as in Cases
    def recent_outages(self, room: str, limit: int) -> Sequence[Outage]: ...  # noqa: D102


class Post(Protocol):
    """How many letters wait, and how many can never be sent."""

    def waiting_count(self) -> int: ...  # noqa: D102 - as in Outbox
    def refused_count(self) -> int: ...  # noqa: D102
    def addressees(self, incidents: Collection[str]) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102


class Portrait:
    """Keeps what costs something to look up between two pictures. One thread uses it."""

    def __init__(self, *, version: str, started_s: float, generation: str) -> None:
        self._version = version
        self._started_s = started_s
        self._generation = generation
        self._incidents: dict[str, tuple[IncidentView, ...]] = {}
        self._unread: set[str] = set()
        self._outages: dict[str, tuple[OutageView, ...]] = {}

    def take(
        self,
        pipeline: Pipeline,
        now: float,
        *,
        cases: PastIncidents,
        post: Post,
        feeders: Sequence[Feeding],
        journal: Journal,
        changed: Sequence[str],
        mail_proved_s: float | None,
    ) -> Snapshot:
        """The picture at `now`; `changed` names the rooms whose incidents, or who was told of them, have changed."""
        self._unread |= (pipeline.watch.rooms.keys() - self._incidents.keys()) | set(changed)
        with contextlib.suppress(DatabaseRefused):  # which is a problem noted elsewhere; the past is read again
            for room in tuple(self._unread):
                incidents = cases.recent(room, _INCIDENTS_SHOWN)
                heard = post.addressees([one.incident for one in incidents]) if incidents else {}
                self._incidents[room] = tuple(_incident(one, heard.get(one.incident, ())) for one in incidents)
                self._outages[room] = tuple(_outage(one) for one in cases.recent_outages(room, _INCIDENTS_SHOWN))
                self._unread.discard(room)
        rooms = tuple(
            self._room(room, watched, pipeline)
            for name, room in sorted(pipeline.view.rooms.items())
            if (watched := pipeline.watch.rooms.get(name)) is not None
        )
        health = Health(
            started_s=self._started_s,
            version=self._version,
            generation=self._generation,
            broker_connected=pipeline.broker_connected,
            problems=tuple(sorted(pipeline.problems)),
            batches_total=pipeline.counts.batches_total,
            records_total=pipeline.counts.records_total,
            quarantined_total=journal.quarantined_total(),
            duplicates_total=pipeline.counts.duplicates_total,
            journal_bytes=journal.size_bytes(),
            journal_last_id=journal.last_id(),
            sinks=tuple(feeder.view for feeder in feeders),
            outbox_waiting_count=post.waiting_count(),
            outbox_refused_count=post.refused_count(),
            mail_proved_s=mail_proved_s,
        )
        return Snapshot(taken_s=now, rooms=rooms, health=health)

    def _room(self, room: Room, watched: RoomWatch, pipeline: Pipeline) -> RoomView:
        contacts = pipeline.view.contacts.get(room.room, ())
        present = [one for one in contacts if one.until_s is None]
        return RoomView(
            room=room.room,
            name=room.name,
            place=room.place,
            contact=", ".join(one.name or one.address for one in present),
            verdict=watched.verdict,
            agents=tuple(_agent(name, pipeline.books.get(name)) for name in pipeline.view.agents_in(room.room)),
            readings=tuple(
                ReadingView(
                    probe=probe,
                    target=target,
                    role=role_of(target),
                    outcome=latest.reading.outcome,
                    values=latest.reading.values,
                    measured_s=latest.measured_s,
                    detail=latest.reading.detail,
                )
                for (probe, target), latest in sorted(watched.latest.items())
            ),
            trails=tuple(
                Trail(probe=probe, target=target, value=value, points=tuple(points))
                for (probe, target, value), points in sorted(watched.trails.items())
            ),
            incidents=self._incidents.get(room.room, ()),
            levels=tuple(watched.levels),
            outages=self._outages.get(room.room, ()),
            silent_after_s=watched.silent_after_s,
        )


def _agent(name: str, book: AgentBook | None) -> AgentView:
    if book is None:
        return AgentView(agent=name, online=None)
    return AgentView(
        agent=name,
        online=book.online,
        reason=book.reason,
        version=book.version,
        last_heard_s=book.heard_s,
        clock_offset_s=book.offset_s,
        backlog_count=book.backlog_count,
        dropped_total=book.dropped_count,
        trouble=book.trouble,
    )


def _incident(one: Incident, told: tuple[str, ...]) -> IncidentView:
    codes = dict.fromkeys([*(finding.code for finding in one.first_findings), *one.codes])
    return IncidentView(
        incident=one.incident,
        level=one.worst,
        codes=tuple(codes),
        opened_s=one.opened_s,
        ended_s=one.ended_s,
        told=told,
    )


def _outage(one: Outage) -> OutageView:
    why = one.explanation
    return OutageView(
        since_s=one.silence.since_s,
        until_s=one.silence.until_s,
        cause=why.cause,
        certainty=why.certainty.name,
        evidence=why.evidence,
        against=why.against,
    )
