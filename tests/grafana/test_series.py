"""Dashboards ask for no series that nobody writes."""

import pytest

from contract.units import UNITS
from grafana.edition import DIALECTS, Dialect, Edition
from grafana.provisioning import RULES
from grafana.words import GRAFANA_UNITS
from tests.grafana.asking import Json
from tests.grafana.boards import asking_by_code, boards, every_asking_panel
from tests.grafana.series import unknown_in_influxql, unknown_in_promql


def unknown(query: str, dialect: Dialect) -> list[str]:
    return unknown_in_promql(query) if dialect == "promql" else unknown_in_influxql(query)


def texts_of(target: Json, dialect: Dialect) -> str:
    query: str = target["expr" if dialect == "promql" else "query"]
    return query


@pytest.mark.parametrize(("name", "code", "dialect"), every_asking_panel())
def test_a_panel_asks_for_series_that_exist(name: str, code: str, dialect: Dialect) -> None:
    for target in asking_by_code(name, dialect)[code]["targets"]:
        assert unknown(texts_of(target, dialect), dialect) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_annotations_and_rules_ask_for_series_that_exist(dialect: Dialect) -> None:
    asked = [
        annotation.get("expr") or annotation["query"]
        for board in boards(Edition("vi", dialect)).values()
        for annotation in board["annotations"]["list"]
    ]
    asked += [rule.query for rule in RULES[dialect]]
    assert len(asked) > 1
    assert [unknown(query, dialect) for query in asked] == [[]] * len(asked)


def test_a_name_that_nobody_writes_is_noticed() -> None:
    assert unknown_in_promql('sum(ping_speed_ms{room="a"}) / ping_loss_ratio[5m]') == ["ping_speed_ms"]
    assert unknown_in_influxql('SELECT max("speed_ms"), max("loss_ratio") FROM "ping"') == ["speed_ms"]
    assert unknown_in_influxql('SELECT max("loss_ratio") FROM "pong"') == ["loss_ratio", "pong"]


def test_every_unit_has_its_name_in_grafana() -> None:
    assert {unit.ending for unit in UNITS} == GRAFANA_UNITS.keys()
