"""What the pages show: a frozen picture of the pipeline's state, replaced whole after each review."""

import msgspec

from contract.outcome import Outcome
from readiness.verdict import Level, Verdict


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """The latest live reading of one probe and target; `measured_s` is its true time (Unix seconds)."""

    probe: str
    target: str
    role: str
    outcome: Outcome
    values: dict[str, int | float]
    measured_s: float
    detail: str = ""


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """The recent past of one value for a small chart: (Unix seconds, number), oldest first, at most 180 points."""

    probe: str
    target: str
    value: str
    points: tuple[tuple[float, float], ...]


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of a room. `online` is None before its first word; `last_heard_s` is the collector's arrival time."""

    agent: str
    online: bool | None
    reason: str = ""
    version: str = ""
    last_heard_s: float | None = None
    clock_offset_s: float | None = None
    backlog_count: int = 0
    dropped_total: int = 0
    trouble: str = ""


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """One incident of a room, open (`ended_s` None) or past."""

    incident: str
    level: Level
    codes: tuple[str, ...]
    opened_s: float
    ended_s: float | None
    told: tuple[str, ...] = ()


class OutageView(msgspec.Struct, frozen=True, kw_only=True):
    """One silence of a room and its explanation (catalogue codes); `until_s` is None while it lasts."""

    since_s: float
    until_s: float | None
    cause: str
    certainty: str
    evidence: tuple[str, ...]
    against: tuple[str, ...]


class RoomView(msgspec.Struct, frozen=True, kw_only=True):
    """One room. `place` runs from the province down to the school; `levels` is its recent past, oldest first."""

    room: str
    name: str
    place: tuple[str, ...]
    contact: str
    verdict: Verdict | None
    agents: tuple[AgentView, ...]
    readings: tuple[ReadingView, ...]
    trails: tuple[Trail, ...]
    incidents: tuple[IncidentView, ...]
    levels: tuple[tuple[float, Level], ...]
    outages: tuple[OutageView, ...] = ()
    silent_after_s: float = 180.0
    """How long it may say nothing before it counts as lost."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the collector itself is. A problem is a catalogue code (`health.<code>`)."""

    started_s: float
    version: str
    generation: str
    broker_connected: bool
    problems: tuple[str, ...]
    batches_total: int
    records_total: int
    quarantined_total: int
    duplicates_total: int
    journal_bytes: int
    journal_last_id: int
    sinks: tuple["SinkView", ...]
    outbox_waiting_count: int
    outbox_refused_count: int
    mail_proved_s: float | None = None
    """When a daily mail was last taken: that letters leave is known since then, and never without."""


class SinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One sink: how far behind the journal it is, and what it refused."""

    name: str
    behind_count: int
    refused_total: int
    trouble: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at `taken_s` (Unix seconds, the collector's clock). Rooms in order of their ids."""

    taken_s: float
    rooms: tuple[RoomView, ...]
    health: Health
