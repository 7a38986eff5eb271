"""A real rural line of July 2018 (FourMileFlats), replayed: each real outage is one incident, and good days bring none.

The trace lies where SANSANG_TRACES says, and is not ours to copy. It has a row only for a test that failed: silence is
a good test, or the monitor was off.
"""

import csv
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from collector.alerting.incident import Change, Incident, Policy
from collector.replay import Happening, Played, replay
from contract.reading import Reading
from readiness.profile import default_profiles

TRACES: Final = Path(os.environ.get("SANSANG_TRACES", "")) / "fourmileflats"
pytestmark = pytest.mark.skipif("SANSANG_TRACES" not in os.environ, reason="SANSANG_TRACES names no folder of traces")

WEEK: Final = (6, 13)
TRIAL_S: Final = 300.0
PINGS_COUNT: Final = 100
FULL_DAY_TRIALS_COUNT: Final = 200
"""A day with fewer had its monitor off for long, nobody knows when: its silences are not taken for good tests."""
OUTAGE_TRIALS_COUNT: Final = 3
GOOD_BETWEEN_COUNT: Final = 3


class Trial(NamedTuple):
    """One test of a hundred pings; a loss that was not noted is one that was not worth it."""

    at_s: float
    loss_ratio: float
    rtt_ms: float | None


def read_events() -> dict[int, Trial]:
    """The tests that failed, by their place in the month; of two in one place the worse counts."""
    events: dict[int, Trial] = {}
    with (TRACES / "events.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(f"{row['date']}T{row['local_time']}").replace(tzinfo=UTC)
            loss_ratio = 1.0 if row["ping_failed"] == "1" else float(row["loss_pct"] or 0) / 100
            rtt_ms = float(row["rtt_avg_ms"]) if row["rtt_avg_ms"] else None
            one = Trial(at.timestamp(), loss_ratio, rtt_ms)
            place = int(one.at_s // TRIAL_S)
            if place not in events or events[place].loss_ratio < loss_ratio:
                events[place] = one
    return events


def month() -> Iterator[Trial]:
    """All tests in order, the good ones between."""
    events = read_events()
    with (TRACES / "days.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
            is_full = int(row["packets_sent"] or 0) >= FULL_DAY_TRIALS_COUNT * PINGS_COUNT
            for number in range(288):
                at_s = (day + timedelta(seconds=number * TRIAL_S)).timestamp()
                event = events.get(int(at_s // TRIAL_S))
                if event is not None:
                    yield event
                elif is_full:
                    yield Trial(at_s, 0.0, 60.0)


def outages(trials: list[Trial]) -> list[tuple[float, float]]:
    """When nothing came back for at least a quarter of an hour; a few good tests between do not end one."""
    dead = [one.at_s for one in trials if one.loss_ratio == 1.0]
    runs = [[dead[0]]]
    for before, after in pairwise(dead):
        if after - before > (GOOD_BETWEEN_COUNT + 1) * TRIAL_S:
            runs.append([])
        runs[-1].append(after)
    return [(run[0], run[-1]) for run in runs if len(run) >= OUTAGE_TRIALS_COUNT]


def reading_of(test: Trial) -> Reading:
    received = round(PINGS_COUNT * (1 - test.loss_ratio))
    values: dict[str, int | float] = {
        "sent_count": PINGS_COUNT, "received_count": received, "loss_ratio": test.loss_ratio,
    }  # fmt: skip
    if received and test.rtt_ms is not None:
        values |= {"rtt_p50_ms": test.rtt_ms}
    return Reading(probe="ping", target="lesson-zoom", values=values)


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest) -> list[Trial]:
    """The month with `--long`, else the week with both of its outages."""
    everything = list(month())
    if request.config.getoption("--long"):
        return everything
    from_s, until_s = (datetime(2018, 7, day, tzinfo=UTC).timestamp() for day in WEEK)
    return [one for one in everything if from_s <= one.at_s < until_s]


@pytest.fixture(scope="module")
def incidents(trials: list[Trial]) -> list[Incident]:
    """Every incident of the month as it was in the end."""
    played = (Played(one.at_s, "flats", reading_of(one)) for one in trials)
    happened: list[Happening] = list(
        replay(played, default_profiles(), Policy(), profile="h323-720p", silent_after_s=180.0)
    )
    latest = {one.what.incident.incident: one.what.incident for one in happened if isinstance(one.what, Change)}
    return list(latest.values())


def overlap(incident: Incident, from_s: float, until_s: float) -> bool:
    ended_s = float("inf") if incident.ended_s is None else incident.ended_s
    return incident.opened_s <= until_s and ended_s >= from_s


def test_each_real_outage_is_one_incident(trials: list[Trial], incidents: list[Incident]) -> None:
    real = outages(trials)
    assert len(real) == 2
    assert [sum(overlap(one, *outage) for one in incidents) for outage in real] == [1] * len(real)


def test_a_day_with_hardly_a_bad_test_opens_nothing(trials: list[Trial], incidents: list[Incident]) -> None:
    by_day: dict[str, list[Trial]] = {}
    for one in trials:
        by_day.setdefault(datetime.fromtimestamp(one.at_s, UTC).date().isoformat(), []).append(one)
    calm = [day for day, some in by_day.items() if len(some) == 288 and sum(one.loss_ratio >= 0.05 for one in some) < 3]
    assert len(calm) >= 1
    opened = [datetime.fromtimestamp(one.opened_s, UTC).date().isoformat() for one in incidents]
    assert [day for day in opened if day in calm] == []


def test_every_incident_has_bad_tests_behind_it(trials: list[Trial], incidents: list[Incident]) -> None:
    bad_s = [one.at_s for one in trials if one.loss_ratio >= 0.05 or (one.rtt_ms or 0.0) >= 500.0]
    starts = [one for one in incidents if not any(abs(one.opened_s - at_s) <= 3600.0 for at_s in bad_s)]
    silent = [one for one in starts if all(finding.target == "pc" for finding in one.first_findings)]
    assert starts == silent  # those of the days on which the monitor itself was off
