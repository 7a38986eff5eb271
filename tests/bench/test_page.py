from datetime import UTC, datetime
from pathlib import Path

from bench.__main__ import NAMES
from bench.figures import Result, Row
from bench.machine import Circumstances, View
from bench.page import Section, enter


def section(name: str, figure: float) -> Section:
    seen = View(datetime(2026, 11, 24, 12, 0, tzinfo=UTC), 0.5, 1.0)
    result = Result(rows=(Row(what="CPU", unit="ms", ours=(figure,)),), notes=("A note.",))
    return Section(name=name, method="How.", result=result, around=Circumstances(seen, seen))


def test_a_benchmark_that_runs_again_replaces_its_own_section_only(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    for name, figure in (("ping", 11.0), ("wire", 22.0), ("ping", 33.0)):
        enter(page, section(name, figure), NAMES)
    text = page.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Benchmarks", "## wire", "## ping"]
    assert ("| 11 " in text, "| 22 " in text, "| 33 " in text) == (False, True, True)
    assert text.count("- 2026-11-24 12:00 to 12:00 UTC on ") == 2


def test_the_same_section_again_changes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    enter(page, section("ping", 1.0), NAMES)
    enter(page, section("wire", 1.0), NAMES)
    before = page.read_text(encoding="utf-8")
    enter(page, section("ping", 1.0), NAMES)
    assert page.read_text(encoding="utf-8") == before
