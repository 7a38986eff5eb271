"""Decides what to send next: the live record first, the backlog paced behind it, again what was never acknowledged.

A broker's ack means nothing here. A record counts as delivered when the collector says that it is on its own disk
(docs/protocol.md, "Delivery"). `Forwarder` is sans-IO: rows and acks in, packets out, `now` by argument.
"""

import math
import random
from collections.abc import Sequence
from typing import Annotated, Final, Protocol

import msgspec

from contract.batch import Batch
from contract.hours import Hours
from contract.messages import Ack
from contract.moment import Moment
from contract.reading import Record

BATCH_ROOM_BYTES: Final = 16 * 1024
"""Records for one batch, each packed alone. More in a batch saves little (4 % of the bytes), and a live record waits
for what is in flight before it: four batches are 11 s of a line of 32 kbit/s at the worst."""
LIVE_MAX_COUNT: Final = 10
LIVE_AGE_S: Final = 60.0
"""What was taken so long ago at most, and may be lost with a connection, is sent again before the backlog."""
BACKLOG_MAX_COUNT: Final = 240
FIRST_RESEND_S: Final = 20.0
LONGEST_RESEND_S: Final = 900.0
DEAF_AFTER_S: Final = 1800.0
_WINDOW_BATCHES: Final = 4
_LEAST_ROOM_BYTES: Final = 2 * 1024
_STRIDE_S: Final = 1.0
"""One batch of backlog is what the pace allows in about this time: it is no burst that a voice would wait for, and with
the window never more than some seconds of the pace are in flight, so that a live record soon overtakes them."""
_OVERHEAD_BYTES: Final = 250  # MQTT, TLS, TCP and IP around one batch and for its answers, counted against the pace
_HEADERS_RATIO: Final = 52 / 1448  # IP and TCP, with timestamps, around what one full segment carries
_DOUBLINGS_MAX: Final = 10


class Rows(Protocol):
    """What a Forwarder needs of one epoch of the spool."""

    @property
    def epoch(self) -> str: ...  # noqa: D102 - as in contract.spool.Epoch
    @property
    def low(self) -> int: ...  # noqa: D102
    @property
    def next_seq(self) -> int: ...  # noqa: D102
    @property
    def acked_upto(self) -> int: ...  # noqa: D102
    @property
    def made_count(self) -> int: ...  # noqa: D102
    @property
    def dropped_count(self) -> int: ...  # noqa: D102
    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]: ...  # noqa: D102
    def acknowledge(self, upto: int, *, mono_s: float) -> None: ...  # noqa: D102


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast old records may follow: bits per second on the wire, over any ten seconds and within one batch.

    In quiet hours none follow.
    """

    backlog_bps: Annotated[float, msgspec.Meta(gt=0)] = 64_000.0
    quiet_hours: Hours = Hours()

    @property
    def room_bytes(self) -> int:
        """How much one batch of backlog takes, its records packed alone."""
        return round(min(BATCH_ROOM_BYTES, max(_LEAST_ROOM_BYTES, self.backlog_bps / 8 * _STRIDE_S)))

    def weigh(self, size_bytes: int) -> float:
        """What a message of so many bytes is on the wire, headers and answers included."""
        return size_bytes * (1 + _HEADERS_RATIO) + _OVERHEAD_BYTES


class _Lane:
    """The way of one epoch: what of it is sent on this connection, and what of that is acknowledged."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.generation = ""  # of the collector that acknowledged last
        self.in_doubt = False  # a collector started anew may have forgotten it: its last record asks
        self.sent_upto = rows.acked_upto  # everything up to here is acknowledged, or sent
        self.newest_sent = rows.next_seq - 1  # the highest number ever sent as the newest: what lies below is backlog
        self.ahead: dict[int, float] = {}  # sent as the newest, above sent_upto, and when it was taken
        self.unanswered: list[int] = []  # last numbers of backlog batches in flight
        self.asked: tuple[int, float] | None = None  # a number sent, and when: for the round trip
        self.owed_since_mono_s: float | None = None  # since when an answer, or progress, is due
        self.silences_count = 0
        self.patience_s = FIRST_RESEND_S

    @property
    def acked_upto(self) -> int:
        return min(self.rows.acked_upto, self.rows.next_seq - 2) if self.in_doubt else self.rows.acked_upto

    @property
    def window(self) -> int:
        """How many backlog batches may be unacknowledged: what was met with silence is not sent four at a time."""
        return 1 if self.silences_count else _WINDOW_BATCHES

    def start_over(self, now: Moment) -> None:
        """Send again from the first unacknowledged record on, the newest before all."""
        self.sent_upto = self.acked_upto
        young = (seq for seq, taken_mono_s in self.ahead.items() if now.mono_s - taken_mono_s < LIVE_AGE_S)
        self.newest_sent = min(self.newest_sent, self.rows.next_seq - 2, min(young, default=self.rows.next_seq) - 1)
        self.ahead.clear()
        self.unanswered.clear()
        self.asked = self.owed_since_mono_s = None

    def be_patient(self) -> None:
        self.silences_count, self.patience_s = 0, FIRST_RESEND_S

    def has_newer(self) -> bool:
        """Whether its newest record is still to be sent."""
        return self.rows.next_seq - 1 > max(self.newest_sent, self.sent_upto) and self.rows.low < self.rows.next_seq

    def first_unsent(self) -> int:
        """The oldest record not yet sent on this connection; the newest ones sent meanwhile are passed over."""
        first = max(self.sent_upto + 1, self.rows.low)
        while first in self.ahead:
            del self.ahead[first]
            self.sent_upto = first
            first += 1
        return first

    def may_send_backlog(self) -> bool:
        """Whether there is some, and room for it in the window."""
        return len(self.unanswered) < self.window and self.first_unsent() < self.rows.next_seq

    def owe(self, batch: Batch) -> None:
        """Note that a batch goes out, and what answer it should bring."""
        if self.owed_since_mono_s is None:
            self.owed_since_mono_s = batch.now.mono_s
        if self.asked is None and batch.first == max(self.acked_upto + 1, batch.low):
            # What has nothing unacknowledged before it is acknowledged as soon as it has come.
            self.asked = (batch.last, batch.now.mono_s)

    def heard(self, upto: int, now: Moment, *, progressed: bool) -> float | None:
        """Take note of an ack; the round trip in seconds, if it tells one."""
        round_trip_s = None
        if progressed:
            self.be_patient()
            if self.asked is not None and upto >= self.asked[0]:
                round_trip_s, self.asked = now.mono_s - self.asked[1], None
            self.sent_upto = max(self.sent_upto, upto)
            self.ahead = {seq: at_s for seq, at_s in self.ahead.items() if seq > self.sent_upto}
            self.unanswered = [last for last in self.unanswered if last > upto]
        self.first_unsent()  # what was sent ahead, and has no gap before it any more, must show in the next ack
        if self.sent_upto <= self.acked_upto:
            self.owed_since_mono_s = None  # what was sent ahead of a gap shows in no ack before the gap is filled
        elif progressed:
            self.owed_since_mono_s = now.mono_s
        return round_trip_s


class Forwarder:
    """One spool's way to the collector. Ask `next` after every event, and again at `wake_mono_s`.

    Of every epoch the newest record goes first; it also asks whether the collector answers at all. Backlog follows
    only where it does, so that a link that leads nowhere costs little.
    """

    def __init__(self, epochs: Sequence[Rows], *, pace: Pace, chance: random.Random) -> None:
        """`epochs` are the spool's as it was opened, oldest first; only the last of them still grows."""
        self._lanes = [_Lane(rows) for rows in epochs]
        self._present = self._lanes[-1]
        self._chance = chance
        self.pace = pace
        self._connected = False
        self._answered = False  # whether the collector spoke since this connection, or its last silence, began
        self._generations: set[str] = set()
        self._unheard_since_mono_s: float | None = None
        self._collector_ahead_s: float | None = None  # the collector's time, less our monotonic time
        self._round_trip_s = 0.0
        self._weighs = False  # whether the last batch counts against the pace
        self._allowance_bytes = 0.0
        self._allowance_mono_s = 0.0
        self.holds_backlog = False
        """Old records wait: the day's bytes for them are used up."""
        self.is_silenced = False
        """Nothing is sent at all, for the same reason."""

    def true_s(self, now: Moment) -> float | None:
        """The collector's time (Unix seconds), by its last ack; None before the first."""
        return None if self._collector_ahead_s is None else now.mono_s + self._collector_ahead_s

    def connected(self, now: Moment) -> None:
        """The link is up. Whatever the last connection carried unacknowledged is to be sent again."""
        self._connected = True
        self._answered = False
        self._unheard_since_mono_s = None
        self._allowance_mono_s = now.mono_s
        for lane in self._lanes:
            lane.be_patient()
            lane.start_over(now)

    def disconnected(self) -> None:
        """The link is down; nothing is sent until it is up again."""
        self._connected = False

    def acked(self, ack: Ack, now: Moment) -> None:
        """The collector speaks. An ack of another's epoch is not ours; a new generation may have forgotten."""
        self._collector_ahead_s = ack.collector_s - now.mono_s
        lane = next((lane for lane in self._lanes if lane.rows.epoch == ack.epoch), None)
        if lane is None:
            return
        self._answered = True
        self._unheard_since_mono_s = None
        self._doubt_others(lane, ack.generation, now)
        lane.in_doubt = False
        upto = min(ack.upto, lane.rows.next_seq - 1)
        forgot = ack.generation != lane.generation and upto < lane.rows.acked_upto
        progressed = forgot or upto > lane.rows.acked_upto
        if progressed:
            lane.rows.acknowledge(upto, mono_s=now.mono_s)
        lane.generation = ack.generation
        if forgot:
            lane.start_over(now)
        round_trip_s = lane.heard(upto, now, progressed=progressed)
        if round_trip_s is not None:
            self._round_trip_s = round_trip_s

    def _doubt_others(self, heard: _Lane, generation: str, now: Moment) -> None:
        """A collector new to us speaks: has it forgotten what an earlier one acknowledged of other epochs?"""
        if generation in self._generations:
            return
        self._generations.add(generation)
        for lane in self._lanes[:-1]:  # the present one hears by itself, with its next record
            if lane is not heard:
                lane.in_doubt = True
                lane.start_over(now)

    def is_deaf(self, now: Moment) -> bool:
        """Whether the link is up and yet nothing came back for half an hour: something is stuck, start afresh."""
        since_s = self._unheard_since_mono_s
        if since_s is None or self.is_silenced:
            return False
        return self._connected and now.mono_s - since_s > DEAF_AFTER_S

    def next(self, now: Moment) -> Batch | None:
        """The batch to send now, or None. Call again until None."""
        if self.is_silenced:
            self._unheard_since_mono_s = None  # who sends nothing is owed nothing
        if not self._connected or self.is_silenced:
            return None
        for lane in self._lanes:
            self._look_for_silence(lane, now)
        self._weighs = False
        batch = self._newest(self._present, now)
        may_follow = not self.holds_backlog and self._quiet_until_mono_s(now) is None
        if batch is None and may_follow and self._may_send(now):
            self._weighs = True
            older = (self._newest(lane, now) for lane in self._lanes[:-1])
            batch = next((one for one in older if one is not None), None) or self._backlog(now)
        if batch is not None and self._unheard_since_mono_s is None:
            self._unheard_since_mono_s = now.mono_s
        return batch

    def wake_mono_s(self, now: Moment) -> float | None:
        """When `next` may have something without any event; None when only an event can bring it."""
        if not self._connected or self.is_silenced:
            return None
        times = [
            max(now.mono_s + 0.05, lane.owed_since_mono_s + self._patience_s(lane))
            for lane in self._lanes
            if lane.owed_since_mono_s is not None
        ]
        is_waiting = any(lane.has_newer() for lane in self._lanes) or self._backlog_lane() is not None
        if is_waiting and not self.holds_backlog:
            missing_bytes = max(0.0, -self._allowance_bytes)
            paced_mono_s = now.mono_s + max(0.05, missing_bytes * 8 / self.pace.backlog_bps)
            times.append(max(paced_mono_s, self._quiet_until_mono_s(now) or 0.0))
        return min(times, default=None)

    def _quiet_until_mono_s(self, now: Moment) -> float | None:
        """When the quiet hours end that it is now; None outside of them.

        By the collector's time, never by the PC's own clock, which may be years wrong. Before the first ack nobody
        knows the hour, and then nothing pauses: but for the last record of each earlier epoch, whatever could pause
        waits for an ack anyway.
        """
        true_s = self.true_s(now)
        end_s = None if true_s is None else self.pace.quiet_hours.end_s(true_s)
        return None if true_s is None or end_s is None else now.mono_s + end_s - true_s

    def _patience_s(self, lane: _Lane) -> float:
        return min(LONGEST_RESEND_S, max(lane.patience_s, 4 * self._round_trip_s))

    def _look_for_silence(self, lane: _Lane, now: Moment) -> None:
        since_s = lane.owed_since_mono_s
        if since_s is None or now.mono_s - since_s < self._patience_s(lane):
            return
        lane.silences_count += 1
        ceiling_s = min(LONGEST_RESEND_S, FIRST_RESEND_S * 2.0 ** min(lane.silences_count, _DOUBLINGS_MAX))
        # Full jitter, so that a province whose power returned does not resend in step.
        lane.patience_s = self._chance.uniform(FIRST_RESEND_S, ceiling_s)
        self._answered = False
        lane.start_over(now)

    def _newest(self, lane: _Lane, now: Moment) -> Batch | None:
        if not lane.has_newer():
            return None
        newest = lane.rows.next_seq - 1
        first = max(lane.newest_sent + 1, newest - LIVE_MAX_COUNT + 1, lane.sent_upto + 1)
        batch = self._batch(lane, first, LIVE_MAX_COUNT, now)
        if batch is None:
            return None
        lane.newest_sent = batch.last
        lane.owe(batch)
        if batch.first == max(lane.sent_upto + 1, batch.low):
            lane.sent_upto = batch.last
        else:
            lane.ahead.update(enumerate((_taken_mono_s(record, now) for record in batch.records), batch.first))
        return batch

    def _backlog_lane(self) -> _Lane | None:
        """The oldest epoch whose backlog may be sent now, pace apart."""
        in_flight = sum(len(lane.unanswered) for lane in self._lanes)
        if not self._answered or in_flight >= _WINDOW_BATCHES:
            return None
        return next((lane for lane in self._lanes if lane.may_send_backlog()), None)

    def _backlog(self, now: Moment) -> Batch | None:
        lane = self._backlog_lane()
        if lane is None:
            return None
        first = lane.first_unsent()
        until = min((seq for seq in lane.ahead if seq >= first), default=lane.rows.next_seq)
        batch = self._batch(lane, first, min(BACKLOG_MAX_COUNT, until - first), now, room_bytes=self.pace.room_bytes)
        if batch is None:
            return None
        lane.owe(batch)
        lane.sent_upto = batch.last
        lane.newest_sent = max(lane.newest_sent, batch.last)
        lane.unanswered.append(batch.last)
        return batch

    def _may_send(self, now: Moment) -> bool:
        earned_bytes = (now.mono_s - self._allowance_mono_s) * self.pace.backlog_bps / 8
        self._allowance_bytes = min(0.0, self._allowance_bytes + earned_bytes)  # nothing is saved up for a burst
        self._allowance_mono_s = now.mono_s
        return self._allowance_bytes >= 0

    def sent(self, size_bytes: int) -> None:
        """Count what the last batch weighed as a message. Live records are free: else they could starve the backlog."""
        if self._weighs:
            self._allowance_bytes -= self.pace.weigh(size_bytes)

    def _batch(
        self, lane: _Lane, first: int, max_count: int, now: Moment, *, room_bytes: int = BATCH_ROOM_BYTES
    ) -> Batch | None:
        rows = lane.rows.read(first, max_count=max_count, max_bytes=room_bytes)
        if not rows:
            return None
        return Batch(
            epoch=lane.rows.epoch,
            low=lane.rows.low,
            first=rows[0][0],
            now=now,
            made_count=lane.rows.made_count,
            dropped_count=lane.rows.dropped_count,
            records=tuple(record for _, record in rows),
        )


def _taken_mono_s(record: Record, now: Moment) -> float:
    """When it was taken by this boot's clock; of an earlier boot nobody knows how long it is over."""
    return record.taken.mono_s if record.taken.boot == now.boot else -math.inf
