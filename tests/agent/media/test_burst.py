"""What a burst says: packets made by hand, with the truth known."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.burst import Echo, above_shortest_ms, figures, jitter_ms
from agent.probe import Values
from agent.probes.stamp import Stamp

INTERVAL_S = 0.02
OFFSET_NS = -3_600_000_000_000
"""The reflector's clock is an hour behind."""


def burst(count: int = 1000, *, there_ms: float = 20.0, back_ms: float = 30.0) -> list[Echo]:
    """A burst over a line that delays, and does nothing else."""
    echoes = []
    for seq in range(count):
        sent_ns = 10**18 + round(seq * INTERVAL_S * 1e9)
        received_ns = sent_ns + OFFSET_NS + round(there_ms * 1e6)
        answered_ns = received_ns + 40_000
        returned_ns = answered_ns - OFFSET_NS + round(back_ms * 1e6)
        echoes.append(Echo(seq, sent_ns, received_ns, answered_ns, returned_ns, seq, seq))
    return echoes


def lost(echo: Echo) -> Echo:
    return Echo(echo.seq, echo.sent_ns)


def without(echoes: list[Echo], gone: set[int]) -> list[Echo]:
    return [lost(echo) if echo.seq in gone else echo for echo in echoes]


def of(echoes: list[Echo], *, timeout_s: float = 2.0, is_stateful: bool = True) -> Values:
    return figures(echoes, timeout_s=timeout_s, interval_s=INTERVAL_S, is_stateful=is_stateful)


def test_a_clean_line_has_its_delay_and_nothing_else() -> None:
    values = of(burst())
    assert (values["sent_count"], values["received_count"], values["loss_ratio"]) == (1000, 1000, 0.0)
    assert values["rtt_min_ms"] == values["rtt_max_ms"] == pytest.approx(50.0)
    for name in ("pdv_p95_ms", "jitter_ms", "reorder_ratio", "burst_ratio", "loss_forward_ratio", "late_count"):
        assert values[name] == pytest.approx(0.0, abs=1e-6), name
    assert values["longest_gap_s"] == pytest.approx(INTERVAL_S)
    assert values["audio_r"] == pytest.approx(93.2 - 0.024 * (25 + 20 + 25))


def test_every_value_is_declared() -> None:
    assert set(of(burst())) < {value.name for value in Stamp.values}


def test_nothing_sent_is_no_value() -> None:
    assert of([]) == {}


def test_all_lost_is_loss_and_no_score() -> None:
    values = of([lost(echo) for echo in burst(200)])
    assert (values["received_count"], values["loss_ratio"], values["burst_ratio"]) == (0, 1.0, 1.0)
    assert values["longest_gap_s"] == pytest.approx(4.0)
    assert not [name for name in values if name.startswith(("audio", "rtt", "pdv"))]


def test_the_bounds_of_loss_are_wilsons() -> None:
    values = of(burst(300))
    assert (values["loss_low_ratio"], round(values["loss_high_ratio"], 4)) == (0.0, 0.0126)


@pytest.mark.parametrize(("count", "is_rated"), [(99, False), (100, True)])
def test_speech_is_rated_from_a_hundred_answers_on(count: int, is_rated: bool) -> None:  # noqa: FBT001 - a table
    assert ("audio_mos" in of(burst(count))) is is_rated


# Loss


def test_loss_is_split_by_the_reflectors_own_count() -> None:
    chance = random.Random(1)
    there = {seq for seq in range(1000) if chance.random() < 0.04}
    back = {seq for seq in range(1000) if seq not in there and chance.random() < 0.02}
    count, echoes = 0, []
    for echo in burst():
        if echo.seq in there:
            echoes.append(lost(echo))
            continue
        echoes.append(lost(echo) if echo.seq in back else echo._replace(reflector_seq=count))
        count += 1
    values = of(echoes)
    assert values["loss_ratio"] == (len(there) + len(back)) / 1000
    assert values["loss_forward_ratio"] == pytest.approx(len(there) / 1000, abs=0.001)
    assert values["loss_backward_ratio"] == pytest.approx(len(back) / (1000 - len(there)), abs=0.001)


def test_a_reflector_that_does_not_count_splits_nothing() -> None:
    assert "loss_forward_ratio" not in of(without(burst(), {5, 6}), is_stateful=False)


def test_a_late_answer_is_lost_and_counted_as_late() -> None:
    echoes = burst()
    echoes[7] = echoes[7]._replace(returned_ns=echoes[7].sent_ns + 3_635_000_000)  # 1635 ms after the timeout
    values = of(echoes)
    assert (values["received_count"], values["late_count"], values["loss_ratio"]) == (999, 1, 0.001)


def test_a_repeat_is_counted_and_receives_nothing() -> None:
    echoes = burst(200)
    echoes[3] = echoes[3]._replace(repeats=2)
    values = of(without(echoes, {9}))
    assert (values["received_count"], values["duplicate_count"], values["loss_ratio"]) == (199, 2, 0.005)


def test_a_slot_is_bursty_when_a_tenth_and_two_of_its_packets_are_lost() -> None:
    assert of(without(burst(), {5, 105, 205}))["burst_ratio"] == 0.0
    assert of(without(burst(), {5, 6, 105, 106, 107}))["burst_ratio"] == pytest.approx(2 / 100)


# Gaps


def test_a_gap_is_as_long_as_nothing_came() -> None:
    assert of(without(burst(), set(range(100, 200))))["longest_gap_s"] == pytest.approx(2.02)


@pytest.mark.parametrize("gone", [set(range(50)), set(range(950, 1000))], ids=["at first", "at last"])
def test_a_gap_at_either_end_counts(gone: set[int]) -> None:
    assert of(without(burst(), gone))["longest_gap_s"] == pytest.approx(1.0, abs=0.03)


def test_a_pause_of_the_pcs_own_is_no_gap_of_the_line() -> None:
    later_ns = 1_500_000_000
    echoes = [
        echo
        if echo.seq < 500
        else echo._replace(
            sent_ns=echo.sent_ns + later_ns,
            received_ns=echo.received_ns + later_ns,
            answered_ns=echo.answered_ns + later_ns,
            returned_ns=(echo.returned_ns or 0) + later_ns,
        )
        for echo in burst()
    ]
    assert of(echoes)["longest_gap_s"] == pytest.approx(INTERVAL_S)
    assert of(without(echoes, set(range(495, 505))))["longest_gap_s"] == pytest.approx(0.22)


def test_an_overtaken_packet_is_reordered() -> None:
    echoes = burst(100)
    echoes[10], echoes[11] = echoes[10]._replace(order=11), echoes[11]._replace(order=10)
    assert of(echoes)["reorder_ratio"] == 0.01


# Delay by direction


def test_variation_is_told_by_direction_though_the_clocks_differ_by_an_hour_and_drift() -> None:
    chance = random.Random(2)
    echoes = []
    for echo in burst():
        drift_ns = round((echo.sent_ns - 10**18) * 100e-6)  # 2 ms in 20 s
        wait_ns = round(chance.random() * 40e6)
        echoes.append(
            echo._replace(
                received_ns=echo.received_ns + drift_ns + wait_ns,
                answered_ns=echo.answered_ns + drift_ns + wait_ns,
                returned_ns=(echo.returned_ns or 0) + wait_ns,
            )
        )
    values = of(echoes)
    assert values["pdv_forward_p95_ms"] == pytest.approx(38.0, abs=1.0)
    assert values["pdv_backward_p95_ms"] == pytest.approx(0.0, abs=0.05)
    assert values["pdv_p95_ms"] == values["pdv_forward_p95_ms"]


def test_a_queue_that_fills_is_no_drift_of_clocks() -> None:
    slow = [(seq * 20_000_000, seq * 100_000) for seq in range(1000)]  # 5 ms a second
    assert max(above_shortest_ms(slow)) == pytest.approx(100.0 - 20 * 0.3, abs=1)


@given(
    st.lists(st.integers(0, 300_000_000), min_size=2, max_size=200),
    st.floats(-100e-6, 100e-6),
    st.integers(-(10**15), 10**15),
)
def test_offset_and_drift_of_clocks_never_make_variation(waits: list[int], drift: float, offset: int) -> None:
    plain = [(place * 20_000_000, wait) for place, wait in enumerate(waits)]
    drifting = [(at, wait + round(drift * at) + offset) for at, wait in plain]
    found, straight = above_shortest_ms(drifting), above_shortest_ms(plain)
    assert min(found) == 0.0
    # The skew found may differ where it is clamped, at most by the drift over the whole burst.
    most = 2 * abs(drift) * len(waits) * 20 + 0.001
    assert all(abs(one - other) <= most for one, other in zip(found, straight, strict=True))


def test_jitter_is_that_of_rfc_3550() -> None:
    delays = [0, 16_000_000, 16_000_000, 0]
    assert jitter_ms(delays) == pytest.approx((1 - 1 / 16) * (1 - 1 / 16) * 1.0 + 1.0)


def test_a_reflector_whose_clock_was_set_meanwhile_spoils_no_round_trip() -> None:
    echoes = [echo._replace(answered_ns=echo.answered_ns - 10**12) if echo.seq == 5 else echo for echo in burst(100)]
    assert of(echoes)["rtt_max_ms"] == pytest.approx(50.04)


@given(st.lists(st.tuples(st.integers(0, 3_000_000_000), st.booleans()), min_size=1, max_size=150))
def test_whatever_becomes_of_packets_the_figures_hold_together(fates: list[tuple[int, bool]]) -> None:
    echoes = []
    for echo, (wait_ns, is_lost) in zip(burst(len(fates)), fates, strict=True):
        answered = echo._replace(
            returned_ns=(echo.returned_ns or 0) + wait_ns, received_ns=echo.received_ns, reflector_seq=echo.seq
        )
        echoes.append(lost(echo) if is_lost else answered)
    values = of(echoes)
    assert values["loss_low_ratio"] <= values["loss_ratio"] <= values["loss_high_ratio"]
    assert values["received_count"] + values["late_count"] <= values["sent_count"]
    for name, value in values.items():
        if name.endswith("_ratio"):
            assert 0 <= value <= 1, name
    if values["received_count"]:
        assert values["rtt_min_ms"] <= values["rtt_p50_ms"] <= values["rtt_p95_ms"] <= values["rtt_p99_ms"]
        assert values["rtt_p99_ms"] <= values["rtt_max_ms"] <= 2000
    assert ("audio_mos" in values) == (values["received_count"] >= 100)
    assert 1 <= values.get("audio_mos", 1) <= 4.5
