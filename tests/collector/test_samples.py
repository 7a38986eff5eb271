import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.derived import DERIVED
from collector.sample import Sample
from collector.samples import samples_of
from contract.names import is_tag
from contract.outcome import Outcome
from contract.reading import Reading
from contract.units import unit_of
from tests.collector.sinks.made import BEGAN_S, kept


def test_a_reading_becomes_one_sample_at_its_true_time() -> None:
    reading = Reading(
        probe="ping", target="camera-2", values={"rtt_avg_ms": 2, "sent_count": 10}, before_s=2.0306, detail="all well"
    )
    made = samples_of(kept(reading))
    assert made.refused == []
    assert made.samples == [
        Sample(
            room="room-1",
            agent="pc-1",
            province="lao-cai",
            measurement="ping",
            target="camera-2",
            role="camera",
            reason="",
            measured_ms=round(BEGAN_S * 1000) - 2031,
            fields={"rtt_avg_ms": 2.0, "sent_count": 10, "outcome_code": 0},
        )
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_attempt_leaves_the_code_of_its_outcome(outcome: Outcome) -> None:
    (sample,) = samples_of(kept(Reading(probe="tcp", target="lesson-zoom", outcome=outcome))).samples
    assert sample.fields == {"outcome_code": outcome.code}
    assert type(sample.fields["outcome_code"]) is int


@pytest.mark.parametrize(
    ("name", "given_value", "stored"),
    [
        ("rtt_avg_ms", 2, 2.0),
        ("sent_count", 10.0, 10),
        ("nic_up_bool", 1, 1),
        ("if_received_bytes_total", 1e15, 10**15),
        ("loss_ratio", 0, 0.0),
    ],
)
def test_the_units_name_fixes_the_type(name: str, given_value: float, stored: float) -> None:
    (sample,) = samples_of(kept(Reading(probe="host", target="pc", values={name: given_value}))).samples
    assert sample.fields[name] == stored
    assert type(sample.fields[name]) is type(stored)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("speed", 3.0, "its name ends in no known unit"),
        ("rtt avg_ms", 3.0, "its name ends in no known unit"),
        ("rtt,room=x_ms", 3.0, "its name ends in no known unit"),
        ("rtt_avg_ms", math.nan, "not a number that a database can hold"),
        ("rtt_avg_ms", -math.inf, "not a number that a database can hold"),
        ("rtt_avg_ms", 1.1e18, "not a number that a database can hold"),
        ("if_errors_total", 2**63 - 1, "not a number that a database can hold"),
        ("outcome_code", 5, "the collector writes this field itself"),
    ],
)
def test_a_value_that_cannot_be_stored_is_left_out_and_told(name: str, value: float, why: str) -> None:
    made = samples_of(kept(Reading(probe="ping", target="isp", values={name: value, "sent_count": 3})))
    assert [sample.fields for sample in made.samples] == [{"sent_count": 3, "outcome_code": 0}]
    assert [(one.line, one.why) for one in made.refused] == [(f"pc-1 epoch123 1 ping isp {name}", why)]


def test_an_agent_cannot_write_what_only_the_collector_says() -> None:
    forged = Reading(probe="verdict", target="room", values={"level_code": 0})
    made = samples_of(kept(forged, Reading(probe="tcp", target="isp")))
    assert [sample.measurement for sample in made.samples] == ["tcp"]
    assert [one.why for one in made.refused] == ["only the collector may write this measurement"]


def test_a_verdict_carries_its_top_reason_and_no_outcome() -> None:
    verdict = Reading(probe="verdict", target="room", values={"level_code": 2, "findings_count": 1}, detail="link_down")
    finding = Reading(probe="finding", target="gateway", values={"level_code": 2}, detail="link_down")
    agent = Reading(probe="agent", target="pc-1", values={"online_bool": 1, "lag_ms": 12})
    made = samples_of(kept(verdict, finding, agent, agent="collector"))
    assert made.refused == []
    assert [(one.measurement, one.target, one.role, one.reason, one.fields) for one in made.samples] == [
        ("verdict", "room", "", "link_down", {"level_code": 2, "findings_count": 1}),
        ("finding", "gateway", "gateway", "link_down", {"level_code": 2}),
        ("agent", "pc-1", "", "", {"online_bool": 1, "lag_ms": 12.0}),
    ]


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Reading(probe="verdict", target="room", detail="not a code"), "the reason is not safe as a tag"),
        (Reading(probe="ping", target="isp"), "no derived measurement of this name"),
    ],
)
def test_a_slip_of_our_own_is_refused_too(reading: Reading, why: str) -> None:
    made = samples_of(kept(reading, agent="collector"))
    assert (made.samples, [one.why for one in made.refused]) == ([], [why])


def test_a_record_of_an_agent_that_stands_in_no_room_is_kept_without_one() -> None:
    (sample,) = samples_of(kept(Reading(probe="tcp", target="isp"), room="", province="")).samples
    assert (sample.room, sample.province, sample.agent) == ("", "", "pc-1")


@pytest.mark.parametrize("taken_s", [math.nan, math.inf, -1.0, 5e9], ids=str)
def test_a_reading_without_a_possible_time_is_refused(taken_s: float) -> None:
    made = samples_of(kept(Reading(probe="tcp", target="isp"), taken_s=taken_s))
    assert (made.samples, [one.why for one in made.refused]) == ([], ["its time is none"])


@given(room=st.text(), province=st.text(), agent=st.text(), probe=st.text(), target=st.text(), detail=st.text())
def test_no_sample_holds_a_text_that_is_not_safe_as_a_tag(
    *, room: str, province: str, agent: str, probe: str, target: str, detail: str
) -> None:
    reading = Reading(probe=probe, target=target, detail=detail, values={"level_code": 1})
    made = samples_of(kept(reading, room=room, province=province, agent=agent))
    assert len(made.samples) + len(made.refused) == 1
    for sample in made.samples:
        assert all(is_tag(text) for text in sample[:7] if text)


def test_derived_values_carry_units_and_meanings() -> None:
    assert [value.name for one in DERIVED for value in one.values if unit_of(value.name) is None] == []
    assert [value.name for one in DERIVED for value in one.values if not value.meaning] == []
