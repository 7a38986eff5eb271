"""What holds for any readings in any order."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.outcome import Outcome
from contract.reading import Reading
from readiness.judge import FINDINGS_MAX_COUNT, judge
from readiness.metrics import METRICS
from readiness.profile import Profile
from readiness.state import RoomState
from readiness.telling import action, sentence
from readiness.verdict import Level
from tests.readiness.rooms import NOW_S, PROFILES, dead, fails

TARGETS = ("gateway", "isp", "national", "international", "dns", "lesson-zoom", "lesson-mcu", "collector", "camera",
           "camera-2", "microphone", "codec", "screen", "switch", "ups", "pc", "blackboard")  # fmt: skip
PROBES = ("ping", "tcp", "http", "dns", "host", "power", "snmp", "agent", "pjlink")
VALUES = sorted({metric.value for metric in METRICS.values()} | {
    "sent_count", "received_count", "on_battery_bool", "low_battery_bool", "battery_replace_bool", "nic_up_bool",
    "address_link_local_bool", "unheard_of_ms",
})  # fmt: skip

numbers = st.one_of(
    st.sampled_from([0, 1, -1, 5, 10, 0.5, 250, 600.0, 10**400, 2**63, 1e300, float("nan"), float("inf")]),
    st.integers(-10, 10_000),
    st.floats(-10, 10_000),
)
any_readings = st.builds(
    Reading,
    probe=st.sampled_from(PROBES),
    target=st.sampled_from(TARGETS),
    outcome=st.sampled_from(Outcome),
    values=st.dictionaries(st.sampled_from(VALUES), numbers, max_size=8),
)


def plausible(probe: str, target: str, lost: int, rtt_ms: float, outcome: Outcome) -> Reading:
    """A reading as the probes make them."""
    if probe != "ping" or outcome is not Outcome.OK:
        return Reading(probe=probe, target=target, outcome=outcome)
    values: dict[str, int | float] = {"sent_count": 10, "received_count": 10 - lost, "loss_ratio": lost / 10}
    return Reading(probe=probe, target=target, values=values | ({"rtt_p50_ms": rtt_ms} if lost < 10 else {}))


plausible_readings = st.builds(
    plausible,
    probe=st.sampled_from(["ping", "ping", "ping", "tcp", "dns"]),
    target=st.sampled_from(TARGETS[:10]),
    lost=st.sampled_from([0, 0, 0, 1, 3, 10]),
    rtt_ms=st.sampled_from([20.0, 250.0, 900.0]),
    outcome=st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.TIMEOUT, Outcome.NO_NAME, Outcome.BROKEN]),
)
profiles = st.sampled_from(sorted(PROFILES)).map(PROFILES.__getitem__)
ages_s = st.floats(-100, 4000)


@settings(max_examples=150, deadline=None)
@given(profiles, st.lists(st.tuples(any_readings, ages_s, st.floats(0, 400)), max_size=40), st.booleans())
def test_no_order_or_content_of_readings_makes_judging_or_telling_raise(
    profile: Profile,
    history: list[tuple[Reading, float, float]],
    heard: bool,  # noqa: FBT001 - hypothesis fills it
) -> None:
    state = RoomState("phong-101")
    if heard:
        state.hear("pc-101", "online", "", NOW_S - 4000)
    for reading, age_s, lag_s in history:
        state.fold(reading, NOW_S - age_s, NOW_S - age_s + lag_s)
    first = judge(profile, state, None, NOW_S)
    verdict = judge(profile, state, None, NOW_S + 60, first)
    assert len(verdict.findings) <= FINDINGS_MAX_COUNT
    assert [one.level.severity for one in verdict.findings] == sorted(
        (one.level.severity for one in verdict.findings), reverse=True
    )
    assert (verdict.level is Level.FIT) is (not verdict.findings)
    for one in verdict.findings:
        assert one.since_s <= verdict.judged_s
        for language in ("vi", "en"):
            assert sentence(one, language)
            assert action(one, language)


@settings(max_examples=60, deadline=None)
@given(profiles, st.lists(st.tuples(any_readings, ages_s), max_size=20))
def test_a_room_without_a_recent_answer_of_its_lesson_server_is_never_fit(
    profile: Profile, history: list[tuple[Reading, float]]
) -> None:
    state = RoomState("phong-101")
    for reading, age_s in history:
        if not (reading.probe == "ping" and reading.target.startswith("lesson")):
            state.fold(reading, NOW_S - age_s, NOW_S - age_s)
    assert judge(profile, state, None, NOW_S).level is not Level.FIT


@settings(max_examples=300, deadline=None)
@given(
    profiles,
    st.lists(plausible_readings, max_size=60),
    st.sampled_from(TARGETS[:10]),
    st.sampled_from(["dead ping", "ping", "tcp", "dns"]),
    st.integers(1, 4),
)
def test_adding_a_failure_never_improves_the_level(
    profile: Profile, history: list[Reading], target: str, how: str, times: int
) -> None:
    """Not even when it turns one cause into another. (A server whose every ping in 30 minutes was lost while it takes
    connections is the stated exception: its pings are filtered, its quality is unknown.)
    """
    state = RoomState("phong-101")
    for place, reading in enumerate(history):
        when_s = NOW_S - 20 * (len(history) - place) - 20
        state.fold(reading, when_s, when_s)
    before = judge(profile, state, None, NOW_S)
    for place in range(times):
        state.fold(dead(target) if how == "dead ping" else fails(how, target), NOW_S - 10 + place, NOW_S - 10 + place)
    after = judge(profile, state, None, NOW_S, before)
    if any(finding.code == "QUALITY_UNKNOWN" for finding in (*before.findings, *after.findings)):
        return
    assert after.level.severity >= before.level.severity, (before.findings, after.findings)


@settings(max_examples=100, deadline=None)
@given(st.lists(plausible_readings, min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_the_order_in_which_readings_arrive_changes_nothing(history: list[Reading], chance: random.Random) -> None:
    timed = [(reading, NOW_S - 60 + place) for place, reading in enumerate(history)]
    shuffled = list(timed)
    chance.shuffle(shuffled)
    verdicts = []
    for order in (timed, shuffled):
        state = RoomState("phong-101")
        for reading, when_s in order:
            if reading.outcome is not Outcome.BROKEN:  # runs of failing attempts are counted as they come
                state.fold(reading, when_s, NOW_S)
        verdicts.append(judge(PROFILES["zoom-720p"], state, None, NOW_S))
    assert verdicts[0] == verdicts[1]
