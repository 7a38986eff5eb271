"""When a probe that has hours of its own is taken: once in each, spread by chance, and again if it brought nothing."""

import itertools
import random
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.spending.appointments import Appointments
from contract.hours import Hours, parse_window

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NIGHT = Hours(tuple(window for window in [parse_window("23:00-05:00")] if window is not None), ZONE)
WHICH = ("throughput", "lesson.centre")
MINUTE_S = 60.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def taken_at(appointments: Appointments, begins: str, ends: str, *, went_well: bool = True) -> list[float]:
    """When it was taken by an agent that asks each minute."""
    taken = []
    now_s = at(begins)
    while now_s < at(ends):
        if appointments.is_due(WHICH, NIGHT, now_s):
            appointments.kept(WHICH, now_s, went_well=went_well)
            taken.append(now_s)
        now_s += MINUTE_S
    return taken


def test_it_is_taken_once_in_each_night_and_never_by_day() -> None:
    nights = taken_at(Appointments(random.Random(1)), "2026-11-24 05:00", "2026-11-29 05:00")
    assert len(nights) == 5
    for number, taken_s in enumerate(nights):
        begins_s = at("2026-11-24 23:00") + number * 86_400
        assert begins_s <= taken_s <= begins_s + 3 * 3600 + MINUTE_S, "in the first half of the hours"


def test_a_hundred_rooms_do_not_come_in_step() -> None:
    """The busiest ten minutes of a night have few of them; a reflector takes eight at once."""
    firsts = [
        taken_at(Appointments(random.Random(seed)), "2026-11-24 22:00", "2026-11-25 05:00")[0] for seed in range(100)
    ]
    by_ten_minutes = [sum(begin <= one < begin + 600 for one in firsts) for begin in firsts]
    assert max(by_ten_minutes) <= 20


def test_what_brought_nothing_is_tried_again_after_a_while() -> None:
    tries = taken_at(Appointments(random.Random(2)), "2026-11-24 22:00", "2026-11-25 05:00", went_well=False)
    gaps_s = [after - before for before, after in itertools.pairwise(tries)]
    assert len(tries) > 10
    assert all(300 <= gap_s <= 900 + MINUTE_S for gap_s in gaps_s)


def test_while_nobody_knows_the_hour_it_waits() -> None:
    assert not Appointments().is_due(WHICH, NIGHT, None)


def test_each_target_has_an_appointment_of_its_own() -> None:
    appointments = Appointments(random.Random(3))
    taken_at(appointments, "2026-11-24 22:00", "2026-11-25 03:00")
    late_s = at("2026-11-25 04:59")
    other = ("throughput", "lesson.other")
    appointments.is_due(other, NIGHT, at("2026-11-25 03:00"))
    assert appointments.is_due(other, NIGHT, late_s)
    assert not appointments.is_due(WHICH, NIGHT, late_s)
