"""Incidents on a real SQLite file: all of an incident comes back, and what is long past goes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, text

from collector.alerting.incident import ENDED_KEPT_S, Change, Incident
from collector.outages import Outage
from collector.storage.cases import KEPT_S, Cases
from collector.storage.database import open_database, sqlite_url
from readiness.causes import Silence, explain
from readiness.verdict import Level
from tests.collector.alerting.troubles import DAY_S, NARROW, NOW_S, SILENT, incident


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(sqlite_url(tmp_path / "collector.db"))
    yield made
    made.dispose()


@pytest.fixture
def cases(engine: Engine) -> Cases:
    return Cases(engine)


def opened(one: Incident, at_s: float = NOW_S) -> Change:
    return Change(kind=Change.Kind.OPENED, incident=one, at_s=at_s)


def ended(one: Incident, at_s: float) -> Change:
    over = msgspec.structs.replace(one, ended_s=at_s - 180, end_level=Level.DEGRADED, end_findings=(NARROW,))
    return Change(kind=Change.Kind.ENDED, incident=over, at_s=at_s)


def test_an_open_incident_comes_back_whole_after_a_restart(engine: Engine, cases: Cases) -> None:
    one = incident()
    cases.save([opened(one)])
    assert Cases(engine).unfinished(NOW_S + 100 * DAY_S) == (one,)


def test_an_ended_incident_comes_back_whole(cases: Cases) -> None:
    change = ended(incident(), NOW_S + 1800)
    cases.save([opened(incident()), change])
    assert cases.recent("lung-cu-1", 10) == (change.incident,)


def test_the_last_change_to_an_incident_is_how_it_is(cases: Cases) -> None:
    one = incident()
    worse = msgspec.structs.replace(one, findings=(SILENT,), level=Level.UNKNOWN)
    cases.save([opened(one)])
    cases.save([Change(kind=Change.Kind.CHANGED_CAUSE, incident=worse, at_s=NOW_S + 60)])
    assert cases.unfinished(NOW_S) == (worse,)


def test_an_incident_whose_letters_may_be_owed_is_still_unfinished(cases: Cases) -> None:
    change = ended(incident(), NOW_S + 1800)
    cases.save([change])
    assert change.incident.ended_s is not None
    last_s = change.incident.ended_s + ENDED_KEPT_S
    assert cases.unfinished(last_s) == (change.incident,)
    assert cases.unfinished(last_s + 1) == ()


def test_a_rooms_incidents_come_newest_first_and_no_more_than_asked_for(cases: Cases) -> None:
    cases.save(
        [opened(incident(opened_s=NOW_S + number, number=number, room="a")) for number in range(1, 6)]
        + [opened(incident(opened_s=NOW_S, number=9, room="b"))]
    )
    assert [one.opened_s - NOW_S for one in cases.recent("a", 3)] == [5, 4, 3]
    assert [one.room for one in cases.recent("b", 3)] == ["b"]
    assert cases.recent("c", 3) == ()


def test_saving_nothing_changes_nothing(cases: Cases) -> None:
    cases.save([])
    assert cases.unfinished(NOW_S) == ()


def test_after_400_days_a_past_incident_is_forgotten_and_an_open_one_is_not(cases: Cases) -> None:
    still_open = incident(number=1)
    past = ended(incident(number=2), NOW_S + 180)
    cases.save([opened(still_open), past])
    cases.save([opened(incident(number=3, opened_s=NOW_S + KEPT_S), at_s=NOW_S + KEPT_S)])
    assert past.incident in cases.recent("lung-cu-1", 9)
    cases.save([opened(incident(number=4, opened_s=NOW_S + KEPT_S), at_s=NOW_S + KEPT_S + 1)])
    assert past.incident not in cases.recent("lung-cu-1", 9)
    assert still_open in cases.recent("lung-cu-1", 9)


def test_an_incident_that_cannot_be_read_keeps_no_other_from_being_read(
    engine: Engine, cases: Cases, caplog: pytest.LogCaptureFixture
) -> None:
    good = incident(number=2)
    cases.save([opened(incident(number=1)), opened(good)])
    with engine.begin() as connection:
        connection.execute(text("""UPDATE incident SET body = '{"level": 9}' WHERE id LIKE '%001-lung-cu-1'"""))
    assert cases.unfinished(NOW_S) == (good,)
    assert "incident 20251124T001000001-lung-cu-1 in the database cannot be read" in caplog.text


def outage(room: str, since_s: float, *, is_settled: bool = False) -> Outage:
    silence = Silence(since_s=since_s, on_battery=True, rungs={"ISP_DOWN": 3})
    return Outage(room=room, silence=silence, explanation=explain(silence), is_settled=is_settled)


def test_an_outage_that_is_not_explained_for_good_comes_back_after_a_restart(engine: Engine, cases: Cases) -> None:
    cases.save_outages([outage("a", NOW_S), outage("b", NOW_S, is_settled=True)])
    assert Cases(engine).unsettled_outages(NOW_S + 60) == (outage("a", NOW_S),)


def test_what_is_learnt_of_an_outage_replaces_what_was_known(cases: Cases) -> None:
    cases.save_outages([outage("a", NOW_S)])
    cases.save_outages([outage("a", NOW_S, is_settled=True), outage("a", NOW_S + 5)])
    assert cases.recent_outages("a", 10) == (outage("a", NOW_S + 5), outage("a", NOW_S, is_settled=True))
    assert cases.recent_outages("b", 10) == ()


def test_an_outage_of_long_ago_is_forgotten(cases: Cases) -> None:
    cases.save_outages([outage("a", NOW_S, is_settled=True)])
    cases.save_outages([outage("a", NOW_S + KEPT_S + 10)])
    assert [one.silence.since_s - NOW_S for one in cases.recent_outages("a", 10)] == [KEPT_S + 10]
