"""The series that the collector makes itself, kept in the journal under its own name: verdicts, findings, agents."""

from typing import Final, NamedTuple

OWN_NAME: Final = "collector"
"""The agent under whose name derived records are kept; no agent at the broker's other end can have it."""


class DerivedValue(NamedTuple):
    """One number of a derived measurement: its name (with unit) and what it means."""

    name: str
    meaning: str


class Derived(NamedTuple):
    """One measurement of the collector's own. `reason` says what the tag `reason` holds, and is empty without one."""

    name: str
    meaning: str
    target: str
    reason: str
    values: tuple[DerivedValue, ...]


DERIVED: Final = (
    Derived(
        name="verdict",
        meaning="Whether a room is ready, once a minute and whenever its level changes.",
        target="always `room`",
        reason="code of the worst finding, absent when there is none",
        values=(
            DerivedValue("level_code", "0 fit, 1 degraded, 2 unfit, 3 unknown"),
            DerivedValue("findings_count", "reasons given, at most three"),
        ),
    ),
    Derived(
        name="finding",
        meaning="One reason for a verdict.",
        target="the target that the reason is about, `room` when it is the whole room",
        reason="code of the finding",
        values=(DerivedValue("level_code", "what the reason makes of the room: 1 degraded, 2 unfit, 3 unknown"),),
    ),
    Derived(
        name="outage",
        meaning="Why a room was silent, whenever something new is known about it.",
        target="always `room`",
        reason="cause, as [causes.md](causes.md) lists them",
        values=(
            DerivedValue("cause_code", "number of the cause, as causes.md lists them"),
            DerivedValue("certainty_code", "0 no witness, 1 likely, 2 confirmed by the room itself"),
            DerivedValue("lasted_s", "from the room's last word to its next; absent while it is silent"),
        ),
    ),
    Derived(
        name="agent",
        meaning="How the agents of a room are.",
        target="the agent's id",
        reason="",
        values=(
            DerivedValue("clock_offset_s", "how far the PC's clock is ahead of the collector's"),
            DerivedValue("backlog_count", "records that the agent still holds unsent"),
            DerivedValue("made_total", "readings that the agent stored since its spool began"),
            DerivedValue("dropped_total", "readings that the agent gave up unsent since its spool began"),
            DerivedValue("batch_bytes", "size of its latest message"),
            DerivedValue("lag_ms", "from the latest record's moment to its arrival"),
            DerivedValue("online_bool", "1 while the agent is connected, 0 when it said goodbye or was lost"),
        ),
    ),
)

_BY_NAME: Final = {one.name: one for one in DERIVED}
WHOLE_ROOM: Final = "room"
"""The target of what is said about no single thing."""


def derived(name: str) -> Derived | None:
    """The derived measurement of this name, if it is one."""
    return _BY_NAME.get(name)
