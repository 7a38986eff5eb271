"""Quiet hours: by the clock of the room's own country, over midnight and over the end of the week."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from contract.hours import Hours, Window, cover_the_week, find_zone, parse_window

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


def moment_s(text: str, zone: ZoneInfo = VIETNAM) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def quiet(*written: str, zone: ZoneInfo = VIETNAM) -> Hours:
    windows = [parse_window(text) for text in written]
    return Hours(tuple(window for window in windows if window is not None), zone)


# 25 November 2026 is a Wednesday.
@pytest.mark.parametrize(
    ("written", "at", "end"),
    [
        ("07:00-11:30", "2026-11-25 06:59:59", None),
        ("07:00-11:30", "2026-11-25 07:00:00", "2026-11-25 11:30"),
        ("07:00-11:30", "2026-11-25 11:29:59", "2026-11-25 11:30"),
        ("07:00-11:30", "2026-11-25 11:30:00", None),
        ("mon-fri 07:00-11:30", "2026-11-27 08:00", "2026-11-27 11:30"),
        ("mon-fri 07:00-11:30", "2026-11-28 08:00", None),
        ("sat-mon 07:00-11:30", "2026-11-29 08:00", "2026-11-29 11:30"),
        ("sat-mon 07:00-11:30", "2026-11-25 08:00", None),
        ("wed 22:00-05:00", "2026-11-25 23:00", "2026-11-26 05:00"),
        ("wed 22:00-05:00", "2026-11-26 04:59", "2026-11-26 05:00"),
        ("wed 22:00-05:00", "2026-11-25 04:00", None),
        ("sun 22:00-05:00", "2026-11-30 04:00", "2026-11-30 05:00"),
        ("13:00-24:00", "2026-11-25 23:59", "2026-11-26 00:00"),
    ],
)
def test_a_window_begins_and_ends_by_the_clock_of_its_zone(written: str, at: str, end: str | None) -> None:
    assert quiet(written).end_s(moment_s(at)) == (None if end is None else moment_s(end))


def test_without_windows_it_is_never_quiet() -> None:
    assert Hours().end_s(moment_s("2026-11-25 08:00")) is None


def test_the_same_hours_elsewhere_are_others() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert quiet("07:00-11:30").end_s(moment_s("2026-11-25 08:00", berlin)) is None
    assert quiet("07:00-11:30", zone=berlin).end_s(moment_s("2026-11-25 08:00", berlin)) is not None


def test_hours_go_by_the_clock_on_the_wall_when_that_is_put_back() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    end_s = quiet("sun 01:00-08:00", zone=berlin).end_s(moment_s("2026-10-25 01:30", berlin))
    assert end_s == moment_s("2026-10-25 08:00", berlin) == moment_s("2026-10-25 01:30", berlin) + 7.5 * 3600


def test_days_may_be_written_large_and_spaced() -> None:
    assert parse_window(" Mon - Fri  7:00 - 11:30 ") == Window(frozenset(range(5)), 420, 690)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "07:00",
        "7-11",
        "07:00-07:00",
        "07:60-08:00",
        "24:00-25:00",
        "07:00-24:01",
        "xyz 07:00-08:00",
        "mon07:00-8:00",
    ],
)
def test_what_is_no_window_is_none(text: str) -> None:
    assert parse_window(text) is None


@pytest.mark.parametrize("name", ["", "Asia", "Asia/Atlantis", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_what_is_no_zone_is_none(name: str) -> None:
    assert find_zone(name) is None


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        (["00:00-24:00"], True),
        (["06:00-18:00", "18:00-06:00"], True),
        (["mon-sat 00:00-24:00", "sun 00:00-23:59"], False),
        ([], False),
    ],
    ids=str,
)
def test_a_week_without_a_free_minute_is_recognised(written: list[str], *, whole: bool) -> None:
    assert cover_the_week(quiet(*written).windows) is whole
