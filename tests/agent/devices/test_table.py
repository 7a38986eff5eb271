"""What a table makes of answers, without any device."""

import asyncio
from collections.abc import Mapping

import pytest

from agent.devices import kind_names, load_kind
from agent.devices.kind import Device, Told
from agent.devices.kinds.cisco_telepresence import told_of
from agent.devices.kinds.poly import KIND as POLY
from agent.devices.parts import FIGURES, figure_values, part_values
from agent.devices.table import FigureAt, PartAt, Table, merged, number_in, text, worst
from agent.devices.vendors import vendor_of
from agent.snmp.mib2 import Answers
from contract.catalogue import knows
from contract.parts import PART_NAMES, PARTS, STATUS, State, part_of

ROOT = "1.3.6.1.4.1.99999"
OK_BAD = {1: State.OK, 2: State.FAILED}


def table(*parts: PartAt, figures: tuple[FigureAt, ...] = ()) -> Table:
    return Table(name="made_up", family="device", mib="MADE-UP-MIB", root=ROOT, parts=parts, figures=figures)


def rows(column: str, answers: Mapping[str, int | bytes]) -> dict[str, Answers]:
    return {index: {f"{ROOT}{column}": answer} for index, answer in answers.items()}


def states(told: Told) -> dict[str, str]:
    return {name: state.name for name, state in told.parts.items()}


CAMERA = PartAt("camera", ".1", OK_BAD)
CAMERAS = PartAt("camera", ".2.0", OK_BAD, sums=True)


def test_rows_keep_the_devices_own_numbers() -> None:
    assert states(table(CAMERA).read({}, rows(".1", {"2": 2}))) == {"camera2": "FAILED"}


def test_rows_with_numbers_of_another_kind_are_numbered_in_their_order() -> None:
    found = table(CAMERA).read({}, rows(".1", {"1.30": 2, "1.4": 1}))
    assert states(found) == {"camera1": "OK", "camera2": "FAILED"}


def test_a_row_that_says_nothing_takes_its_number_with_it() -> None:
    found = table(CAMERA).read({}, rows(".1", {"0.7": 9, "0.8": 2}))
    assert states(found) == {"camera2": "FAILED"}


def test_no_more_parts_are_told_of_than_are_published() -> None:
    found = table(CAMERA).read({}, rows(".1", {str(number): 1 for number in range(100, 120)}))
    assert list(found.parts) == ["camera1", "camera2", "camera3", "camera4"]


def test_the_worst_row_stands_for_one_part() -> None:
    one = table(PartAt("fan", ".1", {1: State.OK, 2: State.FAILED, 3: State.DEGRADED}, is_worst=True))
    assert states(one.read({}, rows(".1", {"1": 1, "2": 3, "3": 1}))) == {"fan": "DEGRADED"}
    assert states(one.read({}, rows(".1", {"1": 9}))) == {}


@pytest.mark.parametrize(
    ("each", "together", "expected"),
    [
        ({"1": 1}, 1, {"camera1": "OK"}),
        ({}, 2, {"camera1": "FAILED"}),
        ({"1": 1}, 2, {"camera1": "OK", "camera2": "FAILED"}),
        ({"1": 2}, 2, {"camera1": "FAILED"}),
        ({"1": 2}, 1, {"camera1": "FAILED"}),
        ({"1": 1, "2": 1, "3": 1, "4": 1}, 2, dict.fromkeys(("camera1", "camera2", "camera3", "camera4"), "OK")),
    ],
    ids=str,
)
def test_a_sum_counts_where_the_rows_do_not_explain_it(
    each: Mapping[str, int], together: int, expected: Mapping[str, str]
) -> None:
    assert states(table(CAMERAS, CAMERA).read({f"{ROOT}.2.0": together}, rows(".1", each))) == expected


@pytest.mark.parametrize("nonsense", [0, -1, 3, 0xFFFFFFFF, b"2", "1.3.6", b""])
def test_a_state_that_means_nothing_is_left_out(nonsense: int | str | bytes) -> None:
    assert table(CAMERAS).read({f"{ROOT}.2.0": nonsense}, {}).parts == {}


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (15, 15),
        (b"15 PERCENT", 15),
        (b" 38.5 C", 38.5),
        (b"-4\x00", -4),
        (b"PERCENT 15", None),
        (b"", None),
        (b"\xff\xfe", None),
        ("1.3.6.1", None),
        (None, None),
        (-1, None),
        (0xFFFFFFFF, None),
        (0x7FFFFFFF, None),
        (b"-1 C", None),
    ],
    ids=repr,
)
def test_a_number_may_begin_a_text_and_sentinels_are_none(
    answer: int | str | bytes | None, number: float | None
) -> None:
    assert number_in(answer) == number


@pytest.mark.parametrize(("raw", "kept"), [(41, 41.0), (-20, -20.0), (91, None), (-40, None), (4000, None)])
def test_a_temperature_that_cannot_be_is_left_out(raw: int, kept: float | None) -> None:
    hot = table(figures=(FigureAt("temperature_celsius", ".3.0"),))
    assert hot.read({f"{ROOT}.3.0": raw}, {}).figures.get("temperature_celsius") == kept


def test_what_cannot_be_gives_way_to_the_next_object() -> None:
    two = table(figures=(FigureAt("cpu_ratio", ".3.0", 0.01), FigureAt("cpu_ratio", ".4.0", 0.01)))
    assert two.read({f"{ROOT}.3.0": 250, f"{ROOT}.4.0": 40}, {}).figures == {"cpu_ratio": 0.4}


def test_texts_are_freed_of_what_pads_them() -> None:
    assert text(b" Studio\x00X50 \r\n\x00") == "Studio X50"
    assert text(b"\xff\x00") == "\ufffd"
    assert text(7) == ""


def test_the_first_account_is_heard_where_two_speak() -> None:
    first, second = Told(parts={"fan": State.OK}), Told(parts={"fan": State.FAILED, "lamp": State.OK})
    assert states(merged(first, second)) == {"fan": "OK", "lamp": "OK"}
    assert worst([]) is None


def test_a_call_is_told_of_by_its_rows_with_its_worst_stream() -> None:
    entry = "1.3.6.1.4.1.13885.101.1.4.1.1"
    call: dict[str, int | bytes] = {
        "58": b"Far side",
        "16": 3,
        "17": 1,
        "18": 120,
        "19": 90,
        "4": 12,
        "46": 33,
        "56": 1472,
        "57": 0xFFFFFFFF,
    }
    found = POLY.read({}, {"7": {f"{entry}.{column}": answer for column, answer in call.items()}})
    assert found.figures == pytest.approx(
        {
            "calls_count": 1,
            "call_active_bool": 1,
            "call_loss_ratio": 0.03,
            "call_latency_ms": 120,
            "call_jitter_ms": 33,
            "call_received_bps": 1_472_000,
        }
    )


def test_an_idle_codec_has_no_quality_of_a_call() -> None:
    assert POLY.read({}, {}).figures == {"calls_count": 0, "call_active_bool": 0}


def test_a_telepresence_rooms_peripherals_are_told_apart_by_category() -> None:
    status, category = "1.3.6.1.4.1.9.9.643.1.2.1.1.3", "1.3.6.1.4.1.9.9.643.1.2.1.1.4"
    listed = [(0, 4), (2, 4), (9, 13), (0, 5), (1, 7), (0, 18), (6, 8)]
    table_rows: dict[str, Answers] = {
        str(place): {status: state, category: kind} for place, (state, kind) in enumerate(listed)
    }
    assert states(told_of(table_rows)) == {
        "camera1": "OK",
        "camera2": "FAILED",
        "microphone1": "DISABLED",
        "screen1": "OK",
        "camera3": "UNKNOWN",
        "screen2": "FAILED",
    }


@pytest.mark.parametrize("name", kind_names())
def test_a_kind_is_named_as_its_file_and_tells_only_of_what_is_published(name: str) -> None:
    kind = load_kind(name)
    assert kind.name == name
    if isinstance(kind, Table):
        assert {part.into for part in kind.parts} <= {part.name for part in PARTS} | PART_NAMES
        assert {figure.into for figure in kind.figures} <= {figure.name for figure in FIGURES}
        assert kind.families or kind.description or kind.sign_oids or kind.layers, "nothing recognises it"


@pytest.mark.parametrize("name", kind_names())
def test_no_kind_claims_a_device_that_says_nothing(name: str) -> None:
    if load_kind(name).way == "snmp":
        silent = Device(host="127.0.0.1", what="device", timeout_s=1.0)
        assert asyncio.run(load_kind(name).recognise(silent)) is None


def test_every_part_and_figure_has_a_value_and_a_name_for_people() -> None:
    assert {value.name for value in part_values()} == {f"{name}{STATUS}" for name in PART_NAMES}
    assert [part.name for part in PARTS if not knows(f"part.{part.name}")] == []
    assert [state.name for state in State if not knows(f"part_state.{state.name.lower()}")] == []
    assert len(list(figure_values())) == len(FIGURES)


def test_a_values_part_is_found_again() -> None:
    for part in PARTS:
        for number, name in enumerate(part.names(), start=1):
            assert part_of(f"{name}{STATUS}") == (part.name, number if part.most > 1 else 0)
    assert [part_of(name) for name in ("camera5_status_code", "camera_status_code", "status_code", "loss_ratio")] == [
        None
    ] * 4


def test_a_maker_is_known_by_its_number() -> None:
    assert [vendor_of(oid) for oid in ("1.3.6.1.4.1.9.1.2571", "1.3.6.1.4.1.99999", "0.0", None, b"x")] == [
        "Cisco",
        *[""] * 4,
    ]
