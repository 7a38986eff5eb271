"""The ledger: what agents say that they made, against what is stored, and why there are holes."""

import contextlib
import itertools
import random
import statistics
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.cli import main
from collector.ledger import SLOT_S, Account, Cause, Evidence, Hole, Lost, Tally, Word, make_ledger
from collector.line.reception import Reception
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import Journal, Stream
from contract.batch import Batch
from contract.moment import Moment
from contract.reading import Record

DAY_SLOT = 1_795_500_000 // 600
BEGIN_S = DAY_SLOT * SLOT_S
END_S = BEGIN_S + 12 * SLOT_S


def tallies(*missing: int, unsure: int = -1) -> list[Tally]:
    """Twelve slots of ten minutes, a hundred readings each, without the missing ones; two hours before them too."""
    return [
        Tally("pc-1", "e1", DAY_SLOT + slot, 100, 10 if slot == unsure else 0)
        for slot in range(-12, 12)
        if slot not in missing
    ]


def ledger(
    *missing: int,
    made: int = 2400,
    stored: int = 2400,
    dropped: int = 0,
    unsure: int = -1,
    words: tuple[Word, ...] = (Word("pc-1", BEGIN_S - 9000, "online", ""),),
    lost: tuple[Lost, ...] = (),
    quarantined_s: tuple[float, ...] = (),
) -> list[Hole]:
    evidence = Evidence(
        tallies=tallies(*missing, unsure=unsure),
        accounts=[Account("pc-1", "e1", made, dropped, stored)],
        words=list(words),
        lost=list(lost),
        quarantined_s=list(quarantined_s),
    )
    return list(make_ledger(evidence, BEGIN_S, END_S).holes)


def hole(first: int, last: int, cause: Cause, reason: str = "") -> Hole:
    return Hole(BEGIN_S + first * SLOT_S, BEGIN_S + (last + 1) * SLOT_S, cause, reason)


def test_a_whole_day_has_no_hole() -> None:
    assert ledger() == []


def test_a_pc_that_was_switched_off_left_a_hole_with_its_reason() -> None:
    off = Word("pc-1", BEGIN_S + 3 * SLOT_S - 10, "offline", "shutdown")
    on = Word("pc-1", BEGIN_S + 6 * SLOT_S + 1, "online", "")
    assert ledger(3, 4, 5, words=(off, on)) == [hole(3, 5, Cause.AGENT_OFF, "shutdown")]


def test_a_pc_that_vanished_and_had_measured_nothing_was_off() -> None:
    lost = Word("pc-1", BEGIN_S + 3 * SLOT_S + 60, "lost", "")
    on = Word("pc-1", BEGIN_S + 6 * SLOT_S + 1, "online", "")
    assert ledger(3, 4, 5, words=(lost, on)) == [hole(3, 5, Cause.AGENT_OFF, "lost")]


def test_what_an_agent_still_holds_is_not_delivered_yet() -> None:
    lost = Word("pc-1", BEGIN_S + 3 * SLOT_S + 60, "lost", "")
    assert ledger(3, 4, made=2400, stored=2200, words=(lost,)) == [hole(3, 4, Cause.NOT_DELIVERED)]


def test_what_a_full_spool_gave_up_is_named() -> None:
    lost = Lost("pc-1", 20, BEGIN_S + 3 * SLOT_S - 5, BEGIN_S + 8 * SLOT_S)
    assert ledger(3, 4, dropped=200, stored=2200, lost=(lost,)) == [hole(3, 4, Cause.SPOOL_OVERFLOW)]


def test_quarantined_messages_are_named() -> None:
    assert ledger(3, quarantined_s=(BEGIN_S + 3.5 * SLOT_S,)) == [hole(3, 3, Cause.QUARANTINED)]


def test_readings_of_unknown_time_may_belong_into_a_hole_beside_them() -> None:
    assert ledger(3, unsure=4) == [hole(3, 3, Cause.CLOCK_UNKNOWN)]


def test_before_an_agent_was_heard_of_nothing_is_expected_of_it() -> None:
    assert ledger(*range(-12, 5)) == [hole(0, 4, Cause.NOT_BEFORE)]


def test_a_hole_without_any_cause_says_so() -> None:
    assert ledger(7) == [hole(7, 7, Cause.UNKNOWN)]


def test_a_thin_slot_is_a_hole() -> None:
    thin = [tally._replace(readings_count=40) if tally.slot == DAY_SLOT + 5 else tally for tally in tallies()]
    evidence = Evidence(thin, [Account("pc-1", "e1", 2400, 0, 2400)], [], [], [])
    found = make_ledger(evidence, BEGIN_S, END_S)
    assert found.holes == (hole(5, 5, Cause.UNKNOWN),)
    assert found.stored_count == 1140


def test_the_slot_that_is_under_way_is_no_hole_yet() -> None:
    """Asked in the first half of any ten minutes, the command said that something was missing without a cause."""
    under_way = [tally._replace(readings_count=40) if tally.slot == DAY_SLOT + 11 else tally for tally in tallies()]
    evidence = Evidence(under_way, [Account("pc-1", "e1", 2340, 0, 2340)], [], [], [])
    assert make_ledger(evidence, BEGIN_S, END_S, now_s=END_S - 1).holes == ()
    assert make_ledger(evidence, BEGIN_S, END_S, now_s=END_S).holes == (hole(11, 11, Cause.UNKNOWN),)


def test_an_agent_that_began_at_the_end_of_its_first_slot_had_sent_nothing_before() -> None:
    begun = [Tally("pc-1", "e1", DAY_SLOT + slot, 10 if slot == 0 else 100, 0) for slot in range(12)]
    evidence = Evidence(begun, [Account("pc-1", "e1", 1110, 0, 1110)], [], [], [])
    assert make_ledger(evidence, BEGIN_S, END_S).holes == (hole(0, 0, Cause.NOT_BEFORE),)


@pytest.mark.parametrize(("made", "dropped", "stored", "still_open"), [(100, 0, 100, 0), (100, 30, 50, 20)])
def test_the_account_adds_up(made: int, dropped: int, stored: int, still_open: int) -> None:
    assert Account("pc-1", "e1", made, dropped, stored).open_count == still_open


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        ("yesterday", "'yesterday' is no time such as 2026-11-24T07:00:00+07:00"),
        ("2026-11-24T07:00:00", "'2026-11-24T07:00:00' has no offset from UTC, such as +07:00 or Z"),
    ],
)
def test_a_time_that_is_none_is_said_to_be(begin: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ledger", "--room", "room-1", "--from", begin])
    assert capsys.readouterr().err.endswith(f"argument --from: {said}\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a collector that knows a room and its agent."""
    path = tmp_path / "collector.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n', encoding="utf-8")
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    registry = Registry(engine)
    registry.add_room("room-1", name="1", province="Hà Giang", school="THCS")
    registry.add_agent("pc-1", "room-1", time.time())
    engine.dispose()
    return path


def test_looking_at_the_ledger_leaves_the_journal_to_the_collector_that_runs(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was opened as by a second collector, and marked as closed by the first when the command ended."""
    with contextlib.closing(Journal(tmp_path / "journal.db")) as journal:
        with journal.transaction():
            journal.save_stream(Stream("pc-1", "epoch-01", 0, 7, 0, time.time()))
        for words in (["ledger", "--room", "room-1", "--json"], ["quarantine"]):
            main([*words, "--config", str(config)])
        assert '"pc-1","epoch-01",7,0,0' in capsys.readouterr().out
        assert not journal._is_closed()


def test_a_ledger_without_a_journal_names_the_file_that_is_not_there(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "--room", "room-1", "--lang", "en", "--config", str(config)]) == 78
    assert capsys.readouterr().err == f"{tmp_path}: there is no file {tmp_path / 'journal.db'}\n"
    assert not (tmp_path / "journal.db").exists()


def test_the_ledger_is_of_one_moment_while_the_collector_goes_on(tmp_path: Path) -> None:
    with (
        contextlib.closing(Journal(tmp_path / "journal.db")) as journal,
        contextlib.closing(journal.reader()) as reader,
    ):
        reader.stand_still()
        before = reader.evidence(["pc-1"])
        with journal.transaction():
            journal.save_stream(Stream("pc-1", "epoch-01", 0, 7, 0, time.time()))
        assert reader.evidence(["pc-1"]) == before
        assert journal.evidence(["pc-1"]) != before


_slots = st.integers(-3, 15)
_times_s = st.floats(BEGIN_S - 3 * SLOT_S, END_S + 3 * SLOT_S)
_agents = st.sampled_from(("pc-1", "pc-2"))
_tallies = st.lists(
    st.builds(
        lambda agent, slot, count, unsure: Tally(agent, "e1", DAY_SLOT + slot, count, min(count, unsure)),
        _agents,
        _slots,
        st.integers(1, 200),
        st.integers(0, 5),
    ),
    max_size=30,
)
_words = st.lists(
    st.builds(
        Word,
        _agents,
        st.one_of(_times_s, st.just(BEGIN_S + SLOT_S)),
        st.sampled_from(("online", "offline", "lost")),
        st.sampled_from(("", "shutdown", "suspend")),
    ),
    max_size=8,
    unique_by=lambda word: word.at_s,  # of two at one time the one that came later counts
)
_lost = st.lists(st.builds(Lost, _agents, st.integers(1, 9), st.one_of(st.none(), _times_s), _times_s), max_size=3)
_evidence = st.builds(
    Evidence,
    tallies=_tallies,
    accounts=st.lists(
        st.builds(Account, _agents, st.just("e1"), st.integers(0, 99), st.integers(0, 9), st.integers(0, 99)),
        max_size=2,
    ),
    words=_words,
    lost=_lost,
    quarantined_s=st.lists(_times_s, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(_evidence, _times_s, st.floats(1.0, 9 * SLOT_S))
def test_holes_lie_within_the_time_asked_for_in_order_and_beside_each_other(
    evidence: Evidence, from_s: float, lasts_s: float
) -> None:
    found = make_ledger(evidence, from_s, from_s + lasts_s).holes
    edges = [edge for one in found for edge in (one.from_s, one.to_s)]
    assert edges == sorted(edges)
    assert all(one.from_s < one.to_s for one in found)
    assert all(from_s <= edge <= from_s + lasts_s for edge in edges)
    for before, after in itertools.pairwise(found):
        assert before.to_s < after.from_s or before[2:] != after[2:], "one hole told as two"


@settings(max_examples=60, deadline=None)
@given(_evidence)
def test_every_moment_is_in_a_hole_or_in_a_slot_of_which_enough_is_stored(evidence: Evidence) -> None:
    found = make_ledger(evidence, BEGIN_S, END_S)
    counts: dict[int, int] = {}
    for tally in evidence.tallies:
        if DAY_SLOT <= tally.slot < DAY_SLOT + 12:
            counts[tally.slot] = counts.get(tally.slot, 0) + tally.readings_count
    assert found.stored_count == sum(counts.values())
    usual = statistics.median(counts.values()) if counts else 0.0
    for slot in range(DAY_SLOT, DAY_SLOT + 12):
        middle_s = (slot + 0.5) * SLOT_S
        is_hole = sum(one.from_s < middle_s < one.to_s for one in found.holes)
        assert is_hole == (not counts or counts.get(slot, 0) < usual / 2)


@settings(max_examples=60, deadline=None)
@given(_evidence, st.randoms(use_true_random=False))
def test_the_order_in_which_evidence_comes_does_not_matter(evidence: Evidence, chance: random.Random) -> None:
    mixed = Evidence(
        tallies=chance.sample(evidence.tallies, len(evidence.tallies)),
        accounts=evidence.accounts,
        words=chance.sample(evidence.words, len(evidence.words)),
        lost=chance.sample(evidence.lost, len(evidence.lost)),
        quarantined_s=chance.sample(evidence.quarantined_s, len(evidence.quarantined_s)),
    )
    assert make_ledger(mixed, BEGIN_S, END_S).holes == make_ledger(evidence, BEGIN_S, END_S).holes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_gaps_sum_to_what_was_dropped_and_overlap_nothing(sizes: list[int], chance: random.Random) -> None:
    """An agent sends records and gives others up: whatever the order, each number is kept or declared lost, once."""
    moment = Moment(boot="boot", mono_s=1.0, wall_s=1.0)
    record = Record(taken=moment, readings=())
    batches, low, dropped = [], 1, set[int]()
    for size in sizes:
        if size == 0:
            dropped.add(low)  # the oldest, given up unsent
            low += 1
        else:
            records = (record,) * size
            batches.append(
                Batch(epoch="e" * 8, low=low, first=low, now=moment, made_count=0, dropped_count=0, records=records)
            )
            low += size
    last = Batch(epoch="e" * 8, low=low, first=low, now=moment, made_count=0, dropped_count=0, records=(record,))
    chance.shuffle(batches)
    reception, kept, lost = Reception(), list[int](), list[int]()
    for batch in [*batches, *batches, last]:
        received = reception.receive(batch)
        kept += received.new
        lost += [seq for first, end in received.lost for seq in range(first, end + 1)]
    assert sorted(kept + lost) == list(range(1, low + 1))
    assert dropped <= set(lost)


def test_a_line_that_flapped_for_a_week_is_read_word_by_word_once() -> None:
    """Counted, not timed: how often the words are looked at grows with the words, not with words times slots."""
    looks = itertools.count()

    class Counted(Word):
        @property
        def at_s(self) -> float:
            next(looks)
            return self[1]

    slots = 7 * 144
    words = [Counted("pc-1", BEGIN_S + at * 120.0, "online" if at % 2 else "lost", "") for at in range(7 * 720)]
    evidence = Evidence(
        tallies=[Tally("pc-1", "e1", DAY_SLOT + slot, 10 if slot % 2 else 60, 0) for slot in range(slots)],
        accounts=[Account("pc-1", "e1", 100, 0, 100)],
        words=list(words),
        lost=[],
        quarantined_s=[],
    )
    assert len(make_ledger(evidence, BEGIN_S, BEGIN_S + slots * SLOT_S).holes) == slots // 2
    assert next(looks) < 10 * len(words)
