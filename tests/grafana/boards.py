"""The dashboards as the generator makes them, and what every one of their panels is looked at with in tests."""

from collections.abc import Iterator
from functools import cache
from typing import Final

from grafana.board import render
from grafana.boards import BOARDS
from grafana.edition import DIALECTS, EDITIONS, Dialect, Edition
from grafana.texts import entries
from tests.grafana import week
from tests.grafana.asking import Json, View

RANGES_S: Final = {"now-24h": 86400, "now-7d": 7 * 86400}
CHOICES: Final = {"province": ".*", "room": ".*", "lesson": "lesson-zoom", "hour_from": "7", "hour_to": "17"}


@cache
def boards(edition: Edition) -> dict[str, Json]:
    """All dashboards of an edition, by name."""
    made = (make(edition) for make in BOARDS)
    return {board.name: render(board, edition) for board in made}


def every_board() -> list[tuple[Edition, str]]:
    return [(edition, name) for edition in EDITIONS for name in boards(edition)]


def panels(board: Json) -> Iterator[Json]:
    """All panels, those in closed rows too."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def asking_panels(board: Json) -> Iterator[Json]:
    return (panel for panel in panels(board) if panel.get("targets"))


def view_of(name: str, board: Json) -> View:
    """The dashboard as it opens, at the end of the simulated week."""
    start_s = week.END_S - RANGES_S[board["time"]["from"]]
    return View(start_s, week.END_S, {**CHOICES, "room": "room-005" if name == "room" else ".*"})


def code_of(name: str, panel: Json, edition: Edition) -> str:
    """The code of a panel's texts, which is its name in tests."""
    title = panel["title"]
    codes = [code for code in entries() if code.startswith(f"{name}.") and f"{code}.help" in entries()]
    return next(
        code for code in codes if edition.say(code) == title and edition.say(f"{code}.help") == panel["description"]
    )


@cache
def asking_by_code(name: str, dialect: Dialect) -> dict[str, Json]:
    """The panels of a dashboard that ask something, by code, in English."""
    edition = Edition("en", dialect)
    return {code_of(name, panel, edition): panel for panel in asking_panels(boards(edition)[name])}


def every_asking_panel() -> list[tuple[str, str, Dialect]]:
    """Dashboard, panel and dialect of whatever asks a database; both languages ask the same, as a test holds."""
    names = boards(EDITIONS[0])
    return [(name, code, dialect) for name in names for dialect in DIALECTS for code in asking_by_code(name, dialect)]
