"""The report of a province: how available its rooms were, what it was that kept lessons from working, and the trend."""

from grafana import panel, queries, words
from grafana.board import Board, room_link
from grafana.edition import Edition
from grafana.panel import Panel, Row, override, steps
from grafana.provinces import PROVINCES
from grafana.queries import PLACE_I, PLACE_P, TEACHING_P, Ask
from grafana.table import Number, Ratio, Tag, divided, table
from grafana.variables import hours, provinces
from grafana.words import Json

_SHARE_STEPS = steps(words.BAD, (0.9, words.DOUBTFUL), (0.98, words.GOOD))
_RATIO = Ratio("share", "usable", "known")


def board(edition: Edition) -> Board:
    """The dashboard that is printed for the department's head."""
    return Board(
        name="province",
        shows="now-7d",
        refresh="",
        variables=(provinces(edition), *hours(edition)),
        rows=(
            Row(
                code="province.title",
                panels=(
                    _share(edition),
                    _minutes(edition, "province.unfit", "== 2", "= 2"),
                    _minutes(edition, "province.unknown", "== 3", "= 3"),
                    _provinces(edition),
                    _causes(edition),
                    _rooms(edition),
                    _trend(),
                    _trend_lost(),
                ),
            ),
        ),
    )


def _usable_p(by: str) -> str:
    usable = queries.minutes_p("< 2", PLACE_P, by, TEACHING_P)
    return f"({usable} or 0 * {_known_p(by)}) / {_known_p(by)}"


def _known_p(by: str) -> str:
    """Minutes that have a verdict at all: nights and Sundays of the collector's own absence count for nothing."""
    return queries.minutes_p("", PLACE_P, by, TEACHING_P)


def _share(edition: Edition) -> Panel:
    usable = _usable_p("agent")  # the collector's own name, the same on all verdicts: all rooms together
    in_influxql = edition.dialect == "influxql"
    counts = tuple(Ask(promql="", influxql=query, shape="table") for query in _counts_i(""))
    return panel.stat(
        "province.share",
        Ask(promql=usable, influxql="", legend=edition.say("province.share"), shape="now"),
        *counts,
        transformations=(
            {"id": "joinByField", "options": {"byField": "Time", "mode": "outer"}},
            divided(_RATIO),
            {"id": "filterFieldsByName", "options": {"include": {"names": [_RATIO.name]}}},
        )
        if in_influxql
        else (),
        width=8,
        unit="percentunit",
        empty="empty.stat",
        defaults={"decimals": 1, "thresholds": _SHARE_STEPS},
    )


def _minutes(edition: Edition, code: str, promql: str, influxql: str) -> Panel:
    return panel.stat(
        code,
        Ask(
            promql=queries.minutes_p(promql, PLACE_P, "agent", TEACHING_P),
            influxql=_total(queries.minutes_i(influxql, PLACE_I, '"room"')),
            legend=edition.say(code),
            shape="now",
        ),
        width=8,
        unit="locale",
        empty="empty.stat",
        defaults={"noValue": "0", "decimals": 0, "thresholds": steps(words.GOOD, (1, words.DOUBTFUL))},
    )


def _total(minutes: str) -> str:
    return f'SELECT sum("minutes") FROM ({minutes})'


def _numbers(edition: Edition, by: str) -> tuple[Number, ...]:
    zero: Json = {"noValue": "0", "decimals": 0}
    return (
        Number(
            title=edition.say("column.share"),
            unit="percentunit",
            promql=_usable_p(by),
            influxql="share",
            look={
                "noValue": "0 %",
                "decimals": 1,
                "thresholds": _SHARE_STEPS,
                "custom.cellOptions": {"type": "color-background", "mode": "basic"},
            },
        ),
        Number(
            title=edition.say("column.unfit_minutes"),
            unit="locale",
            promql=queries.minutes_p("== 2", PLACE_P, by, TEACHING_P),
            influxql="unfit",
            look=zero,
        ),
        Number(
            title=edition.say("column.unknown_minutes"),
            unit="locale",
            promql=queries.minutes_p("== 3", PLACE_P, by, TEACHING_P),
            influxql="unknown",
            look=zero,
        ),
    )


def _counts_i(by: str) -> tuple[str, str]:
    """InfluxQL: how many verdicts said that a lesson could be held, and how many there were."""
    grouped = f" GROUP BY {by}" if by else ""
    usable = f'"level_code" < 2 AND {PLACE_I}'
    return (
        f'SELECT count("level_code") AS "usable" FROM "verdict" WHERE {usable} AND $timeFilter{grouped}',
        f'SELECT count("level_code") AS "known" FROM "verdict" WHERE {PLACE_I} AND $timeFilter{grouped}',
    )


def _influxql(by: str) -> tuple[str, ...]:
    return (
        *_counts_i(by),
        queries.minutes_i("= 2", PLACE_I, by, "unfit"),
        queries.minutes_i("= 3", PLACE_I, by, "unknown"),
    )


def _provinces(edition: Edition) -> Panel:
    return table(
        "province.provinces",
        edition,
        tags=(Tag(field="province", title=edition.say("column.province"), look={"mappings": words.provinces()}),),
        numbers=_numbers(edition, "province"),
        influxql=_influxql('"province"'),
        join="province",
        needed="known",
        ratio=_RATIO,
        sort=edition.say("column.share"),
        least_first=True,
        empty="empty.verdicts",
        width=12,
    )


def _causes(edition: Edition) -> Panel:
    bar: Json = {
        "noValue": "0",
        "decimals": 0,
        "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        "color": {"mode": "fixed", "fixedColor": words.BAD},
        "min": 0,
    }
    return table(
        "province.causes",
        edition,
        tags=(
            Tag(field="reason", title=edition.say("column.why"), look={"mappings": words.reasons(edition)}),
        ),
        numbers=(
            Number(
                title=edition.say("column.unfit_minutes"),
                unit="locale",
                promql=queries.minutes_p("== 2", PLACE_P, "reason", TEACHING_P),
                influxql="unfit",
                look=bar,
            ),
            Number(
                title=edition.say("column.unknown_minutes"),
                unit="locale",
                promql=queries.minutes_p("== 3", PLACE_P, "reason", TEACHING_P),
                influxql="unknown",
                look={**bar, "color": {"mode": "fixed", "fixedColor": words.PLAIN}},
            ),
        ),
        influxql=(
            queries.minutes_i("= 2", PLACE_I, '"reason"', "unfit"),
            queries.minutes_i("= 3", PLACE_I, '"reason"', "unknown"),
        ),
        join="reason",
        sort=edition.say("column.unfit_minutes"),
        empty="empty.no_findings",
        width=12,
    )  # fmt: skip


def _rooms(edition: Edition) -> Panel:
    return table(
        "province.rooms",
        edition,
        tags=(
            Tag(
                field="room",
                title=edition.say("column.room"),
                look={"links": panel.link(edition.say("link.room"), room_link(edition, "${__value.raw}"))},
            ),
        ),
        numbers=_numbers(edition, "room"),
        influxql=_influxql('"room"'),
        join="room",
        needed="known",
        ratio=_RATIO,
        sort=edition.say("column.share"),
        least_first=True,
        empty="empty.verdicts",
        width=12,
        height=12,
    )


def _trend() -> Panel:
    """A point a day, at the day's beginning, hence the offset. Lessons held against lessons planned stand beside it
    once the timetable is a series.
    """
    kept = f"last_over_time(verdict_level_code{{{PLACE_P}}}[1m])"

    def count(condition: str) -> str:
        minute = f"({kept}{condition}) and on () ({TEACHING_P})"
        return f"sum by (province) (count_over_time(({minute})[$__interval:1m] offset -$__interval))"

    return _by_day(
        "province.trend",
        Ask(promql=f"({count(' < 2')} or 0 * {count('')}) / {count('')}", influxql="", legend="{{province}}"),
        unit="percentunit",
        defaults={"max": 1, "decimals": 1},
    )


def _trend_lost() -> Panel:
    """In place of the trend: a share of each day would take InfluxQL longer than anybody waits."""
    return _by_day(
        "province.trend_lost",
        Ask(
            promql="",
            influxql=f'SELECT count("level_code") FROM "verdict" WHERE "level_code" >= 2 AND {PLACE_I} AND $timeFilter'
            " GROUP BY time($__interval), \"province\" fill(none) tz('Asia/Ho_Chi_Minh')",
            legend="{{province}}",
        ),
        unit="locale",
        defaults={"min": 0},
    )


def _by_day(code: str, ask: Ask, *, unit: str, defaults: Json) -> Panel:
    return panel.lines(
        code,
        ask,
        width=12,
        height=12,
        unit=unit,
        every="1d",
        empty="empty.verdicts",
        defaults=defaults,
        custom={"showPoints": "always", "pointSize": 7, "fillOpacity": 0, "spanNulls": 3 * 86_400_000},
        overrides=tuple(override(tag, displayName=place.name) for tag, place in PROVINCES.items()),
    )
