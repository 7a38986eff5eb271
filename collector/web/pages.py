"""What each page shows, picked from a snapshot and put in order; the templates only lay it out."""

import itertools
import statistics
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from collector.snapshot import IncidentView, ReadingView, RoomView, Snapshot, Trail
from readiness.verdict import Level, worst

BY_NEED = tuple(sorted(Level, key=lambda level: -level.severity))
"""UNFIT, UNKNOWN, DEGRADED, FIT: whoever needs somebody stands first."""

STALE_AFTER_S = 120.0
"""A picture older than this is shown with a warning: the collector reviews rooms every few seconds."""

_OLD_AFTER_PAUSES = 3.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The rooms of one level, those that changed last first; the fit ones in order of place."""

    level: Level
    rooms: tuple[RoomView, ...]


class Province(msgspec.Struct, frozen=True, kw_only=True):
    """One province of the filter: how many of its rooms are not fit, and the worst level among all of them."""

    name: str
    needing_count: int
    level: Level


class Wall(msgspec.Struct, frozen=True, kw_only=True):
    """All rooms, or those of one province. `counts` has every level, in order of need."""

    chosen: str
    provinces: tuple[Province, ...]
    counts: tuple[tuple[Level, int], ...]
    groups: tuple[Group, ...]
    rooms_count: int
    fit_count: int


def level_of(room: RoomView) -> Level:
    """The room's level; without any verdict it is UNKNOWN."""
    return Level.UNKNOWN if room.verdict is None else room.verdict.level


def province_of(room: RoomView) -> str:
    """The room's province, or an empty text when its place is not known."""
    return room.place[0] if room.place else ""


def wall(rooms: Sequence[RoomView], province: str) -> Wall:
    """The wall of rooms; `province` narrows it unless empty."""
    shown = [room for room in rooms if not province or province_of(room) == province]
    by_level: dict[Level, list[RoomView]] = {level: [] for level in BY_NEED}
    for room in shown:
        by_level[level_of(room)].append(room)
    for level, found in by_level.items():
        found.sort(key=_by_place if level is Level.FIT else _by_change)
    levels_of: defaultdict[str, list[Level]] = defaultdict(list)
    for room in rooms:
        levels_of[province_of(room)].append(level_of(room))
    return Wall(
        chosen=province,
        provinces=tuple(
            Province(
                name=name,
                needing_count=sum(one is not Level.FIT for one in levels_of[name]),
                level=worst(levels_of[name]),
            )
            for name in sorted(levels_of, key=_sorting)
            if name
        ),
        counts=tuple((level, len(found)) for level, found in by_level.items()),
        groups=tuple(Group(level=level, rooms=tuple(found)) for level, found in by_level.items() if found),
        rooms_count=len(shown),
        fit_count=len(by_level[Level.FIT]),
    )


def _by_change(room: RoomView) -> tuple[float, str]:
    return (0.0 if room.verdict is None else -room.verdict.since_s, room.room)


def _by_place(room: RoomView) -> tuple[list[str], str]:
    return ([_sorting(part) for part in room.place], room.room)


def _sorting(text: str) -> str:
    """Puts Đ after D, where plain code points would put it after Z."""
    return text.casefold().replace("đ", "d\uffff")


def room_of(snapshot: Snapshot, room_id: str) -> RoomView | None:
    """The room with this id."""
    return next((room for room in snapshot.rooms if room.room == room_id), None)


def limit_for(trail: Trail, room: RoomView) -> float | None:
    """The limit that a finding of the room names for what the trail shows."""
    for finding in () if room.verdict is None else room.verdict.findings:
        if finding.value == trail.value and finding.target == trail.target:
            return finding.needed
    return None


def is_old(trail: Trail, room: RoomView, now_s: float) -> bool:
    """Whether its last point tells of the past: older than the room's silence, and than this value's own rhythm."""
    pauses = [later[0] - earlier[0] for earlier, later in itertools.pairwise(trail.points)]
    rhythm_s = _OLD_AFTER_PAUSES * statistics.median(pauses) if pauses else 0.0
    return now_s - trail.points[-1][0] > max(room.silent_after_s, rhythm_s)


def incidents_of(room: RoomView) -> list[IncidentView]:
    """The open ones first, then the past ones; in each the newest first."""
    return sorted(room.incidents, key=lambda incident: (incident.ended_s is not None, -incident.opened_s))


def readings_of(room: RoomView) -> list[ReadingView]:
    """By target, then by probe."""
    return sorted(room.readings, key=lambda reading: (reading.target, reading.probe))
