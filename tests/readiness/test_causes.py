"""The table of causes, row by row, and its thresholds from both sides."""

import pytest
from msgspec.structs import replace

from readiness.causes import Cause, Certainty, Silence, Stop, Witness, explain

SINCE_S = 1_795_500_000.0
BACK_S = SINCE_S + 1200.0
RAN_ON = Silence(since_s=SINCE_S, until_s=BACK_S, boot_s=SINCE_S - 9000.0, agent_start_s=SINCE_S - 8000.0)
ANEW = Silence(since_s=SINCE_S, until_s=BACK_S, boot_s=BACK_S - 60.0, agent_start_s=BACK_S - 30.0)
CUT_OFF = replace(RAN_ON, measured_count=20, rungs={"ISP_DOWN": 18})
AREA = replace(CUT_OFF, silent_near_count=6, near_count=8, silent_far_count=1, far_count=8)
OPEN = replace(RAN_ON, measured_count=20, rungs={"": 18})


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        pytest.param(CUT_OFF, Cause.ISP, id="provider"),
        pytest.param(replace(CUT_OFF, rungs={"ISP_DOWN": 9, "": 9}), Cause.UNKNOWN, id="as often open as not"),
        pytest.param(replace(CUT_OFF, measured_count=1), Cause.UNKNOWN, id="measured once"),
        pytest.param(AREA, Cause.AREA_LINE, id="most of the district"),
        pytest.param(replace(AREA, silent_near_count=4), Cause.ISP, id="half of the district"),
        pytest.param(replace(AREA, silent_near_count=2, near_count=2), Cause.ISP, id="two are no area"),
        pytest.param(replace(AREA, silent_far_count=2), Cause.ISP, id="a quarter of the others too"),
        pytest.param(replace(RAN_ON, on_battery=True), Cause.POWER_CUT_NETWORK, id="on battery, and lived on"),
        pytest.param(
            replace(AREA, rungs={}, on_battery=True, batteries_near_count=2),
            Cause.AREA_POWER, id="on battery, and lived on, as the neighbours did",
        ),
        pytest.param(replace(OPEN, on_battery=True), Cause.UNKNOWN, id="on battery, with the way open"),
        pytest.param(replace(RAN_ON, slept_s=700.0), Cause.PC_ASLEEP, id="slept for most of it"),
        pytest.param(replace(RAN_ON, slept_s=500.0), Cause.UNKNOWN, id="slept for less than half of it"),
        pytest.param(replace(ANEW, stop=Stop.SHUT_DOWN), Cause.PC_SWITCHED_OFF, id="shut down"),
        pytest.param(replace(ANEW, stop=Stop.CUT), Cause.UNKNOWN, id="cut, and no device to ask"),
        pytest.param(replace(ANEW, stop=Stop.CUT, devices_count=2), Cause.PC_LOST_POWER, id="cut, devices ran on"),
        pytest.param(
            replace(ANEW, stop=Stop.CUT, devices_count=2, restarted_count=1), Cause.POWER_CUT, id="devices too"
        ),
        pytest.param(OPEN, Cause.UNKNOWN, id="the way was open, and nobody else was silent"),
        pytest.param(
            replace(OPEN, silent_near_count=7, near_count=8, silent_far_count=6, far_count=8),
            Cause.COLLECTOR, id="the way was open, and most were silent",
        ),
        pytest.param(
            replace(OPEN, silent_near_count=3, near_count=8, far_count=900), Cause.UNKNOWN, id="three of a thousand"
        ),
        pytest.param(
            replace(OPEN, silent_near_count=7, near_count=8, silent_far_count=6, far_count=8, slept_s=300.0),
            Cause.UNKNOWN, id="the way was open, and the PC slept",
        ),
        pytest.param(replace(RAN_ON, blind_until_s=BACK_S - 60.0), Cause.COLLECTOR, id="back with our sight"),
        pytest.param(
            replace(RAN_ON, until_s=SINCE_S + 80.0, blind_until_s=SINCE_S + 10.0, slept_s=70.0),
            Cause.PC_ASLEEP, id="we were blind when it went to sleep for a minute",
        ),
        pytest.param(replace(RAN_ON, blind_until_s=SINCE_S + 120.0), Cause.UNKNOWN, id="long after we saw again"),
        pytest.param(
            replace(RAN_ON, blind_until_s=BACK_S - 60.0, agent_start_s=BACK_S - 30.0),
            Cause.AGENT_CRASHED, id="we were blind, and the agent started anew",
        ),
        pytest.param(Silence(since_s=SINCE_S), Cause.UNKNOWN, id="nothing is known"),
    ],
)  # fmt: skip
def test_the_first_row_that_its_witnesses_bear_out(silence: Silence, expected: Cause) -> None:
    found = explain(silence)
    assert found.cause is expected
    assert (found.certainty is Certainty.NONE) is (expected is Cause.UNKNOWN)


def test_what_speaks_against_an_answer_is_told() -> None:
    empty = replace(ANEW, stop=Stop.CUT, on_battery=True, runtime_s=7200.0, devices_count=1)
    found = explain(empty)
    assert found.cause is Cause.UPS_EMPTY
    assert set(found.against) == {Witness.DEVICES_RAN_ON, Witness.BATTERY_OUTLASTED}
    on_mains = explain(replace(empty, battery_meanwhile=False))
    assert Witness.ON_MAINS_MEANWHILE in on_mains.against


def test_a_broker_that_refused_the_agent_is_the_cause_where_the_way_held() -> None:
    found = explain(replace(OPEN, was_refused=True))
    assert (found.cause, found.certainty) == (Cause.CREDENTIALS, Certainty.CONFIRMED)
    assert explain(replace(OPEN, was_refused=True, rungs={"ISP_DOWN": 3})).cause is Cause.ISP


def test_rungs_of_one_cause_speak_together() -> None:
    found = explain(replace(OPEN, rungs={"ISP_DOWN": 2, "NO_INTERNET": 2, "": 1}))
    assert (found.cause, found.rung) == (Cause.ISP, "ISP_DOWN")
    assert explain(replace(OPEN, rungs={"ISP_DOWN": 2, "DNS_FAILS": 2})).cause is Cause.UNKNOWN


def test_while_it_lasts_an_answer_is_no_more_than_likely() -> None:
    asleep = Silence(since_s=SINCE_S, goodbye="suspend")
    assert explain(asleep).certainty is Certainty.LIKELY
    assert explain(replace(asleep, until_s=BACK_S)).certainty is Certainty.CONFIRMED
