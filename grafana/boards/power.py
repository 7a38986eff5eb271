"""Power: which rooms run on battery, what the mains is like, which batteries want replacing."""

from grafana import panel, queries, words
from grafana.board import Board, room_link
from grafana.edition import Edition
from grafana.needs import falling_steps, rising_steps, voltage_steps
from grafana.panel import Panel, Row, steps
from grafana.queries import READING_NOW, ROOMS_I, ROOMS_P, Ask
from grafana.table import Number, Tag, table
from grafana.variables import provinces, rooms
from grafana.words import Json

_DURATION = "dthms"
"""Hours, minutes and seconds with colons, which every language reads; Grafana writes `s` as English hours."""
_BY = "room, province, target"
_BY_I = '"room", "province", "target"'
# On battery a UPS still reads some volts at its input: the mains is what it reads while it is not on battery.
_MAINS_P = (
    f"last_over_time(power_input_v{{{ROOMS_P}}}[1m]) and (last_over_time(power_on_battery_bool{{{ROOMS_P}}}[1m]) == 0)"
)
_MAINS_I = f'FROM "power" WHERE {ROOMS_I} AND "on_battery_bool" = 0 AND $timeFilter'


def board(edition: Edition) -> Board:
    """The dashboard for whoever buys batteries and calls the power company."""
    return Board(
        name="power",
        shows="now-7d",
        variables=(provinces(edition), rooms(edition, many=True)),
        rows=(
            Row(
                code="power.title",
                panels=(
                    _on_battery_now(edition),
                    _to_replace(edition),
                    _shortest_runtime(edition),
                    _lowest(edition),
                    _highest(edition),
                    _silent(edition),
                    _cuts(edition),
                    _on_battery(edition),
                    _batteries(edition),
                    _mains(edition),
                ),
            ),
        ),
    )


def _now(edition: Edition, code: str, *, promql: str, influxql: str, unit: str = "none", look: Json) -> Panel:
    ask = Ask(promql=promql, influxql=influxql, legend=edition.say(code), shape="now")
    return panel.stat(code, ask, unit=unit, empty="empty.stat", defaults=look)


def _latest_p(field: str) -> str:
    return f"last_over_time(power_{field}{{{ROOMS_P}}}[{READING_NOW}])"


def _latest_i(field: str) -> str:
    latest = f'SELECT last("{field}") AS "x" FROM "power" WHERE {ROOMS_I} AND {queries.since(READING_NOW)}'
    return f"({latest} GROUP BY {_BY_I})"


def _on_battery_now(edition: Edition) -> Panel:
    return _now(
        edition,
        "power.on_battery_now",
        promql=f"sum ({_latest_p('on_battery_bool')})",
        influxql=f'SELECT sum("x") FROM {_latest_i("on_battery_bool")}',
        look={"thresholds": steps(words.GOOD, (1, words.DOUBTFUL))},
    )


def _to_replace(edition: Edition) -> Panel:
    return _now(
        edition,
        "power.to_replace",
        promql=f"sum ({_latest_p('battery_replace_bool')})",
        influxql=f'SELECT sum("x") FROM {_latest_i("battery_replace_bool")}',
        look={"thresholds": steps(words.GOOD, (1, words.DOUBTFUL))},
    )


def _shortest_runtime(edition: Edition) -> Panel:
    return _now(
        edition,
        "power.shortest_runtime",
        promql=f"min ({_latest_p('battery_runtime_s')})",
        influxql=f'SELECT min("x") FROM {_latest_i("battery_runtime_s")}',
        unit=_DURATION,
        look={"thresholds": steps(words.BAD, (600, words.DOUBTFUL), (2700, words.GOOD))},
    )


def _lowest(edition: Edition) -> Panel:
    return _now(
        edition,
        "power.lowest",
        promql=f"min (min_over_time(({_MAINS_P})[$__range:1m]))",
        influxql=f'SELECT min("input_v") {_MAINS_I}',
        unit="volt",
        look={"decimals": 0, "thresholds": falling_steps("mains_low_v")},
    )


def _highest(edition: Edition) -> Panel:
    return _now(
        edition,
        "power.highest",
        promql=f"max (max_over_time(({_MAINS_P})[$__range:1m]))",
        influxql=f'SELECT max("input_v") {_MAINS_I}',
        unit="volt",
        look={"decimals": 0, "thresholds": rising_steps("mains_high_v")},
    )


def _silent(edition: Edition) -> Panel:
    """A UPS whose latest attempt failed: it may well be working, and nobody would know of a cut."""
    outcome = f"last_over_time(power_outcome_code{{{ROOMS_P}}}[{READING_NOW}])"
    return _now(
        edition,
        "power.silent",
        promql=f"sum ({outcome} > bool 0)",
        influxql=f'SELECT sum("y") FROM (SELECT ceil("x" / 7) AS "y" FROM {_latest_i("outcome_code")})',
        look={"thresholds": steps(words.GOOD, (1, words.DOUBTFUL))},
    )


def _room_tags(edition: Edition) -> tuple[Tag, ...]:
    return (
        Tag(
            field="room",
            title=edition.say("column.room"),
            look={
                "links": panel.link(edition.say("link.room"), room_link(edition, "${__value.raw}")),
                "custom.width": 110,
            },
        ),
        Tag(
            field="province",
            title=edition.say("column.province"),
            look={"mappings": words.provinces(), "custom.width": 120},
        ),
        Tag(field="target", title=edition.say("column.target"), look={"custom.width": 110}),
    )


def _coloured(thresholds: Json, **look: object) -> Json:
    return {**look, "thresholds": thresholds, "custom.cellOptions": {"type": "color-text"}}


def _cuts(edition: Edition) -> Panel:
    def over(function: str, field: str, least: str) -> str:
        return f"{least} by ({_BY}) ({function}(power_{field}{{{ROOMS_P}}}[$__range]))"

    had_a_cut = f" and ({over('max_over_time', 'on_battery_bool', 'max')} > 0)"
    return table(
        "power.cuts",
        edition,
        tags=_room_tags(edition),
        numbers=(
            Number(
                title=edition.say("column.share_on_battery"),
                unit="percentunit",
                promql=f"{over('avg_over_time', 'on_battery_bool', 'max')} > 0",
                influxql="share",
                look=_coloured(steps(words.GOOD, (0.0001, words.DOUBTFUL), (0.02, words.BAD)), decimals=2),
            ),
            Number(
                title=edition.say("column.lowest_charge"),
                unit="percentunit",
                promql=over("min_over_time", "battery_charge_ratio", "min") + had_a_cut,
                influxql="charge",
                look=_coloured(falling_steps("battery_charge_ratio"), decimals=0),
            ),
            Number(
                title=edition.say("column.lowest_runtime"),
                unit=_DURATION,
                promql=over("min_over_time", "battery_runtime_s", "min") + had_a_cut,
                influxql="runtime",
            ),
        ),
        influxql=(
            ('SELECT "share", "charge", "runtime" FROM (SELECT mean("on_battery_bool") AS "share",'
            ' min("battery_charge_ratio") AS "charge", min("battery_runtime_s") AS "runtime" FROM "power"'
            f' WHERE {ROOMS_I} AND $timeFilter GROUP BY {_BY_I}) WHERE "share" > 0 GROUP BY {_BY_I}'),
        ),
        sort=edition.say("column.share_on_battery"),
        empty="empty.no_cuts",
        width=12,
    )  # fmt: skip


def _batteries(edition: Edition) -> Panel:
    def latest(field: str) -> str:
        return f"max by ({_BY}) ({_latest_p(field)})"

    fields: tuple[tuple[str, str, Json], ...] = (
        ("battery_replace_bool", "column.replace", {"mappings": words.yes_no(edition, yes=words.BAD, no=words.GOOD),
            "custom.cellOptions": {"type": "color-background", "mode": "basic"}}),
        ("battery_charge_ratio", "column.charge", _coloured(falling_steps("battery_charge_ratio"), decimals=0)),
        ("battery_runtime_s", "column.runtime", {}),
        ("load_ratio", "column.load", _coloured(rising_steps("load_ratio"), decimals=0)),
        ("battery_celsius", "column.celsius", _coloured(rising_steps("battery_celsius"), decimals=0)),
    )  # fmt: skip
    selected = ", ".join(f'last("{field}") AS "{field}"' for field, _, _ in fields)
    return table(
        "power.batteries",
        edition,
        tags=_room_tags(edition),
        numbers=[
            Number(
                title=edition.say(title),
                unit=_DURATION if field == "battery_runtime_s" else words.unit_of(field),
                promql=latest(field),
                influxql=field,
                look=look,
            )
            for field, title, look in fields
        ],
        influxql=(f'SELECT {selected} FROM "power" WHERE {ROOMS_I} AND {queries.since(READING_NOW)} GROUP BY {_BY_I}',),
        sort=edition.say("column.replace"),
        empty="empty.power",
        height=12,
    )


def _mains(edition: Edition) -> Panel:
    return panel.lines(
        "power.mains",
        *(
            Ask(
                promql=f"{least} ({least}_over_time(({_MAINS_P})[$__interval:1m]))",
                influxql=f'SELECT {least}("input_v") {_MAINS_I} GROUP BY time($__interval) fill(none)',
                legend=edition.say(name),
            )
            for least, name in (("max", "series.highest"), ("min", "series.lowest"))
        ),
        width=24,
        unit="volt",
        every="5m",
        empty="empty.power",
        defaults={"thresholds": voltage_steps(), "min": 150, "max": 270},
        custom={"thresholdsStyle": {"mode": "line+area"}, "fillOpacity": 0},
    )


def _on_battery(edition: Edition) -> Panel:
    """Rooms that were on battery in the range; InfluxQL cannot leave out the others."""
    cut = f"power_on_battery_bool{{{ROOMS_P}}}"
    return panel.timeline(
        "power.on_battery",
        Ask(
            promql=f"max by (room) (max_over_time({cut}[$__interval]))"
            f" and on (room) (max by (room) (max_over_time({cut}[$__range] @ end())) > 0)",
            influxql=f'SELECT max("on_battery_bool") FROM "power" WHERE {ROOMS_I}'
            ' AND $timeFilter GROUP BY time($__interval), "room" fill(none)',
            legend="{{room}}",
        ),
        words=words.yes_no(edition, yes=words.DOUBTFUL, no=words.GOOD),
        width=12,
        height=10,
        every="5m",
        empty="empty.no_cuts",
        defaults={"links": panel.link(edition.say("link.room"), room_link(edition, "${__field.labels.room}"))},
    )
