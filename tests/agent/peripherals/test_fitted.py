"""What is there against what should be."""

from collections.abc import Mapping

import pytest

from agent.peripherals.fitted import Fitted, parse_expected, values_of
from agent.probe import Values
from contract.parts import State

EYE = Fitted("camera", "Logitech BRIO")
LID = Fitted("camera", "Integrated Camera")
TABLE = Fitted("microphone", "Jabra Speak 750")


def seen(fitted: list[Fitted], *expect: str) -> Values:
    expected = [one for one in map(parse_expected, expect) if one is not None]
    assert len(expected) == len(expect)
    return values_of(fitted, expected)


def states(values: Values) -> Mapping[str, State]:
    ending = "_status_code"
    return {name.removesuffix(ending): State(int(values[name])) for name in values if name.endswith(ending)}


def test_a_pc_without_anything_says_so() -> None:
    assert seen([]) == {"cameras_count": 0, "microphones_count": 0, "speakers_count": 0, "screens_count": 0}


def test_what_is_there_is_counted_and_well() -> None:
    values = seen([EYE, LID, TABLE])
    assert (values["cameras_count"], values["microphones_count"]) == (2, 1)
    assert states(values) == {"camera1": State.OK, "camera2": State.OK, "microphone1": State.OK}


def test_what_is_expected_and_not_there_has_failed() -> None:
    values = seen([TABLE], "camera", "microphone")
    assert states(values) == {"camera1": State.FAILED, "microphone1": State.OK}
    assert values["cameras_count"] == 0


def test_another_camera_is_not_the_one_that_is_expected_by_name() -> None:
    assert states(seen([LID], "camera brio")) == {"camera1": State.FAILED, "camera2": State.OK}


def test_one_expected_by_no_name_leaves_the_other_its_own() -> None:
    assert states(seen([EYE], "camera", "camera Brio")) == {"camera1": State.FAILED, "camera2": State.OK}
    assert states(seen([LID, EYE], "camera", "camera Brio")) == {"camera1": State.OK, "camera2": State.OK}


@pytest.mark.parametrize("expect", [("camera",), ()], ids=["expected", "not expected"])
def test_one_that_somebody_disabled_is_blocked_only_where_it_is_expected(expect: tuple[str, ...]) -> None:
    values = seen([EYE._replace(state=State.DISABLED)], *expect)
    assert states(values) == {"camera1": State.BLOCKED if expect else State.DISABLED}


def test_one_that_works_meets_the_expectation_before_one_that_does_not() -> None:
    broken = Fitted("camera", "A broken one", State.FAILED)
    assert states(seen([broken, LID], "camera")) == {"camera1": State.OK, "camera2": State.FAILED}


def test_more_than_the_contract_names_are_only_counted() -> None:
    values = seen([Fitted("speaker", f"speaker {number}") for number in range(5)])
    assert values["speakers_count"] == 5
    assert list(states(values)) == ["speaker1", "speaker2"]
