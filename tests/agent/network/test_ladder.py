"""The ladder's own reasoning: the failing rung nearest to the PC is named, unless something behind it answers."""

import itertools
from collections.abc import Sequence

import pytest

from agent.network.ladder import OUTSIDE, Step, completed, first_failed, is_cut
from contract.reading import Reading
from contract.rung import Rung

ASKED: Sequence[Rung] = [rung for rung in Rung if rung is not Rung.NONE]


def test_the_numbers_of_the_rungs_are_published_and_stay() -> None:
    assert {rung.value: rung.name for rung in Rung} == {
        0: "NONE", 1: "NIC", 2: "ADDRESS", 3: "GATEWAY", 4: "ISP", 5: "NATIONAL", 6: "INTERNATIONAL", 7: "DNS",
        8: "DNS_LIES", 9: "PORTAL", 10: "MTU", 11: "LESSON", 12: "COLLECTOR_NAME", 13: "COLLECTOR_TCP",
        14: "COLLECTOR_TLS", 15: "COLLECTOR_MQTT", 16: "COLLECTOR_REFUSED",
    }  # fmt: skip


def broken_from(first: Rung, *, asked: Sequence[Rung]) -> list[Step]:
    """The ladder as it looks when one rung broke and all behind it fails in consequence."""
    return [Step(rung, holds=rung < first) for rung in asked]


def test_where_all_holds_nothing_has_failed() -> None:
    steps = [Step(rung, holds=True) for rung in ASKED]
    assert first_failed(steps) is None
    assert first_failed([]) is None
    assert not is_cut(steps)


def test_each_rung_is_named_when_it_takes_all_behind_it_along() -> None:
    matrix = {rung: first_failed(broken_from(rung, asked=ASKED)) for rung in ASKED}
    named = {rung: step.rung for rung, step in matrix.items() if step is not None}
    assert {rung: found for rung, found in named.items() if found is not rung} == {
        Rung.NATIONAL: Rung.PORTAL,  # nothing passes but pages, and they are not ours: a portal does that
        Rung.INTERNATIONAL: Rung.PORTAL,
        Rung.DNS: Rung.PORTAL,
        Rung.DNS_LIES: Rung.PORTAL,
    }


def test_a_rung_that_alone_is_broken_is_named_unless_what_lies_behind_it_passes_through_it() -> None:
    alone = {rung: first_failed([Step(one, holds=one is not rung) for one in ASKED]) for rung in ASKED}
    refuted = {rung for rung, step in alone.items() if step is None}
    assert refuted == {Rung.GATEWAY, Rung.ISP, Rung.NATIONAL}
    assert all(step.rung is rung for rung, step in alone.items() if step is not None)


def test_the_order_in_which_rungs_were_asked_changes_nothing() -> None:
    steps = [Step(Rung.GATEWAY, holds=True), Step(Rung.ISP, holds=False), Step(Rung.NATIONAL, holds=False)]
    assert {first_failed(order) for order in itertools.permutations(steps)} == {steps[1]}


@pytest.mark.parametrize("witness", OUTSIDE, ids=lambda rung: rung.name)
def test_any_answer_from_outside_clears_the_gateway_and_the_provider(witness: Rung) -> None:
    near = [Step(Rung.GATEWAY, holds=False), Step(Rung.ISP, holds=False)]
    assert first_failed([*near, Step(witness, holds=True)]) is None
    refused = first_failed([*near, Step(witness, holds=False, answered=True)])
    assert refused is None or refused.rung is witness, "who refuses is there"


def test_what_cannot_be_told_is_no_failure() -> None:
    steps = [Step(Rung.GATEWAY, holds=None), Step(Rung.ISP, holds=None), Step(Rung.NATIONAL, holds=False)]
    found = first_failed(steps)
    assert found is not None
    assert found.rung is Rung.NATIONAL


def test_where_nothing_outside_answers_it_is_not_the_sea_cable() -> None:
    lost = [Step(Rung.GATEWAY, holds=True), Step(Rung.INTERNATIONAL, holds=False, detail="198.51.100.10")]
    assert first_failed(lost) == Step(Rung.NATIONAL, holds=False, detail="198.51.100.10")
    assert is_cut(lost)
    abroad = [*lost, Step(Rung.COLLECTOR_TCP, holds=True)]
    assert first_failed(abroad) == lost[1]
    assert not is_cut(abroad)


@pytest.mark.parametrize(
    ("code", "lost_at", "expected"),
    [
        (0, Rung.COLLECTOR_REFUSED, 16),
        (0, Rung.COLLECTOR_MQTT, 15),
        (0, Rung.COLLECTOR_TLS, 14),
        (0, Rung.NONE, 0),
        (4, Rung.COLLECTOR_TCP, 4),
        (None, Rung.COLLECTOR_TCP, None),
    ],
    ids=[
        "refused by the broker",
        "a broker without a word",
        "a stranger's certificate",
        "connected",
        "a nearer rung",
        "not walked",
    ],
)
def test_a_walk_that_found_nothing_learns_what_the_connection_failed_at(
    code: int | None, lost_at: Rung, expected: int | None
) -> None:
    values: dict[str, int | float] = {"nic_up_bool": 1}
    if code is not None:
        values["failed_rung_code"] = code
    reading = completed(Reading(probe="link", target="pc", values=values), lost_at)
    assert reading.values.get("failed_rung_code") == expected
    assert reading.values["nic_up_bool"] == 1
