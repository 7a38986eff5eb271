"""Agents and collector themselves: who reports, what is held back, what was lost, and whether the centre is well."""

from grafana import panel, queries, words
from grafana.board import Board, room_link
from grafana.edition import Edition
from grafana.panel import Panel, Row, steps
from grafana.queries import ROOMS_I, ROOMS_P, VERDICT_NOW, Ask
from grafana.table import Number, Tag, table
from grafana.variables import provinces, rooms
from grafana.words import Json

_BY = "target, room, province"
_BY_I = '"target", "room", "province"'


def board(edition: Edition) -> Board:
    """The dashboard of whoever runs Sẵn Sàng."""
    return Board(
        name="fleet",
        variables=(provinces(edition), rooms(edition, many=True)),
        rows=(
            Row(code="fleet.title", panels=(*_stats(edition), _agents(edition), *_lines(edition))),
            Row(
                code="fleet.row.collector",
                panels=(*_collector_stats(edition), *_collector_lines(edition), *_why_no_collector(edition)),
            ),
        ),
    )  # fmt: skip


def _latest_p(field: str) -> str:
    return f"max by (target) (last_over_time(agent_{field}{{{ROOMS_P}}}[{VERDICT_NOW}]))"


def _latest_i(field: str) -> str:
    latest = f'SELECT last("{field}") AS "x" FROM "agent" WHERE {ROOMS_I} AND {queries.since(VERDICT_NOW)}'
    return f'({latest} GROUP BY "target")'


def _stats(edition: Edition) -> tuple[Panel, ...]:
    dropped = f'SELECT non_negative_difference("dropped_total") AS "d" FROM "agent" WHERE {ROOMS_I} AND $timeFilter'
    online, backlog, lag = _latest_i("online_bool"), _latest_i("backlog_count"), _latest_i("lag_ms")
    offset = (
        f'SELECT abs(last("clock_offset_s")) AS "y" FROM "agent" WHERE {ROOMS_I} AND {queries.since(VERDICT_NOW)}'
        ' GROUP BY "target"'
    )
    plain: Json = {"thresholds": steps(words.PLAIN)}
    doubtful: Json = {"thresholds": steps(words.GOOD, (1, words.DOUBTFUL))}
    rows = (
        ("fleet.online", "none", f"sum ({_latest_p('online_bool')})", f'SELECT sum("x") FROM {online}', plain),
        (
            "fleet.offline",
            "none",
            f"sum ({_latest_p('online_bool')} == bool 0)",
            f'SELECT sum("y") FROM (SELECT 1 - "x" AS "y" FROM {online})',
            doubtful,
        ),
        (
            "fleet.backlog",
            "none",
            f"sum ({_latest_p('backlog_count')})",
            f'SELECT sum("x") FROM {backlog}',
            {"thresholds": steps(words.GOOD, (100, words.DOUBTFUL))},
        ),
        (
            "fleet.dropped",
            "none",
            f"sum (increase_prometheus(agent_dropped_total{{{ROOMS_P}}}[$__range]))",
            f'SELECT sum("d") FROM ({dropped} GROUP BY "target")',
            doubtful,
        ),
        (
            "fleet.lag",
            "ms",
            f"max ({_latest_p('lag_ms')})",
            f'SELECT max("x") FROM {lag}',
            {"thresholds": steps(words.GOOD, (180_000, words.DOUBTFUL))},
        ),
        (
            "fleet.clock",
            "s",
            f"max (abs({_latest_p('clock_offset_s')}))",
            f'SELECT max("y") FROM ({offset})',
            {"thresholds": steps(words.GOOD, (2, words.DOUBTFUL), (300, words.BAD))},
        ),
    )
    return tuple(
        panel.stat(
            code,
            Ask(promql=promql, influxql=influxql, legend=edition.say(code), shape="now"),
            unit=unit,
            empty="empty.stat",
            defaults=look,
        )
        for code, unit, promql, influxql, look in rows
    )


def _agents(edition: Edition) -> Panel:
    online = f"agent_online_bool{{{ROOMS_P}}}"
    heard = f"1000 * max by ({_BY}) (max_over_time((timestamp({online}) and ({online} == 1))[$__range:1m]))"

    def latest(field: str) -> str:
        return f"max by ({_BY}) (last_over_time(agent_{field}{{{ROOMS_P}}}[{VERDICT_NOW}]))"

    latest_fields = ", ".join(
        f'last("{field}") AS "{field}"' for field in ("online_bool", "backlog_count", "clock_offset_s", "lag_ms")
    )
    online_i = (
        f'SELECT last("online_bool") AS "heard" FROM "agent" WHERE {ROOMS_I} AND "online_bool" = 1 AND $timeFilter'
        ' GROUP BY "target"'
    )
    lost = f'SELECT non_negative_difference("dropped_total") AS "d" FROM "agent" WHERE {ROOMS_I} AND $timeFilter'
    return table(
        "fleet.agents",
        edition,
        tags=(
            Tag(field="target", title=edition.say("column.agent")),
            Tag(
                field="room",
                title=edition.say("column.room"),
                look={"links": panel.link(edition.say("link.room"), room_link(edition, "${__value.raw}"))},
            ),
            Tag(field="province", title=edition.say("column.province"), look={"mappings": words.provinces()}),
        ),
        numbers=(
            Number(
                title=edition.say("column.online"),
                unit="none",
                promql=latest("online_bool"),
                influxql="online_bool",
                look={
                    "mappings": words.yes_no(edition, yes=words.GOOD, no=words.DOUBTFUL),
                    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
                },
            ),
            Number(
                title=edition.say("column.heard"),
                unit="dateTimeAsIso",
                promql=heard,
                influxql="Time 2",
                look={"noValue": edition.say("word.before_range"), "custom.width": 170},
            ),
            Number(
                title=edition.say("column.backlog"),
                unit="none",
                promql=latest("backlog_count"),
                influxql="backlog_count",
            ),
            Number(
                title=edition.say("column.dropped"),
                unit="none",
                promql=f"max by ({_BY}) (increase_prometheus(agent_dropped_total{{{ROOMS_P}}}[$__range]))",
                influxql="dropped",
            ),
            Number(
                title=edition.say("column.clock"),
                unit="s",
                promql=latest("clock_offset_s"),
                influxql="clock_offset_s",
                look={"decimals": 1},
            ),
            Number(
                title=edition.say("column.lag"),
                unit="ms",
                promql=latest("lag_ms"),
                influxql="lag_ms",
                look={"decimals": 0},
            ),
        ),
        influxql=(
            f'SELECT {latest_fields} FROM "agent" WHERE {ROOMS_I} AND {queries.since(VERDICT_NOW)} GROUP BY {_BY_I}',
            online_i,
            f'SELECT sum("d") AS "dropped" FROM ({lost} GROUP BY "target") GROUP BY "target"',
        ),
        join="target",
        needed="online_bool",
        sort=edition.say("column.backlog"),
        empty="empty.agents",
        height=12,
    )


def _lines(edition: Edition) -> tuple[Panel, ...]:
    interval = "$timeFilter GROUP BY time($__interval)"

    def per_agent(field: str) -> str:
        return f'(SELECT last("{field}") AS "x" FROM "agent" WHERE {ROOMS_I} AND {interval}, "target" fill(none))'

    def line(code: str, unit: str, promql: str, influxql: str, width: int = 12) -> Panel:
        ask = Ask(promql=promql, influxql=influxql, legend=edition.say(code))
        return panel.lines(code, ask, unit=unit, width=width, height=8, empty="empty.agents", defaults={"min": 0})

    def latest(field: str) -> str:
        return f"max by (target) (last_over_time(agent_{field}{{{ROOMS_P}}}[$__interval]))"

    return (
        line(
            "fleet.online_over_time",
            "none",
            f"sum ({latest('online_bool')})",
            f'SELECT sum("x") FROM {per_agent("online_bool")} WHERE {interval} fill(none)',
        ),
        line(
            "fleet.backlog_over_time",
            "none",
            f"sum ({latest('backlog_count')})",
            f'SELECT sum("x") FROM {per_agent("backlog_count")} WHERE {interval} fill(none)',
        ),
        line(
            "fleet.lag_over_time",
            "ms",
            f"max (max_over_time(agent_lag_ms{{{ROOMS_P}}}[$__interval]))",
            f'SELECT max("lag_ms") FROM "agent" WHERE {ROOMS_I} AND {interval} fill(none)',
        ),
        line(
            "fleet.bytes",
            "decbytes",
            f"avg (avg_over_time(agent_batch_bytes{{{ROOMS_P}}}[$__interval]))",
            f'SELECT mean("batch_bytes") FROM "agent" WHERE {ROOMS_I} AND {interval} fill(none)',
        ),
    )


def _own(edition: Edition, code: str, promql: str, look: Json, unit: str = "none") -> Panel:
    ask = Ask(promql=promql, influxql="", legend=edition.say(code), shape="now")
    return panel.stat(code, ask, unit=unit, empty="empty.scrape_short", defaults=look)


def _collector_stats(edition: Edition) -> tuple[Panel, ...]:
    """The collector's figures about itself, which VictoriaMetrics scrapes."""
    good = steps(words.GOOD, (1, words.BAD))
    broker = {
        "mappings": words.yes_no(edition, yes=words.GOOD, no=words.BAD),
        "thresholds": steps(words.BAD, (1, words.GOOD)),
    }
    return (
        _own(edition, "fleet.broker", "min (last_over_time(sansang_broker_connected_bool[3m]))", broker),
        _own(edition, "fleet.problems", "sum (last_over_time(sansang_problems[3m]))", {"thresholds": good}),
        _own(
            edition,
            "fleet.reviewed",
            "max (time() - last_over_time(sansang_reviewed_timestamp_seconds[10m]))",
            {"thresholds": steps(words.GOOD, (60, words.DOUBTFUL), (300, words.BAD))},
            unit="s",
        ),
        _own(
            edition,
            "fleet.mail_waiting",
            "sum (last_over_time(sansang_outbox_waiting[3m]))",
            {"thresholds": steps(words.GOOD, (10, words.DOUBTFUL))},
        ),
        _own(edition, "fleet.mail_refused", "sum (last_over_time(sansang_outbox_refused[3m]))", {"thresholds": good}),
        _own(
            edition,
            "fleet.quarantined",
            "sum (increase_prometheus(sansang_quarantined_total[$__range]))",
            {"thresholds": steps(words.GOOD, (1, words.DOUBTFUL)), "decimals": 0},
        ),
    )


def _collector_lines(edition: Edition) -> tuple[Panel, ...]:
    def line(code: str, unit: str, promql: str, legend: str = "") -> Panel:
        ask = Ask(promql=promql, influxql="", legend=legend or edition.say(code))
        return panel.lines(code, ask, unit=unit, width=8, height=8, empty="empty.scrape", defaults={"min": 0})

    return (
        line("fleet.behind", "none", "max by (sink) (max_over_time(sansang_sink_behind[$__interval]))", "{{sink}}"),
        line("fleet.records", "cps", "sum (rate(sansang_records_total[$__rate_interval]))"),
        line("fleet.journal", "decbytes", "max (last_over_time(sansang_journal_bytes[$__interval]))"),
    )


def _why_no_collector(edition: Edition) -> tuple[Panel, ...]:
    if edition.dialect == "promql":
        return ()
    return (panel.text("fleet.no_collector", edition.say("fleet.no_collector.text"), width=24, height=5),)
