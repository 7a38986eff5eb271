"""What hangs on the PC, and what its want means for the room."""

from collections.abc import Mapping

import pytest

from contract.parts import STATUS, State
from contract.reading import Reading
from readiness.codes import Code
from readiness.telling import action, sentence
from readiness.verdict import Finding, Level
from tests.readiness.rooms import Room, codes, top, well


def peripherals(states: Mapping[str, State]) -> Reading:
    values: dict[str, int | float] = {"cameras_count": 1, "microphones_count": 1}
    values |= {f"{name}{STATUS}": int(state) for name, state in states.items()}
    return Reading(probe="peripherals", target="pc", values=values)


WELL = {"camera1": State.OK, "microphone1": State.OK, "speaker1": State.OK}


def lasts(**changed: State) -> Finding | None:
    """The first finding in a room whose camera, microphone and speaker hang on the PC; None when all is well."""
    rest = [one for one in well() if one.target not in ("camera", "microphone", "speaker", "screen")]
    room = Room()
    verdict = room.minutes(4, lambda: [*rest, peripherals({**WELL, **changed})])
    assert len(codes(verdict)) <= 1
    return top(verdict) if verdict.findings else None


def test_a_room_whose_parts_are_there_is_well() -> None:
    assert lasts() is None


@pytest.mark.parametrize(("part", "code"), [("camera1", Code.CAMERA_FAILED), ("microphone1", Code.MICROPHONE_FAILED)])
def test_the_only_one_of_its_kind_that_is_missing_makes_the_room_unfit(part: str, code: Code) -> None:
    found = lasts(**{part: State.FAILED})
    assert found is not None
    assert (found.code, found.level, found.target, found.value) == (code, Level.UNFIT, "pc", f"{part}{STATUS}")


def test_with_another_camera_the_room_is_degraded() -> None:
    found = lasts(camera1=State.FAILED, camera2=State.OK)
    assert found is not None
    assert (found.code, found.level) == (Code.CAMERA_FAILED, Level.DEGRADED)


def test_a_camera_behind_a_privacy_switch_is_unfit_for_its_own_reason() -> None:
    found = lasts(camera1=State.BLOCKED)
    assert found is not None
    assert (found.code, found.level) == (Code.PART_BLOCKED, Level.UNFIT)
    assert sentence(found, "en") == "The room's PC: camera 1 is there, but the system keeps programs from it."
    assert "Quyền riêng tư" in action(found, "vi")


@pytest.mark.parametrize("state", [State.DISABLED, State.STANDBY])
def test_what_is_switched_off_or_asleep_and_not_expected_is_no_fault(state: State) -> None:
    assert lasts(screen1=state, camera2=state) is None
