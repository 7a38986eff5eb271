"""The way to the lesson: at which step packets are lost or slow, and in which part of opening a lesson time goes."""

from grafana import panel, queries, words
from grafana.board import PATH_ROLES, Board, role_names, room_link
from grafana.edition import Edition
from grafana.panel import Panel, Row, steps
from grafana.queries import READING_NOW, ROOMS_I, ROOMS_P, Ask
from grafana.table import Number, Tag, table
from grafana.variables import provinces, rooms

_ROLES = "|".join(PATH_ROLES)
_WAY_P = f'{ROOMS_P},role=~"{_ROLES}"'
_WAY_I = f'{ROOMS_I} AND "role" =~ /^({_ROLES})$/'
_LOST_I = '1 - sum("received_count") / sum("sent_count")'
_LOSS_STEPS = steps(words.GOOD, (0.01, words.DOUBTFUL), (0.05, words.BAD))


def board(edition: Edition) -> Board:
    """The dashboard for whoever asks the provider."""
    return Board(
        name="path",
        variables=(provinces(edition), rooms(edition, many=True)),
        rows=(
            Row(
                code="path.title",
                panels=(_loss_now(edition), _loss(edition), _delay(edition), _delay_p95(edition), _jitter(edition)),
            ),
            Row(code="path.row.opening", panels=(_http(edition), _tcp(edition), _dns(), _failures())),
            Row(code="path.row.rooms", panels=(_worst(edition), _certificates(edition))),
        ),
    )


def lost_p(where: str, window: str, by: str) -> str:
    """PromQL: the share of echo requests that got no answer, over all of them: never a mean of shares."""
    counts = (f"sum by ({by}) (sum_over_time(ping_{what}_count{{{where}}}[{window}]))" for what in ("received", "sent"))
    return f"1 - {' / '.join(counts)}"


def _loss_now(edition: Edition) -> Panel:
    return panel.bars(
        "path.loss_now",
        *(  # one by one, which keeps them in the order of the way
            Ask(
                promql=lost_p(f'{ROOMS_P},role="{role}"', READING_NOW, "role"),
                influxql=f'SELECT {_LOST_I} FROM "ping" WHERE {ROOMS_I} AND "role" = \'{role}\''
                f' AND {queries.since(READING_NOW)} GROUP BY "role"',
                legend="{{role}}",
                shape="now",
            )
            for role in PATH_ROLES
        ),
        unit="percentunit",
        defaults={"max": 0.2, "decimals": 1, "thresholds": _LOSS_STEPS},
        overrides=tuple(
            {**one, "properties": [part for part in one["properties"] if part["id"] == "displayName"]}
            for one in role_names(edition)
        ),
    )


def _loss(edition: Edition) -> Panel:
    return panel.lines(
        "path.loss",
        Ask(
            promql=lost_p(_WAY_P, "$__interval", "role"),
            influxql=f'SELECT {_LOST_I} FROM "ping" WHERE {_WAY_I}'
            ' AND $timeFilter GROUP BY time($__interval), "role" fill(none)',
            legend="{{role}}",
        ),
        width=16,
        unit="percentunit",
        defaults={"min": 0},
        overrides=role_names(edition),
    )


def _by_role(edition: Edition, code: str, *, promql: str, influxql: str) -> Panel:
    return panel.lines(
        code,
        Ask(
            promql=promql,
            influxql=f'SELECT {influxql} FROM "ping" WHERE {_WAY_I}'
            ' AND $timeFilter GROUP BY time($__interval), "role" fill(none)',
            legend="{{role}}",
        ),
        width=8,
        unit="ms",
        defaults={"min": 0},
        overrides=role_names(edition),
    )


def _delay(edition: Edition) -> Panel:
    return _by_role(
        edition,
        "path.delay",
        promql=f"quantile by (role) (0.5, quantile_over_time(0.5, ping_rtt_p50_ms{{{_WAY_P}}}[$__interval]))",
        influxql='median("rtt_p50_ms")',
    )


def _delay_p95(edition: Edition) -> Panel:
    return _by_role(
        edition,
        "path.delay_p95",
        promql=f"max by (role) (max_over_time(ping_rtt_p95_ms{{{_WAY_P}}}[$__interval]))",
        influxql='max("rtt_p95_ms")',
    )


def _jitter(edition: Edition) -> Panel:
    return _by_role(
        edition,
        "path.jitter",
        promql=f"quantile by (role) (0.5, quantile_over_time(0.5, ping_jitter_ms{{{_WAY_P}}}[$__interval]))",
        influxql='median("jitter_ms")',
    )


def _mean(edition: Edition, probe: str, field: str, role: str) -> Ask:
    return Ask(
        promql=f'avg (avg_over_time({probe}_{field}{{{ROOMS_P},role="{role}"}}[$__interval]))',
        influxql=f'SELECT mean("{field}") FROM "{probe}" WHERE {ROOMS_I} AND "role" = \'{role}\''
        " AND $timeFilter GROUP BY time($__interval) fill(none)",
        legend=edition.say(f"series.{field.removesuffix('_ms')}"),
    )


def _http(edition: Edition) -> Panel:
    """Means, for only means of parts add up to the mean of the whole."""
    phases = ("resolve_ms", "connect_ms", "tls_ms", "first_byte_ms")
    return panel.lines(
        "path.http",
        *(_mean(edition, "http", field, "lesson") for field in phases),
        unit="ms",
        defaults={"min": 0},
        custom={"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 50, "lineWidth": 1},
    )


def _tcp(edition: Edition) -> Panel:
    return panel.lines(
        "path.tcp",
        *(_mean(edition, "tcp", field, "lesson") for field in ("resolve_ms", "connect_ms")),
        width=6,
        unit="ms",
        defaults={"min": 0},
        custom={"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 50, "lineWidth": 1},
    )


def _dns() -> Panel:
    return panel.lines(
        "path.dns",
        Ask(
            promql=f"quantile by (target) (0.5, quantile_over_time(0.5, dns_answer_ms{{{ROOMS_P}}}[$__interval]))",
            influxql=f'SELECT median("answer_ms") FROM "dns" WHERE {ROOMS_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend="{{target}}",
        ),
        width=6,
        unit="ms",
        defaults={"min": 0},
    )


def _failures() -> Panel:
    """Attempts that ended in anything but OK, by probe: a count of events, so bars from zero."""
    return panel.lines(
        "path.failures",
        *(
            Ask(
                promql=f"sum (count_over_time(({_failed_p(probe)})[$__interval:1m]))",
                influxql=f'SELECT count("outcome_code") FROM "{probe}" WHERE {ROOMS_I} AND "outcome_code" > 0'
                " AND $timeFilter GROUP BY time($__interval) fill(none)",
                legend=probe,
            )
            for probe in ("tcp", "http", "dns")
        ),
        width=24,
        height=7,
        every="10m",
        empty="empty.no_failures",
        defaults={"min": 0},
        custom={"drawStyle": "bars", "fillOpacity": 70, "lineWidth": 0, "stacking": {"mode": "normal", "group": "A"}},
    )


def _failed_p(probe: str) -> str:
    return f"last_over_time({probe}_outcome_code{{{ROOMS_P}}}[1m]) > 0"


def _worst(edition: Edition) -> Panel:
    by = "room, province, target"
    where_p = f'{ROOMS_P},role="lesson"'
    return table(
        "path.worst",
        edition,
        tags=(
            Tag(
                field="room",
                title=edition.say("column.room"),
                look={"links": panel.link(edition.say("link.room"), room_link(edition, "${__value.raw}"))},
            ),
            Tag(field="province", title=edition.say("column.province"), look={"mappings": words.provinces()}),
            Tag(field="target", title=edition.say("column.target")),
        ),
        numbers=(
            Number(
                title=edition.say("series.loss"),
                unit="percentunit",
                promql=lost_p(where_p, "$__range", by),
                influxql="loss",
                look={
                    "decimals": 2,
                    "thresholds": _LOSS_STEPS,
                    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
                },
            ),
            Number(
                title=edition.say("series.median"),
                unit="ms",
                promql=f"max by ({by}) (quantile_over_time(0.5, ping_rtt_p50_ms{{{where_p}}}[$__range]))",
                influxql="median",
                look={"decimals": 0},
            ),
            Number(
                title=edition.say("series.p95_worst"),
                unit="ms",
                promql=f"max by ({by}) (max_over_time(ping_rtt_p95_ms{{{where_p}}}[$__range]))",
                influxql="p95",
                look={"decimals": 0},
            ),
        ),
        influxql=(
            (
                f'SELECT {_LOST_I} AS "loss", median("rtt_p50_ms") AS "median", max("rtt_p95_ms") AS "p95" FROM "ping"'
                f' WHERE {ROOMS_I} AND "role" = \'lesson\' AND $timeFilter GROUP BY "room", "province", "target"'
            ),
        ),
        sort=edition.say("series.loss"),
        width=18,
    )


def _certificates(edition: Edition) -> Panel:
    return panel.stat(
        "path.certificates",
        Ask(
            promql=f"min (last_over_time(http_tls_expires_days{{{ROOMS_P}}}[$__range]))",
            influxql=f'SELECT min("d") FROM (SELECT last("tls_expires_days") AS "d" FROM "http" WHERE {ROOMS_I}'
            ' AND $timeFilter GROUP BY "room", "target")',
            legend=edition.say("path.certificates"),
            shape="now",
        ),
        width=6,
        height=10,
        unit="d",
        empty="empty.stat",
        defaults={"decimals": 0, "thresholds": steps(words.BAD, (7, words.DOUBTFUL), (21, words.GOOD))},
    )
