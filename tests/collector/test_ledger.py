"""The ledger: what agents say that they made, against what is stored, and why there are holes."""

import contextlib
import time
from pathlib import Path

import pytest

from collector.cli import main
from collector.database import open_database, sqlite_url
from collector.journal import Journal, Stream
from collector.ledger import SLOT_S, Account, Cause, Evidence, Hole, Lost, Tally, Word, make_ledger
from collector.registry import Registry

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
