from pathlib import Path

from tests.support.reliability import Part, Table, enter


def rows_of(path: Path) -> dict[str, list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in (line.split("|") for line in lines)}


def test_a_run_replaces_its_own_rows_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "reliability.md"
    first, second = Table(), Table()
    first.parts += [
        Part("clocks", "100 restarts", ("0 wrong",), is_held=True, took_s=60.0),
        Part("fuzz", "10 inputs", ("1 crash",), is_held=False, took_s=6.0),
    ]
    second.parts += [Part("fuzz", "20 inputs", ("0 crashes",), is_held=True, took_s=12.0)]
    enter(path, first.lines("2026-01-01"))
    assert rows_of(path)["fuzz"] == ["10 inputs", "1 crash", "**no**", "2026-01-01", "0.1 min"]
    enter(path, second.lines("2026-02-02"))
    rows = rows_of(path)
    assert rows["clocks"] == ["100 restarts", "0 wrong", "yes", "2026-01-01", "1.0 min"]
    assert rows["fuzz"] == ["20 inputs", "0 crashes", "yes", "2026-02-02", "0.2 min"]


def test_a_row_is_held_only_if_all_its_tests_are() -> None:
    table = Table()
    table.parts += [
        Part("disk full", "by us", ("gaps exact",), is_held=True, took_s=1.0),
        Part("disk full", "by others", (), is_held=False, took_s=1.0),
    ]
    assert "| by us; by others | gaps exact | **no** |" in table.lines("2026-01-01")["disk full"]
