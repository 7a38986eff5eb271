"""Keeps what we made of the readings the way readings are kept: once a minute, and whenever a level changes."""

import logging
import sqlite3
from collections.abc import Mapping
from typing import Final

from collector.derived import OWN_NAME
from collector.line.book import AgentBook
from collector.line.keeper import REFUSES
from collector.outages import Outage
from collector.rooms.registry import RegistryView
from collector.storage.journal import Journal, Kept
from collector.watch import Review
from contract.moment import Moment
from contract.reading import Reading, Record

log = logging.getLogger(__name__)

Values = dict[str, int | float]
_EVERY_S: Final = 60.0


class OwnSeries:
    """Writes verdicts, findings, outages and how the agents are; `problems` hears of a journal that refuses."""

    def __init__(self, journal: Journal, *, generation: str, problems: set[str]) -> None:
        self._journal = journal
        self._generation = generation
        self._problems = problems
        self._seq = 0
        self._minute = float("-inf")

    def clock_stepped(self) -> None:
        """Our own clock was set: the minute is another one."""
        self._minute = float("-inf")

    def keep(self, review: Review, view: RegistryView, books: Mapping[str, AgentBook], now: float) -> None:
        """Keep what a review found: of all rooms when a minute is over, else of those of which something is new."""
        minute = now // _EVERY_S  # by the clock's minutes, so that an hour has sixty verdicts
        is_due, self._minute = minute != self._minute, minute
        outages = {one.room: one for one in review.outages}
        rooms = review.verdicts if is_due else {*review.changed, *outages}
        try:
            with self._journal.transaction():
                for name in rooms:
                    readings = _readings_of(name, review, outages.get(name))
                    for agent in view.agents_in(name):
                        if book := books.get(agent):
                            readings.append(Reading(probe="agent", target=agent, values=book.values()))
                    found = view.rooms.get(name)
                    self._keep(name, found.province if found else "", readings, now)
        except sqlite3.Error:
            log.exception("the journal refused our own verdicts")
            self._problems.add(REFUSES)

    def _keep(self, room: str, province: str, readings: list[Reading], now: float) -> None:
        while readings:  # two findings of one target need two records: a record holds each probe and target once
            unique = {(reading.probe, reading.target): reading for reading in reversed(readings)}
            readings = [reading for reading in readings if reading not in unique.values()]
            self._seq += 1
            taken = Moment(boot=self._generation, mono_s=0.0, wall_s=now)
            record = Record(taken=taken, readings=tuple(unique.values()))
            self._journal.keep(
                Kept(0, OWN_NAME, self._generation, self._seq, room, province, now, now, sure=True, record=record)
            )


def _readings_of(room: str, review: Review, outage: Outage | None) -> list[Reading]:
    verdict = review.verdicts[room]
    top = verdict.findings[0].code if verdict.findings else ""
    level: Values = {"level_code": verdict.level.value, "findings_count": len(verdict.findings)}
    readings = [Reading(probe="verdict", target="room", values=level, detail=top)]
    for finding in verdict.findings:
        values: Values = {"level_code": finding.level.value}
        readings.append(Reading(probe="finding", target=finding.target or "room", values=values, detail=finding.code))
    return readings if outage is None else [*readings, _outage_reading(outage)]


def _outage_reading(outage: Outage) -> Reading:
    why = outage.explanation
    values: Values = {"cause_code": why.cause.number, "certainty_code": why.certainty.value}
    if (lasted_s := outage.silence.lasted_s) is not None:
        values["lasted_s"] = lasted_s
    return Reading(probe="outage", target="room", values=values, detail=why.cause)
