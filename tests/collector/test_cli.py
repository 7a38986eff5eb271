"""The operator's commands: what cannot be meant is told in one sentence, with exit code 2, and changes nothing."""

from pathlib import Path

import pytest

from collector.cli import main
from collector.rooms.registry import Registry, RegistryView
from collector.storage.database import open_database, sqlite_url

CaptureText = pytest.CaptureFixture[str]
ADD = ["rooms", "add", "room-02", "--province", "Hà Giang", "--school", "THCS"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A centre with one room, and no agent yet."""
    (tmp_path / "data").mkdir()
    engine = open_database(sqlite_url(tmp_path / "data" / "collector.db"))
    Registry(engine).add_room("room-01", name="Phòng 1", province="Hà Giang", school="THCS")
    engine.dispose()
    file = tmp_path / "collector.toml"
    mail = f'[mail]\nmode = "folder"\nfolder = "{tmp_path}/outbox"\n'
    file.write_text(f'language = "en"\ndata_dir = "{tmp_path}/data"\n{mail}', encoding="utf-8")
    return file


def known(config: Path) -> RegistryView:
    engine = open_database(sqlite_url(config.parent / "data" / "collector.db"))
    try:
        return Registry(engine).view()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*ADD, "--name", " "], "name is empty"),
        ([*ADD, "--name", "P" * 201], "is longer than 200 characters"),
        ([*ADD, "--name", "P", "--profile", "zoom-4k"], "there is no profile zoom-4k; choose one of audio-only, "),
        ([*ADD, "--name", "P", "--contact-mail", "lan"], '"lan" is no e-mail address'),
        ([*ADD, "--name", "P", "--contact-name", "Lan"], "--contact-name needs --contact-mail"),
        (["agents", "add", "pc-1", "--room", "room-1"], "there is no room room-1; the nearest is room-01"),
        (["agents", "add", "pc-1", "--room", "room-01", "--file", "no/pc.toml"], "--file: there is no folder no"),
        (["agents", "add", "pc-1", "--room", "room-01", "--file", "/"], "--file: / is a folder; name a file"),
        (["agents", "revoke", "pc-9"], "there is no agent pc-9"),
        (["backup", "no/b.tar.gz"], "file: there is no folder no"),
        (["broker", "equip", "tls", "--name", "a b"], "--name: expected the name of a host, or an IP address, got"),
        (["ledger", "--room", "room-01", "--from", "2026-11-25T07:00:00Z", "--to", "2026-11-24T07:00:00Z"],
         "--from: 2026-11-25T07:00:00.000Z is not before 2026-11-24T07:00:00.000Z"),
        (["reflector", "--key-of", "Bad Id"], "--key-of: expected 3 to 32 characters"),
        (["test-mail", "lan"], "to: expected a mail address"),
        (["rooms", "import", "none.csv"], "cannot read the file none.csv: No such file or directory"),
    ],
    ids=lambda value: " ".join(value[:2] + value[-2:])[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_slip_on_the_command_line_is_told_and_changes_nothing(
    config: Path, capsys: CaptureText, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(config.parent)
    before = sorted(path.name for path in (config.parent / "data").iterdir())
    assert main([*words, "--config", str(config), "--lang", "en"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    after = known(config)
    assert (list(after.rooms), list(after.agents)) == (["room-01"], [])
    made = {path.name for path in (config.parent / "data").iterdir()} - set(before)
    assert made <= {"collector.db-wal", "collector.db-shm", "authority"}


def test_a_room_comes_with_its_contact(config: Path) -> None:
    words = [*ADD, "--name", "P", "--contact-name", "Lan", "--contact-mail", "lan@example.vn"]
    assert main([*words, "--config", str(config)]) == 0
    assert [(one.name, one.address) for one in known(config).contacts["room-02"]] == [("Lan", "lan@example.vn")]


def test_how_many_must_be_a_number_from_one_on(config: Path, capsys: CaptureText) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["quarantine", "--limit", "-5", "--config", str(config)])
    assert "'-5' is no number from 1 on" in capsys.readouterr().err
