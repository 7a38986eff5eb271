"""Puts a table panel's answers together as Grafana's transformations do, so that both dialects can be compared.

Only what our tables use: merge by labels, join by a column, divide, drop rows without a number.
"""

from typing import Any

from grafana.edition import Dialect
from tests.grafana.asking import Answer, Json

Key = tuple[tuple[str, str], ...]
Table = dict[Key, dict[str, float]]
"""Numbers by column title, for each combination of named cells."""


def titles(panel: Json) -> dict[str, str]:
    """What each field is called on the screen."""
    return {
        override["matcher"]["options"]: part["value"]
        for override in panel["fieldConfig"]["overrides"]
        for part in override["properties"]
        if part["id"] == "displayName"
    }


def table_of(panel: Json, answers: list[Answer], dialect: Dialect) -> Table:
    """The panel's rows, by the titles that a reader sees."""
    rows = _merged(answers) if dialect == "promql" else _joined(panel, answers)
    shown = titles(panel)
    table: Table = {}
    for texts, numbers in rows:
        key = tuple(sorted((shown[name], text) for name, text in texts.items() if name in shown))
        assert key not in table, f"{panel['title']}: {key} stands there twice"
        table[key] = {shown[name]: number for name, number in numbers.items() if name in shown}
    return table


_Rows = list[tuple[dict[str, str], dict[str, float]]]


def _merged(answers: list[Answer]) -> _Rows:
    rows: _Rows = []
    for at, answer in enumerate(answers):
        name = f"Value #{'ABCDEFGHIJ'[at]}" if len(answers) > 1 else "Value"
        for row in answer.rows:
            fitting = [
                numbers
                for texts, numbers in rows
                if all(texts[label] == row.labels[label] for label in texts.keys() & row.labels.keys())
                and name not in numbers
            ]
            if fitting:
                fitting[0][name] = row.numbers["Value"]
            else:
                rows.append((dict(row.labels), {name: row.numbers["Value"]}))
    return rows


def _joined(panel: Json, answers: list[Answer]) -> _Rows:
    steps: dict[str, Any] = {step["id"]: step["options"] for step in panel.get("transformations", ())}
    by = steps["joinByField"]["byField"] if "joinByField" in steps else ""
    rows: _Rows = []
    for at, answer in enumerate(answers, start=1):
        for row in answer.rows:
            numbers = {f"Time {at}" if name == "Time" else name: number for name, number in row.numbers.items()}
            before = [known for known in rows if at > 1 and by and known[0].get(by) == row.labels.get(by)]
            if before:
                before[0][0].update(row.labels)
                before[0][1].update(numbers)
            else:
                rows.append((dict(row.labels), numbers))
    if "calculateField" in steps:
        share = steps["calculateField"]
        for _, numbers in rows:
            if share["binary"]["left"] in numbers:
                above, below = numbers[share["binary"]["left"]], numbers[share["binary"]["right"]]
                numbers[share["alias"]] = above / below
    if "filterByValue" in steps:
        needed = steps["filterByValue"]["filters"][0]["fieldName"]
        rows = [row for row in rows if needed in row[1]]
    return rows
