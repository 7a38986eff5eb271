"""Forwarding: live first, backlog behind it, and nothing forgotten before the collector has it."""

import itertools
import random
from collections.abc import Iterator

import pytest

from agent.forward import DEAF_AFTER_S, FIRST_RESEND_S, LIVE_MAX_COUNT, LONGEST_RESEND_S, Forwarder, Pace
from collector.line.reception import Reception
from contract.batch import Batch, encode_batch
from contract.hours import Hours, parse_window
from contract.messages import Ack
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits


def a_spool() -> Spool:
    return Spool(None, SpoolLimits(max_bytes=4 << 20), boot="b", mono_s=0.0)


class Desk:
    """A spool in memory, epochs of earlier boots behind it, a Forwarder, and a clock to turn by hand."""

    def __init__(
        self,
        *,
        backlog_bps: float = 1e9,
        stored: int = 0,
        earlier: tuple[int, ...] = (),
        quiet_hours: Hours = Hours(),  # noqa: B008 - a value that cannot change
    ) -> None:
        self.mono_s = 1000.0
        self.wall_s = 1.8e9
        self.earlier = []
        for count in earlier:
            self.spool = a_spool()
            self.earlier.append(self.spool)
            for _ in range(count):
                self.store()
        self.spool = a_spool()
        for _ in range(stored):
            self.store()
        epochs = [spool.present for spool in (*self.earlier, self.spool)]
        pace = Pace(backlog_bps=backlog_bps, quiet_hours=quiet_hours)
        self.forwarder = Forwarder(epochs, pace=pace, chance=random.Random(1))

    @property
    def now(self) -> Moment:
        return Moment(boot="b", mono_s=self.mono_s, wall_s=self.wall_s + self.mono_s)

    def store(self) -> int:
        return self.spool.put(Record(taken=self.now, readings=(Reading(probe="ping", target="gateway"),)), mono_s=0.0)

    def connect(self) -> None:
        self.forwarder.connected(self.now)

    def send(self) -> list[tuple[int, int]]:
        return [(batch.first, batch.last) for batch in self.batches()]

    def batches(self) -> Iterator[Batch]:
        while (batch := self.forwarder.next(self.now)) is not None:
            self.forwarder.sent(len(encode_batch(batch)))
            self.mono_s += 0.001  # so long a batch takes to be written
            yield batch

    def ack(self, upto: int, generation: str = "gen1", spool: Spool | None = None, *, collector_s: float = 0.0) -> None:
        epoch = (spool or self.spool).present.epoch
        ack = Ack(epoch=epoch, upto=upto, generation=generation, collector_s=collector_s)
        self.forwarder.acked(ack, self.now)


def test_nothing_is_sent_before_the_link_is_up() -> None:
    desk = Desk(stored=3)
    assert desk.send() == []
    assert desk.forwarder.wake_mono_s(desk.now) is None


def test_a_new_record_goes_out_at_once() -> None:
    desk = Desk()
    desk.connect()
    desk.store()
    assert desk.send() == [(1, 1)]
    assert desk.send() == []


def test_the_newest_overtakes_the_backlog_which_follows_behind_it() -> None:
    desk = Desk(stored=1000)
    desk.connect()
    desk.store()
    assert desk.send() == [(1000, 1001)]
    desk.ack(0)
    sent = desk.send()
    assert sent[0][0] == 1
    assert len(sent) == 4, "as many old batches as may be unacknowledged"
    desk.store()
    assert desk.send() == [(1002, 1002)]


def test_no_backlog_is_sent_before_the_collector_answers() -> None:
    """A broker without a collector behind it takes everything, and each megabyte costs the school."""
    desk = Desk(stored=1000)
    sent = []
    for _ in range(100):
        desk.connect()
        desk.mono_s += 60.0
        sent += desk.send()
        desk.forwarder.disconnected()
    assert set(sent) == {(1000, 1000)}


def test_records_taken_while_offline_are_backlog_but_for_the_newest() -> None:
    desk = Desk()
    for _ in range(50):
        desk.store()
    desk.connect()
    assert desk.send() == [(50 - LIVE_MAX_COUNT + 1, 50)]
    desk.ack(0)
    assert desk.send() == [(1, 40)]


def test_a_backlog_goes_on_as_it_is_acknowledged_and_ends() -> None:
    desk = Desk(stored=2000)
    desk.connect()
    seen: set[int] = set()
    reception = Reception()
    for _ in range(100):
        batches = list(desk.batches())
        if not batches:
            break
        for batch in batches:
            reception.receive(batch)
            seen.update(range(batch.first, batch.last + 1))
        desk.ack(reception.upto)
    assert seen == set(range(1, 2001))
    assert desk.spool.stat().waiting_count == 0


def test_a_backlog_keeps_to_its_pace() -> None:
    desk = Desk(stored=3000, backlog_bps=16_000.0)
    desk.connect()
    reception, sent_bytes, began_s = Reception(), 0, desk.mono_s
    while desk.spool.stat().waiting_count and desk.mono_s < began_s + 3600:
        for batch in desk.batches():
            sent_bytes += len(encode_batch(batch)) + 250
            reception.receive(batch)
        desk.ack(reception.upto)
        desk.mono_s += 1.0
    assert desk.spool.stat().waiting_count == 0
    one_batch_bytes = 48 * 1024
    assert sent_bytes - one_batch_bytes <= (desk.mono_s - began_s) * 16_000 / 8


@pytest.mark.parametrize("backlog_bps", [1000.0, 16_000.0, 64_000.0, 1e6, 1e9])
def test_what_is_in_flight_holds_up_a_live_record_for_seconds_only(backlog_bps: float) -> None:
    """On a line half as fast as the plan believes, and at most 12 s at 32 kbit/s whatever the plan says."""
    desk = Desk(stored=1000, backlog_bps=backlog_bps)
    desk.connect()
    desk.send()
    desk.ack(0)
    in_flight_bytes = 0
    for _ in range(15):
        in_flight_bytes += sum(len(encode_batch(batch)) + 250 for batch in desk.batches())
        desk.mono_s += 1.0
    assert in_flight_bytes > 0
    assert in_flight_bytes * 8 / (backlog_bps / 2) <= 4.0 or in_flight_bytes <= 4 * 2048
    assert in_flight_bytes * 8 / 32_000 <= 12.0


MORNING = Hours(tuple(window for window in [parse_window("07:00-11:30")] if window is not None))
SIX_S = 1_795_500_000.0 // 86400 * 86400 + 6 * 3600.0
"""Six in the morning of a day, in UTC."""


def test_in_quiet_hours_the_backlog_pauses_and_live_records_go_on() -> None:
    desk = Desk(stored=3000, backlog_bps=16_000.0, quiet_hours=MORNING)
    desk.connect()
    desk.send()
    desk.ack(0, collector_s=SIX_S)
    assert desk.send() != []
    desk.mono_s += 3600.0  # seven
    seq = desk.store()
    assert desk.send() == [(seq, seq)]
    desk.ack(0, collector_s=SIX_S + 3600.0)
    for _ in range(100):
        desk.mono_s += 60.0
        seq = desk.store()
        assert desk.send() == [(seq, seq)]
        desk.ack(0, collector_s=SIX_S + desk.mono_s - 1000.0)
    desk.mono_s = 1000.0 + 5.5 * 3600.0 - 1.0
    assert desk.send() == []
    desk.mono_s += 2.0
    assert desk.send() != [], "half past eleven"


def test_backlog_that_the_day_has_no_bytes_for_waits_and_live_records_go_on() -> None:
    desk = Desk(stored=3000)
    desk.connect()
    desk.send()
    desk.ack(0)
    desk.forwarder.holds_backlog = True
    assert desk.send() == []
    seq = desk.store()
    assert desk.send() == [(seq, seq)]
    desk.forwarder.holds_backlog = False
    desk.mono_s += 60.0
    assert desk.send() != []


def test_a_day_without_bytes_sends_nothing_asks_for_no_wake_up_and_is_not_taken_for_deafness() -> None:
    desk = Desk(stored=3)
    desk.connect()
    desk.send()
    desk.forwarder.is_silenced = True
    desk.store()
    desk.mono_s += 3 * 3600.0
    assert desk.send() == []
    assert desk.forwarder.wake_mono_s(desk.now) is None
    assert not desk.forwarder.is_deaf(desk.now)
    desk.forwarder.is_silenced = False
    assert desk.send() != []


def test_whoever_waits_for_the_end_of_quiet_hours_sleeps_until_then() -> None:
    desk = Desk(stored=3000, quiet_hours=MORNING)
    desk.connect()
    desk.send()
    desk.ack(0, collector_s=SIX_S + 3600.0)
    assert desk.send() == []
    assert desk.forwarder.wake_mono_s(desk.now) == pytest.approx(desk.mono_s + 4.5 * 3600.0, abs=0.1)


def test_quiet_hours_go_by_the_collectors_time_however_wrong_the_pcs_clock_is() -> None:
    desk = Desk(stored=3000, quiet_hours=MORNING)
    desk.wall_s = SIX_S + 2 * 3600.0 - desk.mono_s  # eight, believes the PC
    desk.connect()
    desk.send()
    desk.ack(0, collector_s=SIX_S)
    assert desk.send() != [], "six, says the collector"
    desk.wall_s = 0.0
    desk.ack(2000, collector_s=SIX_S + 2 * 3600.0)
    assert desk.send() == [], "eight, says the collector"


def test_while_nobody_knows_the_hour_nothing_pauses_for_it() -> None:
    """What then goes is one record of each earlier epoch: all else waits for an ack, which tells the hour."""
    desk = Desk(earlier=(300, 20), quiet_hours=MORNING)
    desk.wall_s = SIX_S + 2 * 3600.0 - desk.mono_s
    desk.connect()
    desk.store()
    assert desk.send() == [(1, 1), (300, 300), (20, 20)]
    desk.ack(1, collector_s=SIX_S + 2 * 3600.0)
    assert desk.send() == []


def test_what_was_not_acknowledged_is_asked_for_in_quiet_hours_as_rarely_as_ever() -> None:
    """A live record that got lost has become backlog: the gap must not make every newer one be sent again."""
    desk = Desk(quiet_hours=MORNING)
    desk.connect()
    desk.store()
    desk.send()
    desk.ack(1, collector_s=SIX_S + 3600.0)
    desk.store()
    desk.send()  # and it is lost
    sent: list[tuple[int, int]] = []
    for _ in range(60):
        desk.mono_s += 60.0
        desk.store()
        sent += desk.send()
        desk.ack(1, collector_s=SIX_S + 3600.0 + desk.mono_s - 1000.0)
    assert sum(last - first + 1 for first, last in sent) <= 62


def test_a_live_record_never_waits_for_the_pace() -> None:
    desk = Desk(stored=3000, backlog_bps=1000.0)
    desk.connect()
    desk.send()
    desk.ack(0)
    desk.send()
    for _ in range(5):
        desk.mono_s += 1.0
        live = desk.store()
        assert (live, live) in desk.send()


def test_a_backlog_is_not_starved_by_live_records_that_outweigh_its_pace() -> None:
    desk = Desk(stored=100, backlog_bps=1000.0)
    desk.connect()
    reception = Reception()
    for _ in range(300):
        desk.mono_s += 1.0
        desk.store()
        for batch in desk.batches():
            reception.receive(batch)
        desk.ack(reception.upto)
    assert desk.spool.present.acked_upto == 400


def test_what_the_broker_took_but_the_collector_did_not_is_sent_again() -> None:
    desk = Desk()
    desk.connect()
    desk.store()
    desk.send()
    desk.mono_s += FIRST_RESEND_S - 1
    assert desk.send() == []
    desk.mono_s += 2
    assert desk.send() == [(1, 1)]


def test_silence_is_met_with_growing_patience_up_to_a_quarter_of_an_hour() -> None:
    desk = Desk()
    desk.connect()
    desk.store()
    desk.send()
    times = []
    while desk.mono_s < 1000 + 4 * 3600:
        wake = desk.forwarder.wake_mono_s(desk.now)
        assert wake is not None
        desk.mono_s = max(wake, desk.mono_s + 0.01)
        if desk.send():
            times.append(desk.mono_s)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert min(pauses) >= FIRST_RESEND_S
    assert LONGEST_RESEND_S / 2 < max(pauses) <= LONGEST_RESEND_S + 1
    assert len(times) < 80, "a deaf collector is not flooded"


def test_a_long_backlog_does_not_pass_for_a_long_round_trip() -> None:
    """The newest record is sent first and acknowledged last; how long that takes says nothing about the link."""
    desk = Desk(stored=3000, backlog_bps=1000.0)
    desk.connect()
    reception = Reception()
    while desk.spool.present.acked_upto < 3000:
        for batch in desk.batches():
            reception.receive(batch)
        desk.ack(reception.upto)
        desk.mono_s += 1.0
    assert desk.mono_s > 1000 + 2 * FIRST_RESEND_S, "else this shows nothing"
    desk.store()
    assert desk.send() == [(3001, 3001)]
    desk.mono_s += FIRST_RESEND_S + 1
    assert desk.send() == [(3001, 3001)]


def test_waiting_for_the_pace_is_not_taken_for_silence() -> None:
    desk = Desk(stored=3000, backlog_bps=1000.0)
    desk.connect()
    reception = Reception()
    sent: list[int] = []
    while desk.spool.present.acked_upto < 3000:
        for batch in desk.batches():
            sent += range(batch.first, batch.last + 1)
            reception.receive(batch)
        desk.ack(reception.upto)
        desk.mono_s += 1.0
    assert desk.mono_s > 1000 + 2 * FIRST_RESEND_S, "else this shows nothing"
    assert len(sent) == len(set(sent)) == 3000


def test_what_is_met_with_silence_is_not_sent_again_four_batches_at_a_time() -> None:
    desk = Desk(stored=2000)
    desk.connect()
    desk.send()
    desk.ack(0)
    assert len(desk.send()) == 4
    desk.mono_s += FIRST_RESEND_S + 1
    assert desk.send() == [(2000, 2000)]
    desk.ack(0)
    assert len(desk.send()) == 1


def test_what_a_black_hole_swallowed_comes_before_the_backlog_when_it_is_young() -> None:
    desk = Desk(stored=1000, backlog_bps=16_000.0)
    desk.mono_s += 60.0
    desk.connect()
    desk.send()
    desk.ack(0)
    swallowed = []
    for _ in range(4):
        desk.mono_s += 15.0
        swallowed.append(desk.store())
        assert desk.send()[0][1] == swallowed[-1]
    desk.forwarder.disconnected()
    desk.mono_s += 12.0
    desk.connect()
    assert desk.send() == [(swallowed[0], swallowed[-1])]
    desk.forwarder.disconnected()
    desk.mono_s += 120.0
    desk.connect()
    assert desk.send() == [(swallowed[-1], swallowed[-1])], "by now they are history"


def test_a_new_connection_sends_again_what_the_last_one_left_unacknowledged() -> None:
    desk = Desk()
    desk.connect()
    desk.store()
    desk.send()
    desk.forwarder.disconnected()
    desk.connect()
    assert desk.send() == [(1, 1)]


def test_a_collector_restored_from_a_backup_is_given_what_it_forgot() -> None:
    desk = Desk(stored=10)
    desk.connect()
    desk.send()
    desk.ack(10)
    desk.ack(4, generation="gen2")
    assert desk.send() == [(10, 10), (5, 9)]


def test_each_epoch_is_sent_to_its_end_the_oldest_first() -> None:
    desk = Desk(stored=5, earlier=(300, 20))
    receptions = {spool.present.epoch: Reception() for spool in (*desk.earlier, desk.spool)}
    desk.connect()
    order = []
    for _ in range(10):
        desk.mono_s += 1.0
        for batch in desk.batches():
            order.append((batch.epoch, batch.first, batch.last))
            receptions[batch.epoch].receive(batch)
            desk.forwarder.acked(
                Ack(epoch=batch.epoch, upto=receptions[batch.epoch].upto, generation="gen1", collector_s=0.0), desk.now
            )
    first, second, present = (spool.present.epoch for spool in (*desk.earlier, desk.spool))
    newest = [(present, 5, 5), (first, 300, 300), (second, 20, 20)]
    assert order == [*newest, (first, 1, 240), (first, 241, 299), (second, 1, 19), (present, 1, 4)]
    assert [spool.present.acked_upto for spool in (*desk.earlier, desk.spool)] == [300, 20, 5]


def test_a_collector_unknown_so_far_is_asked_about_epochs_acknowledged_long_ago() -> None:
    desk = Desk(earlier=(30,))
    (old,) = desk.earlier
    old.present.acknowledge(30, mono_s=0.0)
    desk.connect()
    desk.store()
    assert desk.send() == [(1, 1)]
    desk.ack(1)
    assert desk.send() == [(30, 30)], "one record asks"
    desk.mono_s += FIRST_RESEND_S + 1
    assert desk.send() == [(30, 30)], "and asks again, until there is an answer"
    desk.ack(30, spool=old)
    desk.mono_s += FIRST_RESEND_S + 1
    assert desk.send() == []
    desk.store()
    assert desk.send() == [(2, 2)]
    desk.ack(2, generation="gen2")
    assert desk.send() == [(30, 30)]
    desk.ack(10, generation="gen2", spool=old)
    assert desk.send() == [(30, 30), (11, 29)], "this one has forgotten"
    desk.ack(30, generation="gen2", spool=old)
    desk.mono_s += 3 * FIRST_RESEND_S
    assert desk.send() == []


def test_what_was_sent_ahead_of_a_gap_is_missed_once_the_gap_is_filled() -> None:
    """Also when no further record comes that would bring another ack."""
    desk = Desk(stored=1)
    desk.connect()
    desk.send()
    desk.mono_s += FIRST_RESEND_S + 1
    desk.store()
    assert desk.send() == [(2, 2)], "and it is lost"
    desk.store()
    assert desk.send() == [(3, 3)]
    desk.ack(0)
    assert desk.send() == [(1, 1)]
    desk.ack(1)
    desk.mono_s += FIRST_RESEND_S + 1
    assert desk.send() == [(3, 3)]
    desk.ack(1)
    assert desk.send() == [(2, 2)]
    desk.ack(3)
    desk.mono_s += 10 * FIRST_RESEND_S
    assert desk.send() == []


def test_an_epoch_that_is_not_answered_holds_up_no_other() -> None:
    """A batch that the collector will never understand, in an epoch of its own."""
    desk = Desk(stored=50, earlier=(50, 50))
    stuck, good = desk.earlier
    desk.connect()
    for _ in range(200):
        desk.mono_s += 1.0
        desk.send()
        desk.ack(50, spool=good)
        desk.ack(50)
    assert good.present.acked_upto == desk.spool.present.acked_upto == 50
    assert stuck.present.acked_upto == 0


def test_an_older_ack_of_the_same_collector_changes_nothing() -> None:
    desk = Desk(stored=10)
    desk.connect()
    desk.send()
    desk.ack(10)
    desk.ack(4)
    assert desk.send() == []
    assert desk.spool.present.acked_upto == 10


def test_an_ack_of_another_epoch_is_not_ours() -> None:
    desk = Desk(stored=2)
    desk.connect()
    desk.send()
    desk.forwarder.acked(Ack(epoch="0" * 16, upto=2, generation="gen1", collector_s=0.0), desk.now)
    assert desk.spool.present.acked_upto == 0


def test_an_ack_of_more_than_we_made_deletes_nothing_to_come() -> None:
    desk = Desk(stored=2)
    desk.connect()
    desk.send()
    desk.ack(1000)
    assert desk.spool.present.acked_upto == 2


def test_half_an_hour_of_deafness_ends_the_program_but_idleness_does_not() -> None:
    desk = Desk()
    desk.connect()
    desk.mono_s += 3 * DEAF_AFTER_S
    assert not desk.forwarder.is_deaf(desk.now), "nothing was sent, so nothing is missing"
    desk.store()
    desk.send()
    assert not desk.forwarder.is_deaf(desk.now)
    desk.mono_s += DEAF_AFTER_S + 1
    assert desk.forwarder.is_deaf(desk.now)


def test_dropped_records_raise_the_low_water_mark_that_travels() -> None:
    desk = Desk()
    while not desk.spool.dropped_count:
        desk.spool.put(
            Record(
                taken=desk.now, readings=(Reading(probe="ping", target="gateway", detail=str(random.random()) * 10),)
            ),
            mono_s=0.0,
        )
    desk.connect()
    low = desk.spool.present.low
    reception, lost = Reception(), []
    for _ in range(2000):
        desk.mono_s += 1.0
        batches = list(desk.batches())
        if not batches:
            break
        lost += [stretch for received in map(reception.receive, batches) for stretch in received.lost]
        desk.ack(reception.upto)
    assert lost == [(1, low - 1)]
    assert desk.spool.stat().waiting_count == 0


@pytest.mark.parametrize("seed", range(20))
def test_over_a_link_that_loses_repeats_and_reorders_everything_arrives_once(seed: int) -> None:
    """Both shipping cores against each other; the network does what it likes."""
    chance = random.Random(seed)
    desk = Desk(stored=chance.randrange(300))
    reception = Reception()
    arrived: list[int] = []
    wire: list[Batch] = []
    up = False
    for _ in range(3000):
        desk.mono_s += chance.uniform(0.1, 10.0)
        if chance.random() < 0.3 and desk.spool.present.next_seq < 500:
            desk.store()
        if chance.random() < 0.05:
            desk.forwarder.disconnected()
            up, wire = False, [one for one in wire if chance.random() < 0.5]
        elif not up:
            desk.connect()
            up = True
        wire += list(desk.batches())
        chance.shuffle(wire)
        while wire and chance.random() < 0.7:
            batch = wire.pop()
            if chance.random() < 0.2:
                continue
            if chance.random() < 0.1:
                wire.append(batch)
            arrived += list(reception.receive(batch).new)
            if chance.random() < 0.8:
                desk.ack(reception.upto)
    for _ in range(200):
        desk.mono_s += 1000.0
        desk.connect()
        for batch in desk.batches():
            arrived += list(reception.receive(batch).new)
            desk.ack(reception.upto)
    assert sorted(arrived) == list(range(1, desk.spool.present.next_seq))
    assert desk.spool.stat().waiting_count == 0
