"""Knows what really happened, and holds delivery and time to what docs/protocol.md promises."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from collector.inlet import BatchArrival
from collector.storage.journal import Gap, Kept
from contract.moment import Moment
from contract.reading import Record
from tests.simulation.agent_disk import AnySpool, EpochRows
from tests.simulation.engine import Engine

Key = tuple[str, str, int]
"""Agent, epoch, number."""

LIVE_WITHIN_S = 15.0
_CALM_BEFORE_S = 60.0
_PROMPT_S = 1.0
_RECENT_S = 1800.0
_RIGHT_WITHIN_S = 2.0
_DRIFT_ALLOWED = 1.5e-4
_UNNOTICED_S = 2100.0
_UNNOTICED_BATCHES = 7


class Broken(AssertionError):
    """A promise was broken."""


class Boot(NamedTuple):
    """One boot of one PC, as it truly was."""

    booted_s: float
    mono_at_boot_s: float
    rate: float

    def true_s(self, taken: Moment) -> float:
        return self.booted_s + (taken.mono_s - self.mono_at_boot_s) / self.rate


class Heard:
    """What the collector has heard of one boot, since its clock was last set."""

    def __init__(self, era: int, first_s: float) -> None:
        self.era = era
        self.first_s = first_s
        self.last_s = first_s
        self.count = 0
        self.prompt_s = float("-inf")


class Figures:
    """What the run shows besides that nothing broke."""

    def __init__(self) -> None:
        self.stored_count = 0
        self.kept_count = 0
        self.known_count = 0
        self.unsure_count = 0
        self.worst_known_s = 0.0
        self.dropped_count = 0
        self.declared_count = 0
        self.lost_with_disk_count = 0
        self.live_count = 0


class _Mine:
    """One agent."""

    def __init__(self) -> None:
        self.epochs: dict[str, EpochRows] = {}  # held by the spool that is open, or was when it was closed
        self.low: dict[str, int] = {}
        self.acked: dict[str, int] = {}
        self.dropped: set[Key] = set()  # given up unacknowledged, at any time
        self.let_go: set[Key] = set()  # deleted after it was acknowledged
        self.gone_with_disk: set[Key] = set()
        self.dropped_readings: dict[str, int] = {}  # by epoch, on the disk as it is now
        self.disturbed_s = float("-inf")


class Truth:
    """One world's truth. Raises Broken at the first promise that is not kept."""

    def __init__(self, engine: Engine, agents: Iterable[str]) -> None:
        self._engine = engine
        self._mine = {agent: _Mine() for agent in agents}
        self.stored_records: dict[Key, Record] = {}
        self.journal: dict[Key, Kept] = {}  # durable at the collector now
        self.gaps: dict[tuple[str, str], list[Gap]] = {}
        self._boots: dict[str, Boot] = {}
        self._ever_arrived: set[str] = set()
        self._heard: dict[tuple[str, str], Heard] = {}
        self._era = 0
        self._is_noticed = True
        self._was_stepped = False
        self.was_restored = False
        self._forgotten: set[Key] = set()
        self._declared_once: set[Key] = set()
        self.figures = Figures()
        self._count = 0
        self.is_clear: Callable[[str], bool] = lambda _: True
        """Whether an agent's way to the collector is open now."""

    def next_count(self) -> int:
        """A number that no other record of the run has: what a record holds tells which one it is."""
        self._count += 1
        return self._count

    # What befalls the ways.

    def disturb(self, agent: str) -> None:
        """Something keeps this agent's records from arriving at once."""
        self._mine[agent].disturbed_s = self._engine.now_s

    def disturb_all(self) -> None:
        for agent in self._mine:
            self.disturb(agent)

    # The agents.

    def booted(self, boot: str, booted_s: float, mono_at_boot_s: float, rate: float) -> None:
        self._boots[boot] = Boot(booted_s, mono_at_boot_s, rate)

    def opened(self, agent: str, spool: AnySpool) -> None:
        """A process has opened the spool: what it finds there must be what was left there."""
        mine = self._mine[agent]
        held = {epoch.epoch: epoch for epoch in spool.epochs}
        before, mine.epochs = mine.epochs, held
        for name, epoch in held.items():
            mine.low.setdefault(name, epoch.low)
            mine.acked.setdefault(name, epoch.acked_upto)
            if epoch.acked_upto != mine.acked[name]:
                self._break(f"{agent} {name}: acknowledged to {epoch.acked_upto}, and before to {mine.acked[name]}")
            if name in before and epoch.low != mine.low[name] and epoch.low != epoch.next_seq:
                self._break(f"{agent} {name}: opened with {epoch.low} as its lowest, left with {mine.low[name]}")
        for name in before.keys() - held.keys():
            last = before[name].next_seq - 1
            if mine.low[name] <= last:
                self._break(f"{agent} {name}: lost {mine.low[name]} to {last} by opening the spool")
        for epoch in spool.epochs:
            known = mine.dropped_readings.setdefault(epoch.epoch, epoch.dropped_count)
            if epoch.dropped_count != known:
                self._break(f"{agent} {epoch.epoch}: says that it dropped {epoch.dropped_count}, and dropped {known}")
            mine.gone_with_disk -= {(agent, epoch.epoch, seq) for seq in range(epoch.low, epoch.next_seq)}
        self._look(agent)

    def stored(self, agent: str, spool: AnySpool, seq: int, record: Record) -> None:
        """`put` has returned: from here on the record must not get lost."""
        key = (agent, spool.epochs[-1].epoch, seq)
        if self.stored_records.setdefault(key, record) is not record:
            self._break(f"{key}: given out a second time, for another record")
        self.figures.stored_count += 1
        self.changed(agent, spool)
        mine = self._mine[agent]
        stored_s = self._engine.now_s
        if mine.disturbed_s < stored_s - _CALM_BEFORE_S and self.is_clear(agent):
            self._engine.after(LIVE_WITHIN_S, lambda: self._check_live(mine, key, stored_s))

    def _check_live(self, mine: _Mine, key: Key, stored_s: float) -> None:
        if mine.disturbed_s < stored_s - _CALM_BEFORE_S:
            self.figures.live_count += 1
            if key not in self.journal:
                self._break(f"{key}: nothing disturbed it, and it was not there after {LIVE_WITHIN_S} s")

    def changed(self, agent: str, spool: AnySpool) -> None:
        """A process has done something to its spool."""
        held = {epoch.epoch: epoch for epoch in spool.epochs}
        mine = self._mine[agent]
        for name in held.keys() - mine.epochs.keys():
            mine.low[name], mine.acked[name], mine.dropped_readings[name] = 1, 0, 0
        mine.epochs |= held
        self._look(agent)
        mine.epochs = held

    def _look(self, agent: str) -> None:
        mine = self._mine[agent]
        for name, epoch in mine.epochs.items():
            for seq in range(mine.low[name], epoch.low):
                self._deleted(mine, (agent, name, seq), is_acked=seq <= epoch.acked_upto)
            mine.low[name] = epoch.low
            for seq in range(mine.acked[name] + 1, epoch.acked_upto + 1):
                self._acked((agent, name, seq))
            mine.acked[name] = epoch.acked_upto
            if epoch.dropped_count != mine.dropped_readings.setdefault(name, 0):
                self._break(
                    f"{agent} {name}: says that it dropped {epoch.dropped_count} readings,"
                    f" and dropped {mine.dropped_readings[name]}"
                )

    def _deleted(self, mine: _Mine, key: Key, *, is_acked: bool) -> None:
        if key not in self.stored_records:
            return  # put had not returned
        if is_acked:
            mine.let_go.add(key)
            return
        mine.dropped.add(key)
        readings_count = len(self.stored_records[key].readings)
        mine.dropped_readings[key[1]] = mine.dropped_readings.get(key[1], 0) + readings_count
        self.figures.dropped_count += readings_count

    def _acked(self, key: Key) -> None:
        is_known = key in self.journal or key in self._forgotten or self._is_in_gap(key)
        if key in self.stored_records and not is_known:
            self._break(f"{key}: acknowledged, and neither in the journal nor declared lost")

    def rolled_back(self, agent: str) -> None:
        """The disk is about to be as it was some time ago."""
        mine = self._mine[agent]
        mine.epochs = {}
        mine.low.clear()
        mine.acked.clear()
        mine.dropped_readings.clear()
        mine.gone_with_disk |= {key for key in self.stored_records if key[0] == agent}

    def check_pace(self, agent: str, sent: list[tuple[float, int]], backlog_bps: float) -> list[tuple[float, int]]:
        """Backlog batches of one process: monotonic time and bytes; those of the last minute come back."""
        now_s = sent[-1][0]
        recent = [one for one in sent if one[0] > now_s - 60.0]
        allowed_bytes = backlog_bps / 8 * 60.0
        if sum(size_bytes for _, size_bytes in recent[:-1]) > allowed_bytes + 1:
            self._break(f"{agent}: sent more than {allowed_bytes:.0f} bytes of backlog and one batch within a minute")
        return recent

    # The collector.

    def collector_started(self) -> None:
        """What it was about to find out of an unnoticed step is forgotten."""
        if not self._is_noticed:
            self._era += 1

    def clock_set(self, *, is_noticed: bool) -> None:
        """The collector's own clock was set."""
        self._era += 1
        self._is_noticed = self._is_noticed and is_noticed  # until a boot is settled, one that was not spoils the rest
        self._was_stepped = True

    def arrived(self, boot: str) -> None:
        """A batch written in this boot has come, whatever becomes of it."""
        self._ever_arrived.add(boot)

    def heard(self, arrival: BatchArrival, arrived_true_s: float) -> None:
        """A batch is being handled."""
        written = arrival.batch.now
        key = (arrival.agent, written.boot)
        heard = self._heard.get(key)
        if heard is None or heard.era != self._era:
            heard = self._heard[key] = Heard(self._era, arrived_true_s)
        late_s = arrived_true_s - self._boots[written.boot].true_s(written)
        heard.count += 1
        heard.last_s = arrived_true_s
        if late_s <= _PROMPT_S:
            heard.prompt_s = arrived_true_s

    def kept(self, rows: Sequence[tuple[Kept, float]]) -> None:
        """The journal has committed these, each with the true time of its arrival."""
        for row, at_s in rows:
            key = (row.agent, row.epoch, row.seq)
            stored = self.stored_records.get(key)
            if stored is None:
                self._break(f"{key}: in the journal, and never stored")
            elif not _is_same(stored, row.record):
                self._break(f"{key}: not what was stored: {row.record} instead of {stored}")
            if key in self.journal:
                self._break(f"{key}: kept a second time")
            if self._is_in_gap(key):
                self._break(f"{key}: kept, though it was declared lost")
            self.journal[key] = row
            self.figures.kept_count += 1
            self._check_time(row, at_s)

    def _check_time(self, row: Kept, arrived_true_s: float) -> None:
        key = (row.agent, row.epoch, row.seq)
        if row.taken_s > row.arrived_s:
            self._break(f"{key}: taken {row.taken_s - row.arrived_s} s after it arrived")
        if not row.sure:
            self.figures.unsure_count += 1
        elif row.record.taken.boot not in self._ever_arrived:
            self._break(f"{key}: no batch of its boot ever arrived, and yet its time is not marked as estimated")
        allowed_s = self._allowed_s(row, arrived_true_s)
        if allowed_s is None:
            return
        if not row.sure:
            self._break(f"{key}: its boot was heard of, and yet its time is marked as estimated")
        true_s = self._boots[row.record.taken.boot].true_s(row.record.taken)
        error_s = (row.taken_s - row.arrived_s) - (true_s - arrived_true_s)
        self.figures.known_count += 1
        self.figures.worst_known_s = max(self.figures.worst_known_s, abs(error_s))
        if abs(error_s) > allowed_s:
            self._break(f"{key}: placed {error_s:+.3f} s from the truth, where {allowed_s:.3f} s are allowed")

    def _allowed_s(self, row: Kept, arrived_true_s: float) -> float | None:
        """How wrong a record's time may be; None where it cannot be known.

        It can where a batch written in the record's boot came within a second, at most half an hour before the last one
        that was heard of that boot, and since our own clock was last set. Add what the PC's quartz drifted between the
        record and then.
        """
        heard = self._heard.get((row.agent, row.record.taken.boot))
        if heard is None or heard.era != self._era or heard.last_s - heard.prompt_s > _RECENT_S:
            return None
        if self._era and self._is_noticed and heard.count <= 2:
            return None  # of the first two one may have come in the moment of the step
        is_settled = heard.count > _UNNOTICED_BATCHES and arrived_true_s - heard.first_s > _UNNOTICED_S
        if not self._is_noticed and not is_settled:
            return None
        true_s = self._boots[row.record.taken.boot].true_s(row.record.taken)
        return _RIGHT_WITHIN_S + _DRIFT_ALLOWED * abs(heard.last_s - true_s)

    def declared(self, gaps: Iterable[Gap]) -> None:
        """The journal has committed that these are lost."""
        for gap in gaps:
            mine = self._mine[gap.agent]
            for seq in range(gap.first, gap.last + 1):
                key = (gap.agent, gap.epoch, seq)
                if key in self.journal:
                    self._break(f"{key}: declared lost, and in the journal")
                if key not in self.stored_records:
                    self._break(f"{key}: declared lost, and never stored")
                self._declared_once.add(key)
                if key not in mine.dropped and not (self.was_restored and key in mine.let_go):
                    self._break(f"{key}: declared lost, and never given up")
            self.gaps.setdefault((gap.agent, gap.epoch), []).append(gap)

    def _is_in_gap(self, key: Key) -> bool:
        return any(gap.first <= key[2] <= gap.last for gap in self.gaps.get(key[:2], ()))

    def restored(self, journal: dict[Key, Kept], gaps: Iterable[Gap]) -> None:
        """The collector has been put back from a backup."""
        self.was_restored = True
        self._forgotten |= self.journal.keys() - journal.keys()  # acks that say otherwise may still be under way
        self._era += 1
        self._is_noticed = self._is_noticed and not self._was_stepped  # a backup may be older than the step
        self.journal = journal
        self.gaps = {}
        for gap in gaps:
            self.gaps.setdefault((gap.agent, gap.epoch), []).append(gap)

    def restarted(self, found: AbstractSet[Key]) -> None:
        """The collector has opened its journal again: what was committed must be there."""
        if self.journal.keys() != found:
            self._break(f"{sorted(self.journal.keys() ^ found)[:5]}: committed and gone, or the reverse, by a restart")

    # The end.

    def undelivered(self) -> int:
        """How many records of any agent are held and not acknowledged."""
        return sum(
            epoch.next_seq - 1 - epoch.acked_upto
            for mine in self._mine.values()
            for epoch in mine.epochs.values()
            if epoch.low < epoch.next_seq
        )

    def not_drained(self, after_s: float) -> None:
        self._break(f"{self.undelivered()} records are still not acknowledged, {after_s:.0f} s after the last fault")

    def check_end(self) -> None:
        """All is quiet and everything has had time to arrive."""
        for key in self.stored_records:
            mine = self._mine[key[0]]
            is_declared = self._is_in_gap(key)
            self.figures.declared_count += is_declared
            if key in self.journal or is_declared:
                continue
            if key in mine.gone_with_disk:
                self.figures.lost_with_disk_count += 1
            elif not (self.was_restored and (key in mine.let_go or key in self._declared_once)):
                self._break(f"{key}: neither in the journal nor declared lost")

    def _break(self, what: str) -> None:
        raise Broken(f"{what} (at {self._engine.now_s:.3f})")


def _is_same(stored: Record, kept: Record) -> bool:
    """Whether the collector has what was stored, to the millisecond that the wire carries."""
    return (
        stored.taken.boot == kept.taken.boot
        and abs(stored.taken.mono_s - kept.taken.mono_s) < 1e-3
        and len(stored.readings) == len(kept.readings)
        and stored.readings[0].values == kept.readings[0].values
    )
