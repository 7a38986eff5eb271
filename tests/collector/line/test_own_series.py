"""What we make of the readings is kept as they are: verdicts, findings, agents."""

import itertools

from collector.derived import OWN_NAME
from collector.samples import samples_of
from contract.messages import State
from contract.outcome import Outcome
from contract.reading import Reading
from tests.collector.centre import AGENT, ROOM, Centre, dns, ping


def own(centre: Centre) -> list[tuple[str, str, str, float]]:
    """Our own readings, in order: probe, target, reason, level."""
    return [
        (reading.probe, reading.target, reading.detail, reading.values.get("level_code", -1))
        for one in centre.kept(OWN_NAME)
        for reading in one.record.readings
    ]


def test_verdicts_findings_and_agents_are_kept_as_series_of_the_room(centre: Centre) -> None:
    centre.run(600, ping(loss_ratio=1.0), dns())
    made = centre.kept(OWN_NAME)
    assert {(one.room, one.province) for one in made} == {(ROOM, "ha-giang")}
    top = centre.codes()[0]
    assert ("verdict", "room", top, 2) in own(centre)
    assert any(probe == "finding" and reason == top for probe, _, reason, _ in own(centre))
    assert any((probe, target) == ("agent", AGENT) for probe, target, _, _ in own(centre))


def test_each_of_our_own_readings_becomes_a_sample(centre: Centre) -> None:
    """Else it would be kept, and silently be in no database."""
    centre.run(300)
    centre.run(600, ping(loss_ratio=1.0), Reading(probe="dns", target="dns", outcome=Outcome.TIMEOUT))
    for one in centre.kept(OWN_NAME):
        made = samples_of(one)
        assert made.refused == []
        assert len(made.samples) == len(one.record.readings)


def verdict_times(centre: Centre) -> list[float]:
    return [
        one.taken_s
        for one in centre.kept(OWN_NAME)
        if any(reading.probe == "verdict" for reading in one.record.readings)
    ]


def test_a_verdict_is_kept_each_minute_and_whenever_the_level_changes(centre: Centre) -> None:
    centre.run(600, step_s=5.0)
    times = verdict_times(centre)
    steady = [after - before for before, after in itertools.pairwise(times[2:])]
    assert set(steady) == {60.0}
    centre.wait(5)
    centre.say(State(state="lost"))
    centre.review()
    assert verdict_times(centre) == [*times, centre.now]
    assert ("verdict", "room", "ROOM_SILENT", 3) in own(centre)
