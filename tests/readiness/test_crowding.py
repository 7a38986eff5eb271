"""A line that others use, a busy PC and a weak Wi-Fi are not taken for a bad provider; a bad provider is no excuse."""

import msgspec
import pytest

from contract.catalogue import LANGUAGES
from contract.reading import Reading
from readiness.telling import action, sentence
from readiness.verdict import Level, Verdict
from tests.readiness.rooms import NOW_S, ZOOM, Room, codes, ping, top, well
from tests.readiness.test_test_packets import LESSON, stamp, sufficiency

CALM = {"competing_sent_bps": 9e3, "competing_received_bps": 20e3, "wifi_bool": 0, "busy_cpu_ratio": 0.2}
NARROW = {"down_bps": 0.9e6, "up_bps": 1.8e6, "took_s": 4.0}
"""A lesson by Zoom needs 2.6 Mb/s down, 1.0 at the least, and 1.8 Mb/s up."""


def after_tests(*readings: Reading, minutes: int = 5) -> Verdict:
    room = Room()
    room.minutes(5)
    return room.but(minutes, *readings)


def lossy_stamp(**around: float) -> Reading:
    reading = stamp(lost=100)
    return msgspec.structs.replace(reading, values={**reading.values, **CALM, **around})


# A narrow line


@pytest.mark.parametrize(
    ("competing_bps", "level", "code"),
    [(0.0, Level.UNFIT, "LINK_NARROW"), (0.05e6, Level.UNFIT, "LINK_NARROW"), (1.8e6, Level.UNFIT, "LINE_BUSY")],
    ids=["nobody else", "so little that the line is narrow all the same", "a download"],
)
def test_a_narrow_line_is_the_providers_unless_others_took_what_the_lesson_lacked(
    competing_bps: float, level: Level, code: str
) -> None:
    verdict = after_tests(sufficiency(**{**NARROW, **CALM, "competing_received_bps": competing_bps}), minutes=1)
    assert (verdict.level, codes(verdict)) == (level, [code])


def test_a_download_excuses_no_narrow_way_up() -> None:
    narrow = {**CALM, "up_bps": 0.4e6, "down_bps": 2.6e6, "competing_received_bps": 5e6}
    assert codes(after_tests(sufficiency(**narrow), minutes=1)) == ["LINK_NARROW"]


def test_the_finding_says_how_much_this_pcs_programs_took_and_whom_to_stop() -> None:
    found = top(after_tests(sufficiency(**{**NARROW, **CALM, "competing_received_bps": 1.8e6}), minutes=1))
    assert (found.target, found.value, found.measured) == (LESSON, "competing_received_bps", 1.8e6)
    assert sentence(found, "en") == (
        "The line is not enough for the lesson, since other programs on the room's PC downloaded 1.8 Mb/s during the "
        "test. The provider is not to blame yet."
    )
    assert "1,8 Mb/s" in sentence(found, "vi")
    for language in LANGUAGES:
        assert "Windows Update" in action(found, language)
        assert "OneDrive" in action(found, language)


def test_an_upload_is_told_from_a_download() -> None:
    narrow = {**CALM, "up_bps": 0.4e6, "down_bps": 2.6e6, "competing_sent_bps": 1.5e6}
    found = top(after_tests(sufficiency(**narrow), minutes=1))
    assert (found.code, found.value) == ("LINE_BUSY", "competing_sent_bps")
    assert "uploaded 1.5 Mb/s" in sentence(found, "en")


# A delay that grows, loss


@pytest.mark.parametrize(("competing_bps", "code"), [(0.3e6, "LINK_CONGESTED"), (0.6e6, "LINE_BUSY")])
def test_a_queue_is_others_when_they_took_more_than_the_reserve(competing_bps: float, code: str) -> None:
    loaded = {**CALM, "loaded_rtt_extra_ms": 250.0, "competing_received_bps": competing_bps}
    verdict = after_tests(sufficiency(**loaded), minutes=1)
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, [code])


@pytest.mark.parametrize(
    ("competing_bps", "code"),
    [(1.0e6, "LINK_LOSSY"), (3.0e6, "LINE_BUSY")],
    ids=["less than a lesson takes", "more"],
)
def test_loss_is_others_only_when_they_took_as_much_as_the_lesson_would(competing_bps: float, code: str) -> None:
    lossy = lossy_stamp(competing_received_bps=competing_bps)
    verdict = after_tests(lossy)
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, [code])


def test_pings_lost_amid_the_same_download_blame_nobody_else() -> None:
    lossy = lossy_stamp(competing_received_bps=3e6)
    assert codes(after_tests(lossy, ping(LESSON, lost=3))) == ["LINE_BUSY"]


def test_a_line_known_to_be_wide_is_not_filled_by_little() -> None:
    wide = Reading(probe="throughput", target=LESSON, values={"down_bps": 20e6, "up_bps": 9e6})
    lossy = lossy_stamp(competing_received_bps=3e6)
    assert codes(after_tests(lossy, wide)) == ["LINK_LOSSY"]
    lossy = lossy_stamp(competing_received_bps=15e6)
    assert codes(after_tests(lossy, wide)) == ["LINE_BUSY"]


def test_what_calm_tests_found_too_is_the_lines() -> None:
    room = Room()
    room.minutes(5)
    room.but(5, lossy_stamp())
    verdict = room.but(4, lossy_stamp(competing_received_bps=5e6))
    assert codes(verdict) == ["LINK_LOSSY"]


def test_readings_of_an_older_agent_which_tell_of_nothing_around_them_are_judged_as_before() -> None:
    assert codes(after_tests(sufficiency(down_bps=0.9e6), minutes=1)) == ["LINK_NARROW"]
    assert codes(after_tests(stamp(lost=100))) == ["LINK_LOSSY"]


# A busy PC


def test_a_pc_that_was_too_busy_for_a_test_says_so_and_blames_no_line() -> None:
    verdict = after_tests(sufficiency(**{**NARROW, **CALM, "busy_cpu_ratio": 0.97}), minutes=1)
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, ["TEST_PC_BUSY"])
    assert "97 %" in sentence(top(verdict), "en")


def test_what_a_busy_pc_makes_look_degraded_is_at_worst_that() -> None:
    busy = {**CALM, "loaded_rtt_extra_ms": 250.0, "busy_cpu_ratio": 0.97}
    verdict = after_tests(sufficiency(**busy), minutes=1)
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["TEST_PC_BUSY"])


def test_a_busy_pc_that_saw_the_bitrate_hold_has_proved_it() -> None:
    held = {**CALM, "down_bps": 2.6e6, "up_bps": 1.8e6, "busy_cpu_ratio": 0.97}
    assert after_tests(sufficiency(**held), minutes=1).level is Level.FIT


def test_pings_that_are_well_tell_what_a_busy_pcs_test_packets_cannot() -> None:
    assert after_tests(lossy_stamp(busy_cpu_ratio=0.97)).level is Level.FIT


def test_pings_that_are_lost_stand_though_the_pc_was_too_busy_for_test_packets() -> None:
    lossy = lossy_stamp(busy_cpu_ratio=0.97)
    assert codes(after_tests(lossy, ping(LESSON, lost=4))) == ["LINK_LOSSY"]


# Wi-Fi


def linked(rssi_dbm: float) -> Reading:
    return Reading(probe="link", target="pc", values={"failed_rung_code": 0, "wifi_rssi_dbm": rssi_dbm})


@pytest.mark.parametrize(
    ("around", "code"),
    [
        ([linked(-78.0)], "LINK_BY_WIFI"),
        ([], "LINK_BY_WIFI"),
        ([linked(-52.0)], "LINK_NARROW"),
    ],
    ids=["weak", "of unknown strength", "strong"],
)
def test_weak_wifi_is_doubted_before_the_provider(around: list[Reading], code: str) -> None:
    verdict = after_tests(sufficiency(**{**NARROW, **CALM, "wifi_bool": 1}), *around, minutes=3)
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, [code])
    found = top(verdict)
    assert (found.value, found.measured, found.needed) == ("down_bps", 0.9e6, 1.0e6)
    if code == "LINK_BY_WIFI":
        assert "by cable first" in action(found, "en")
        assert "900 kb/s" in sentence(found, "vi")


# Others in the school, as the router counts


def counted(received: float, sent: float = 0.0, **values: float) -> Reading:
    values |= {"recognition_code": 0, "wan_received_bytes_total": received, "wan_sent_bytes_total": sent}
    return Reading(probe="device", target="router", values=dict(values))


class Counted(Room):
    """A room whose router counts; each minute that much more goes over its line."""

    def __init__(self) -> None:
        super().__init__(ZOOM)
        self.received = 4_200_000_000.0

    def pass_minutes(self, count: int, others_bps: float, *tests: Reading) -> Verdict:
        for _ in range(count):
            self.received += others_bps * 60 / 8
            self.minutes(1, lambda: [*well(), counted(self.received), *tests])
        return self.judged()


@pytest.mark.parametrize(
    ("others_bps", "code"), [(0.05e6, "LINK_NARROW"), (6e6, "LINE_BUSY")], ids=["few", "others fill the line"]
)
def test_others_of_the_school_are_known_by_the_routers_counters(others_bps: float, code: str) -> None:
    room = Counted()
    room.pass_minutes(4, others_bps)
    verdict = room.pass_minutes(1, others_bps, sufficiency(**{**NARROW, **CALM}))
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, [code])
    if code == "LINE_BUSY":
        assert top(verdict).value == "others_received_bps"
        assert "as the router counted" in sentence(top(verdict), "en")
        assert "QoS" in action(top(verdict), "en")


def test_the_test_itself_is_not_taken_for_others() -> None:
    """Five seconds of 20 Mb/s are 1.7 Mb/s of the minute in which they were counted."""
    room = Counted()
    room.pass_minutes(4, 0.1e6)
    wide = sufficiency(**{**CALM, "down_bps": 20e6, "up_bps": 1.8e6, "took_s": 5.0, "loaded_rtt_extra_ms": 250.0})
    assert codes(room.pass_minutes(1, 0.1e6 + 20e6 * 5 / 60, wide)) == ["LINK_CONGESTED"]


def test_what_others_did_is_remembered_as_long_as_the_test_stands() -> None:
    room = Counted()
    room.pass_minutes(4, 6e6)
    room.pass_minutes(1, 6e6, sufficiency(**{**NARROW, **CALM}))
    verdict = room.pass_minutes(60, 0.1e6)
    assert codes(verdict) == ["LINE_BUSY"]
    assert top(verdict).since_s == NOW_S + 5 * 60


def test_a_new_test_without_others_is_judged_for_itself() -> None:
    room = Counted()
    room.pass_minutes(4, 6e6)
    room.pass_minutes(1, 6e6, sufficiency(**{**NARROW, **CALM}))
    room.pass_minutes(40, 0.1e6)
    assert codes(room.pass_minutes(1, 0.1e6, sufficiency(**{**NARROW, **CALM}))) == ["LINK_NARROW"]


def test_a_counter_that_went_back_counts_nothing() -> None:
    room = Counted()
    room.pass_minutes(4, 6e6)
    room.received = 0.0
    assert codes(room.pass_minutes(1, 6e6, sufficiency(**{**NARROW, **CALM}))) == ["LINK_NARROW"]


def test_a_switch_in_the_way_is_asked_for_no_such_counters() -> None:
    narrow = sufficiency(**{**NARROW, **CALM})
    camera = Reading(probe="device", target="camera", values=dict(counted(9e12).values))
    assert codes(after_tests(camera, narrow, minutes=2)) == ["LINK_NARROW"]
