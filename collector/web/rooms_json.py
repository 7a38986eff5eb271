"""The state of all rooms for other programs, at /rooms.json: a shape that only ever grows."""

import msgspec

from collector.snapshot import RoomView, Snapshot
from collector.web.words import Words
from readiness.verdict import Finding, Level


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence in both languages."""

    vi: str
    en: str


class FindingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One reason. `measured` and `needed` are in the unit that `value` ends in; null when the reason is no number."""

    code: str
    level: str
    level_code: int
    target: str
    since_s: float
    sentence: Told
    action: Told
    value: str
    measured: float | None
    needed: float | None


class AgentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the room; what it has not told yet is null."""

    agent: str
    online: bool | None
    version: str
    last_heard_s: float | None
    clock_offset_s: float | None
    backlog_count: int
    dropped_total: int


class RoomDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One room. `place` runs from the province down; without any verdict the level is UNKNOWN and `since_s` null."""

    room: str
    name: str
    place: tuple[str, ...]
    level: str
    level_code: int
    since_s: float | None
    judged_s: float | None
    profile: str
    findings: tuple[FindingDocument, ...]
    agents: tuple[AgentDocument, ...]


class RoomsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. All times are Unix seconds by the collector's clock; `taken_s` is null before the first
    review. `level` is FIT, DEGRADED, UNFIT or UNKNOWN, `level_code` its published number 0, 1, 2 or 3.
    """

    taken_s: float | None
    rooms: tuple[RoomDocument, ...]


def rooms_document(snapshot: Snapshot | None) -> RoomsDocument:
    """All rooms in order of their ids; none before the first review."""
    if snapshot is None:
        return RoomsDocument(taken_s=None, rooms=())
    vi, en = Words("vi", snapshot.taken_s), Words("en", snapshot.taken_s)
    return RoomsDocument(
        taken_s=snapshot.taken_s, rooms=tuple(_room(room, vi, en) for room in snapshot.rooms)
    )  # fmt: skip


def _room(room: RoomView, vi: Words, en: Words) -> RoomDocument:
    verdict = room.verdict
    level = Level.UNKNOWN if verdict is None else verdict.level
    return RoomDocument(
        room=room.room,
        name=room.name,
        place=room.place,
        level=level.name,
        level_code=level.value,
        since_s=None if verdict is None else verdict.since_s,
        judged_s=None if verdict is None else verdict.judged_s,
        profile="" if verdict is None else verdict.profile,
        findings=() if verdict is None else tuple(_finding(finding, vi, en) for finding in verdict.findings),
        agents=tuple(
            AgentDocument(
                agent=agent.agent,
                online=agent.online,
                version=agent.version,
                last_heard_s=agent.last_heard_s,
                clock_offset_s=agent.clock_offset_s,
                backlog_count=agent.backlog_count,
                dropped_total=agent.dropped_total,
            )
            for agent in room.agents
        ),
    )


def _finding(finding: Finding, vi: Words, en: Words) -> FindingDocument:
    return FindingDocument(
        code=finding.code,
        level=finding.level.name,
        level_code=finding.level.value,
        target=finding.target,
        since_s=finding.since_s,
        sentence=Told(vi=vi.sentence(finding), en=en.sentence(finding)),
        action=Told(vi=vi.action(finding), en=en.action(finding)),
        value=finding.value,
        measured=finding.measured,
        needed=finding.needed,
    )
