"""Every series that there is, by the code that makes them: the probes' values and the collector's own."""

import re
from functools import cache
from typing import Any, Final

from agent.probes import probe_class, probe_names
from collector.derived import DERIVED
from collector.metrics import metrics_registry
from collector.samples import OUTCOME
from tests.collector.web.demo import snapshot

TAGS: Final = {"room", "agent", "province", "target", "role", "reason", "time"}
SCRAPED: Final = {"up"}
"""What VictoriaMetrics itself notes of each scrape."""


@cache
def fields() -> dict[str, set[str]]:
    """Fields by measurement."""
    found: dict[str, set[str]] = {one.name: {value.name for value in one.values} for one in DERIVED}
    for name in probe_names():
        probe: Any = probe_class(name)
        found[name] = {value.name for value in probe.values} | {OUTCOME}
    return found


@cache
def metrics() -> set[str]:
    """Names in VictoriaMetrics: measurement_field, and what the collector publishes about itself."""
    own = {sample.name for family in metrics_registry(lambda: snapshot(1)).collect() for sample in family.samples}
    return {f"{name}_{field}" for name, values in fields().items() for field in values} | own | SCRAPED


def unknown_in_promql(query: str) -> list[str]:
    """Selectors in a query that name no series."""
    plain = re.sub(r'"[^"]*"', '""', query)
    named = re.findall(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*[\[{]", plain)
    assert named or "vector(" in plain, f"no selector found in {query}"
    return [name for name in named if name not in metrics()]


def unknown_in_influxql(query: str) -> list[str]:
    """Measurements and fields in a query that do not exist."""
    measurements = set(re.findall(r'FROM "(\w+)"', query))
    assert measurements, f"no measurement found in {query}"
    aliases = set(re.findall(r'AS "(\w+)"', query))
    known = aliases | TAGS | set().union(*(fields().get(name, set()) for name in measurements))
    quoted = set(re.findall(r'"(\w+)"', query)) - measurements
    return sorted((quoted - known) | (measurements - fields().keys()))
