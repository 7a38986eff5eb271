"""Decides what to send next: the live record first, the backlog paced behind it, again what was never acknowledged.

A broker's ack means nothing here. A record counts as delivered when the collector says that it is on its own disk
(docs/protocol.md, "Delivery"). `Forwarder` is sans-IO: rows and acks in, packets out, `now` by argument.
"""

import random
from typing import Annotated, Final, Protocol

import msgspec

from contract.batch import Batch
from contract.messages import Ack
from contract.moment import Moment
from contract.reading import Record

BATCH_ROOM_BYTES: Final = 48 * 1024
"""Records for one batch, each packed alone: leaves a wide margin below BATCH_MAX_BYTES."""
LIVE_MAX_COUNT: Final = 10
BACKLOG_MAX_COUNT: Final = 240
FIRST_RESEND_S: Final = 20.0
LONGEST_RESEND_S: Final = 900.0
DEAF_AFTER_S: Final = 1800.0
_WINDOW_BATCHES: Final = 4
_OVERHEAD_BYTES: Final = 250  # MQTT, TLS, TCP and IP around one batch, counted against the pace


class Rows(Protocol):
    """What a Forwarder needs of the spool."""

    epoch: str

    @property
    def low(self) -> int: ...  # noqa: D102 - as in Spool
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
    """How fast old records may follow: bits per second on the wire, averaged over a few batches."""

    backlog_bps: Annotated[float, msgspec.Meta(gt=0)] = 64_000.0


class Forwarder:
    """One spool's way to the collector. Ask `next` after every event, and again at `wake_mono_s`."""

    def __init__(self, rows: Rows, *, pace: Pace, chance: random.Random) -> None:
        self._rows = rows
        self._chance = chance
        self.pace = pace
        self._connected = False
        self._generation = ""
        self._live_sent = rows.next_seq - 1  # the highest number ever sent as live: what lies below is backlog
        self._sent_upto = rows.acked_upto  # everything up to here is acknowledged, or sent on this connection
        self._ahead: set[int] = set()  # sent as live, above _sent_upto
        self._unanswered: list[int] = []  # last numbers of backlog batches in flight
        self._progress_mono_s = 0.0
        self._heard_mono_s = 0.0
        self._resend_after_s = FIRST_RESEND_S
        self._round_trip_s = 0.0
        self._asked: tuple[int, float] | None = None  # a number sent, and when: for the round trip
        self._allowance_bytes = float(BATCH_ROOM_BYTES)
        self._allowance_mono_s = 0.0

    def connected(self, now: Moment) -> None:
        """The link is up. Whatever the last connection carried unacknowledged is to be sent again."""
        self._connected = True
        self._heard_mono_s = self._progress_mono_s = self._allowance_mono_s = now.mono_s
        self._resend_after_s = FIRST_RESEND_S
        self._start_over()

    def disconnected(self) -> None:
        """The link is down; nothing is sent until it is up again."""
        self._connected = False

    def acked(self, ack: Ack, now: Moment) -> None:
        """The collector speaks. An ack of another epoch is not ours; a new generation may have forgotten."""
        if ack.epoch != self._rows.epoch:
            return
        self._heard_mono_s = now.mono_s
        upto = min(ack.upto, self._rows.next_seq - 1)
        forgot = ack.generation != self._generation and upto < self._rows.acked_upto
        self._generation = ack.generation
        if upto <= self._rows.acked_upto and not forgot:
            return
        self._rows.acknowledge(upto, mono_s=now.mono_s)
        self._progress_mono_s, self._resend_after_s = now.mono_s, FIRST_RESEND_S
        if self._asked is not None and upto >= self._asked[0]:
            self._round_trip_s, self._asked = now.mono_s - self._asked[1], None
        if forgot:
            self._start_over()
        self._sent_upto = max(self._sent_upto, upto)
        self._ahead = {seq for seq in self._ahead if seq > self._sent_upto}
        self._unanswered = [last for last in self._unanswered if last > upto]

    def _start_over(self) -> None:
        """Send again from the first unacknowledged record on."""
        self._sent_upto = self._rows.acked_upto
        self._ahead.clear()
        self._unanswered.clear()
        self._asked = None

    def is_deaf(self, now: Moment) -> bool:
        """Whether the link is up and yet nothing came back for half an hour: something is stuck, start afresh."""
        return self._connected and self._is_waiting() and now.mono_s - self._heard_mono_s > DEAF_AFTER_S

    def _is_waiting(self) -> bool:
        return self._sent_upto > self._rows.acked_upto or bool(self._ahead)

    def next(self, now: Moment) -> Batch | None:
        """The batch to send now, or None. Call again until None."""
        if not self._connected:
            return None
        self._look_for_silence(now)
        return self._live(now) or self._backlog(now)

    def wake_mono_s(self, now: Moment) -> float | None:
        """When `next` may have something without any event; None when only an event can bring it."""
        if not self._connected:
            return None
        times = []
        if self._is_waiting():
            times.append(max(now.mono_s + 0.05, self._progress_mono_s + self._patience_s()))
        if self._has_backlog() and len(self._unanswered) < _WINDOW_BATCHES:
            missing_bytes = max(0.0, -self._allowance_bytes)
            times.append(now.mono_s + max(0.05, missing_bytes * 8 / self.pace.backlog_bps))
        return min(times, default=None)

    def _patience_s(self) -> float:
        return max(self._resend_after_s, 4 * self._round_trip_s)

    def _look_for_silence(self, now: Moment) -> None:
        if not self._is_waiting() or now.mono_s - self._progress_mono_s < self._patience_s():
            return
        # Full jitter, so that a province whose power returned does not resend in step.
        ceiling_s = min(LONGEST_RESEND_S, 2 * self._resend_after_s)
        self._resend_after_s = self._chance.uniform(FIRST_RESEND_S, ceiling_s)
        self._progress_mono_s = now.mono_s
        self._start_over()

    def _live(self, now: Moment) -> Batch | None:
        newest = self._rows.next_seq - 1
        if newest <= max(self._live_sent, self._sent_upto):
            return None
        first = max(self._live_sent + 1, newest - LIVE_MAX_COUNT + 1, self._sent_upto + 1)
        batch = self._batch(first, LIVE_MAX_COUNT, now)
        if batch is None:
            return None
        self._live_sent = batch.last
        if batch.first == max(self._sent_upto + 1, self._rows.low):
            self._sent_upto = batch.last
        else:
            self._ahead.update(range(batch.first, batch.last + 1))
        return batch

    def _first_unsent(self) -> int:
        """The oldest record not yet sent on this connection; the live ones sent meanwhile are passed over."""
        first = max(self._sent_upto + 1, self._rows.low)
        while first in self._ahead:
            self._ahead.discard(first)
            self._sent_upto = first
            first += 1
        return first

    def _has_backlog(self) -> bool:
        return self._first_unsent() < self._rows.next_seq

    def _backlog(self, now: Moment) -> Batch | None:
        if not self._has_backlog() or len(self._unanswered) >= _WINDOW_BATCHES or not self._may_send(now):
            return None
        first = self._first_unsent()
        until = min((seq for seq in self._ahead if seq >= first), default=self._rows.next_seq)
        batch = self._batch(first, min(BACKLOG_MAX_COUNT, until - first), now)
        if batch is None:
            return None
        self._sent_upto = batch.last
        self._live_sent = max(self._live_sent, batch.last)
        self._unanswered.append(batch.last)
        return batch

    def _may_send(self, now: Moment) -> bool:
        earned_bytes = (now.mono_s - self._allowance_mono_s) * self.pace.backlog_bps / 8
        self._allowance_bytes = min(float(BATCH_ROOM_BYTES), self._allowance_bytes + earned_bytes)
        self._allowance_mono_s = now.mono_s
        return self._allowance_bytes >= 0

    def sent(self, size_bytes: int) -> None:
        """Count what the last batch weighed as a message: live and old share the pace, but live never waits for it."""
        self._allowance_bytes -= size_bytes + _OVERHEAD_BYTES

    def _batch(self, first: int, max_count: int, now: Moment) -> Batch | None:
        rows = self._rows.read(first, max_count=max_count, max_bytes=BATCH_ROOM_BYTES)
        if not rows:
            return None
        if not self._is_waiting():
            self._progress_mono_s = self._heard_mono_s = now.mono_s
        if self._asked is None:
            self._asked = (rows[-1][0], now.mono_s)
        return Batch(
            epoch=self._rows.epoch,
            low=self._rows.low,
            first=rows[0][0],
            now=now,
            made_count=self._rows.made_count,
            dropped_count=self._rows.dropped_count,
            records=tuple(record for _, record in rows),
        )
