"""Keeps every incident and every outage: open ones across a restart, past ones for the rooms' pages."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, Column, Engine, Float, Index, String, Table, Text, delete, insert, or_, select, update

from collector.alerting.incident import ENDED_KEPT_S, Change, Incident
from collector.outages import Outage
from collector.storage.database import metadata

log = logging.getLogger(__name__)

KEPT_S: Final = 400 * 86400.0
"""A school year and the summer after it."""

_incident: Final = Table(
    "incident",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("room", String(32), nullable=False),
    Column("opened_s", Float, nullable=False),
    Column("ended_s", Float, index=True),
    Column("body", Text, nullable=False),
    Index("incident_of_room", "room", "opened_s"),
)
"""`body` is the Incident as JSON; the columns beside it are only for looking it up. No tie to the room's table: what
happened in a room is kept when the room is not.
"""


_outage: Final = Table(
    "outage",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("room", String(32), nullable=False),
    Column("since_s", Float, nullable=False),
    Column("is_settled", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Index("outage_of_room", "room", "since_s"),
    Index("outage_unsettled", "is_settled"),
)
"""`body` is the Outage as JSON."""


class Cases:
    """All incidents and outages in a database. Times are Unix seconds; a method is one transaction, from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, changes: Iterable[Change]) -> None:
        """Keep incidents as they are now; the last change to one wins."""
        latest = {change.incident.incident: change for change in changes}
        with self._engine.begin() as connection:
            for change in latest.values():
                row = _row(change.incident)
                done = connection.execute(update(_incident).where(_incident.c.id == row["id"]).values(row))
                if not done.rowcount:
                    connection.execute(insert(_incident).values(row))
            if latest:
                oldest_s = max(change.at_s for change in latest.values()) - KEPT_S
                connection.execute(delete(_incident).where(_incident.c.ended_s < oldest_s))

    def unfinished(self, now: float) -> tuple[Incident, ...]:
        """Open ones, and those that ended so lately that letters may be owed, oldest first."""
        wanted = or_(_incident.c.ended_s.is_(None), _incident.c.ended_s >= now - ENDED_KEPT_S)
        with self._engine.connect() as connection:
            rows = connection.execute(select(_incident).where(wanted).order_by(_incident.c.opened_s)).mappings()
            return tuple(_read(rows))

    def recent(self, room: str, limit: int) -> tuple[Incident, ...]:
        """At most `limit` incidents of a room, open or past, the newest first."""
        asked = select(_incident).where(_incident.c.room == room).order_by(_incident.c.opened_s.desc()).limit(limit)
        with self._engine.connect() as connection:
            return tuple(_read(connection.execute(asked).mappings()))

    def save_outages(self, outages: Iterable[Outage]) -> None:
        """Keep outages as they are now."""
        latest = {one.outage: one for one in outages}
        with self._engine.begin() as connection:
            for one in latest.values():
                row = {
                    "id": one.outage,
                    "room": one.room,
                    "since_s": one.silence.since_s,
                    "is_settled": one.is_settled,
                    "body": msgspec.json.encode(one).decode(),
                }
                if not connection.execute(update(_outage).where(_outage.c.id == one.outage).values(row)).rowcount:
                    connection.execute(insert(_outage).values(row))
            if latest:
                oldest_s = max(one.silence.since_s for one in latest.values()) - KEPT_S
                connection.execute(delete(_outage).where(_outage.c.since_s < oldest_s))

    def unsettled_outages(self, now: float) -> tuple[Outage, ...]:
        """Those not explained for good, oldest first; one that began long ago never will be."""
        wanted = (_outage.c.is_settled.is_(False), _outage.c.since_s >= now - KEPT_S)
        with self._engine.connect() as connection:
            rows = connection.execute(select(_outage).where(*wanted).order_by(_outage.c.since_s)).mappings()
            return tuple(_read_outages(rows))

    def recent_outages(self, room: str, limit: int) -> tuple[Outage, ...]:
        """At most `limit` outages of a room, the newest first."""
        asked = select(_outage).where(_outage.c.room == room).order_by(_outage.c.since_s.desc()).limit(limit)
        with self._engine.connect() as connection:
            return tuple(_read_outages(connection.execute(asked).mappings()))


def _row(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.incident,
        "room": incident.room,
        "opened_s": incident.opened_s,
        "ended_s": incident.ended_s,
        "body": msgspec.json.encode(incident).decode(),
    }


def _read(rows: Iterable[Mapping[Any, Any]]) -> Iterator[Incident]:
    for row in rows:
        try:
            yield msgspec.json.decode(row["body"], type=Incident)
        except msgspec.DecodeError as error:
            # Left by another version. Without this one the collector starts; with it, it never would.
            log.error("incident %s in the database cannot be read, passing it over: %s", row["id"], error)  # noqa: TRY400 - no fault of this code


def _read_outages(rows: Iterable[Mapping[Any, Any]]) -> Iterator[Outage]:
    for row in rows:
        try:
            yield msgspec.json.decode(row["body"], type=Outage)
        except msgspec.DecodeError as error:
            log.error("outage %s in the database cannot be read, passing it over: %s", row["id"], error)  # noqa: TRY400 - left by another version, no fault of this code
