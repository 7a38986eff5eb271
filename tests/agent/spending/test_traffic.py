"""The day's count: whose day it is."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.spending.budget import Use
from agent.spending.traffic import Traffic
from contract.plan import Plan

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
MIDNIGHT_S = dt.datetime(2026, 11, 24, tzinfo=VIETNAM).timestamp()
"""In UTC it is five in the afternoon of the day before, and stays that day for seven hours more."""


def test_the_day_ends_at_midnight_of_the_plans_own_zone(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "traffic.json")
    traffic.follow(
        Plan(tick_s=60.0, profile="zoom-720p", backlog_bps=64_000.0, jobs=(), daily_bytes=1000, time_zone=VIETNAM)
    )
    traffic.budget.count(Use.PROBES, 1000, MIDNIGHT_S - 1)
    assert traffic.given_up(MIDNIGHT_S - 1) == {Use.TESTS, Use.BACKLOG, Use.PROBES}
    assert traffic.given_up(MIDNIGHT_S) == frozenset()
