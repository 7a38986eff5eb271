"""The school's own router as a witness: what it says of its connection to the provider counts where nothing answers."""

import pytest

from contract.catalogue import LANGUAGES
from contract.parts import State
from contract.reading import Reading
from readiness.telling import sentence
from readiness.verdict import Level, Verdict
from tests.readiness.rooms import Room, codes, dead, fails, ping, top, well

BEYOND = ("isp", "national", "international", "lesson-zoom")
CUT = [*(dead(one) for one in BEYOND), fails("dns", "dns")]


def router(state: State | None, target: str = "router") -> Reading:
    values: dict[str, int | float] = {"recognition_code": 0}
    if state is not None:
        values["wan_status_code"] = int(state)
    return Reading(probe="device", target=target, values=values)


def after(*changed: Reading, minutes: int = 4) -> Verdict:
    room = Room()
    room.minutes(5)
    return room.but(minutes, *changed)


@pytest.mark.parametrize("target", ["router", "gateway"])
def test_a_router_that_says_that_its_line_is_down_is_believed_when_nothing_answers(target: str) -> None:
    verdict = after(*CUT, router(State.FAILED, target))
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, ["ISP_DOWN"])
    found = top(verdict)
    assert (found.target, found.value) == (target, "wan_status_code")
    assert "says that its connection to the provider is down" in sentence(found, "en")
    assert "báo kết nối tới nhà mạng đang đứt" in sentence(found, "vi")


def test_its_word_tells_the_provider_from_what_lies_behind_where_no_hop_of_his_is_measured() -> None:
    lost = [one for one in CUT if one.target != "isp"]
    room = Room()
    here = [one for one in well() if one.target not in (*BEYOND, "dns")]
    assert codes(room.minutes(4, lambda: [*here, *lost]))[0] == "NO_INTERNET"
    assert codes(room.minutes(4, lambda: [*here, *lost, router(State.FAILED)]))[0] == "ISP_DOWN"


def test_while_the_internet_answers_its_word_is_wrong_and_nothing_is_said() -> None:
    assert after(router(State.FAILED)).level is Level.FIT


@pytest.mark.parametrize("state", [State.OK, State.DISABLED, State.UNKNOWN, None], ids=str)
def test_a_router_that_says_anything_else_leaves_the_cause_to_the_others(state: State | None) -> None:
    found = top(after(*CUT, router(state)))
    assert (found.code, found.target) == ("ISP_DOWN", "isp")
    for language in LANGUAGES:
        assert sentence(found, language) != sentence(top(after(*CUT, router(State.FAILED))), language)


def test_a_cut_inside_the_school_comes_first() -> None:
    """What a dead router said last is not known to hold."""
    room = Room()
    room.minutes(5)
    room.but(2, router(State.FAILED))
    inside = [dead("gateway"), *(dead(one) for one in ("camera", "microphone", "speaker", "screen"))]
    assert codes(room.but(4, *CUT, *inside))[0] == "GATEWAY_DOWN"


def test_one_word_of_it_is_not_enough() -> None:
    room = Room()
    room.minutes(5)
    room.but(3, *CUT, router(State.OK))
    room.now += 1  # the next reading comes at once
    assert top(room.but(1, *CUT, router(State.FAILED), step_s=1.0)).target == "isp"


def test_a_projector_says_nothing_of_the_line() -> None:
    verdict = after(*CUT, router(State.FAILED, "projector"), ping("projector"))
    assert top(verdict).target == "isp"
