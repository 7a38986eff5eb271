"""Provisioning fits the dashboards: data sources, folders and rules that Grafana finds by their fixed names."""

import re
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # comes with amqtt; no types are wanted for two tests

import dev
from grafana.edition import DIALECTS, SOURCE_TYPES, SOURCE_UIDS, Dialect
from grafana.provisioning import RULES

GRAFANA: Final = dev.ROOT / "grafana"
VARIABLES: Final = {
    "promql": {"SANSANG_METRICS_URL", "SANSANG_DASHBOARDS"},
    "influxql": {
        "SANSANG_INFLUXDB_URL", "SANSANG_INFLUXDB_USER", "SANSANG_INFLUXDB_PASSWORD", "SANSANG_INFLUXDB_DATABASE",
        "SANSANG_DASHBOARDS",
    },
}  # fmt: skip


def load(dialect: Dialect, what: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / dialect / what / "sansang.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_data_source_has_the_uid_that_dashboards_name(dialect: Dialect) -> None:
    (source,) = load(dialect, "datasources")["datasources"]
    assert (source["uid"], source["type"]) == (SOURCE_UIDS[dialect], SOURCE_TYPES[dialect])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_providers_lead_to_folders_that_exist(dialect: Dialect) -> None:
    providers = load(dialect, "dashboards")["providers"]
    folders = [provider["options"]["path"].replace("$SANSANG_DASHBOARDS", "dashboards") for provider in providers]
    assert [len(list((GRAFANA / folder).glob("*.json"))) for folder in folders] == [6, 6]
    assert len({provider["folder"] for provider in providers}) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_rule_asks_its_own_data_source_and_says_what_to_do(dialect: Dialect) -> None:
    (group,) = load(dialect, "alerting")["groups"]
    assert [rule["uid"] for rule in group["rules"]] == [
        f"sansang-{one.code.replace('_', '-')}" for one in RULES[dialect]
    ]
    for rule, one in zip(group["rules"], RULES[dialect], strict=True):
        first, *further = rule["data"]
        assert first["datasourceUid"] == SOURCE_UIDS[dialect]
        assert one.query in (first["model"].get("expr"), first["model"].get("query"))
        assert {query["datasourceUid"] for query in further} == {"__expr__"}
        assert rule["condition"] in {query["refId"] for query in further}
        known = {query["refId"] for query in rule["data"]}
        assert {query["model"]["expression"] for query in further} <= known
        assert rule["noDataState"] == ("Alerting" if one.on_silence else "OK")
        assert all(rule["annotations"][name] for name in ("summary", "summary_en"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_readme_tells_of_every_variable_that_provisioning_reads(dialect: Dialect) -> None:
    files = (GRAFANA / "provisioning" / dialect).rglob("*.yaml")
    named = {name for file in files for name in re.findall(r"\$(\w+)", file.read_text(encoding="utf-8"))}
    assert named == VARIABLES[dialect]
    readme = (GRAFANA / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(named) if name not in readme] == []
