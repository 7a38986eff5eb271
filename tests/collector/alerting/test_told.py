"""The ledger of who was told what."""

from collector.alerting.told import Telling, Told
from tests.collector.alerting.troubles import LAN, NOW_S, PAO, incident, notice


def test_a_notice_that_was_queued_waits() -> None:
    told = Told()
    told.queue(notice(), NOW_S)
    (one,) = told.of(incident().incident, PAO.address)
    assert one.waiting
    assert one.last_s == NOW_S


def test_a_notice_that_is_known_stays_as_it_is_when_it_is_queued_again() -> None:
    told = Told()
    told.update([telling(sent_s=NOW_S + 5)])
    told.queue(notice(), NOW_S + 60)
    (one,) = told.of(incident().incident, PAO.address)
    assert (one.queued_s, one.sent_s) == (NOW_S, NOW_S + 5)


def telling(*, sent_s: float | None = None, refused_s: float | None = None, merged_s: float | None = None) -> Telling:
    return Telling(
        key=notice().key,
        incident=incident().incident,
        address=PAO.address,
        queued_s=NOW_S,
        sent_s=sent_s,
        refused_s=refused_s,
        merged_s=merged_s,
    )


def test_whatever_became_of_a_letter_it_waits_no_more() -> None:
    assert telling().waiting
    assert not telling(sent_s=NOW_S + 5).waiting
    assert not telling(refused_s=NOW_S + 5).waiting
    assert not telling(merged_s=NOW_S + 5).waiting


def test_a_person_was_told_when_the_letter_left() -> None:
    assert telling(sent_s=NOW_S + 5).last_s == NOW_S + 5
    assert telling(refused_s=NOW_S + 5).last_s == NOW_S


def test_what_has_become_of_a_notice_takes_the_place_of_what_was_known() -> None:
    told = Told()
    told.queue(notice(), NOW_S)
    told.update([telling(sent_s=NOW_S + 5)])
    assert len(told) == 1
    found = told.find(incident().incident, notice().key)
    assert found == telling(sent_s=NOW_S + 5)


def test_each_person_and_each_incident_has_a_page_of_its_own() -> None:
    told = Told()
    told.queue(notice(), NOW_S)
    told.queue(notice(recipient=LAN), NOW_S)
    told.queue(notice(incident(number=2)), NOW_S)
    assert len(list(told.of(incident().incident, PAO.address))) == 1
    assert told.find(incident(number=3).incident, notice().key) is None


def test_incidents_that_are_long_over_are_forgotten() -> None:
    told = Told()
    told.queue(notice(), NOW_S)
    told.queue(notice(incident(number=2)), NOW_S)
    told.keep_only([incident(number=2).incident, "another"])
    assert len(told) == 1
    assert told.find(incident().incident, notice().key) is None
