"""Too much from one agent: bounded memory, one finding, and the others unharmed."""

import time

import pytest

from collector.allowance import Allowance
from collector.inlet import BrokerAccess, FloodArrival, Inlet
from collector.samples import SeriesLimit, samples_of
from collector.storage.journal import Kept
from contract.moment import Moment
from contract.reading import Reading, Record
from readiness.state import SIGHTS_MAX_COUNT, RoomState

NOW_S = 1_795_500_000.0


def test_the_usual_is_never_refused() -> None:
    allowance = Allowance()
    assert all(allowance.take("pc-1", 500, NOW_S + minute * 60.0) for minute in range(5000))


def test_a_backlog_on_a_fast_line_is_not_refused() -> None:
    allowance = Allowance()
    assert all(allowance.take("pc-1", 40_000, NOW_S + number * 0.15) for number in range(5000))


def test_a_flood_is_refused_and_the_others_are_not() -> None:
    allowance = Allowance()
    taken = sum(allowance.take("pc-1", 500, NOW_S + number / 10_000) for number in range(100_000))
    assert 1500 < taken < 2500  # the burst, and ten seconds of refill, less what the bytes cost
    assert allowance.take("pc-2", 500, NOW_S + 10)
    assert not allowance.take("pc-1", 500, NOW_S + 10)


def test_who_calms_down_is_heard_again_even_if_our_clock_was_set_back() -> None:
    allowance = Allowance()
    while allowance.take("pc-1", 500, NOW_S):
        pass
    assert not allowance.take("pc-1", 500, NOW_S - 3600)
    assert allowance.take("pc-1", 500, NOW_S - 3590)


class Message:
    retain = False

    def __init__(self, agent: str) -> None:
        self.topic = f"sansang/v1/{agent}/up/batch"
        self.payload = b"\x01nonsense"


def test_the_inlet_tells_of_a_flood_now_and_then_not_each_time() -> None:
    inlet = Inlet(BrokerAccess(host="127.0.0.1", port=1), clock_s=lambda: NOW_S)
    for _ in range(5000):
        inlet.on_message(None, None, Message("pc-1"))  # type: ignore[arg-type] # neither client nor paho's own message
    inlet.on_message(None, None, Message("pc-2"))  # type: ignore[arg-type] # as above
    arrivals = [inlet.arrivals.get_nowait() for _ in range(inlet.arrivals.qsize())]
    floods = [arrival for arrival in arrivals if isinstance(arrival, FloodArrival)]
    assert floods == [FloodArrival("pc-1", 1, NOW_S)]
    assert len(arrivals) < 1100
    assert arrivals[-1].agent == "pc-2"  # type: ignore[union-attr] # a BadArrival


def kept(names: list[str]) -> Kept:
    moment = Moment(boot="b", mono_s=1.0, wall_s=NOW_S)
    readings = tuple(Reading(probe="ping", target=name, values={"rtt_avg_ms": 1.0, "jitter_ms": 2.0}) for name in names)
    record = Record(taken=moment, readings=readings)
    return Kept(1, "pc-1", "e", 1, "room-1", "p", NOW_S, NOW_S, sure=True, record=record)


def test_series_beyond_the_limit_are_refused_and_those_known_go_on() -> None:
    limit = SeriesLimit(most=6)  # each reading has three: its two values and the code of its outcome
    first = limit.sift(samples_of(kept(["gateway", "isp"])))
    assert (len(first.samples), first.refused) == (2, [])
    second = limit.sift(samples_of(kept(["gateway", "flood-1", "isp", "flood-2"])))
    assert [sample.target for sample in second.samples] == ["gateway", "isp"]
    assert {refused.why for refused in second.refused} == {"one series too many of this agent"}
    assert len(second.refused) == 6


def test_a_room_judges_no_more_targets_than_a_room_can_have() -> None:
    state = RoomState("room-1")
    for number in range(SIGHTS_MAX_COUNT + 100):
        state.fold(Reading(probe="ping", target=f"device-{number}", values={"sent_count": 1}), NOW_S, NOW_S)
    assert len(state.sights) == SIGHTS_MAX_COUNT
    assert state.fold(Reading(probe="ping", target="device-0", values={"sent_count": 1}), NOW_S + 1, NOW_S + 1)


@pytest.mark.parametrize("agents_count", [200_000])
def test_a_flood_of_names_takes_bounded_memory_and_time(agents_count: int) -> None:
    allowance = Allowance()
    began_s = time.monotonic()
    for number in range(agents_count):
        allowance.take(f"pc-{number}", 100, NOW_S)
    assert time.monotonic() - began_s < 30
