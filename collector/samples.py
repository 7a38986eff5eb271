"""Turns a journaled record into samples: typed, tag-safe, or refused and counted. Pure."""

import math
from functools import lru_cache
from typing import Final, NamedTuple

from collector.derived import OWN_NAME, WHOLE_ROOM, derived
from collector.sample import Sample
from collector.sinks.sink import Refused
from collector.storage.journal import Kept
from contract.names import is_probe_name, is_tag, is_target, role_of
from contract.reading import Reading
from contract.units import unit_of

OUTCOME: Final = "outcome_code"
"""The field that every reading of an agent has, however its attempt ended."""
_LARGEST: Final = 1e18
_LAST_MS: Final = 4_102_444_800_000  # 2100-01-01: what is later, or before 1970, is no time


SERIES_MAX_COUNT: Final = 5000


class SeriesLimit:
    """Counts the series of each agent: a flood of new names must not drown the database. One thread uses it."""

    def __init__(self, most: int = SERIES_MAX_COUNT) -> None:
        self._most = most
        self._known: dict[str, set[tuple[str, str, str]]] = {}

    def sift(self, made: "Made") -> "Made":
        """The samples without the fields of series that are one too many, and those among what is refused."""
        over = [sample for sample in made.samples if self._is_over(sample)]
        if not over:
            return made
        kept: list[Sample] = []
        refused = list(made.refused)
        for sample in made.samples:
            known = self._known[sample.agent]
            fields = {
                name: value
                for name, value in sample.fields.items()
                if (sample.measurement, sample.target, name) in known
            }
            if fields:
                kept.append(sample._replace(fields=fields))
            refused += [
                Refused(
                    f"{sample.agent} {sample.measurement} {sample.target} {name}", "one series too many of this agent"
                )
                for name in sample.fields.keys() - fields.keys()
            ]
        return Made(kept, refused)

    def _is_over(self, sample: Sample) -> bool:
        """Note the sample's series; whether one of them is one too many. The collector's own are not counted."""
        if sample.agent == OWN_NAME:
            return False
        known = self._known.setdefault(sample.agent, set())
        over = False
        for name in sample.fields:
            series = (sample.measurement, sample.target, name)
            if series not in known:
                if len(known) >= self._most:
                    over = True
                else:
                    known.add(series)
        return over


class Made(NamedTuple):
    """The samples of a record, and what could not become one (a whole reading, or one value of it)."""

    samples: list[Sample]
    refused: list[Refused]


def samples_of(kept: Kept) -> Made:
    """One sample for each reading: its values as fields, and for an agent's reading the code of its outcome.

    A value whose name ends in no known unit is left out, and so is a number that is not finite or beyond 1e18; a
    reading with a name that is not safe as a tag is refused whole. Room and province may be unknown (empty).
    """
    made = Made([], [])
    for reading in kept.record.readings:
        why = _fault(kept, reading)
        if why:
            made.refused.append(_refused(kept, reading, "", why))
        else:
            _add(kept, reading, made)
    return made


def _add(kept: Kept, reading: Reading, made: Made) -> None:
    own = kept.agent == OWN_NAME
    fields: dict[str, int | float] = {}
    for name, value in reading.values.items():
        why = _fault_of_value(name, value)
        if why:
            made.refused.append(_refused(kept, reading, name, why))
        elif _is_whole(name):
            fields[name] = round(value)
        else:
            fields[name] = float(value)
    if not own:
        fields[OUTCOME] = reading.outcome.code
    if fields:
        target = reading.target
        made.samples.append(
            Sample(
                room=kept.room,
                agent=kept.agent,
                province=kept.province,
                measurement=reading.probe,
                target=target,
                role="" if own and (target == WHOLE_ROOM or reading.probe == "agent") else role_of(target),
                reason=reading.detail if own else "",
                measured_ms=_measured_ms(kept, reading),
                fields=fields,
            )
        )


def _fault(kept: Kept, reading: Reading) -> str:
    """Why a reading cannot become a sample; empty when it can."""
    if not is_probe_name(reading.probe):
        return "the probe's name is not one"
    if not is_target(reading.target):
        return "the target's name is not one"
    if not is_tag(kept.agent) or not all(is_tag(text) for text in (kept.room, kept.province) if text):
        return "agent, room or province is not safe as a tag"
    if kept.agent == OWN_NAME:
        if derived(reading.probe) is None:
            return "no derived measurement of this name"
        if reading.detail and not is_tag(reading.detail):
            return "the reason is not safe as a tag"
    elif derived(reading.probe) is not None:
        return "only the collector may write this measurement"  # else an agent could forge its room's verdict
    moment_s = kept.taken_s - reading.before_s
    if not math.isfinite(moment_s) or not 0 <= moment_s * 1000 <= _LAST_MS:
        return "its time is none"
    return ""


def _fault_of_value(name: str, value: float) -> str:
    if not _is_field(name):
        return "its name ends in no known unit"
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return "not a number that a database can hold"
    if name == OUTCOME:
        return "the collector writes this field itself"
    return ""


def _measured_ms(kept: Kept, reading: Reading) -> int:
    return round((kept.taken_s - reading.before_s) * 1000)


def _refused(kept: Kept, reading: Reading, value: str, why: str) -> Refused:
    return Refused(f"{kept.agent} {kept.epoch} {kept.seq} {reading.probe} {reading.target} {value}".rstrip(), why)


@lru_cache(maxsize=4096)  # the names of all values there are, many times over
def _is_field(name: str) -> bool:
    return is_tag(name) and name.replace("_", "a").isalnum() and unit_of(name) is not None


@lru_cache(maxsize=4096)
def _is_whole(name: str) -> bool:
    unit = unit_of(name)
    return unit is not None and unit.whole
