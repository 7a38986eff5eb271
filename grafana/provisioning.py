"""Writes what Grafana reads when it starts: data sources, where dashboards lie, and rules that watch the watcher.

A folder for each dialect, to be laid over /etc/grafana/provisioning. Grafana fills in the environment's variables.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from contract.catalogue import LANGUAGES
from grafana.edition import DIALECTS, SOURCE_UIDS, Dialect, Edition

HEAD: Final = "# Made by grafana/generate.py: change the code, then run `python3 dev.py grafana`.\n"
_FOLDERS: Final = {"vi": "Sẵn Sàng", "en": "Sẵn Sàng (English)"}

_VICTORIA_METRICS: Final = """\
apiVersion: 1
datasources:
  - name: Sẵn Sàng (VictoriaMetrics)
    uid: {uid}
    type: prometheus
    access: proxy
    url: $SANSANG_METRICS_URL
    jsonData:
      httpMethod: POST
      timeInterval: 60s
      prometheusType: Prometheus
"""
_INFLUXDB: Final = """\
# InfluxDB 1.x, or 2.x through its v1 query API (there the bucket needs a DBRP mapping, and user and password are any
# name and a token). Leave user and password unset where the database asks for none.
apiVersion: 1
datasources:
  - name: Sẵn Sàng (InfluxDB)
    uid: {uid}
    type: influxdb
    access: proxy
    url: $SANSANG_INFLUXDB_URL
    user: $SANSANG_INFLUXDB_USER
    secureJsonData:
      password: $SANSANG_INFLUXDB_PASSWORD
    jsonData:
      dbName: $SANSANG_INFLUXDB_DATABASE
      httpMode: POST
      timeInterval: 60s
"""
_PROVIDER: Final = """\
  - name: sansang-{language}
    folder: {folder}
    folderUid: sansang-{language}
    type: file
    allowUiUpdates: false
    updateIntervalSeconds: 60
    options:
      path: $SANSANG_DASHBOARDS/{language}/{dialect}
"""


class Rule(NamedTuple):
    """One alert rule: it fires while `query` gives more than `above`, or nothing at all if `on_silence`."""

    code: str
    query: str
    above: float
    lasts: str
    on_silence: bool = False


_NO_VERDICTS_I: Final = (
    'SELECT 0 * count("level_code") FROM "verdict" WHERE time > now() - 5m'  # no row at all when nothing is written
)

RULES: Final[dict[Dialect, tuple[Rule, ...]]] = {
    "promql": (
        Rule("collector_down", 'min(up{job="sansang-collector"}) == bool 0', 0, "2m", on_silence=True),
        Rule("no_verdicts", "sum(count_over_time(verdict_level_code[5m])) == bool 0", 0, "2m", on_silence=True),
        Rule("not_reviewing", "time() - max(last_over_time(sansang_reviewed_timestamp_seconds[1h]))", 300, "2m"),
        Rule("broker_lost", "min(last_over_time(sansang_broker_connected_bool[5m])) == bool 0", 0, "5m"),
        Rule("sink_behind", "max(last_over_time(sansang_sink_behind[5m]))", 5000, "10m"),
        Rule("sink_refused", "sum(increase_prometheus(sansang_sink_refused_total[1h]))", 0, "0s"),
        Rule("mail_refused", "sum(delta(sansang_outbox_refused[1h]))", 0, "0s"),
        Rule("quarantine", "sum(increase_prometheus(sansang_quarantined_total[1h]))", 0, "0s"),
        Rule("problems", "sum(last_over_time(sansang_problems[5m]))", 0, "10m"),
    ),
    "influxql": (Rule("no_verdicts", _NO_VERDICTS_I, 0, "2m", on_silence=True),),
}
"""What tells somebody that the collector itself cannot. InfluxDB does not hold the collector's own figures: there the
one sign is that verdicts stop."""


def files() -> Iterator[tuple[PurePosixPath, str]]:
    """Every provisioning file: its path below grafana/, and its text."""
    for dialect in DIALECTS:
        folder = PurePosixPath("provisioning", dialect)
        source = _VICTORIA_METRICS if dialect == "promql" else _INFLUXDB
        yield folder / "datasources" / "sansang.yaml", HEAD + source.format(uid=SOURCE_UIDS[dialect])
        yield folder / "dashboards" / "sansang.yaml", HEAD + _providers(dialect)
        yield folder / "alerting" / "sansang.yaml", HEAD + _alerting(dialect)


def _providers(dialect: Dialect) -> str:
    each = [_PROVIDER.format(language=language, dialect=dialect, folder=_FOLDERS[language]) for language in LANGUAGES]
    return "apiVersion: 1\nproviders:\n" + "".join(each)


_GROUP: Final = """\
apiVersion: 1
groups:
  - orgId: 1
    name: sansang-watcher
    folder: {folder}
    interval: 1m
    rules:
"""
_RULE: Final = """\
      - uid: sansang-{uid}
        title: "{title}"
        condition: C
        for: {lasts}
        noDataState: {no_data}
        execErrState: Error
        labels:
          sansang: watcher
        annotations:
          summary: "{summary}"
          summary_en: "{summary_en}"
        data:
          - refId: A
            relativeTimeRange: {{from: 600, to: 0}}
            datasourceUid: {source}
            model:
              refId: A
{model}
          - refId: C
            relativeTimeRange: {{from: 0, to: 0}}
            datasourceUid: __expr__
            model:
              refId: C
              type: threshold
              expression: {expression}
              conditions:
                - evaluator: {{type: gt, params: [{above:g}]}}
"""
_MODEL_P: Final = """\
              instant: true
              range: false
              expr: '{query}'"""
_MODEL_I: Final = """\
              rawQuery: true
              resultFormat: time_series
              query: '{query}'
          - refId: B
            relativeTimeRange: {{from: 0, to: 0}}
            datasourceUid: __expr__
            model:
              refId: B
              type: reduce
              reducer: last
              expression: A"""


def _alerting(dialect: Dialect) -> str:
    vi, en = (Edition(language, dialect) for language in LANGUAGES)
    rules = [
        _RULE.format(
            uid=rule.code.replace("_", "-"),
            title=vi.say(f"alert.{rule.code}"),
            summary=vi.say(f"alert.{rule.code}.help"),
            summary_en=en.say(f"alert.{rule.code}.help"),
            lasts=rule.lasts,
            # A collector that was never scraped is no fault of its mail: only the first signs speak on silence.
            no_data="Alerting" if rule.on_silence else "OK",
            source=SOURCE_UIDS[dialect],
            model=(_MODEL_P if dialect == "promql" else _MODEL_I).format(query=rule.query),
            expression="A" if dialect == "promql" else "B",
            above=rule.above,
        )
        for rule in RULES[dialect]
    ]
    return _GROUP.format(folder=_FOLDERS["vi"]) + "".join(rules)
