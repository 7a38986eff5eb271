"""Taking: whatever a probe does, a reading comes of it, and one that can travel."""

import asyncio
import contextlib
import logging
import math
import threading

import msgspec
import pytest

from agent.probe import Probe, ProbeFailed, Values
from agent.taking import Taken, each_once, take_reading
from agent.threads import in_thread
from contract.batch import pack_record, unpack_record
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import Reading, Record
from tests.agent.made import MadeProbe, PcClock


def take(probe: Probe, clock: PcClock | None = None) -> Taken:
    return asyncio.run(take_reading("made", probe, clock or PcClock()))


def test_what_a_probe_measured_is_the_reading() -> None:
    taken = take(MadeProbe(does=lambda: {"rtt_avg_ms": 1.5, "sent_count": 10}))
    assert taken.reading == Reading(probe="made", target="gateway", values={"rtt_avg_ms": 1.5, "sent_count": 10})


def test_a_failure_keeps_its_outcome_its_words_and_what_was_measured_all_the_same() -> None:
    def refuse() -> Values:
        raise ProbeFailed(Outcome.REFUSED, "tcp 10.0.0.1:80: connection refused", {"resolve_ms": 3.0})

    assert take(MadeProbe(does=refuse)).reading == Reading(
        probe="made",
        target="gateway",
        outcome=Outcome.REFUSED,
        values={"resolve_ms": 3.0},
        detail="tcp 10.0.0.1:80: connection refused",
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), KeyError("x"), OSError(5, "I/O error")])
def test_a_probe_that_breaks_is_a_reading_too_and_is_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def break_down() -> Values:
        raise error

    reading = take(MadeProbe(does=break_down)).reading
    assert (reading.outcome, reading.values) == (Outcome.BROKEN, {})
    assert reading.detail == f"made gateway: {type(error).__name__}: {error}"
    assert len(caplog.records) == 1
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("answer", [None, 7, [1.0], {"a_ms": "fast"}, {"a_ms": None}], ids=repr)
def test_a_probe_that_brings_no_numbers_stops_nothing(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    assert take(MadeProbe(does=lambda: answer)).reading.values == {}


def test_a_probe_that_hangs_is_cut_off_a_little_after_its_own_longest() -> None:
    taken = take(MadeProbe(longest_s=-0.95, takes_s=60.0))
    assert taken.reading.outcome is Outcome.BROKEN, "which says nothing of the target"
    assert taken.reading.detail == "made gateway: no result within 0.05 s"


class StubbornProbe(MadeProbe):
    """Tidies up for ever when it is cut off, so many times."""

    refuses_count: int = 1

    async def measure(self) -> Values:
        for _ in range(self.refuses_count):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60.0)
        await asyncio.sleep(60.0)
        return {}


def test_a_probe_that_tidies_up_for_ever_is_cut_off_again() -> None:
    taken = take(StubbornProbe(longest_s=-0.95))
    assert (taken.reading.outcome, taken.reading.detail) == (Outcome.BROKEN, "made gateway: no result within 0.05 s")


def test_a_probe_that_cannot_be_cut_off_is_left_to_itself() -> None:
    taken = take(StubbornProbe(longest_s=-0.95, refuses_count=2))
    assert taken.reading.detail == "made gateway: no result within 0.05 s, and it does not end"


def test_a_probe_that_hangs_in_a_thread_is_tried_anew_until_too_many_hang() -> None:
    may_end = threading.Event()

    class Hanging(MadeProbe):
        async def measure(self) -> Values:
            return await in_thread("hanging", lambda _: {"waited_bool": int(may_end.wait(60.0))})

    def hangs() -> str:
        return take(Hanging(longest_s=-0.95)).reading.detail

    assert [hangs() for _ in range(3)] == ["made gateway: no result within 0.05 s"] * 3
    assert hangs() == "hanging: hangs, and 3 attempts have not ended yet"
    assert hangs() == "hanging: hangs, and 3 attempts have not ended yet"
    may_end.set()
    for thread in threading.enumerate():
        if thread.name == "hanging":
            thread.join(30.0)
    assert take(Hanging(longest_s=5.0)).reading.values == {"waited_bool": 1}


def test_stopping_the_agent_is_no_reading() -> None:
    async def stop() -> None:
        task = asyncio.create_task(take_reading("made", MadeProbe(takes_s=60.0, longest_s=60.0), PcClock()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop())


def test_what_is_no_number_is_absent() -> None:
    values = {"a_ms": math.nan, "b_ms": math.inf, "c_ms": -math.inf, "d_count": 10**19, "e_ms": 1e300, "f_ms": 1.0}
    assert take(MadeProbe(does=lambda: values)).reading.values == {"f_ms": 1.0}


def test_whole_numbers_stay_whole_and_yes_is_one() -> None:
    values = {"up_bool": True, "down_bool": False, "sent_bytes": 2**53 + 1, "rate_bps": 1e9}
    taken = take(MadeProbe(does=lambda: values)).reading.values
    assert taken == {"up_bool": 1, "down_bool": 0, "sent_bytes": 2**53 + 1, "rate_bps": 1e9}
    assert [type(value) for value in taken.values()] == [int, int, int, float]


def test_numbers_travel_with_four_digits_and_whole_from_a_thousand_on() -> None:
    """More is noise, and noise costs bytes on a metered link; a runtime of days keeps its seconds."""
    values = {"a_ms": 12.3456789, "b_ms": 0.000123456789, "c_s": 654321.987, "d_celsius": -1234.5678}
    assert take(MadeProbe(does=lambda: values)).reading.values == {
        "a_ms": 12.35,
        "b_ms": 0.0001235,
        "c_s": 654322.0,
        "d_celsius": -1235.0,
    }


@pytest.mark.parametrize(
    "detail",
    ["x" * 5000, "hỏng \udcff rồi", "\ud83d" * 300, "tab\tline\nnull\0"],
    ids=["long", "half", "halves", "odd"],
)
def test_any_sentence_about_a_failure_can_travel(detail: str) -> None:
    def fail() -> Values:
        raise ProbeFailed(Outcome.BROKEN, detail)

    reading = take(MadeProbe(does=fail)).reading
    record = Record(taken=Moment(boot="b", mono_s=1.0, wall_s=1.0), readings=(reading,))
    assert unpack_record(pack_record(record)) == record
    assert len(reading.detail) <= 200


def test_a_reading_says_how_long_before_its_record_the_attempt_began() -> None:
    clock = PcClock(mono_s=100.0)

    def wait() -> Values:
        clock.mono_s += 3.0
        return {"a_ms": 1.0}

    taken = take(MadeProbe(does=wait), clock)
    assert taken.began_mono_s == 100.0
    assert taken.before(104.5).before_s == 4.5
    assert taken.before(99.0).before_s == 0.0, "a clock that went back must not put it into the future"
    assert msgspec.structs.replace(taken.before(104.5), before_s=0.0) == taken.reading


def a_taken(target: str, number: int) -> Taken:
    return Taken(reading=Reading(probe="ping", target=target, values={"a_ms": number}), began_mono_s=float(number))


def test_readings_of_one_record_are_of_different_targets_and_none_is_left_out() -> None:
    taken = [a_taken("isp", 1), a_taken("gateway", 2), a_taken("isp", 3), a_taken("isp", 4), a_taken("gateway", 5)]
    assert [[one.began_mono_s for one in group] for group in each_once(taken)] == [[1.0, 2.0], [3.0, 5.0], [4.0]]
    assert each_once([]) == []
