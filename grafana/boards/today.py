"""Today: which rooms are ready, which are not, why, since when, and who does what now."""

from grafana import panel, queries, words
from grafana.board import Board, pages_link, room_link
from grafana.edition import Edition
from grafana.panel import Panel, Row, override, steps
from grafana.provinces import PROVINCES
from grafana.queries import PLACE_I, PLACE_P, Ask
from grafana.table import Number, Tag, table
from grafana.variables import provinces
from readiness.verdict import Level

_NOW_P = queries.verdict_now_p(PLACE_P)
_NOW_I = queries.verdict_now_i(PLACE_I)
_TALL = 30
"""Room for a line of each of some ninety rooms; the country beside them is tall too."""


def board(edition: Edition) -> Board:
    """The dashboard that a province opens first."""
    return Board(
        name="today",
        variables=(provinces(edition),),
        rows=(
            Row(
                code="today.title",
                panels=(
                    *_counts(edition),
                    _not_ready(edition),
                    _levels(edition),
                    _map(edition),
                    _by_province(),
                ),
            ),
        ),
    )


def _counts(edition: Edition) -> tuple[Panel, ...]:
    indicators = {
        Level.FIT: queries.is_fit,
        Level.DEGRADED: queries.is_degraded,
        Level.UNKNOWN: queries.is_unknown,
        Level.UNFIT: queries.is_unfit,
    }
    each = tuple(
        panel.stat(
            f"today.{level.name.lower()}",
            Ask(
                promql=f"sum({_NOW_P} == bool {level.value})",
                influxql=f'SELECT sum("u") FROM (SELECT {indicator("l")} AS "u" FROM {_NOW_I})',
                legend=words.level_word(level, edition),
                shape="now",
            ),
            empty="empty.stat",
            defaults={"thresholds": steps(words.COLOURS[level])},
        )
        for level, indicator in indicators.items()
    )
    ready = panel.stat(
        "today.ready",
        Ask(
            promql=f"avg({_NOW_P} == bool {Level.FIT.value})",
            influxql=f'SELECT mean("u") FROM (SELECT {queries.is_fit("l")} AS "u" FROM {_NOW_I})',
            legend=words.level_word(Level.FIT, edition),
            shape="now",
        ),
        unit="percentunit",
        empty="empty.stat",
        defaults={"decimals": 0, "thresholds": steps(words.BAD, (0.8, words.DOUBTFUL), (0.95, words.GOOD))},
    )
    known = panel.stat(
        "today.rooms",
        Ask(
            promql=f"count({_NOW_P})",
            influxql=f'SELECT count("l") FROM {_NOW_I}',
            legend=edition.say("today.rooms"),
            shape="now",
        ),
        empty="empty.stat",
    )
    return (ready, *each, known)


def _not_ready(edition: Edition) -> Panel:
    level = f"max by (room, province, reason) ({queries.severity_p(_NOW_P)}) > 0"
    fit = f"verdict_level_code{{{PLACE_P}}}"
    last_fit = (
        f"1000 * max by (room, province) (max_over_time((timestamp({fit}) and ({fit} == 0))[$__range:1m]))"
        f" and on (room) ({_NOW_P} > 0)"
    )
    newest = queries.verdict_now_i(PLACE_I, '"room", "province"', ', "reason" AS "why", "reason" AS "action"')
    return table(
        "today.not_ready",
        edition,
        tags=(
            Tag(
                field="room",
                title=edition.say("column.room"),
                look={
                    "links": [
                        *panel.link(edition.say("link.room"), room_link(edition, "${__value.raw}")),
                        *panel.link(edition.say("link.pages"), pages_link(edition, "${__value.raw}")),
                    ],
                    "custom.width": 130,
                },
            ),
            Tag(
                field="province",
                title=edition.say("column.province"),
                look={"mappings": words.provinces(), "custom.width": 130},
            ),
            Tag(
                field="reason" if edition.dialect == "promql" else "why",
                title=edition.say("column.why"),
                look={"mappings": words.reasons(edition), "custom.width": 290},
            ),
            Tag(
                field="action",
                title=edition.say("column.action"),
                last=True,
                look={"mappings": words.actions(edition), **panel.WRAPPED},
            ),
        ),
        numbers=(
            Number(
                title=edition.say("column.level"),
                unit="none",
                promql=f'label_replace({level}, "action", "$1", "reason", "(.*)")',
                influxql="level",
                look={
                    "mappings": words.severities(edition),
                    "thresholds": severity_steps(),
                    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
                    "custom.width": 140,
                    "custom.align": "left",
                },
            ),
            Number(
                title=edition.say("column.last_fit"),
                unit="dateTimeAsIso",
                promql=last_fit,
                influxql="Time 2",
                look={"custom.width": 180, "custom.align": "left", "noValue": edition.say("word.before_range")},
            ),
        ),
        influxql=(
            (
                f'SELECT {queries.severity_i("l")} AS "level", "why", "action" FROM {newest} WHERE "l" > 0'
                ' GROUP BY "room", "province"'
            ),
            (
                f'SELECT last("level_code") AS "fit" FROM "verdict" WHERE "level_code" = 0 AND {PLACE_I}'
                ' AND $timeFilter GROUP BY "room"'
            ),
        ),
        join="room",
        needed="level",
        sort=edition.say("column.level"),
        empty="empty.all_ready",
        height=12,
    )


def severity_steps() -> words.Json:
    """Colours of severities, for whoever colours by number."""
    by_severity = sorted(Level, key=lambda level: level.severity)
    return steps(words.COLOURS[by_severity[0]], *((level.severity, words.COLOURS[level]) for level in by_severity[1:]))


def _map(edition: Edition) -> Panel:
    """A dot for each province. Only PromQL can make up the numbers that say where it lies."""
    not_ready = f"sum by (province) (max by (room, province) ({_NOW_P}) > bool 0)"
    worst = f"max by (province) ({queries.severity_p(_NOW_P)})"
    known = f"count by (province) ({_NOW_P})"

    def everywhere(numbers: dict[str, float]) -> str:
        made = " or ".join(
            f'label_replace(vector({number:g}), "province", "{tag}", "", "")' for tag, number in numbers.items()
        )
        return f"({made}) and on (province) {known}"

    latitude = everywhere({tag: place.latitude for tag, place in PROVINCES.items()})
    longitude = everywhere({tag: place.longitude for tag, place in PROVINCES.items()})
    aside = {"legend": True, "tooltip": True, "viz": False}
    style = {
        "color": {"field": "Value #B", "fixed": words.PLAIN},
        "opacity": 0.9,
        "size": {"field": "Value #C", "fixed": 12, "min": 10, "max": 26},
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
        "text": {"mode": "field", "field": "Value #A", "fixed": ""},
        "textConfig": {"fontSize": 12, "offsetX": 0, "offsetY": 0, "textAlign": "center", "textBaseline": "middle"},
        "rotation": {"fixed": 0, "min": -360, "max": 360, "mode": "mod"},
        "symbolAlign": {"horizontal": "center", "vertical": "center"},
    }
    return Panel(
        code="today.map",
        kind="geomap",
        width=8,
        height=_TALL,
        empty="empty.verdicts",
        asks=tuple(
            Ask(promql=query, influxql="", shape="table") for query in (not_ready, worst, known, latitude, longitude)
        ),
        transformations=({"id": "merge", "options": {}},),
        defaults={"color": {"mode": "thresholds"}},
        overrides=(
            override("province", displayName=edition.say("column.province"), mappings=words.provinces()),
            override("Value #A", displayName=edition.say("column.not_ready")),
            override(
                "Value #B",
                displayName=edition.say("column.worst"),
                mappings=words.severities(edition),
                thresholds=severity_steps(),
            ),
            override("Value #C", displayName=edition.say("column.rooms")),
            *(override(name, custom__hideFrom=aside) for name in ("Value #D", "Value #E", "Time")),
        ),
        options={
            "view": {"id": "coords", "lat": 16.2, "lon": 106.3, "zoom": 5, "allLayers": True, "noRepeat": True},
            "basemap": {"type": "default", "name": "Layer 0"},
            "controls": {
                "showZoom": True, "mouseWheelZoom": False, "showAttribution": True, "showScale": False,
                "showMeasure": False, "showDebug": False,
            },
            "tooltip": {"mode": "details"},
            "layers": [
                {
                    "type": "markers",
                    "name": edition.say("today.map"),
                    "config": {"showLegend": False, "style": style},
                    "location": {"mode": "coords", "latitude": "Value #D", "longitude": "Value #E"},
                    "tooltip": True,
                }
            ],
        },
    )  # fmt: skip


def _by_province() -> Panel:
    """In place of the map where the database cannot make one."""
    inner = queries.verdict_now_i(PLACE_I, '"room", "province"')
    return panel.bars(
        "today.by_province",
        Ask(
            promql="",
            influxql=f'SELECT sum("u") FROM (SELECT 1 - {queries.is_fit("l")} AS "u" FROM {inner}) GROUP BY "province"',
            legend="{{province}}",
            shape="now",
        ),
        empty="empty.verdicts",
        height=_TALL,
        defaults={"thresholds": steps(words.GOOD, (1, words.DOUBTFUL), (3, words.BAD))},
        overrides=tuple(override(tag, displayName=place.name) for tag, place in PROVINCES.items()),
    )


def _levels(edition: Edition) -> Panel:
    minute = f"last_over_time(verdict_level_code{{{PLACE_P}}}[1m])"
    severity = f'SELECT {queries.severity_i("level_code")} AS "s" FROM "verdict" WHERE {PLACE_I} AND $timeFilter'
    return panel.timeline(
        "today.levels",
        Ask(
            promql=f"max by (room) (max_over_time(({queries.severity_p(minute)})[$__interval:1m]))",
            influxql=f'SELECT max("s") FROM ({severity}) GROUP BY time($__interval), "room" fill(none)',
            legend="{{room}}",
        ),
        words=words.severities(edition),
        empty="empty.verdicts",
        width=16,
        height=_TALL,
        every="1m",
        defaults={
            "thresholds": severity_steps(),
            "links": panel.link(edition.say("link.room"), room_link(edition, "${__field.labels.room}")),
        },
    )
