"""Builds a table out of several numbers for each thing, in either dialect, with one name for each column.

PromQL answers a column at a time, which Grafana merges by their labels; InfluxQL answers all at once.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from grafana import panel
from grafana.edition import Edition
from grafana.panel import Panel, override
from grafana.queries import Ask
from grafana.words import Json

_NOTHING: Final = "-"
"""An empty cell; without it the cell would show the panel's sentence of what to do when all is empty."""


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A column of names; `field` is what the database calls it, `look` are properties of Grafana's field."""

    field: str
    title: str
    look: Json = {}
    last: bool = False
    """Stands after the numbers: a long text."""


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A column of numbers; `promql` answers it with the table's tags as labels, `influxql` names its column."""

    title: str
    unit: str
    promql: str = ""
    influxql: str = ""
    look: Json = {}


class Ratio(NamedTuple):
    """A column that Grafana makes of two others, since InfluxQL cannot divide counts under different conditions."""

    name: str
    above: str
    below: str


def divided(ratio: Ratio) -> Json:
    """The transformation that divides."""
    binary = {"left": ratio.above, "operator": "/", "right": ratio.below}
    options = {"mode": "binary", "alias": ratio.name, "binary": binary, "replaceFields": False}
    return {"id": "calculateField", "options": options}


def table(
    code: str,
    edition: Edition,
    *,
    tags: Sequence[Tag],
    numbers: Sequence[Number],
    influxql: Sequence[str],
    join: str = "",
    ratio: Ratio | None = None,
    needed: str = "",
    sort: str = "",
    least_first: bool = False,
    **rest: Any,  # noqa: ANN401 - fields of Panel
) -> Panel:
    """A table with `tags` first. `influxql` are whole queries: of several, rows are joined by the column `join`, two
    columns may be divided by each other (`ratio`), and rows without a number in the column `needed` are dropped.

    `sort` is the title of a column without gaps, the greatest first unless `least_first`.
    """
    in_promql = edition.dialect == "promql"
    if in_promql:
        numbers = [number for number in numbers if number.promql]
        names = [f"Value #{'ABCDEFGHIJ'[at]}" for at in range(len(numbers))] if len(numbers) > 1 else ["Value"]
        asks = [Ask(promql=number.promql, influxql="", shape="table") for number in numbers]
        transformations: list[Json] = [{"id": "merge", "options": {}}]
    else:
        numbers = [number for number in numbers if number.influxql]
        names = [number.influxql for number in numbers]
        asks = [Ask(promql="", influxql=query, shape="table") for query in influxql]
        transformations = []
        if len(asks) > 1:
            transformations.append({"id": "joinByField", "options": {"byField": join, "mode": "outer"}})
        if ratio is not None:
            transformations.append(divided(ratio))
        if needed:
            keep: Json = {"fieldName": needed, "config": {"id": "isNotNull", "options": {}}}
            transformations.append({
                "id": "filterByValue", "options": {"type": "include", "match": "all", "filters": [keep]}
            })  # fmt: skip
    first, last = ([tag.field for tag in tags if tag.last is is_last] for is_last in (False, True))
    columns = [*first, *names, *last]
    transformations += _arranged(columns)
    ordered = [name for name, number in zip(names, numbers, strict=True) if number.title == sort]
    if ordered:  # by the data themselves: not every version of the table sorts as it is first shown
        transformations.append({"id": "sortBy", "options": {"sort": [{"field": ordered[0], "desc": not least_first}]}})
    overrides = [override(tag.field, displayName=tag.title, noValue=_NOTHING, **tag.look) for tag in tags]
    overrides += [
        override(name, **{"displayName": number.title, "unit": number.unit, "noValue": _NOTHING, **number.look})
        for name, number in zip(names, numbers, strict=True)
    ]
    made = panel.table(code, *asks, sort=sort, least_first=least_first, **rest)
    if any(tag.look.get("custom.wrapText") for tag in tags):
        made = msgspec.structs.replace(made, options={**made.options, "cellHeight": "lg"})
    return msgspec.structs.replace(
        made, overrides=(*made.overrides, *overrides), transformations=(*made.transformations, *transformations)
    )


def _arranged(columns: Sequence[str]) -> list[Json]:
    """Columns in their order, and none but these: what else there is differs by database."""
    places = {name: at for at, name in enumerate(columns)}
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"indexByName": places, "excludeByName": {}, "renameByName": {}}},
    ]
