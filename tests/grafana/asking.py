"""Asks a database what a panel would ask, as Grafana does: fills in its marks, and reads the answer by its rules."""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from grafana.edition import Dialect
from tests.support.influxdb import InfluxDB
from tests.support.victoria_metrics import VictoriaMetrics

Json = dict[str, Any]
DATABASE: Final = "sansang"
_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86400}
_INTERVALS: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_POINTS: Final = 1000
"""About as many as a panel on a screen has room for."""
QUICK_S: Final = 1.0
"""What a question may take. The slowest took 0.75 s on two idle cores, the next 0.29 s."""
_TRIES_MAX_COUNT: Final = 20
_PAUSE_S: Final = 0.5


class View(NamedTuple):
    """What a reader looks at: a time range (Unix seconds) and the choices above the panels."""

    start_s: int
    end_s: int
    choices: Mapping[str, str]


class Row(NamedTuple):
    """One label set of an answer; `numbers` by column, or for a series its points by Unix ms."""

    labels: dict[str, str]
    numbers: dict[str, float]
    points: dict[int, float]


class Databases:
    """Both, with the same week in them; what was asked once is remembered."""

    def __init__(self, victoria_metrics: VictoriaMetrics, influxdb: InfluxDB) -> None:
        self.victoria_metrics = victoria_metrics
        self.influxdb = influxdb
        self._known: dict[str, Answer] = {}

    def ask(self, target: Json, dialect: Dialect, view: View, step_s: int) -> "Answer":
        """What a panel's target brings; asked again when it was slow, for others work on this machine too."""
        question = repr((target, dialect, view, step_s))
        if question not in self._known:
            answers = []
            for _ in range(_TRIES_MAX_COUNT):
                answers.append(self._ask(target, dialect, view, step_s))
                if answers[-1].took_s < QUICK_S:
                    break
                time.sleep(_PAUSE_S)
            self._known[question] = min(answers, key=lambda answer: answer.took_s)
        return self._known[question]

    def _ask(self, target: Json, dialect: Dialect, view: View, step_s: int) -> "Answer":
        query = filled(target["expr" if dialect == "promql" else "query"], view, step_s)
        began_s = time.perf_counter()
        if dialect == "promql":
            rows = list(self.promql(query, view, step_s if target["range"] else 0))
            return Answer(query, target["legendFormat"], rows, time.perf_counter() - began_s)
        rows = list(self.influxql(query))
        legend = re.sub(r"\$tag_(\w+)", r"{{\1}}", target["alias"])
        return Answer(query, legend, rows, time.perf_counter() - began_s)

    def promql(self, query: str, view: View, step_s: int) -> Iterator[Row]:
        """Rows of an instant query at the end of the view, or of a range query when there is a step."""
        parameters: dict[str, str | int] = {"query": query, "nocache": 1}
        if step_s:
            # Grafana moves both ends to whole steps.
            start_s, end_s = (at_s // step_s * step_s for at_s in (view.start_s, view.end_s))
            answer = self._get("/api/v1/query_range", {**parameters, "start": start_s, "end": end_s, "step": step_s})
        else:
            answer = self._get("/api/v1/query", {**parameters, "time": view.end_s})
        for one in answer["data"]["result"]:
            labels = {name: text for name, text in one["metric"].items() if name != "__name__"}
            if step_s:
                yield Row(labels, {}, {int(at_s * 1000): float(text) for at_s, text in one["values"]})
            else:
                yield Row(labels, {"Value": float(one["value"][1])}, {})

    def label_values(self, query: str, view: View) -> list[str]:
        """What Grafana's `label_values(series, label)` lists."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found, query
        parameters: dict[str, str | int] = {"match[]": found[1], "start": view.start_s, "end": view.end_s}
        names: list[str] = self._get(f"/api/v1/label/{found[2]}/values", parameters)["data"]
        return sorted(names)

    def _get(self, path: str, parameters: Mapping[str, str | int]) -> Json:
        answer = httpx.post(self.victoria_metrics.url + path, data=parameters, trust_env=False, timeout=30.0)
        document: Json = msgspec.json.decode(answer.content)
        assert document["status"] == "success", f"{parameters}: {document}"
        return document

    def influxql(self, query: str) -> Iterator[Row]:
        """Rows of the answer: a series of many times is one row of points; other columns are labels or numbers."""
        for series in self.influxdb.query(query, database=DATABASE):
            columns: Any = series["columns"]
            tags: Any = series.get("tags", {})
            values: Any = series["values"]
            for value in values:
                cells = dict(zip(columns, value, strict=True))
                at_ms = _milliseconds(cells.pop("time", None))
                labels = {name: text for name, text in cells.items() if isinstance(text, str)}
                numbers = {name: float(one) for name, one in cells.items() if isinstance(one, int | float)}
                yield Row({**tags, **labels}, {"Time": float(at_ms), **numbers}, {})


class Answer(NamedTuple):
    """What came back, how the legend is made, and how long it took."""

    query: str
    legend: str
    rows: list[Row]
    took_s: float

    def series(self, dialect: Dialect, step_s: int) -> dict[str, dict[int, float]]:
        """Points by legend and time. InfluxDB names a bucket by its beginning, PromQL by its end: here by its end."""
        found: dict[str, dict[int, float]] = {}
        for row in self.rows:
            points = found.setdefault(self.named(row), {})
            if dialect == "promql":
                points.update({at_ms: number for at_ms, number in row.points.items() if number == number})  # noqa: PLR0124 - NaN
            else:
                at_ms = int(row.numbers["Time"]) + step_s * 1000
                points |= dict.fromkeys(
                    (at_ms,), next(number for name, number in row.numbers.items() if name != "Time")
                )
        return found

    def named(self, row: Row) -> str:
        """The legend of a row, with its labels filled in."""
        return re.sub(r"{{(\w+)}}", lambda mark: row.labels.get(mark[1], ""), self.legend)


def filled(query: str, view: View, step_s: int) -> str:
    """The query with Grafana's marks filled in."""
    range_s = view.end_s - view.start_s
    marks = {
        "$__rate_interval": f"{max(step_s + 60, 240)}s",
        "$__interval": f"{step_s}s",
        "$__range": f"{range_s}s",
        "$timeFilter": f"time >= {view.start_s}000ms and time <= {view.end_s}000ms",
        "${__to}": f"{view.end_s}000",
        **{f"${name}": text for name, text in view.choices.items()},
    }
    for mark, text in marks.items():
        query = query.replace(mark, text)
    left = re.findall(r"\$[a-z_{]\w*", query)
    assert left == [], f"nothing is put in for {left} in {query}"
    return query


def step_of(panel: Json, view: View) -> int:
    """Grafana's $__interval for a panel, in seconds."""
    shortest = panel.get("interval", "1m")
    least_s = max(int(shortest[:-1]) * _UNITS_S[shortest[-1]], 60)
    wanted_s = (view.end_s - view.start_s) / _POINTS
    return next(step_s for step_s in _INTERVALS if step_s >= max(wanted_s, least_s))


@cache
def _milliseconds(text: str | None) -> int:
    return 0 if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
