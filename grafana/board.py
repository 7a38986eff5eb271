"""A whole dashboard: its panels, the variables above them, and the links to its neighbours."""

from collections.abc import Sequence
from typing import Final

import msgspec

from grafana.edition import Edition
from grafana.panel import Row, lay_out
from grafana.words import Json

SCHEMA_VERSION: Final = 39
"""What Grafana 10 wrote; 11 to 13 still read it and bring it up to date themselves."""
NAMES: Final = ("today", "room", "path", "power", "fleet", "province")
COLLECTOR_URL: Final = "http://127.0.0.1:8080"
"""Where readers' browsers find the collector's pages, unless the generator is told another address."""
PATH_ROLES: Final = ("gateway", "isp", "national", "international", "lesson")
"""The way to the lesson, in the order in which a packet takes it."""
DEVICE_ROLES: Final = (
    "codec", "camera", "microphone", "speaker", "dsp", "screen", "projector", "ups", "router", "switch", "device",
)  # fmt: skip


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard. `name` is the end of its uid and the beginning of its texts' codes; `shows` is its usual range."""

    name: str
    rows: tuple[Row, ...]
    variables: tuple[Json, ...]
    shows: str = "now-24h"
    refresh: str = "1m"
    annotations: tuple[Json, ...] = ()


def render(board: Board, edition: Edition) -> Json:
    """The dashboard as Grafana's JSON."""
    return {
        "uid": edition.uid(board.name),
        "title": edition.say(f"{board.name}.title"),
        "description": edition.say(f"{board.name}.title.help"),
        "tags": ["sansang", edition.language],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": board.shows, "to": "now"},
        "refresh": board.refresh,
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "weekStart": "monday",
        "links": [neighbour(name, edition) for name in NAMES if name != board.name],
        "templating": {"list": list(board.variables)},
        "annotations": {"list": list(board.annotations)},
        "panels": lay_out(board.rows, edition),
    }


def neighbour(name: str, edition: Edition) -> Json:
    """A link to another dashboard that takes the time range and the variables along."""
    return {
        "type": "link",
        "title": edition.say(f"{name}.title"),
        "tooltip": edition.say(f"{name}.title.help"),
        "url": f"/d/{edition.uid(name)}",
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
        "asDropdown": False,
        "icon": "dashboard",
        "tags": [],
    }


def room_link(edition: Edition, room: str) -> str:
    """The Room dashboard of the room that a cell or a series names, at the same time and in the same provinces."""
    return f"/d/{edition.uid('room')}?${{__url_time_range}}&${{province:queryparam}}&var-room={room}"


def pages_link(edition: Edition, room: str) -> str:
    """The room's own page at the collector, where its school, its people and its letters are."""
    return f"{COLLECTOR_URL}/rooms/{room}?lang={edition.language}"


def role_names(edition: Edition, roles: Sequence[str] = PATH_ROLES) -> tuple[Json, ...]:
    """Names and colours for series that are called by their role."""
    colours = ("#8ab8ff", "#c792ea", "#4dd0c8", "#e8c14c", "#f2a97e")
    return tuple(
        {
            "matcher": {"id": "byName", "options": role},
            "properties": [
                {"id": "displayName", "value": edition.say(f"role.{role}")},
                {"id": "color", "value": {"mode": "fixed", "fixedColor": colours[at % len(colours)]}},
            ],
        }
        for at, role in enumerate(roles)
    )
