"""Cloned PCs: noticed, not mixed, nobody alerted, and settled by enrolling anew."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.inlet import BatchArrival, StateArrival
from collector.line.twins import Twins
from collector.rooms.registry import Registry, digest_of
from contract.batch import Batch
from contract.messages import State
from contract.moment import Moment
from contract.reading import Reading, Record
from readiness.verdict import Level
from tests.collector.test_doubt import START_S, Centre


def heard(twins: Twins, boots: str, *, every_s: float = 60.0) -> list[str]:
    found = []
    for place, boot in enumerate(boots):
        if twins.heard("pc-1", boot, "c1", START_S + place * every_s) is not None:
            found.append(boots[: place + 1])
    return found


@pytest.mark.parametrize("boots", ["a", "aaaa", "aabbbccc", "abcdefgh", "aba", "aabbaa"])
def test_boots_that_follow_each_other_are_one_pc(boots: str) -> None:
    assert heard(Twins(), boots) == []


@pytest.mark.parametrize(("boots", "noticed"), [("abab", "abab"), ("aabba" + "bbb", "aabbab"), ("abcab", "abcab")])
def test_boots_that_take_turns_are_two(boots: str, noticed: str) -> None:
    assert heard(Twins(), boots) == [noticed]


def test_a_machine_that_is_set_back_now_and_then_is_one() -> None:
    assert heard(Twins(), "abababab", every_s=1000.0) == []


def test_a_machine_that_was_set_back_is_named_once_it_is_sure_to_be_one_for_a_day() -> None:
    twins = Twins()
    heard(twins, "aba")
    back_s = START_S + 120
    named = [twins.set_back(back_s + after_s, 86400.0) for after_s in (0, 900, 901, 86400, 86401)]
    assert [sorted(each) for each in named] == [[], [], ["pc-1"], ["pc-1"], []]
    heard(twins, "abab")
    assert twins.set_back(back_s + 901, 86400.0) == frozenset(), "they are two, which is another matter"


def test_a_new_credential_settles_it() -> None:
    twins = Twins()
    heard(twins, "abab")
    assert twins.is_doubted("pc-1", "c1")
    assert not twins.is_doubted("pc-1", "c2")
    twins.settle("pc-1")
    assert twins.doubted == ()


class Pc:
    """One of two PCs with the same disk: its own boot, epoch and numbers."""

    def __init__(self, centre: Centre, name: str) -> None:
        self.centre, self.name = centre, name
        self.seqs = itertools.count(1)
        self.sent: list[int] = []

    def send(self) -> None:
        seq, now = next(self.seqs), self.centre.now
        moment = Moment(boot=f"boot-{self.name}", mono_s=self.centre.mono_s, wall_s=now)
        values: dict[str, int | float] = {"sent_count": 10, "received_count": 10, "loss_ratio": 0.0, "rtt_p50_ms": 20.0}
        batch = Batch(
            epoch=self.name * 16, low=1, first=seq, now=moment, made_count=seq, dropped_count=0,
            records=(Record(taken=moment, readings=(Reading(probe="ping", target="lesson-zoom", values=values),)),),
        )  # fmt: skip
        self.centre.pipeline.handle([BatchArrival("pc-1", batch, 500, now)], now)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    made.registry.set_credential("pc-1", token_sha256=digest_of("old"), certificate_serial="1")
    made.link(up=True)
    made.run(600)
    yield made
    made.journal.close()
    made.engine.dispose()


def turn(centre: Centre, *pcs: Pc, minutes: int) -> list[bool]:
    alerted = []
    for _ in range(minutes):
        for pc in pcs:
            centre.now += 30.0
            centre.mono_s += 30.0
            centre.pipeline.handle([StateArrival("pc-1", State(state="lost"), False, centre.now)], centre.now)
            centre.pipeline.handle([StateArrival("pc-1", State(state="online"), False, centre.now)], centre.now)
            pc.send()
            review = centre.review()
            alerted.append(bool(review.changes or review.notices))
    return alerted


def test_two_pcs_with_one_identity_are_noticed_within_five_minutes_and_alert_nobody(centre: Centre) -> None:
    alerted = turn(centre, Pc(centre, "a"), Pc(centre, "b"), minutes=5)
    verdict = centre.review().verdicts["room-1"]
    assert (verdict.level, verdict.findings[0].code) == (Level.UNKNOWN, "AGENT_CLONED")
    assert "agent_cloned" in centre.pipeline.problems
    assert "boot-a" in centre.pipeline.books["pc-1"].trouble
    alerted += turn(centre, Pc(centre, "a"), Pc(centre, "b"), minutes=60)
    assert not any(alerted)


def test_nothing_of_either_is_taken_in_or_acknowledged_until_they_are_told_apart(centre: Centre) -> None:
    first, second = Pc(centre, "a"), Pc(centre, "b")
    turn(centre, first, second, minutes=5)
    kept, acks = centre.journal.last_id(), len(centre.answers.acks)
    turn(centre, first, second, minutes=10)
    assert len(centre.answers.acks) == acks
    agents = {one.agent for one in centre.journal.reader().after(kept, 1000)}
    assert agents <= {"collector"}


def test_enrolling_anew_settles_it(centre: Centre) -> None:
    turn(centre, Pc(centre, "a"), Pc(centre, "b"), minutes=5)
    assert [twin.agent for twin in centre.journal.twins()] == ["pc-1"]
    Registry(centre.engine).set_credential("pc-1", token_sha256=digest_of("new"), certificate_serial="2")
    turn(centre, Pc(centre, "c"), minutes=8)
    assert centre.journal.twins() == []
    assert centre.review().verdicts["room-1"].level is Level.FIT
    assert "agent_cloned" not in centre.pipeline.problems
