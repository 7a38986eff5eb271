"""The choices above a dashboard: province, then the rooms in it."""

from typing import Any, Final

from grafana.edition import Edition
from grafana.queries import PLACE_I, PLACE_P, ROOM_I, ROOM_P
from grafana.words import Json

ALL: Final = "$__all"


def provinces(edition: Edition) -> Json:
    """Any number of provinces, by their tags."""
    return _choice(
        edition,
        "province",
        promql="label_values(verdict_level_code, province)",
        influxql='SHOW TAG VALUES FROM "verdict" WITH KEY = "province"',
        many=True,
    )


def rooms(edition: Edition, *, many: bool) -> Json:
    """The rooms of those provinces. The school is no tag; who looks for one finds its rooms' ids at the collector."""
    return _choice(
        edition,
        "room",
        promql=f"label_values(verdict_level_code{{{PLACE_P}}}, room)",
        influxql=f'SHOW TAG VALUES FROM "verdict" WITH KEY = "room" WHERE {PLACE_I}',
        many=many,
    )


def lessons(edition: Edition) -> Json:
    """The lesson servers that the room measures."""
    return _choice(
        edition,
        "lesson",
        promql=f'label_values(ping_loss_ratio{{{ROOM_P},role="lesson"}}, target)',
        influxql=f'SHOW TAG VALUES FROM "ping" WITH KEY = "target" WHERE {ROOM_I} AND "role" = \'lesson\'',
        many=False,
    )


def hours(edition: Edition) -> tuple[Json, ...]:
    """From which hour to which lessons are held; only PromQL can choose hours of the day."""
    if edition.dialect != "promql":
        return ()
    return tuple(
        {
            "type": "textbox",
            "name": name,
            "label": edition.say(f"variable.{name}"),
            "query": usual,
            "current": {"text": usual, "value": usual, "selected": True},
            "options": [{"text": usual, "value": usual, "selected": True}],
            "hide": 0,
            "skipUrlSync": False,
        }
        for name, usual in (("hour_from", "7"), ("hour_to", "17"))
    )


def _choice(edition: Edition, name: str, *, promql: str, influxql: str, many: bool) -> Json:
    query: Any = influxql
    if edition.dialect == "promql":
        query = {"query": promql, "refId": "StandardVariableQuery"}
    choice: Json = {
        "type": "query",
        "name": name,
        "label": edition.say(f"variable.{name}"),
        "description": edition.say(f"variable.{name}.help"),
        "datasource": edition.source,
        "query": query,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "hide": 0,
        "skipUrlSync": False,
        "options": [],
        "current": {"text": "", "value": ""},
    }
    if many:
        # Not the list of all names: it would grow with the rooms, past what a query may be long.
        choice |= {"allValue": ".*", "current": {"text": ["All"], "value": [ALL], "selected": True}}
    return choice
