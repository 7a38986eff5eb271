"""The pipeline: what is acknowledged is on the disk, everything is kept once, and only the present is judged."""

import contextlib
import itertools
import logging
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.derived import OWN_NAME
from collector.inlet import Arrival, BatchArrival, LinkArrival, StateArrival
from collector.journal import Gap, Journal, Kept
from collector.pipeline import Waiting
from collector.samples import samples_of
from contract.batch import Batch
from contract.messages import State
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import Reading, Record
from readiness.verdict import Level
from tests.collector.centre import AGENT, EPOCH, ROOM, Centre, dns, ping


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collector's data before anything came, made once: a disk is slow."""
    folder = tmp_path_factory.mktemp("fresh")
    Centre(folder).close()
    return folder


@pytest.fixture
def folder(fresh: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(fresh, tmp_path / "data")


@pytest.fixture
def centre(folder: Path) -> Iterator[Centre]:
    made = Centre(folder)
    made.link()
    yield made
    made.close()


# What is kept and acknowledged.


def test_an_ack_leaves_after_the_records_are_on_the_disk(centre: Centre) -> None:
    """Another connection to the journal sees what the ack speaks of in the moment in which it leaves."""
    centre.send(centre.batch(1, centre.record(), centre.record()))
    centre.send(centre.batch(3))
    assert centre.answers.seen == [(AGENT, 2, 2), (AGENT, 3, 3)]


def test_a_group_is_one_transaction_and_one_ack_for_each_epoch(centre: Centre) -> None:
    centre.send(centre.batch(1), centre.batch(2), centre.batch(1, epoch="f" * 16), centre.batch(3))
    assert centre.answers.seen == [(AGENT, 3, 3), (AGENT, 1, 1)]
    assert [ack.epoch for ack in centre.answers.acks] == [EPOCH, "f" * 16]


def test_an_ack_carries_our_generation_and_our_time(centre: Centre) -> None:
    centre.send(centre.batch(1))
    (ack,) = centre.answers.acks
    assert (ack.generation, ack.collector_s) == ("generation1", centre.now)


def test_a_batch_that_comes_again_is_kept_once_and_acknowledged_again(centre: Centre) -> None:
    batch = centre.batch(1, centre.record(), centre.record())
    centre.send(batch)
    centre.send(batch, batch)
    assert centre.seqs() == [1, 2]
    assert [upto for _, upto, _ in centre.answers.seen] == [2, 2]
    assert (centre.pipeline.counts.records_total, centre.pipeline.counts.duplicates_total) == (2, 4)


def test_what_comes_out_of_order_is_kept_at_once_and_acknowledged_when_the_hole_is_filled(centre: Centre) -> None:
    centre.send(centre.batch(3))
    centre.send(centre.batch(1))
    centre.send(centre.batch(2))
    assert [upto for _, upto, _ in centre.answers.seen] == [0, 1, 3]
    assert centre.seqs() == [1, 2, 3]


def test_what_an_agent_gave_up_is_noted_as_a_gap_and_passed(centre: Centre) -> None:
    centre.send(centre.batch(1))
    centre.send(centre.batch(9, low=7, dropped=10))
    assert centre.journal.gaps() == [Gap(AGENT, EPOCH, 2, 6, centre.now)]
    assert [upto for _, upto, _ in centre.answers.seen] == [1, 6]
    centre.send(centre.batch(7, centre.record(), centre.record(), low=7))
    assert [upto for _, upto, _ in centre.answers.seen] == [1, 6, 9]
    assert centre.pipeline.books[AGENT].dropped_count == 0


@pytest.mark.parametrize("revoked", [False, True], ids=["unknown", "revoked"])
def test_a_stranger_is_not_kept_not_acknowledged_and_put_aside(centre: Centre, *, revoked: bool) -> None:
    agent = AGENT if revoked else "stranger"
    if revoked:
        centre.registry.revoke_agent(AGENT, centre.now)
    centre.send(centre.batch(1), agent=agent)
    centre.say(State(state="online"), agent)
    assert centre.seqs(agent) == []
    assert centre.answers.acks == []
    assert [(one.agent, one.why) for one in centre.journal.quarantined(10)] == [(agent, "no agent of ours, or revoked")]
    assert agent not in centre.pipeline.books


def test_an_agent_is_welcome_in_the_moment_in_which_it_is_enrolled(centre: Centre) -> None:
    centre.send(centre.batch(1), agent="pc-2")
    centre.registry.add_agent("pc-2", ROOM, centre.now)
    centre.send(centre.batch(1), agent="pc-2")
    assert centre.seqs("pc-2") == [1]


def test_a_flood_of_bad_messages_does_not_fill_the_quarantine(centre: Centre) -> None:
    centre.bad(count=50)
    centre.bad(count=50)
    centre.bad("pc-2", 5)
    assert centre.journal.quarantined_total() == 20 + 5
    centre.wait(60)
    centre.bad(count=50)
    assert centre.journal.quarantined_total() == 2 * 20 + 5


def test_a_bad_message_is_logged_once_a_minute_for_each_agent(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    centre.bad(count=30)
    centre.bad("pc-2")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [f"put a message of {agent!r} aside: an empty message" for agent in (AGENT, "pc-2")]


def test_a_journal_that_refuses_acknowledges_nothing_until_all_came_again(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    centre.send(centre.batch(1))
    centre.journal._db.execute("PRAGMA query_only=ON")
    lost = centre.batch(2, centre.record(), centre.record())
    centre.send(lost)
    centre.bad()
    assert [upto for _, upto, _ in centre.answers.seen] == [1]
    assert "journal_refuses" in centre.pipeline.problems
    centre.journal._db.execute("PRAGMA query_only=OFF")
    centre.send(centre.batch(4))
    centre.send(lost)
    assert [upto for _, upto, _ in centre.answers.seen] == [1, 1, 4]
    assert centre.seqs() == [1, 2, 3, 4]
    assert centre.pipeline.problems == set()


# When and where.


def test_a_record_belongs_to_the_room_in_which_the_agent_stood_when_it_was_taken(centre: Centre) -> None:
    centre.registry.add_room("meo-vac-01", name="Phòng 2", province="Hà Giang", school="THCS Mèo Vạc")
    centre.wait(3600)
    centre.registry.move_agent(AGENT, "meo-vac-01", centre.now)
    centre.wait(600)
    centre.send(centre.batch(1, centre.record(ago_s=1200.0), centre.record(ago_s=60.0)))
    assert [one.room for one in centre.kept()] == [ROOM, "meo-vac-01"]


def test_a_reading_is_placed_in_true_time_however_wrong_the_pcs_clock_is(centre: Centre) -> None:
    wrong = Moment(boot="boot-1", mono_s=500.0, wall_s=1e9)
    earlier = Moment(boot="boot-1", mono_s=440.0, wall_s=1e9 - 60)
    records = (Record(taken=earlier, readings=(ping(),)), Record(taken=wrong, readings=(ping(),)))
    centre.send(msgspec.structs.replace(centre.batch(1, *records), now=wrong))
    assert [(one.taken_s - centre.now, one.sure) for one in centre.kept()] == [(-60.0, True), (0.0, True)]


def test_a_clock_that_is_wrong_is_a_finding_about_the_pc(centre: Centre) -> None:
    centre.run(300)
    assert centre.codes() == []
    for _ in range(10):
        centre.wait(30)
        centre.seq += 1
        batch = centre.batch(centre.seq)
        ahead = Moment(boot="boot-1", mono_s=batch.now.mono_s, wall_s=batch.now.wall_s + 600)
        centre.send(msgspec.structs.replace(batch, now=ahead))
        centre.review()
    assert centre.codes() == ["CLOCK_WRONG"]
    assert centre.pipeline.books[AGENT].offset_s == pytest.approx(600.0)


# What is judged.


def test_late_data_is_kept_and_changes_no_live_state(centre: Centre) -> None:
    """A room that lost its lesson server two hours ago, and tells only now, is as fit as it is now."""
    centre.run(600)
    before = centre.pipeline.watch.rooms[ROOM].latest.copy()
    old = tuple(centre.record(ping(loss_ratio=1.0), dns(), ago_s=7200.0 + 30 * number) for number in range(20, 0, -1))
    centre.send(centre.batch(centre.seq + 1, *old))
    review = centre.review()
    assert review.verdicts[ROOM].level is Level.FIT
    assert centre.pipeline.watch.rooms[ROOM].latest == before
    assert len(centre.seqs()) == centre.seq + 20
    assert (review.changes, review.notices) == ((), ())


def test_late_data_clears_no_alert_either(centre: Centre) -> None:
    centre.run(600, ping(loss_ratio=1.0), dns())
    assert centre.review().verdicts[ROOM].level is Level.UNFIT
    old = tuple(centre.record(ago_s=7200.0 + 30 * number) for number in range(20, 0, -1))
    centre.send(centre.batch(centre.seq + 1, *old))
    assert centre.review().verdicts[ROOM].level is Level.UNFIT
    assert list(centre.pipeline.watch.incidents.open) == [ROOM]


def test_a_room_that_fails_is_told_of_once_and_its_end_too(centre: Centre) -> None:
    centre.run(300)
    bad = centre.run(300, ping(loss_ratio=1.0), dns())
    good = centre.run(600)
    changes = [change.kind.value for review in bad + good for change in review.changes]
    assert (changes[0], changes[-1]) == ("opened", "ended")
    assert changes.count("opened") == changes.count("ended") == 1


def test_a_goodbye_that_was_said_before_we_listened_counts_as_it_is(centre: Centre) -> None:
    """Retained at the broker: the PC was switched off last night, and nobody is to be alerted this morning."""
    centre.say(State(state="offline", reason="shutdown"), retained=True)
    reviews = centre.run(3600, measuring=False)
    assert centre.codes() == ["PC_SWITCHED_OFF"]
    assert not any(review.notices for review in reviews)


def test_a_birth_that_was_said_before_we_listened_does_not_keep_a_silent_room_alive(centre: Centre) -> None:
    """The broker holds the connection of a PC that is gone: its word is old, however late we hear it."""
    centre.say(State(state="online"), retained=True)
    centre.run(600, measuring=False)
    assert centre.codes() == ["ROOM_SILENT"]


def test_a_stale_birth_after_a_reconnect_ends_no_alert(centre: Centre) -> None:
    centre.run(300)
    centre.run(900, measuring=False)
    assert centre.codes() == ["ROOM_SILENT"]
    centre.link(up=False)
    centre.link()
    centre.say(State(state="online"), retained=True)
    reviews = centre.run(900, measuring=False)
    assert centre.codes() == ["ROOM_SILENT"]
    assert [change.kind for review in reviews for change in review.changes if change.kind == "ended"] == []


def test_what_an_agent_says_of_itself_is_on_its_page(centre: Centre) -> None:
    centre.say(State(state="online", version="1.2.3", plan="abc", refused="plan: no such probe"))
    book = centre.pipeline.books[AGENT]
    assert (book.online, book.version, book.trouble) == (True, "1.2.3", "plan: no such probe")
    centre.say(State(state="lost"))
    assert (book.online, book.version, book.trouble) == (False, "1.2.3", "")


def test_a_backlog_shows_how_much_is_still_to_come(centre: Centre) -> None:
    centre.send(centre.batch(100))
    assert centre.pipeline.books[AGENT].backlog_count == 99
    centre.send(centre.batch(1, *(centre.record(ago_s=6000.0 - 60 * number) for number in range(49))))
    assert centre.pipeline.books[AGENT].backlog_count == 50


# After a restart.


def again(centre: Centre, folder: Path, *, after_s: float = 5.0) -> Centre:
    """The same collector, started again."""
    now, mono_s, seq = centre.now + after_s, centre.mono_s + after_s, centre.seq
    centre.close()
    made = Centre(folder, now, "generation2")
    made.mono_s, made.seq = mono_s, seq
    made.link()
    return made


@pytest.fixture
def first(folder: Path) -> Centre:
    """A collector that is about to be stopped."""
    made = Centre(folder)
    made.link()
    return made


def test_a_collector_started_again_judges_by_what_it_knew(first: Centre, folder: Path) -> None:
    first.run(600, ping(loss_ratio=1.0), dns())
    before = first.review().verdicts[ROOM]
    second = again(first, folder)
    after = second.review().verdicts[ROOM]
    assert (after.level, [one.code for one in after.findings]) == (before.level, [one.code for one in before.findings])
    second.close()


def test_a_collector_started_again_takes_no_record_twice_and_misses_none(first: Centre, folder: Path) -> None:
    first.send(first.batch(1, first.record(), first.record()))
    first.send(first.batch(5))
    second = again(first, folder)
    second.send(second.batch(1, *(second.record() for _ in range(6))))
    assert second.seqs() == [1, 2, 3, 4, 5, 6]
    assert second.answers.acks[-1].upto == 6
    assert second.answers.acks[-1].generation == "generation2"
    assert second.pipeline.counts.duplicates_total == 3
    second.close()


def test_a_room_that_fell_silent_while_we_were_down_is_noticed_as_soon_as_any(first: Centre, folder: Path) -> None:
    """The broker within our own process forgets all births and Wills when we stop."""
    first.run(600)
    second = again(first, folder)
    second.run(600, measuring=False)
    assert second.codes() == ["ROOM_SILENT"]
    second.close()


def test_a_pc_that_was_switched_off_before_we_stopped_alerts_nobody(first: Centre, folder: Path) -> None:
    first.run(600)
    first.say(State(state="offline", reason="shutdown"))
    second = again(first, folder)
    reviews = second.run(3600, measuring=False)
    assert second.codes() == ["PC_SWITCHED_OFF"]
    assert not any(review.notices for review in reviews)
    second.close()


def test_a_boot_is_known_again(first: Centre, folder: Path) -> None:
    """Records of a boot that was heard before our restart are placed by it, not by the PC's wrong clock."""
    first.send(first.batch(1))
    began_s = first.now - first.mono_s
    second = again(first, folder, after_s=600)
    taken = Moment(boot="boot-1", mono_s=second.mono_s - 300, wall_s=1e9)
    later = Moment(boot="boot-2", mono_s=10.0, wall_s=1e9)
    second.send(msgspec.structs.replace(second.batch(2, Record(taken=taken, readings=(ping(),))), now=later))
    placed = second.kept()[-1]
    assert placed.taken_s == pytest.approx(began_s + taken.mono_s, abs=0.1)
    assert placed.sure
    second.close()


def test_a_journal_restored_from_yesterday_asks_for_what_it_lacks(first: Centre, folder: Path) -> None:
    first.send(first.batch(1))
    first.journal.copy_to(folder / "yesterday.db")
    first.send(first.batch(2))
    assert first.answers.acks[-1].upto == 2
    first.close()
    for leftover in folder.glob("journal.db*"):
        leftover.unlink()
    (folder / "yesterday.db").rename(folder / "journal.db")
    second = Centre(folder, first.now + 5, "generation2")
    second.send(second.batch(3))
    assert (second.answers.acks[-1].upto, second.answers.acks[-1].generation) == (1, "generation2")
    second.close()


# What we make of it ourselves.


def own(centre: Centre) -> list[tuple[str, str, str, float]]:
    """Our own readings, in order: probe, target, reason, level."""
    return [
        (reading.probe, reading.target, reading.detail, reading.values.get("level_code", -1))
        for one in centre.kept(OWN_NAME)
        for reading in one.record.readings
    ]


def test_verdicts_findings_and_agents_are_kept_as_series_of_the_room(centre: Centre) -> None:
    centre.run(600, ping(loss_ratio=1.0), dns())
    made = centre.kept(OWN_NAME)
    assert {(one.room, one.province) for one in made} == {(ROOM, "ha-giang")}
    top = centre.codes()[0]
    assert ("verdict", "room", top, 2) in own(centre)
    assert any(probe == "finding" and reason == top for probe, _, reason, _ in own(centre))
    assert any((probe, target) == ("agent", AGENT) for probe, target, _, _ in own(centre))


def test_each_of_our_own_readings_becomes_a_sample(centre: Centre) -> None:
    """Else it would be kept, and silently be in no database."""
    centre.run(300)
    centre.run(600, ping(loss_ratio=1.0), Reading(probe="dns", target="dns", outcome=Outcome.TIMEOUT))
    for one in centre.kept(OWN_NAME):
        made = samples_of(one)
        assert made.refused == []
        assert len(made.samples) == len(one.record.readings)


def verdict_times(centre: Centre) -> list[float]:
    return [
        one.taken_s
        for one in centre.kept(OWN_NAME)
        if any(reading.probe == "verdict" for reading in one.record.readings)
    ]


def test_a_verdict_is_kept_each_minute_and_whenever_the_level_changes(centre: Centre) -> None:
    centre.run(600, step_s=5.0)
    times = verdict_times(centre)
    steady = [after - before for before, after in itertools.pairwise(times[2:])]
    assert set(steady) == {60.0}
    centre.wait(5)
    centre.say(State(state="lost"))
    centre.review()
    assert verdict_times(centre) == [*times, centre.now]
    assert ("verdict", "room", "ROOM_SILENT", 3) in own(centre)


# How arrivals are gathered.


def test_all_that_waits_is_gathered_at_once() -> None:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    for number in range(5):
        arrivals.put(LinkArrival(connected=True, reason="", arrived_s=float(number)))
    waiting = Waiting(arrivals)
    assert [one.arrived_s for one in waiting.gather(1.0)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert waiting.gather(0.0) == []


def test_the_first_arrival_ends_the_wait() -> None:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    late = threading.Timer(0.1, arrivals.put, [LinkArrival(connected=True, reason="", arrived_s=1.0)])
    late.start()
    began_s = time.monotonic()
    assert len(Waiting(arrivals).gather(60.0)) == 1
    assert time.monotonic() - began_s < 30
    late.join()


def waiting_for(*came: Arrival) -> Waiting:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    for one in came:
        arrivals.put(one)
    return Waiting(arrivals)


def came(ago_s: float, *, agent: str = AGENT, boot: str = "boot-1", records: int = 1, at_s: float = 0) -> BatchArrival:
    """A batch whose newest record is so old."""
    now = Moment(boot=boot, mono_s=1e6, wall_s=1e6)
    record = Record(taken=Moment(boot=boot, mono_s=1e6 - ago_s, wall_s=1e6 - ago_s), readings=(ping(),))
    batch = Batch(
        epoch=EPOCH, low=1, first=1, now=now, made_count=1, dropped_count=0, records=(record,) * records
    )  # fmt: skip
    return BatchArrival(agent, batch, 500, at_s)


def test_what_is_measured_now_goes_before_all_backlog_and_a_group_takes_only_some_of_it() -> None:
    old = [came(7200.0, records=240) for _ in range(20)]
    live = [came(1.0, agent=f"pc-{number}") for number in range(30)]
    waiting = waiting_for(*old, *live)
    first = waiting.gather(0.0)
    assert first[:30] == live
    assert 0 < len(first[30:]) < 10
    rest = first[30:]
    while group := waiting.gather(0.0):
        rest += group
    assert rest == old


def test_what_is_measured_now_is_found_behind_any_amount_of_backlog() -> None:
    old = [came(7200.0, records=240) for _ in range(9000)]
    live = [came(1.0, agent=f"pc-{number}") for number in range(100)]
    waiting = waiting_for(*old, *live)
    assert waiting.gather(0.0)[:100] == live
    rest_count = 0
    while group := waiting.gather(0.0):
        rest_count += len(group)
    assert 4000 < rest_count < 9000, "what there was no room for is not acknowledged, and comes again"


def test_a_flood_of_agents_is_taken_in_groups() -> None:
    waiting = waiting_for(*(came(1.0, agent=f"pc-{number}") for number in range(500)))
    assert [len(waiting.gather(0.0)) for _ in range(4)] == [200, 200, 100, 0]


@pytest.mark.parametrize(
    "after",
    [
        StateArrival(AGENT, State(state="offline", reason="shutdown"), False, 2.0),
        came(1.0, boot="boot-2", at_s=2.0),
    ],
    ids=["goodbye", "next boot"],
)
def test_an_agents_goodbye_and_its_next_boot_do_not_overtake_its_backlog(after: Arrival) -> None:
    """Else a PC that was switched off would seem to be there, and two boots to take turns."""
    old = [came(7200.0, records=240, at_s=float(number)) for number in range(9)]
    other = came(7200.0, agent="pc-2")
    group = waiting_for(other, *old, after).gather(0.0)
    assert group[:10] == [*old, after]


def test_what_is_remembered_of_a_refusing_journal_is_bounded(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    centre.journal._db.execute("PRAGMA query_only=ON")
    for number in range(50):
        centre.send(centre.batch(1, epoch=f"epoch{number:04}"))
    assert len(list(centre.pipeline._judged_seqs.all())) < 20


def test_a_group_that_is_refused_counts_when_it_is_kept(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    centre.journal._db.execute("PRAGMA query_only=ON")
    lost = centre.batch(1)
    centre.send(lost)
    assert centre.pipeline.counts.records_total == 0
    centre.journal._db.execute("PRAGMA query_only=OFF")
    centre.send(lost)
    assert (centre.pipeline.counts.records_total, centre.pipeline.counts.duplicates_total) == (1, 0)


class ShortLog(Journal):
    """On a full disk whose write-ahead log has room for some records at a time, and no more."""

    room_count = 12

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._left = self.room_count
        with super().transaction():
            yield

    def keep(self, kept: Kept) -> bool:
        self._left -= 1
        if self._left < 0:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().keep(kept)


def test_what_is_too_much_for_one_transaction_on_a_full_disk_is_kept_in_parts(centre: Centre, folder: Path) -> None:
    agents = [f"crowd-{number:03}" for number in range(80)]
    for agent in agents:
        centre.registry.add_agent(agent, ROOM, centre.now - 900)
    centre.journal.close()
    centre.journal = centre.pipeline._journal = ShortLog(folder / "journal.db")
    centre.pipeline.handle([centre.arrival(centre.batch(1), agent) for agent in agents], centre.now)
    assert [agent for agent, upto, _ in centre.answers.seen if upto == 1] == agents
    assert centre.pipeline.problems == set()
    assert centre.pipeline.counts.records_total == 80
