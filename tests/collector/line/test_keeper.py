"""What is acknowledged is on the disk, everything is kept once, and what is refused comes again."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.storage.journal import Gap, Journal, Kept
from contract.messages import State
from tests.collector.centre import AGENT, EPOCH, ROOM, Centre


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


def test_what_is_too_much_for_one_transaction_on_a_full_disk_is_kept_in_parts(folder: Path) -> None:
    centre = Centre(folder, journal=ShortLog)
    centre.link()
    agents = [f"crowd-{number:03}" for number in range(80)]
    for agent in agents:
        centre.registry.add_agent(agent, ROOM, centre.now - 900)
    centre.pipeline.handle([centre.arrival(centre.batch(1), agent) for agent in agents], centre.now)
    assert [agent for agent, upto, _ in centre.answers.seen if upto == 1] == agents
    assert centre.pipeline.problems == set()
    assert centre.pipeline.counts.records_total == 80
    centre.close()
