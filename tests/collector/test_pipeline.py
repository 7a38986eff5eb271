"""The pipeline: all is placed in its time and room, only the present is judged, and a restart forgets nothing."""

from pathlib import Path

import msgspec
import pytest

from contract.messages import State
from contract.moment import Moment
from contract.reading import Record
from readiness.verdict import Level
from tests.collector.centre import AGENT, ROOM, Centre, dns, ping

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
