"""Every question of every dashboard, put to real databases: it is answered, fast, alike in both dialects, and right."""

import re
from typing import Final

import pytest

from grafana.edition import DIALECTS, Dialect, Edition
from grafana.provisioning import RULES
from readiness.codes import Code
from readiness.verdict import Level
from tests.grafana import week
from tests.grafana.asking import QUICK_S, Answer, Databases, View, filled, step_of
from tests.grafana.boards import asking_by_code, boards, every_asking_panel, view_of
from tests.grafana.tables import Table, table_of

MAY_BE_EMPTY: Final = {
    "room.protocols": "a room's devices are asked by some protocols and not by others",
}
NOT_ALIKE: Final = {
    "today.map": "InfluxQL cannot make one",
    "today.by_province": "stands in for the map",
    "power.on_battery": "PromQL leaves out the rooms that had no cut",
}  # fmt: skip
CLOSE: Final = 1e-6


def ask(databases: Databases, name: str, code: str, dialect: Dialect, view: View | None = None) -> list[Answer]:
    panel = asking_by_code(name, dialect)[code]
    view = view or view_of(name, boards(Edition("en", dialect))[name])
    return [databases.ask(target, dialect, view, step_of(panel, view)) for target in panel["targets"]]


def step_ms(name: str, code: str) -> int:
    return 1000 * step_of(asking_by_code(name, "promql")[code], view_of(name, boards(Edition("en", "promql"))[name]))


def number(databases: Databases, name: str, code: str, dialect: Dialect) -> float:
    """The one number of a panel with big figures."""
    (answer,) = ask(databases, name, code, dialect)
    (row,) = answer.rows
    (found,) = (value for column, value in row.numbers.items() if column != "Time")
    return found


def table(databases: Databases, name: str, code: str, dialect: Dialect, view: View | None = None) -> Table:
    return table_of(asking_by_code(name, dialect)[code], ask(databases, name, code, dialect, view), dialect)


def column(made: Table, tag: str, title: str) -> dict[str, float]:
    """One column of a table by one of its tags, both by their English titles."""
    return {dict(key)[tag]: numbers[title] for key, numbers in made.items() if title in numbers}


@pytest.mark.parametrize(("name", "code", "dialect"), every_asking_panel())
def test_a_panel_shows_something_within_a_second(databases: Databases, name: str, code: str, dialect: Dialect) -> None:
    for answer in ask(databases, name, code, dialect):
        assert answer.rows or code in MAY_BE_EMPTY, f"nothing comes of {answer.query}"
        assert answer.took_s < QUICK_S, f"{answer.took_s:.2f} s for {answer.query}"
        for row in answer.rows:
            assert all(row.labels.get(mark) for mark in re.findall(r"{{(\w+)}}", answer.legend)), (answer.query, row)


ALIKE: Final = [
    (name, code)
    for name, code, dialect in every_asking_panel()
    if dialect == "promql" and code in asking_by_code(name, "influxql") and code not in NOT_ALIKE
]


@pytest.mark.parametrize(("name", "code"), [one for one in ALIKE if one[0] != "province"])
def test_both_dialects_give_the_same_numbers(databases: Databases, name: str, code: str) -> None:
    panel = asking_by_code(name, "promql")[code]
    if panel["type"] == "table":
        one, other = (table(databases, name, code, dialect) for dialect in DIALECTS)
        assert one
        assert_same_tables(one, other)
        return
    promql, influxql = (ask(databases, name, code, dialect) for dialect in DIALECTS)
    assert len(promql) == len(influxql)
    for one_answer, other_answer in zip(promql, influxql, strict=True):
        if panel["targets"][0]["range"]:
            assert_same_series(
                one_answer, other_answer, step_ms(name, code), view_of(name, boards(Edition("en", "promql"))[name])
            )
        else:
            assert figures(one_answer) == pytest.approx(figures(other_answer), rel=CLOSE)


def figures(answer: Answer) -> dict[str, float]:
    return {
        answer.named(row): next(number for column, number in row.numbers.items() if column != "Time")
        for row in answer.rows
    }


def assert_same_series(promql: Answer, influxql: Answer, each_ms: int, view: View) -> None:
    """For every step that lies whole within the range; a bucket cut off by its edge holds less."""
    one, other = promql.series("promql", each_ms // 1000), influxql.series("influxql", each_ms // 1000)
    assert one.keys() == other.keys()
    compared = 0
    for legend, points in one.items():
        first_ms, last_ms = view.start_s * 1000 + each_ms, view.end_s * 1000
        inside = [at for at in points.keys() | other[legend].keys() if first_ms < at <= last_ms]
        assert {at: points.get(at) for at in inside} == pytest.approx(
            {at: other[legend].get(at) for at in inside}, rel=CLOSE
        ), legend
        compared += len(inside)
    assert compared or not one


def assert_same_tables(one: Table, other: Table) -> None:
    assert one.keys() == other.keys()
    for key, numbers in one.items():
        compared = {title: value for title, value in numbers.items() if title not in ("Last ready", "Last online")}
        there = {title: value for title, value in other[key].items() if title in compared}
        assert compared == pytest.approx(there, rel=CLOSE), key
        for title in numbers.keys() - compared.keys():  # PromQL knows times to the millisecond of a float
            assert numbers[title] == pytest.approx(other[key][title], abs=1000), key


def hours_of_every_day(name: str) -> View:
    """Monday to Friday with all their hours, which is what InfluxQL can choose too."""
    view = view_of(name, boards(Edition("en", "promql"))[name])
    return View(week.END_S - 4 * 86400, week.END_S, {**view.choices, "hour_from": "0", "hour_to": "24"})


@pytest.mark.parametrize("code", [code for name, code in ALIKE if name == "province"])
def test_reports_of_whole_days_are_the_same_in_both_dialects(databases: Databases, code: str) -> None:
    view = hours_of_every_day("province")
    panel = asking_by_code("province", "promql")[code]
    if panel["type"] == "table":
        one, other = (table(databases, "province", code, dialect, view) for dialect in DIALECTS)
        assert one
        assert_same_tables(one, other)
        return
    (one_answer,) = ask(databases, "province", code, "promql", view)
    others = ask(databases, "province", code, "influxql", view)
    numbers = [next(value for name, value in answer.rows[0].numbers.items() if name != "Time") for answer in others]
    expected = numbers[0] / numbers[1] if len(numbers) > 1 else numbers[0]
    assert one_answer.rows[0].numbers["Value"] == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("code", "count"),
    [("today.fit", 81), ("today.degraded", 1), ("today.unknown", 1), ("today.unfit", 2 + 1 - 1), ("today.rooms", 86)],
)
def test_rooms_are_counted_by_their_newest_verdict(
    databases: Databases, dialect: Dialect, code: str, count: int
) -> None:
    now = [week.fault_of(room, 1) for room in week.ROOMS]
    expected = {
        "today.fit": sum(fault is None for fault in now),
        "today.rooms": len(now),
        **{
            f"today.{level.name.lower()}": sum(fault is not None and fault.level is level for fault in now)
            for level in (Level.DEGRADED, Level.UNKNOWN, Level.UNFIT)
        },
    }
    assert number(databases, "today", code, dialect) == expected[code]
    if code != "today.fit":
        assert expected[code] == count


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_room_that_is_not_ready_stands_with_its_reason_and_when_it_last_was(
    databases: Databases, dialect: Dialect
) -> None:
    made = table(databases, "today", "today.not_ready", dialect)
    rows = {dict(key)["Room"]: (dict(key)["Why"], dict(key)["What to do"], numbers) for key, numbers in made.items()}
    assert {room: why for room, (why, _, _) in rows.items()} == {
        "room-003": Code.ISP_DOWN,
        "room-004": Code.ROOM_SILENT,
        "room-005": Code.CAMERA_LOST,
        "room-006": Code.BATTERY_REPLACE,
    }
    assert all(why == action for why, action, _ in rows.values())
    assert {room: numbers["State"] for room, (_, _, numbers) in rows.items()} == {
        "room-003": Level.UNFIT.severity,
        "room-004": Level.UNKNOWN.severity,
        "room-005": Level.UNFIT.severity,
        "room-006": Level.DEGRADED.severity,
    }
    last_fit = {room: numbers.get("Last ready") for room, (_, _, numbers) in rows.items()}
    before_fault_ms = {
        room: (week.END_S - 60 * (minutes + 1) + 5) * 1000 for room, minutes in (("room-003", 90), ("room-005", 60))
    }
    assert last_fit == {"room-004": None, "room-006": None, **before_fault_ms}


def test_the_map_has_a_place_for_every_province_with_rooms(databases: Databases) -> None:
    answers = ask(databases, "today", "today.map", "promql")
    for answer in answers:
        assert {row.labels["province"] for row in answer.rows} == set(week.ROOMS.values())
    not_ready = {row.labels["province"]: row.numbers["Value"] for row in answers[0].rows}
    assert sum(not_ready.values()) == 4
    assert not_ready[week.ROOMS["room-004"]] == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_timeline_shows_the_worst_of_each_step(databases: Databases, dialect: Dialect) -> None:
    (answer,) = ask(databases, "today", "today.levels", dialect)
    points = answer.series(dialect, step_ms("today", "today.levels") // 1000)
    assert points.keys() == week.ROOMS.keys()
    assert max(points["room-002"].values()) == Level.UNFIT.severity
    assert set(points["room-006"].values()) == {Level.DEGRADED.severity}
    assert set(points["room-050"].values()) == {Level.FIT.severity}


def test_minutes_unfit_in_teaching_hours_are_those_of_the_known_faults(databases: Databases) -> None:
    made = table(databases, "province", "province.causes", "promql")
    assert (
        column(made, "Why", "Minutes unfit")
        == week.minutes_by_cause(Level.UNFIT, teaching=True)
        == {
            Code.ISP_DOWN: 180,
            Code.CAMERA_LOST: 80,
        }
    )
    assert (
        column(made, "Why", "Minutes unknown")
        == week.minutes_by_cause(Level.UNKNOWN, teaching=True)
        == {
            Code.ROOM_SILENT: 600 + 150,
        }
    )


def test_minutes_unfit_of_the_whole_day_are_those_of_the_known_faults(databases: Databases) -> None:
    made = table(databases, "province", "province.causes", "influxql")
    assert (
        column(made, "Why", "Minutes unfit")
        == week.minutes_by_cause(Level.UNFIT, teaching=False)
        == {
            Code.ISP_DOWN: 180,
            Code.CAMERA_LOST: 80,
            Code.POWER_CUT_DEVICES_OFF: 30,
        }
    )
    assert column(made, "Why", "Minutes unknown") == {Code.ROOM_SILENT: 2370}


def test_minutes_lost_by_day_add_up(databases: Databases) -> None:
    (answer,) = ask(databases, "province", "province.trend_lost", "influxql")
    lost = {level: week.minutes_by_cause(level, teaching=False) for level in (Level.UNFIT, Level.UNKNOWN)}
    assert sum(row.numbers["count"] for row in answer.rows) == sum(sum(one.values()) for one in lost.values())
    assert len(answer.rows) == 1 + 1 + 3 + 2 + 1  # days of each province that lost any


def test_availability_counts_unknown_as_not_available(databases: Databases) -> None:
    made = table(databases, "province", "province.rooms", "promql")
    teaching = sum(week.in_teaching_hours(minute) for minute in range(1, week.MINUTES + 1))
    availability = column(made, "Room", "Availability")
    assert availability["room-004"] == pytest.approx(1 - 750 / teaching)
    assert availability["room-002"] == pytest.approx(1 - 90 / teaching)
    assert availability["room-006"] == availability["room-007"] == 1  # degraded all week; unfit at night only


@pytest.mark.parametrize("dialect", DIALECTS)
def test_power_shows_the_known_cuts_and_batteries(databases: Databases, dialect: Dialect) -> None:
    cuts = column(table(databases, "power", "power.cuts", dialect), "Room", "On battery")
    readings = week.DAYS * 86400 / week.STEP_S
    assert cuts == pytest.approx({"room-001": 2 / readings, "room-007": 1 / readings})
    replace = column(table(databases, "power", "power.batteries", dialect), "Room", "Replace battery")
    assert {room for room, asks in replace.items() if asks} == {"room-006"}
    assert number(databases, "power", "power.lowest", dialect) == 190  # not the 3.4 V that a UPS reads during a cut
    assert number(databases, "power", "power.to_replace", dialect) == 1
    assert number(databases, "power", "power.on_battery_now", dialect) == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_loss_is_counted_over_packets_and_stands_at_the_step_that_loses(databases: Databases, dialect: Dialect) -> None:
    loss = {
        role: share
        for answer in ask(databases, "path", "path.loss_now", dialect)
        for role, share in figures(answer).items()
    }
    heard = len(week.ROOMS) - 1  # room-004 is silent
    assert loss["gateway"] == 0
    assert loss["isp"] == pytest.approx(10 / (10 * heard))
    assert loss["lesson"] == pytest.approx((10 + 1) / (10 * heard))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_fleet_shows_who_is_gone_and_what_was_lost(databases: Databases, dialect: Dialect) -> None:
    assert number(databases, "fleet", "fleet.online", dialect) == len(week.ROOMS) - 1
    assert number(databases, "fleet", "fleet.offline", dialect) == 1
    assert number(databases, "fleet", "fleet.backlog", dialect) == week.BACKLOG_COUNT
    assert number(databases, "fleet", "fleet.dropped", dialect) == week.DROPPED_COUNT
    assert number(databases, "fleet", "fleet.clock", dialect) == week.CLOCK_OFFSET_S
    made = table(databases, "fleet", "fleet.agents", dialect)
    assert column(made, "Agent", "Online")["pc-004"] == 0
    assert "pc-004" not in column(made, "Agent", "Last online")  # silent for longer than the range
    assert column(made, "Agent", "Readings dropped")["pc-011"] == week.DROPPED_COUNT


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_rooms_findings_are_those_of_its_newest_verdict(databases: Databases, dialect: Dialect) -> None:
    made = table(databases, "room", "room.findings", dialect)
    assert {(dict(key)["Target"], dict(key)["Why"]): numbers["State"] for key, numbers in made.items()} == {
        ("camera-1", Code.CAMERA_LOST): Level.UNFIT,
        ("lesson-zoom", Code.LINK_LOSSY): Level.DEGRADED,
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_marks_stand_where_findings_began(databases: Databases, dialect: Dialect) -> None:
    board = boards(Edition("en", dialect))["room"]
    view = view_of("room", board)
    began: set[tuple[str, int]] = set()
    for annotation in board["annotations"]["list"]:
        if dialect == "promql":
            rows = list(databases.promql(filled(annotation["expr"], view, 60), view, 60))
            for row in rows:
                times = sorted(row.points)
                again = [at for before, at in zip([0, *times], times, strict=False) if at - before > 60_000]
                began |= {(row.labels["reason"], at // 60_000) for at in again}
        else:
            rows = list(databases.influxql(filled(annotation["query"], view, 60)))
            began |= {(row.labels["reason"], int(row.numbers["Time"]) // 60_000 + 1) for row in rows}
    minute = week.END_S // 60
    assert began == {
        (Code.CAMERA_LOST, minute - 1199),
        (Code.CAMERA_LOST, minute - 59),
        (Code.LINK_LOSSY, minute - 59),
    }


@pytest.mark.parametrize("name", list(boards(Edition("en", "promql"))))
def test_variables_list_the_same_in_both_dialects_and_cascade(databases: Databases, name: str) -> None:
    listed: dict[Dialect, dict[str, list[str]]] = {}
    for dialect in DIALECTS:
        board = boards(Edition("en", dialect))[name]
        view = view_of(name, board)
        view.choices["province"] = "bac-kan|ben-tre"  # type: ignore[index]  # a dict of our own
        listed[dialect] = {}
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            query = variable["query"] if dialect == "influxql" else variable["query"]["query"]
            query = filled(query, view, 60)
            if dialect == "promql":
                listed[dialect][variable["name"]] = databases.label_values(query, view)
            else:
                series = databases.influxdb.query(query, database="sansang")
                listed[dialect][variable["name"]] = sorted(value[1] for one in series for value in one["values"])  # type: ignore[attr-defined]  # InfluxDB's rows
    assert listed["promql"] == listed["influxql"]
    assert listed["promql"]["province"] == sorted(set(week.ROOMS.values()))
    if "room" in listed["promql"]:
        assert listed["promql"]["room"] == [
            room for room, province in week.ROOMS.items() if province in ("bac-kan", "ben-tre")
        ]
    if "lesson" in listed["promql"]:
        assert listed["promql"]["lesson"] == ["lesson-zoom"]


def test_rules_are_silent_while_all_is_well_and_speak_when_it_is_not(databases: Databases) -> None:
    well = View(week.END_S - 600, week.END_S, {})
    gone = View(week.END_S + 1200, week.END_S + 1800, {})

    def firing(view: View) -> set[str]:
        speaking = set()
        for rule in RULES["promql"]:
            numbers = [row.numbers["Value"] for row in databases.promql(rule.query, view, 0)]
            assert len(numbers) <= 1, rule.query
            if any(one > rule.above for one in numbers) or (not numbers and rule.on_silence):
                speaking.add(rule.code)
        return speaking

    told = {"mail_refused", "problems", "sink_behind", "sink_refused"}  # what the pages' sample tells is not all well
    assert firing(well) - told == set()
    assert {"collector_down", "no_verdicts", "not_reviewing"} <= firing(gone)


def test_the_rule_for_influxdb_speaks_only_when_verdicts_stop(databases: Databases) -> None:
    (rule,) = RULES["influxql"]
    for at_s, silent in ((week.END_S, False), (week.END_S + 3600, True)):
        query = rule.query.replace("now()", f"{at_s}000ms") + f" AND time <= {at_s}000ms"
        numbers = [row.numbers["count"] for row in databases.influxql(query)]
        assert (not numbers) is silent
        assert [one for one in numbers if one > rule.above] == []
