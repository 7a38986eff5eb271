"""Keeps docs/reliability.md: one table of what was done to the system and what it showed, from runs with `--long`.

A test joins with `@pytest.mark.bar("disk full", load="by us and by others")`, and says what it counted through `seen`.
Several tests may share a row. A run replaces the rows that it made and leaves the others as they are.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import pytest

from bench.machine import describe

ROWS: Final = (
    "chaos, real processes",
    "simulation",
    "power cuts",
    "disk full",
    "clocks",
    "slow link",
    "server away",
    "restored backup",
    "hostile database",
    "reconnect storm",
    "mail",
    "deaf collector",
    "fuzz",
    "weak links",
)
PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD: Final = """\
# Reliability

What was done to the system, and what it showed. Written by `python3 dev.py test --long`, which takes hours; each row
says when it ran and for how long, and a row that is missing has not been run. The same tests run in every
`python3 dev.py test` with smaller numbers.
"""
_COLUMNS: Final = ("test", "load and faults", "seen", "held", "when", "took")

Seen: TypeAlias = Callable[[str], None]
"""Say what was counted, with its unit: "0 lost of 500,000"."""


class Part(NamedTuple):
    """What one test brought to its row."""

    row: str
    load: str
    seen: tuple[str, ...]
    is_held: bool
    took_s: float


class Table:
    """The parts of this run."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.said: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self.began_s: dict[str, float] = {}

    def lines(self, when: str) -> dict[str, str]:
        """Each row of this run by its name, as a line of Markdown."""
        return {row: _line(row, parts, when) for row in ROWS if (parts := [p for p in self.parts if p.row == row])}


_TABLE: Final = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bar(row, load): what it shows goes into docs/reliability.md with --long")
    config.stash[_TABLE] = Table()


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """Adds a phrase to the test's row."""
    return request.config.stash[_TABLE].said.setdefault(request.node.nodeid, []).append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    mark = item.get_closest_marker("bar")
    if mark is None or report.skipped:
        return report
    table = item.config.stash[_TABLE]
    table.began_s.setdefault(item.nodeid, call.start)
    if report.failed:
        table.failed.add(item.nodeid)
    if report.when == "teardown":
        took_s = time.time() - table.began_s[item.nodeid]
        said = tuple(table.said.get(item.nodeid, ()))
        row, load = str(mark.args[0]), str(mark.kwargs["load"])
        assert row in ROWS, f"{item.nodeid}: there is no row {row!r} in {__name__}"
        table.parts.append(Part(row, load, said, item.nodeid not in table.failed, took_s))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[_TABLE].lines(f"{datetime.now(UTC):%Y-%m-%d}")
    if not config.getoption("--long") or not lines:
        return
    enter(PAGE, lines)
    terminalreporter.section("reliability")
    terminalreporter.write_line(page(lines).partition("\n\n")[2])


def enter(path: Path, lines: Mapping[str, str]) -> None:
    """Put rows into the page, each in the place of its older self."""
    older = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line.split("|")[1].strip(): line for line in older if line.startswith("| ")}
    path.write_text(page({**known, **lines}), encoding="utf-8")


def page(lines: Mapping[str, str]) -> str:
    """The whole page."""
    heading = [_cells(_COLUMNS), _cells("---" for _ in _COLUMNS)]
    table = [*heading, *(lines[row] for row in ROWS if row in lines)]
    return "\n".join((HEAD, *table, "", f"The last run was on {describe()}.", ""))


def _line(row: str, parts: list[Part], when: str) -> str:
    loads = "; ".join(dict.fromkeys(part.load for part in parts))
    shown = "; ".join(dict.fromkeys(phrase for part in parts for phrase in part.seen))
    held = "yes" if all(part.is_held for part in parts) else "**no**"
    minutes = sum(part.took_s for part in parts) / 60.0
    return _cells((row, loads, shown, held, when, f"{minutes:.1f} min"))


def _cells(texts: Iterable[str]) -> str:
    return "| " + " | ".join(text.replace("|", "/").replace("\n", " ") for text in texts) + " |"
