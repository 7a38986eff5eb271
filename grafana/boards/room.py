"""One room: how ready it was, and everything that bears on it, from the way to the lesson down to its PC."""

from grafana import panel, queries, words
from grafana.board import DEVICE_ROLES, PATH_ROLES, Board, pages_link, role_names
from grafana.boards.path import lost_p
from grafana.boards.today import severity_steps
from grafana.edition import Edition
from grafana.needs import bandwidths, falling_steps, voltage_steps
from grafana.panel import Panel, Row, override
from grafana.queries import READING_NOW, ROOM_I, ROOM_P, VERDICT_NOW, Ask
from grafana.table import Number, Tag, table
from grafana.variables import lessons, provinces, rooms
from grafana.words import Json

_DEVICES_P = "|".join(DEVICE_ROLES)
_DEVICES_I = f"/^({_DEVICES_P})$/"
_PATH_P = "|".join(PATH_ROLES)
_PATH_I = f"/^({_PATH_P})$/"
_WAY_P = f'{ROOM_P},role=~"{_PATH_P}"'
_DEVICE_P = f'{ROOM_P},role=~"{_DEVICES_P}"'


def board(edition: Edition) -> Board:
    """The dashboard behind a room's name."""
    return Board(
        name="room",
        variables=(provinces(edition), rooms(edition, many=False), lessons(edition)),
        annotations=_findings_as_annotations(edition),
        rows=(
            Row(code="room.title", panels=(_level(edition), _findings(edition), _levels(edition))),
            Row(code="room.row.way", panels=(_latency(edition), _loss(edition), _steps(edition), _bandwidth(edition))),
            Row(code="room.row.power", panels=(_on_battery(edition), _battery(edition), _voltage())),
            Row(code="room.row.devices", panels=(_devices(edition), _protocols(edition))),
            Row(code="room.row.pc", panels=(_pc(edition), _clock(), _network_card(edition))),
        ),
    )


def _level(edition: Edition) -> Panel:
    return panel.stat(
        "room.level",
        Ask(
            promql=f"max by (room) ({queries.verdict_now_p(ROOM_P)})",
            influxql=f'SELECT last("l") FROM {queries.verdict_now_i(ROOM_I)}',
            legend=edition.say("column.level"),
            shape="now",
        ),
        width=6,
        height=6,
        empty="empty.stat",
        defaults={
            "mappings": words.levels(edition),
            "links": panel.link(edition.say("link.pages"), pages_link(edition, "${room}")),
        },
    )


def _findings(edition: Edition) -> Panel:
    finding = f"finding_level_code{{{ROOM_P}}}[{VERDICT_NOW}]"
    newest = f"max by (room) (tlast_over_time(verdict_level_code{{{ROOM_P}}}[{VERDICT_NOW}]))"
    now = (
        f"max by (target, reason) (last_over_time({finding})"
        f" and on (target, reason) (tlast_over_time({finding}) == on (room) group_left () {newest}))"
    )
    return table(
        "room.findings",
        edition,
        tags=(
            Tag(field="target", title=edition.say("column.target"), look={"custom.width": 150}),
            Tag(
                field="reason",
                title=edition.say("column.why"),
                look={"mappings": words.reasons(edition), "custom.width": 260},
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
                promql=f'label_replace({now}, "action", "$1", "reason", "(.*)")',
                influxql="level",
                look={
                    "mappings": words.levels(edition),
                    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
                    "custom.width": 130,
                },
            ),
        ),
        influxql=(
            (
                f'SELECT last("level_code") AS "level", "reason" AS "action" FROM "finding" WHERE {ROOM_I}'
                f' AND {queries.since("2m")} GROUP BY "target", "reason"'
            ),
        ),
        empty="empty.no_findings",
        width=18,
        height=6,
    )


def _levels(edition: Edition) -> Panel:
    minute = f"last_over_time(verdict_level_code{{{ROOM_P}}}[1m])"
    severity = f'SELECT {queries.severity_i("level_code")} AS "s" FROM "verdict" WHERE {ROOM_I} AND $timeFilter'
    return panel.timeline(
        "room.levels",
        Ask(
            promql=f"max by (room) (max_over_time(({queries.severity_p(minute)})[$__interval:1m]))",
            influxql=f'SELECT max("s") FROM ({severity}) GROUP BY time($__interval), "room" fill(none)',
            legend="{{room}}",
        ),
        words=words.severities(edition),
        empty="empty.verdicts",
        height=5,
        every="1m",
        defaults={"thresholds": severity_steps()},
    )


def _findings_as_annotations(edition: Edition) -> tuple[Json, ...]:
    """Marks where findings began. Lessons of the timetable get marks of their own once they are a series."""
    common: Json = {"enable": True, "hide": False, "datasource": edition.source, "iconColor": words.BAD}
    if edition.dialect == "promql":
        return (
            {
                **common,
                "name": edition.say("annotation.findings"),
                "expr": f"max by (reason, target) (last_over_time(finding_level_code{{{ROOM_P}}}[1m]))",
                "step": "60s",
                "titleFormat": "{{reason}}",
                "textFormat": "{{target}}",
                "tagKeys": "reason,target",
                "useValueForTime": False,
            },
        )
    gap = f'SELECT elapsed("level_code", 1s) AS "gap" FROM "finding" WHERE {ROOM_I} AND $timeFilter'
    shown: Json = {**common, "textColumn": "target", "tagsColumn": "reason,target"}
    return (
        {
            **shown,
            "name": edition.say("annotation.findings"),
            "query": f'SELECT first("level_code") AS "level", "reason", "target" FROM "finding" WHERE {ROOM_I}'
            ' AND $timeFilter GROUP BY "reason", "target"',
        },
        {
            **shown,
            "name": edition.say("annotation.again"),
            "query": f'SELECT "gap", "reason", "target" FROM ({gap} GROUP BY "reason", "target") WHERE "gap" > 150',
        },
    )


def _latency(edition: Edition) -> Panel:
    """A distribution over time: the band from the shortest to the 95th percentile, the median in it, losses below."""
    where_p = f'{ROOM_P},target="$lesson"'
    where_i = f"{ROOM_I} AND \"target\" = '$lesson' AND $timeFilter GROUP BY time($__interval) fill(none)"
    measured = (
        ("shortest", "min_over_time(", "min", "rtt_min_ms"),
        ("p95", "max_over_time(", "max", "rtt_p95_ms"),
        ("median", "quantile_over_time(0.5, ", "median", "rtt_p50_ms"),
    )
    asks = [
        Ask(
            promql=f"max ({over}ping_{field}{{{where_p}}}[$__interval]))",
            influxql=f'SELECT {selector}("{field}") FROM "ping" WHERE {where_i}',
            legend=name,
        )
        for name, over, selector, field in measured
    ]
    lost = Ask(
        promql=lost_p(where_p, "$__interval", "room"),
        influxql=f'SELECT 1 - sum("received_count") / sum("sent_count") FROM "ping" WHERE {where_i}',
        legend="loss",
    )
    return panel.lines(
        "room.latency",
        *asks,
        lost,
        width=24,
        unit="ms",
        defaults={"min": 0},
        overrides=(
            override(
                "shortest",
                displayName=edition.say("series.shortest"),
                color=fixed(words.PLAIN),
                custom__lineWidth=0,
                custom__fillOpacity=0,
            ),
            override(
                "p95",
                displayName=edition.say("series.p95"),
                color=fixed(words.PLAIN),
                custom__lineWidth=1,
                custom__fillOpacity=25,
                custom__fillBelowTo=edition.say("series.shortest"),
            ),
            override("median", displayName=edition.say("series.median"), color=fixed("#e07b00"), custom__fillOpacity=0),
            override(
                "loss",
                displayName=edition.say("series.loss"),
                color=fixed(words.BAD),
                unit="percentunit",
                min=0,
                max=1,
                custom__drawStyle="bars",
                custom__fillOpacity=60,
                custom__axisPlacement="right",
                custom__lineWidth=0,
            ),
        ),
    )


def fixed(colour: str) -> Json:
    """One colour and no other."""
    return {"mode": "fixed", "fixedColor": colour}


def _loss(edition: Edition) -> Panel:
    return panel.lines(
        "room.loss",
        Ask(
            promql=lost_p(_WAY_P, "$__interval", "role"),
            influxql=f'SELECT 1 - sum("received_count") / sum("sent_count") FROM "ping" WHERE {ROOM_I}'
            f' AND "role" =~ {_PATH_I} AND $timeFilter GROUP BY time($__interval), "role" fill(none)',
            legend="{{role}}",
        ),
        width=8,
        unit="percentunit",
        defaults={"min": 0, "max": 1},
        overrides=role_names(edition),
    )


def _steps(edition: Edition) -> Panel:
    return panel.lines(
        "room.steps",
        Ask(
            promql=f"max by (role) (quantile_over_time(0.5, ping_rtt_p50_ms{{{_WAY_P}}}[$__interval]))",
            influxql=f'SELECT median("rtt_p50_ms") FROM "ping" WHERE {ROOM_I} AND "role" =~ {_PATH_I}'
            ' AND $timeFilter GROUP BY time($__interval), "role" fill(none)',
            legend="{{role}}",
        ),
        width=8,
        unit="ms",
        defaults={"min": 0},
        overrides=role_names(edition),
    )


def _bandwidth(edition: Edition) -> Panel:
    """What each kind of lesson needs. What the link gives is not measured yet: its line belongs here."""
    head = " | ".join(edition.say(f"bandwidth.{column}") for column in ("lesson", "down", "up"))
    lines = [edition.say("bandwidth.later"), "", f"| {head} |", "|---|---:|---:|"]
    lines += [
        f"| {need.lesson} | {need.down_bps / 1e6:g} Mb/s | {need.up_bps / 1e6:g} Mb/s |" for need in bandwidths(edition)
    ]
    return panel.text("room.bandwidth", "\n".join(lines), width=8, height=9)


def _on_battery(edition: Edition) -> Panel:
    return panel.timeline(
        "room.on_battery",
        Ask(
            promql=f"max by (target) (max_over_time(power_on_battery_bool{{{ROOM_P}}}[$__interval]))",
            influxql=f'SELECT max("on_battery_bool") FROM "power" WHERE {ROOM_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend="{{target}}",
        ),
        words=words.yes_no(edition, yes=words.DOUBTFUL, no=words.GOOD),
        height=5,
        empty="empty.power",
    )


def _battery(edition: Edition) -> Panel:
    charge, runtime = (
        Ask(
            promql=f"min by (target) (min_over_time(power_{field}{{{ROOM_P}}}[$__interval]))",
            influxql=f'SELECT min("{field}") FROM "power" WHERE {ROOM_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend=f"{{{{target}}}} {name}",
        )
        for field, name in (
            ("battery_charge_ratio", edition.say("series.charge")),
            ("battery_runtime_s", edition.say("series.runtime")),
        )
    )
    runtimes = {
        "matcher": {"id": "byRegexp", "options": f".*{edition.say('series.runtime')}$"},
        "properties": [
            {"id": "unit", "value": "s"},
            {"id": "max", "value": None},
            {"id": "custom.axisPlacement", "value": "right"},
        ],
    }
    return panel.lines(
        "room.battery",
        charge,
        runtime,
        unit="percentunit",
        empty="empty.power",
        defaults={"min": 0, "max": 1},
        overrides=(runtimes,),
    )


def _voltage() -> Panel:
    return panel.lines(
        "room.voltage",
        Ask(
            promql=f"min by (target) (min_over_time(power_input_v{{{ROOM_P}}}[$__interval]))",
            influxql=f'SELECT min("input_v") FROM "power" WHERE {ROOM_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend="{{target}}",
        ),
        unit="volt",
        empty="empty.power",
        defaults={"thresholds": voltage_steps(), "min": 0, "max": 270},
        custom={"thresholdsStyle": {"mode": "line+area"}},
    )


def _devices(edition: Edition) -> Panel:
    return panel.timeline(
        "room.devices",
        Ask(
            promql=f"max by (target) (max_over_time(ping_loss_ratio{{{_DEVICE_P}}}[$__interval]))",
            influxql=f'SELECT max("loss_ratio") FROM "ping" WHERE {ROOM_I} AND "role" =~ {_DEVICES_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend="{{target}}",
        ),
        words=words.answers(edition),
        width=12,
        height=9,
        empty="empty.devices",
    )


def _protocols(edition: Edition) -> Panel:
    asks = tuple(
        Ask(
            promql=f"max by (target) (max_over_time({probe}_outcome_code{{{_DEVICE_P}}}[$__interval]))",
            influxql=f'SELECT max("outcome_code") FROM "{probe}" WHERE {ROOM_I} AND "role" =~ {_DEVICES_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend=f"{{{{target}}}} {probe}",
        )
        for probe in ("snmp", "tcp", "http", "power")
    )
    return panel.timeline(
        "room.protocols", *asks, words=words.outcomes(edition), width=12, height=9, empty="empty.devices"
    )


def _pc(edition: Edition) -> Panel:
    shares = (
        ("cpu_ratio", "max", "series.cpu"),
        ("memory_free_ratio", "min", "series.memory"),
        ("disk_free_ratio", "min", "series.disk"),
    )
    return panel.lines(
        "room.pc",
        *(
            Ask(
                promql=f"{least} ({least}_over_time(host_{field}{{{ROOM_P}}}[$__interval]))",
                influxql=f'SELECT {least}("{field}") FROM "host" WHERE {ROOM_I}'
                " AND $timeFilter GROUP BY time($__interval) fill(none)",
                legend=edition.say(name),
            )
            for field, least, name in shares
        ),
        unit="percentunit",
        defaults={"min": 0, "max": 1},
    )


def _clock() -> Panel:
    return panel.lines(
        "room.clock",
        Ask(
            promql=f"max by (target) (last_over_time(agent_clock_offset_s{{{ROOM_P}}}[$__interval]))",
            influxql=f'SELECT last("clock_offset_s") FROM "agent" WHERE {ROOM_I}'
            ' AND $timeFilter GROUP BY time($__interval), "target" fill(none)',
            legend="{{target}}",
        ),
        width=6,
        unit="s",
        empty="empty.agents",
    )


def _network_card(edition: Edition) -> Panel:
    return panel.stat(
        "room.network_card",
        Ask(
            promql=f"min (last_over_time(host_nic_speed_bps{{{ROOM_P}}}[{READING_NOW}]))",
            influxql=f'SELECT min("s") FROM (SELECT last("nic_speed_bps") AS "s" FROM "host" WHERE {ROOM_I}'
            f' AND {queries.since(READING_NOW)} GROUP BY "agent", "target")',
            legend=edition.say("room.network_card"),
            shape="now",
        ),
        width=6,
        height=9,
        unit="bps",
        empty="empty.stat",
        defaults={"thresholds": falling_steps("nic_speed_bps")},
    )
