"""Each row of the table of causes happens, many times over; the answers are counted against the truth."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from contract.catalogue import knows
from readiness.causes import Cause, Certainty, Stop, Witness
from tests.causes.page import Answers, Pairs, page, real_section
from tests.causes.pairs import FAULTS, suffer
from tests.causes.scripts import AREA_COUNT, SCRIPTS, Script
from tests.causes.village import House, Village

SHORT_COUNT: Final = 2
LONG_COUNT: Final = 12
PAIRS_LONG_COUNT: Final = 8
RIGHT_AFTER: Final = 0.95
RIGHT_LIVE: Final = 0.80
PAGE: Final = Path(__file__).parents[2] / "docs" / "causes.md"


def play(script: Script, seed: int, without: Callable[[House], None] = lambda _: None) -> Village:
    village = Village(random.Random(seed), AREA_COUNT + 1 if script.is_of_area else 2)
    for house in village.houses:
        without(house)
    village.run(600.0 + 30.0 * village.chance.randrange(20))
    script.happens(village)
    village.run(1200.0)
    return village


def _no_devices(house: House) -> None:
    house.has_devices = False


def _no_memory(house: House) -> None:
    house.remembers_stop = False


def _no_link_probe(house: House) -> None:
    house.has_link_probe = False


def _neither(house: House) -> None:
    _no_devices(house)
    _no_memory(house)


WITHOUT: Final[dict[str, Callable[[House], None]]] = {
    "no device by SNMP": _no_devices,
    "no event log": _no_memory,
    "no link probe": _no_link_probe,
    "neither device nor event log": _neither,
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_silence_is_explained_once_the_room_is_back(script: Script) -> None:
    assert {play(script, seed).final_answer for seed in range(SHORT_COUNT)} == {script.final}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_while_it_lasts_nobody_guesses_without_a_witness(script: Script) -> None:
    assert {play(script, seed).live_answer for seed in range(SHORT_COUNT)} <= {script.live, Cause.UNKNOWN}


@pytest.mark.parametrize("missing", WITHOUT)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_missing_witness_makes_the_answer_unknown_and_never_wrong(script: Script, missing: str) -> None:
    assert play(script, 0, WITHOUT[missing]).final_answer in (script.final, Cause.UNKNOWN)


def test_two_districts_that_fall_silent_together_are_no_matter_of_one() -> None:
    village = Village(random.Random(0), AREA_COUNT + 1)
    village.run(600.0)
    for house in village.houses:
        house.provider = False
    village.run(900.0)
    for house in village.houses:
        house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.ISP


def test_what_happened_before_the_silence_does_not_explain_it() -> None:
    village = Village(random.Random(0), 2)
    village.house.stop = Stop.CRASHED  # long ago
    village.run(600.0)
    village.house.provider = False
    village.run(900.0)
    village.house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.ISP


def test_a_collector_that_could_not_see_blames_no_room() -> None:
    village = Village(random.Random(0), 3)
    village.run(600.0)
    village.broker = False
    village.run(900.0)
    village.broker = True
    village.run(1200.0)
    assert {one.explanation.cause for one in village.settled} <= {Cause.COLLECTOR}
    assert village.guesses == []


def test_a_collector_that_restarts_after_all_was_told_still_knows_it() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(900.0)
    village.house.provider = True
    village.run(60.0)
    village.restart_collector()
    village.run(1200.0)
    assert [one.explanation.cause for one in village.settled] == [Cause.ISP]


def test_a_room_whose_plan_asks_seldom_how_its_pc_came_to_run_is_listened_to_until_it_tells() -> None:
    village = Village(random.Random(0), 2)
    village.house.tells_boot_every_s = 900.0
    village.run(1830.0)
    village.house.awake = False
    village.run(600.0)
    village.house.awake = True
    village.run(240.0)
    assert village.settled == [], "its word is still to come"
    village.run(600.0)
    assert village.final_answer is Cause.PC_ASLEEP


def test_what_was_measured_before_a_pc_fell_asleep_does_not_hide_its_sleep() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(60.0)  # measured, and sent only after it has woken
    village.house.awake = False
    village.run(900.0)
    village.house.awake = village.house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.PC_ASLEEP


def test_a_night_asleep_before_anybody_asked_does_not_explain_a_broken_line() -> None:
    village = Village(random.Random(0), 2)
    village.house.slept_s = 30_000.0
    village.house.tells_boot = False
    village.run(600.0)
    village.house.provider = False
    village.run(900.0)
    village.house.provider = village.house.tells_boot = True
    village.run(1200.0)
    assert village.final_answer is Cause.ISP


def test_a_word_about_the_battery_of_days_ago_does_not_explain_a_silence() -> None:
    village = Village(random.Random(0), 2)
    village.run(300.0)
    village.house.mains = False
    village.run(60.0)
    village.house.mains, village.house.has_ups = True, False  # the UPS is taken away
    village.run(7200.0)
    village.house.provider = False
    village.run(600.0)
    assert village.live_answer is Cause.UNKNOWN


def test_neighbours_that_are_back_or_silent_again_were_silent_all_the_same() -> None:
    village = Village(random.Random(3), AREA_COUNT + 1)
    village.run(600.0)
    for house in village.district[:AREA_COUNT]:
        house.provider = False
    village.run(900.0)
    for house in village.district[1:AREA_COUNT]:
        house.provider = True
    village.run(2400.0)  # long settled
    for house in village.district[1:AREA_COUNT]:
        house.carrier = False  # and silent anew, for another reason
    village.run(900.0)
    village.house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.AREA_LINE


def test_a_room_that_used_up_its_bytes_says_so_and_blames_nobody() -> None:
    village = Village(random.Random(0), AREA_COUNT + 1)
    village.run(600.0)
    for house in village.district[:5]:
        village.say_goodbye(house, "budget_spent")
        house.sends = False
    village.run(1200.0)
    assert village.live_answer is Cause.BUDGET_SPENT
    for house in village.district[:5]:
        house.sends = True
    village.run(1200.0)
    assert village.final_answer is Cause.BUDGET_SPENT


def test_nothing_is_confirmed_before_the_room_has_told_all_that_it_kept() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(900.0)
    village.house.provider = True
    village.run(90.0)
    shown = village.watch.outages.of(village.house.room)
    assert shown is not None
    assert (shown.is_settled, shown.explanation.cause, shown.explanation.certainty) == (
        False, Cause.ISP, Certainty.LIKELY,
    )  # fmt: skip
    village.run(1200.0)
    assert village.settled[-1].explanation.certainty is Certainty.CONFIRMED


def test_a_collector_that_restarts_meanwhile_explains_the_silence_all_the_same() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(600.0)
    village.restart_collector()
    village.run(600.0)
    village.house.provider = True
    village.run(1200.0)
    assert [one.explanation.cause for one in village.settled] == [Cause.ISP]
    lasted_s = village.settled[-1].silence.lasted_s
    assert lasted_s is not None
    assert abs(lasted_s - 1200.0) <= 60.0


def test_who_restarts_a_pc_that_cannot_be_reached_is_not_taken_for_the_reason() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(900.0)
    village.house.cut_pc(Stop.SHUT_DOWN)
    village.run(60.0)
    village.house.start_pc(village.now)
    village.run(120.0)
    village.house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.ISP


def test_a_pc_that_is_switched_off_for_the_night_was_switched_off_though_the_line_had_failed_before() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.provider = False
    village.run(300.0)
    village.house.cut_pc(Stop.SHUT_DOWN)
    village.run(7200.0)
    village.house.provider = True
    village.house.start_pc(village.now)
    village.run(1200.0)
    assert village.final_answer is Cause.PC_SWITCHED_OFF


def test_a_line_that_breaks_soon_after_the_pc_was_started_is_what_broke() -> None:
    village = Village(random.Random(0), 2)
    village.run(600.0)
    village.house.start_pc(village.now)
    village.run(60.0)
    village.house.provider = False
    village.run(900.0)
    village.house.provider = True
    village.run(1200.0)
    assert village.final_answer is Cause.ISP


def test_a_room_that_measures_every_few_seconds_is_explained_too() -> None:
    village = Village(random.Random(0), 2)
    village.step_s = 5.0
    village.run(600.0)
    village.house.provider = False
    village.run(240.0)
    village.house.provider = True
    village.run(600.0)
    assert village.final_answer is Cause.ISP


def test_a_power_cut_that_took_the_router_first_and_the_pc_at_last_is_not_the_routers() -> None:
    village = Village(random.Random(0), 2)
    village.house.network_on_ups = False
    village.run(600.0)
    village.house.mains = False
    village.run(1500.0)  # the UPS lasts for 1200
    village.house.mains = True
    village.house.start_pc(village.now)
    village.run(1200.0)
    assert village.final_answer is Cause.POWER_CUT_NETWORK


@pytest.mark.parametrize("code", [*(f"outage.{one}" for one in Cause), *(f"witness.{one}" for one in Witness)])
def test_every_cause_and_every_witness_has_its_words(code: str) -> None:
    assert knows(code)


def play_pairs(count: int) -> Pairs:
    """Every two faults, in either order; so many times each."""
    counted = Pairs()
    for (one, first), (other, second) in itertools.permutations(FAULTS.items(), 2):
        for number in range(count):
            village = Village(random.Random(f"{one} {other} {number}"), 2)
            has_ups, is_nested = village.chance.random() < 0.5, village.chance.random() < 0.5
            for cause in suffer(village, first, second, has_ups=has_ups, is_nested=is_nested):
                counted.count((one, other), cause, first.truths | second.truths)
    return counted


def test_of_two_faults_at_once_one_is_named_or_none_and_never_a_third() -> None:
    counted = play_pairs(1)
    assert counted.total > 80
    assert counted.wrong == []


@pytest.mark.long
def test_the_table_of_causes_is_right_often_enough() -> None:
    full, less = Answers(), Answers()
    for script in SCRIPTS:
        for seed in range(LONG_COUNT):
            full.count(script, play(script, seed))
            for without in WITHOUT.values():
                less.count(script, play(script, seed, without))
    real = real_section(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else ""
    pairs = play_pairs(PAIRS_LONG_COUNT)
    PAGE.write_text(page(full, less, pairs, real), encoding="utf-8")
    assert pairs.wrong == []
    assert full.right_after_ratio >= RIGHT_AFTER
    assert full.right_live_ratio >= RIGHT_LIVE
    assert full.rash_count == less.rash_count == 0
    assert less.wrong_after_ratio <= 1 - RIGHT_AFTER
