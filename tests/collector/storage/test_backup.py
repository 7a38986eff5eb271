"""The backup: taken while everything runs, and put back into an empty folder only."""

import contextlib
import random
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.authority import Authority
from collector.cli import main
from collector.media.reflector import load_secret
from collector.rooms.registry import Registry
from collector.storage.backup import BackupError, back_up, restore
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import Journal
from collector.storage.recovery import open_journal
from contract.catalogue import LANGUAGES, say
from tests.collector.storage.test_journal import a_kept

CaptureText = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collector's data: a room, an authority, and a journal with two records."""
    made = tmp_path / "data"
    made.mkdir()
    engine = open_database(sqlite_url(made / "collector.db"))
    Registry(engine).add_room("room-01", name="Phòng 1", province="Hà Giang", school="THCS")
    engine.dispose()
    Authority(made / "authority", 1.8e9)
    load_secret(made / "reflector-secret")
    with contextlib.closing(Journal(made / "journal.db")) as journal, journal.transaction():
        journal.keep(a_kept(1))
        journal.keep(a_kept(2))
    return made


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    back_up(folder, tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


def rooms(folder: Path) -> list[str]:
    engine = open_database(sqlite_url(folder / "collector.db"))
    try:
        return [room.room for room in Registry(engine).rooms()]
    finally:
        engine.dispose()


def seqs(folder: Path) -> list[int]:
    with contextlib.closing(Journal(folder / "journal.db")) as journal:
        return [kept.seq for kept in journal.since(0.0)]


def sentence(error: BackupError) -> str:
    return say(error.code, "en", **error.facts)


def test_what_was_backed_up_comes_back(folder: Path, file: Path, tmp_path: Path) -> None:
    restore(file, tmp_path / "new")
    assert rooms(tmp_path / "new") == ["room-01"]
    assert seqs(tmp_path / "new") == [1, 2]
    assert (
        Authority(tmp_path / "new" / "authority", 1.8e9).certificate
        == Authority(folder / "authority", 1.8e9).certificate
    )


def test_the_reflectors_secret_comes_back_so_that_no_agents_key_ends(folder: Path, file: Path, tmp_path: Path) -> None:
    secret = load_secret(folder / "reflector-secret")
    restore(file, tmp_path / "new")
    assert load_secret(tmp_path / "new" / "reflector-secret") == secret
    assert stat.S_IMODE((tmp_path / "new" / "reflector-secret").stat().st_mode) == 0o600


def test_a_secret_that_lies_elsewhere_is_in_the_backup_too(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "etc" / "secret-of-ours"
    secret = load_secret(elsewhere)
    config = tmp_path / "collector.toml"
    config.write_text(f'data_dir = "{folder}"\n[reflector]\nsecret_file = "{elsewhere}"\n', encoding="utf-8")
    assert main(["backup", str(tmp_path / "b.tar.gz"), "--config", str(config)]) == 0
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert load_secret(tmp_path / "new" / "reflector-secret") == secret


def test_a_collector_knows_once_that_it_runs_from_a_backup(file: Path, tmp_path: Path) -> None:
    restore(file, tmp_path / "new")
    path = tmp_path / "new" / "journal.db"
    problems = []
    for _ in range(2):
        journal, problem = open_journal(path, 1.8e9)
        journal.close()
        problems.append(problem)
    assert problems == ["journal_restored", ""]


def test_only_its_owner_can_read_a_backup_and_the_keys_that_come_out_of_it(file: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restore(file, tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new" / "authority" / "ca.key").stat().st_mode) == 0o600


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Journal]:
    """A journal into which two records are written at a time, without a pause."""
    stopping = threading.Event()
    started = threading.Event()

    def write() -> None:
        seq = 3
        while not stopping.is_set():
            with journal.transaction():
                journal.keep(a_kept(seq))
                journal.keep(a_kept(seq + 1))
            seq += 2
            started.set()

    with contextlib.closing(Journal(folder / "journal.db")) as journal:
        thread = threading.Thread(target=write)
        thread.start()
        assert started.wait(10)
        try:
            yield journal
        finally:
            stopping.set()
            thread.join()


def test_a_backup_taken_while_the_journal_is_written_is_whole(folder: Path, tmp_path: Path) -> None:
    """Both records of a transaction are in it, or neither."""
    with writing(folder):
        back_up(folder, tmp_path / "backup.tar.gz")
    restore(tmp_path / "backup.tar.gz", tmp_path / "new")
    held = seqs(tmp_path / "new")
    assert held == list(range(1, len(held) + 1))
    assert len(held) % 2 == 0
    assert len(held) > 2


def test_a_restored_journal_gives_no_id_out_twice(folder: Path, tmp_path: Path) -> None:
    """A database may hold samples of records that were kept after the backup: their ids are spent."""
    with writing(folder) as journal:
        back_up(folder, tmp_path / "backup.tar.gz")
        spent = journal.last_id() + 1000
    restore(tmp_path / "backup.tar.gz", tmp_path / "new")
    with contextlib.closing(Journal(tmp_path / "new" / "journal.db")) as journal, journal.transaction():
        journal.keep(a_kept(1_000_000))
        assert journal.last_id() > spent


@pytest.mark.parametrize("name", ["journal.db", "collector.db", "series.db", "authority", "reflector-secret"])
def test_a_folder_that_holds_data_is_left_as_it_is(file: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / name).write_text("mine", encoding="utf-8")
    with pytest.raises(BackupError) as refused:
        restore(file, target)
    assert sentence(refused.value) == f"{target} holds data; stop the program and move that folder away first."
    assert {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()} == {name: "mine"}


def test_what_is_no_backup_is_refused_and_leaves_the_folder_empty(file: Path, tmp_path: Path) -> None:
    other, cut = tmp_path / "other.tar.gz", tmp_path / "cut.tar.gz"
    with tarfile.open(other, "w:gz") as archive:
        archive.add(file, "photo.jpg")
    cut.write_bytes(file.read_bytes()[:-2000])
    text = tmp_path / "text.tar.gz"
    text.write_text("no archive at all", encoding="utf-8")
    for bad, reason in (
        (other, "collector.db is not in it"),
        (cut, "Compressed file ended before the end-of-stream marker was reached"),
        (text, "Not a gzipped file (b'no')"),
        (tmp_path / "none.tar.gz", f"[Errno 2] No such file or directory: '{tmp_path}/none.tar.gz'"),
    ):
        with pytest.raises(BackupError) as refused:
            restore(bad, tmp_path / "new")
        assert sentence(refused.value) == f"{bad} is no backup: {reason}"
        assert not (tmp_path / "new").exists()
    restore(file, tmp_path / "new")
    assert rooms(tmp_path / "new") == ["room-01"]


def test_an_archive_that_reaches_out_of_the_folder_is_refused(file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar.gz"
    with tarfile.open(bad, "w:gz") as archive:
        archive.add(file, "collector.db")
        archive.add(file, "../escaped")
    with pytest.raises(BackupError):
        restore(bad, tmp_path / "new")
    assert not (tmp_path / "escaped").exists()


def test_a_spoilt_backup_is_refused_or_comes_back_whole(file: Path, tmp_path: Path) -> None:
    good = file.read_bytes()
    chance = random.Random(1)
    for number in range(40):
        spoilt = bytearray(good)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        bad = tmp_path / "bad.tar.gz"
        bad.write_bytes(spoilt)
        target = tmp_path / f"new-{number}"
        try:
            restore(bad, target)
        except BackupError:
            assert not target.exists()
        else:
            assert rooms(target) == ["room-01"]


def test_a_backup_of_nothing_is_refused(tmp_path: Path) -> None:
    """It would be found out on the day when it is needed."""
    with pytest.raises(BackupError) as refused:
        back_up(tmp_path / "none", tmp_path / "backup.tar.gz")
    assert sentence(refused.value) == f"There is no data in {tmp_path}/none to back up; check data_dir in the settings."
    assert not (tmp_path / "backup.tar.gz").exists()


def test_a_backup_that_cannot_be_written_leaves_the_one_before(folder: Path, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    (folder / "journal.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(BackupError) as refused:
        back_up(folder, file)
    assert sentence(refused.value) == f"Cannot back up to {file}: file is not a database"
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.draft")] == []


def test_the_commands_back_up_and_restore(folder: Path, tmp_path: Path, capsys: CaptureText) -> None:
    for name, data in (("old", folder), ("new", tmp_path / "new")):
        (tmp_path / f"{name}.toml").write_text(f'data_dir = "{data}"\nlanguage = "en"\n', encoding="utf-8")
    file = tmp_path / "backup.tar.gz"
    assert main(["backup", str(file), "--config", str(tmp_path / "old.toml")]) == 0
    assert main(["restore", str(file), "--config", str(tmp_path / "new.toml")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"Backed up to {file} (")
    assert told[1] == (
        f"Restored {file} into {tmp_path}/new. After the next start the agents send again what is missing."
    )
    assert main(["restore", str(file), "--config", str(tmp_path / "new.toml")]) == 1
    assert main(["backup", str(tmp_path / "no" / "x.tar.gz"), "--config", str(tmp_path / "old.toml")]) == 2
    refused, failed = capsys.readouterr().err.splitlines()
    assert refused == f"{tmp_path}/new holds data; stop the program and move that folder away first."
    assert failed == f"file: there is no folder {tmp_path}/no"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_is_told_in_both_languages(language: str, tmp_path: Path, capsys: CaptureText) -> None:
    (tmp_path / "collector.toml").write_text('data_dir = "none"\n', encoding="utf-8")
    words = ["backup", str(tmp_path / "x"), "--config", str(tmp_path / "collector.toml"), "--lang", language]
    assert main(words) == 1
    told = {"vi": "không có dữ liệu nào để sao lưu", "en": "There is no data in"}
    assert told[language] in capsys.readouterr().err
