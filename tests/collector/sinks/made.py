"""Journal entries and samples for the tests of sinks, and a clock that a test moves."""

from collections.abc import Iterable
from pathlib import Path

from collector.sample import Sample
from collector.storage.journal import Journal, Kept
from contract.moment import Moment
from contract.reading import Reading, Record

BEGAN_S = 1_790_000_000.0
MOMENT = Moment(boot="boot-1", mono_s=5.0, wall_s=BEGAN_S)


class HandClock:
    """Stands until it is moved; both of its times go together."""

    def __init__(self, wall_s: float = BEGAN_S) -> None:
        self._moment = Moment(boot="test", mono_s=1000.0, wall_s=wall_s)

    def now(self) -> Moment:
        return self._moment

    def move(self, by_s: float) -> None:
        was = self._moment
        self._moment = Moment(boot=was.boot, mono_s=was.mono_s + by_s, wall_s=was.wall_s + by_s)


def kept(
    *readings: Reading,
    number: int = 1,
    agent: str = "pc-1",
    room: str = "room-1",
    province: str = "lao-cai",
    taken_s: float = BEGAN_S,
) -> Kept:
    record = Record(taken=MOMENT, readings=readings)
    return Kept(number, agent, "epoch123", number, room, province, taken_s, taken_s, sure=True, record=record)


def minute(number: int, *, rooms: int = 1) -> list[Kept]:
    """What the agents of some rooms bring in one minute: two readings of three fields, with their outcome codes."""
    return [
        kept(
            Reading(probe="ping", target="gateway", values={"rtt_avg_ms": 1.5 + number, "sent_count": 10}),
            Reading(probe="ping", target="camera-1", values={"rtt_avg_ms": 0.5, "sent_count": number}, before_s=2.5),
            number=number,
            agent=f"pc-{room}",
            room=f"room-{room}",
            taken_s=BEGAN_S + 60 * number,
        )
        for room in range(1, rooms + 1)
    ]


VALUES_PER_RECORD = 6


def journal_of(folder: Path, entries: Iterable[Kept] = ()) -> Journal:
    """A real journal with these entries."""
    journal = Journal(folder / "journal.sqlite")
    keep(journal, entries)
    return journal


def keep(journal: Journal, entries: Iterable[Kept]) -> None:
    with journal.transaction():
        for entry in entries:
            assert journal.keep(entry)


def sample(measured_s: float = BEGAN_S, *, room: str = "room-1", target: str = "gateway", **fields: float) -> Sample:
    return Sample(
        room=room,
        agent="pc-1",
        province="lao-cai",
        measurement="ping",
        target=target,
        role="gateway",
        reason="",
        measured_ms=round(measured_s * 1000),
        fields=dict(fields or {"rtt_avg_ms": 1.5, "sent_count": 10}),
    )
