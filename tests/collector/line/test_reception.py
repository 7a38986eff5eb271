"""Reception: how far one epoch of one agent is, by any order of batches that a network can make."""

from hypothesis import given
from hypothesis import strategies as st

from collector.line.reception import Reception
from contract.batch import Batch
from contract.moment import Moment
from contract.reading import Record

NOW = Moment(boot="b", mono_s=0.0, wall_s=0.0)


def a_batch(first: int, last: int, low: int = 1) -> Batch:
    records = tuple(Record(taken=NOW, readings=()) for _ in range(first, last + 1))
    return Batch(epoch="abcdefgh", low=low, first=first, now=NOW, made_count=0, dropped_count=0, records=records)


def test_records_in_order_are_acknowledged_to_the_last() -> None:
    reception = Reception()
    assert reception.receive(a_batch(1, 3)).new == (1, 2, 3)
    assert reception.receive(a_batch(4, 4)).new == (4,)
    assert reception.upto == 4


def test_a_live_record_that_overtakes_a_backlog_is_new_but_not_acknowledged_yet() -> None:
    reception = Reception()
    assert reception.receive(a_batch(10, 10)).new == (10,)
    assert reception.upto == 0
    assert reception.receive(a_batch(1, 9)).new == tuple(range(1, 10))
    assert reception.upto == 10


def test_a_repeat_is_not_new() -> None:
    reception = Reception()
    reception.receive(a_batch(1, 5))
    reception.receive(a_batch(8, 8))
    assert reception.receive(a_batch(1, 5)).new == ()
    assert reception.receive(a_batch(7, 9)).new == (7, 9)
    assert reception.upto == 5


def test_a_hole_that_the_agent_can_still_fill_is_not_lost() -> None:
    reception = Reception()
    reception.receive(a_batch(1, 3))
    assert reception.receive(a_batch(6, 7, low=2)).lost == ()
    assert reception.upto == 3


def test_what_the_agent_gave_up_is_lost_once_and_passed() -> None:
    reception = Reception()
    reception.receive(a_batch(1, 3))
    received = reception.receive(a_batch(9, 9, low=8))
    assert received.lost == ((4, 7),)
    assert reception.upto == 7
    assert reception.receive(a_batch(8, 8, low=8)).lost == ()
    assert reception.upto == 9


def test_what_came_ahead_is_not_lost_when_what_lies_before_it_is() -> None:
    reception = Reception()
    reception.receive(a_batch(5, 6))
    assert reception.receive(a_batch(8, 8, low=7)).lost == ((1, 4),)
    assert reception.upto == 6


def test_what_came_ahead_splits_what_is_lost_around_it() -> None:
    reception = Reception()
    reception.receive(a_batch(5, 6))
    reception.receive(a_batch(9, 9))
    assert reception.receive(a_batch(12, 12, low=12)).lost == ((1, 4), (7, 8), (10, 11))
    assert reception.upto == 12


def test_what_is_missing_below_the_highest_is_counted() -> None:
    reception = Reception(upto=10)
    assert reception.missing_count == 0
    reception.receive(a_batch(20, 22))
    assert reception.missing_count == 9
    reception.receive(a_batch(11, 15))
    assert reception.missing_count == 4


def test_nothing_is_lost_when_all_that_was_given_up_had_come() -> None:
    reception = Reception()
    reception.receive(a_batch(2, 3))
    reception.receive(a_batch(1, 1))
    assert reception.receive(a_batch(4, 4, low=4)) == ((4,), ())
    assert reception.upto == 4


def test_an_epoch_first_heard_of_long_after_it_began_says_what_is_gone() -> None:
    """A collector whose journal was lost: the agent holds a week of it."""
    reception = Reception()
    assert reception.receive(a_batch(1000, 1002, low=1000)).lost == ((1, 999),)
    assert reception.upto == 1002


def test_a_reception_made_from_the_journal_knows_what_is_there() -> None:
    reception = Reception(upto=10, ahead=[11, 12, 15])
    assert reception.upto == 12
    assert reception.receive(a_batch(11, 16)).new == (13, 14, 16)
    assert reception.upto == 16


_batches = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 6), st.integers(0, 39)).map(
        lambda drawn: a_batch(drawn[0], drawn[0] + drawn[1], low=max(1, drawn[0] - drawn[2]))
    ),
    max_size=30,
)


@given(_batches)
def test_upto_passes_nothing_that_neither_came_nor_was_given_up(batches: list[Batch]) -> None:
    reception = Reception()
    came: set[int] = set()
    given_up = 0
    for batch in batches:
        before = reception.upto
        received = reception.receive(batch)
        assert came.isdisjoint(received.new), "a repeat called new would be stored twice"
        came.update(received.new)
        given_up = max(given_up, batch.low - 1)
        assert reception.upto >= before
        assert [seq for seq in range(1, reception.upto + 1) if seq not in came and seq > given_up] == []
        assert reception.upto + 1 not in came, "what is here must be acknowledged, or it is sent for ever"


@given(_batches)
def test_every_number_is_new_once_or_lies_below_the_mark(batches: list[Batch]) -> None:
    reception = Reception()
    came: set[int] = set()
    for batch in batches:
        came.update(reception.receive(batch).new)
    sent = {seq for batch in batches for seq in range(batch.first, batch.last + 1)}
    assert came <= sent
    assert {seq for seq in sent - came if seq > reception.upto} == set()


@given(_batches, st.integers(0, 30))
def test_a_restart_in_between_changes_nothing(batches: list[Batch], place: int) -> None:
    through, first = Reception(), Reception()
    kept: set[int] = set()
    for batch in batches[:place]:
        through.receive(batch)
        kept.update(first.receive(batch).new)
    again = Reception(first.upto, [seq for seq in kept if seq > first.upto])
    for batch in batches[place:]:
        assert again.receive(batch) == through.receive(batch)
    assert again.upto == through.upto


@given(_batches)
def test_what_is_called_lost_never_came(batches: list[Batch]) -> None:
    reception = Reception()
    came: set[int] = set()
    for batch in batches:
        received = reception.receive(batch)
        for first, last in received.lost:
            assert came.isdisjoint(range(first, last + 1))
            assert first <= last < batch.low
        came.update(received.new)
