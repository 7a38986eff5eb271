"""Lets rooms be judged by what the journal refused: nobody is taken for silent because our disk is full. No I/O."""

from collections.abc import Iterator

from collector.inlet import BatchArrival
from collector.line.remembered import Remembered
from collector.rooms.registry import RegistryView
from collector.storage.journal import Kept


class Unkept:
    """Remembers up to where rooms were judged by records that are on no disk.

    They come again, to be kept; they are not judged by twice, for their time would be another by a few milliseconds.
    """

    def __init__(self) -> None:
        self.judged_seqs: Remembered[int] = Remembered()
        """By agent and epoch."""

    def of(self, arrival: BatchArrival, view: RegistryView) -> Iterator[Kept]:
        """What a refused batch of an agent of ours tells of the present."""
        agent, batch, now = arrival.agent, arrival.batch, arrival.arrived_s
        judged_seq = self.judged_seqs.get(agent, batch.epoch) or 0
        self.judged_seqs.put(agent, batch.epoch, max(judged_seq, batch.last))
        for seq, record in zip(range(batch.first, batch.last + 1), batch.records, strict=True):
            if seq > judged_seq and record.taken.boot == batch.now.boot:
                taken_s = min(now, now - (batch.now.mono_s - record.taken.mono_s))
                room = view.room_of(agent, taken_s)
                name, province = (room.room, room.province) if room else ("", "")
                yield Kept(0, agent, batch.epoch, seq, name, province, now, taken_s, sure=True, record=record)

    def is_judged(self, kept: Kept) -> bool:
        """Whether rooms were judged by a record before it could be kept."""
        return kept.seq <= (self.judged_seqs.get(kept.agent, kept.epoch) or 0)
