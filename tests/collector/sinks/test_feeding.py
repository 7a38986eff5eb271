from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sinks.feeding import ASK_EVERY_S, Ask, Feed, Feeding, Wait

SETTLE_S: Final = 30.0


def fed(*, up_to_id: int = 5, now_s: float = 0.0) -> Feeding:
    """A feeding that knows its database's mark and has written something."""
    feeding = Feeding(0, settle_s=SETTLE_S)
    feeding.marked("run-1", now_s)
    feeding.wrote(up_to_id, now_s)
    return feeding


def test_a_sink_whose_writes_are_storage_is_safe_at_once() -> None:
    feeding = Feeding(7, settle_s=0.0)
    assert feeding.next(0.0) == Feed(7)
    feeding.wrote(9, 0.0)
    assert (feeding.safe_id, feeding.next(1e9)) == (9, Feed(9))


def test_nothing_is_fed_before_the_database_was_asked_how_long_it_is_up() -> None:
    feeding = Feeding(3, settle_s=SETTLE_S)
    assert feeding.next(0.0) == Ask()
    feeding.marked("run-1", 0.0)
    assert feeding.next(0.0) == Feed(3)


def test_what_was_written_is_safe_once_the_database_has_stayed_up_for_the_whole_time() -> None:
    feeding = fed()
    feeding.marked("run-1", SETTLE_S - 0.1)
    assert feeding.safe_id == 0
    feeding.marked("run-1", SETTLE_S)
    assert feeding.safe_id == 5


def test_time_alone_makes_nothing_safe() -> None:
    feeding = fed()
    feeding.wrote(8, 10 * SETTLE_S)
    assert feeding.safe_id == 0


def test_the_database_is_asked_every_ten_seconds_also_while_there_is_much_to_feed() -> None:
    feeding = fed()
    assert feeding.next(ASK_EVERY_S - 0.1) == Feed(5)
    assert feeding.next(ASK_EVERY_S) == Ask()


def test_after_a_restart_feeding_goes_on_from_what_is_safe() -> None:
    feeding = fed()
    feeding.marked("run-1", SETTLE_S)
    feeding.wrote(9, SETTLE_S + 1)
    assert feeding.marked("run-2", SETTLE_S + 10) is True
    assert feeding.next(SETTLE_S + 10) == Feed(5)


def test_what_was_written_before_a_restart_never_becomes_safe_by_waiting() -> None:
    feeding = fed()
    feeding.marked("run-2", 10.0)
    feeding.marked("run-2", 10.0 + 2 * SETTLE_S)
    assert feeding.safe_id == 0


def test_a_failure_of_a_database_that_stayed_up_repeats_nothing() -> None:
    feeding = fed()
    feeding.failed(1.0)
    assert feeding.next(3.0) == Ask()
    assert feeding.marked("run-1", 3.0) is False
    assert feeding.next(3.0) == Feed(5)


def test_a_failure_of_a_database_that_does_not_tell_its_start_counts_as_a_restart() -> None:
    feeding = Feeding(0, settle_s=SETTLE_S)
    feeding.marked("", 0.0)
    feeding.wrote(5, 0.0)
    assert feeding.marked("", 10.0) is False
    feeding.failed(11.0)
    assert feeding.marked("", 20.0) is True
    assert feeding.next(20.0) == Feed(0)


def test_without_a_mark_what_was_written_is_safe_after_the_time_without_a_failure() -> None:
    feeding = Feeding(0, settle_s=SETTLE_S)
    feeding.marked("", 0.0)
    feeding.wrote(5, 0.0)
    feeding.marked("", SETTLE_S)
    assert feeding.safe_id == 5


def test_waits_grow_to_a_minute_and_start_over_after_a_success() -> None:
    feeding = Feeding(0, settle_s=0.0)
    waits: list[float] = []
    now_s = 0.0
    for _ in range(9):
        feeding.failed(now_s)
        step = feeding.next(now_s)
        assert isinstance(step, Wait)
        waits.append(step.for_s)
        now_s += step.for_s
        assert feeding.next(now_s) == Feed(0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    feeding.wrote(1, now_s)
    feeding.failed(now_s)
    assert feeding.next(now_s) == Wait(1.0)


@pytest.mark.parametrize("settle_s", [0.0, SETTLE_S])
def test_another_journal_is_fed_from_its_beginning(settle_s: float) -> None:
    feeding = Feeding(100, settle_s=settle_s)
    feeding.marked("run-1", 0.0)
    feeding.restart()
    assert (feeding.safe_id, feeding.next(0.0)) == (0, Feed(0))


class Forgetful:
    """A database that loses, when it is killed, what it took in its last ten seconds."""

    def __init__(self) -> None:
        self.run = 1
        self.on_disk = 0  # ids 1 to this are stored; feeding is in order, so a gap can only be at the end
        self.in_memory: list[tuple[float, int, int]] = []

    def settle(self, now_s: float) -> None:
        while self.in_memory and self.in_memory[0][0] <= now_s - 10.0:
            _, first, last = self.in_memory.pop(0)
            if first <= self.on_disk + 1:
                self.on_disk = max(self.on_disk, last)

    def take(self, first: int, last: int, now_s: float) -> None:
        self.in_memory.append((now_s, first, last))

    def kill(self) -> None:
        self.in_memory.clear()
        self.run += 1


@settings(max_examples=200)
@given(
    happenings=st.lists(st.tuples(st.sampled_from(["feed", "kill", "fail", "wait"]), st.floats(0.1, 40.0)), max_size=60)
)
def test_whenever_it_is_killed_what_is_called_safe_is_on_its_disk(happenings: list[tuple[str, float]]) -> None:
    database, feeding = Forgetful(), Feeding(0, settle_s=SETTLE_S)
    now_s, made_id = 0.0, 0
    for what, for_s in [*happenings, *[("feed", 9.0)] * 12]:
        now_s += for_s
        database.settle(now_s)
        made_id += 3
        if what == "kill":
            database.kill()
        elif what == "fail":
            feeding.failed(now_s)
        elif what == "feed":
            for _ in range(3):
                step = feeding.next(now_s)
                if step == Ask():
                    feeding.marked(str(database.run), now_s)
                elif isinstance(step, Feed) and step.after_id < made_id:
                    database.take(step.after_id + 1, made_id, now_s)
                    feeding.wrote(made_id, now_s)
        assert feeding.safe_id <= database.on_disk
    assert feeding.sent_id == made_id
    database.settle(now_s + 11.0)
    assert database.on_disk == made_id
