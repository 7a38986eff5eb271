from collections.abc import Sequence

import pytest

from contract.outcome import Outcome
from contract.reading import Reading
from readiness.judge import judge
from readiness.state import RoomState
from readiness.verdict import Level
from tests.readiness.rooms import (
    CODEC,
    DEVICES,
    NOW_S,
    ZOOM,
    Room,
    codes,
    dead,
    dns,
    fails,
    host,
    ping,
    power,
    tcp,
    top,
)  # fmt: skip

BEYOND = ("isp", "national", "international", "lesson-zoom")


def test_a_room_of_which_nothing_was_ever_heard_is_unknown() -> None:
    verdict = judge(ZOOM, RoomState("phong-101"), None, NOW_S)
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, ["NEVER_HEARD"])


def test_a_room_where_all_is_well_is_fit() -> None:
    verdict = Room().minutes(5)
    assert (verdict.level, verdict.findings) == (Level.FIT, ())


def test_a_single_good_reading_of_the_lesson_server_is_enough_to_be_fit() -> None:
    assert Room().minutes(1).level is Level.FIT


CAUSES: list[tuple[str, Level, list[str], Sequence[Reading]]] = [
    ("cable out", Level.UNFIT, ["NIC_DOWN"], [host(nic_up_bool=0), *map(dead, ("gateway", *BEYOND, *DEVICES))]),
    ("no DHCP", Level.UNFIT, ["NO_ADDRESS"],
     [host(address_link_local_bool=1), *map(dead, ("gateway", *BEYOND, *DEVICES))]),
    ("LAN down", Level.UNFIT, ["LAN_DOWN"], [*map(dead, ("gateway", *BEYOND, *DEVICES)), fails("dns", "dns")]),
    ("router down", Level.UNFIT, ["GATEWAY_DOWN"], [*map(dead, ("gateway", *BEYOND)), fails("dns", "dns")]),
    ("line down", Level.UNFIT, ["ISP_DOWN"], [*map(dead, BEYOND), fails("dns", "dns")]),
    ("nothing behind the provider", Level.UNFIT, ["NO_INTERNET"], [*map(dead, BEYOND[1:])]),
    ("abroad", Level.UNFIT, ["INTERNATIONAL_DOWN"], [*map(dead, ("international", "lesson-zoom"))]),
    ("lesson server", Level.UNFIT, ["LESSON_UNREACHABLE"], [dead("lesson-zoom")]),
    ("lesson by timeout", Level.UNFIT, ["LESSON_UNREACHABLE"], [fails("ping", "lesson-zoom")]),
    ("no names", Level.UNFIT, ["DNS_FAILS"], [fails("dns", "dns"), fails("ping", "lesson-zoom", Outcome.NO_NAME)]),
    ("no names, by address", Level.UNFIT, ["DNS_FAILS"], [fails("dns", "dns")]),
    ("refused", Level.UNFIT, ["SERVICE_DOWN"], [fails("tcp", "lesson-zoom", Outcome.REFUSED)]),
    ("gateway filters pings", Level.FIT, [], [dead("gateway")]),
    ("gateway refuses a port", Level.FIT, [], [fails("tcp", "gateway", Outcome.REFUSED)]),
    ("camera", Level.UNFIT, ["CAMERA_LOST"], [dead("camera")]),
    ("microphone", Level.UNFIT, ["MICROPHONE_LOST"], [dead("microphone")]),
    ("speaker", Level.UNFIT, ["SPEAKER_LOST"], [dead("speaker")]),
    ("screen", Level.DEGRADED, ["SCREEN_LOST"], [dead("screen")]),
    ("projector", Level.DEGRADED, ["PROJECTOR_LOST"], [dead("projector")]),
    ("sound processor", Level.DEGRADED, ["DSP_LOST"], [dead("dsp")]),
    ("codec that Zoom does without", Level.DEGRADED, ["CODEC_LOST"], [dead("codec")]),
    ("printer", Level.DEGRADED, ["DEVICE_LOST"], [dead("printer")]),
    ("one camera of two", Level.DEGRADED, ["CAMERA_LOST"], [dead("camera-2")]),
    ("all devices", Level.UNFIT, ["AV_ALL_LOST"], [*map(dead, DEVICES)]),
    ("camera's SNMP", Level.DEGRADED, ["SNMP_SILENT"], [fails("snmp", "camera")]),
    ("screen's SNMP", Level.FIT, [], [fails("snmp", "screen")]),
    ("one lesson server of two", Level.UNFIT, ["LESSON_UNREACHABLE"], [dead("lesson-mcu"), tcp("lesson-zoom")]),
    ("on battery", Level.DEGRADED, ["POWER_ON_BATTERY"], [power(on_battery_bool=1, battery_runtime_s=7200.0)]),
    ("on battery, not for long", Level.UNFIT, ["POWER_ON_BATTERY", "POWER_RUNTIME_SHORT"],
     [power(on_battery_bool=1, battery_runtime_s=2900.0)]),
    ("battery low", Level.UNFIT, ["POWER_ON_BATTERY", "POWER_BATTERY_LOW", "POWER_RUNTIME_SHORT"],
     [power(on_battery_bool=1, low_battery_bool=1, battery_runtime_s=200.0)]),
    ("power took the devices", Level.UNFIT, ["POWER_CUT_DEVICES_OFF", "POWER_ON_BATTERY"],
     [power(on_battery_bool=1, battery_runtime_s=7200.0), *map(dead, DEVICES)]),
    ("weak battery on mains", Level.DEGRADED, ["POWER_RUNTIME_SHORT"], [power(battery_runtime_s=2000.0)]),
    ("dead battery on mains", Level.UNFIT, ["POWER_RUNTIME_SHORT"], [power(battery_runtime_s=200.0)]),
    ("charge", Level.DEGRADED, ["BATTERY_CHARGE_LOW"], [power(battery_charge_ratio=0.6)]),
    ("replace", Level.DEGRADED, ["BATTERY_REPLACE"], [power(battery_replace_bool=1)]),
    ("hot", Level.DEGRADED, ["BATTERY_HOT"], [power(battery_celsius=38.0)]),
    ("low mains", Level.DEGRADED, ["MAINS_VOLTAGE_LOW"], [power(input_v=190.0)]),
    ("high mains", Level.UNFIT, ["MAINS_VOLTAGE_HIGH"], [power(input_v=260.0)]),
    ("overload", Level.DEGRADED, ["UPS_OVERLOAD"], [power(load_ratio=0.9)]),
    ("no UPS in the room", Level.FIT, [], [fails("power", "ups", Outcome.ABSENT)]),
    ("busy", Level.DEGRADED, ["PC_BUSY"], [host(cpu_ratio=0.9)]),
    ("memory", Level.DEGRADED, ["PC_MEMORY_LOW"], [host(memory_free_ratio=0.1)]),
    ("disk", Level.UNFIT, ["PC_DISK_LOW"], [host(disk_free_bytes=500 << 20)]),
    ("slow port", Level.DEGRADED, ["NIC_SLOW"], [host(nic_speed_bps=10e6)]),
    ("slow", Level.DEGRADED, ["LINK_SLOW"], [ping("lesson-zoom", rtt_ms=260.0)]),
    ("very slow", Level.UNFIT, ["LINK_SLOW"], [ping("lesson-zoom", rtt_ms=700.0)]),
    ("jittery", Level.DEGRADED, ["LINK_JITTERY"], [ping("lesson-zoom", jitter_ms=45.0)]),
    ("lossy", Level.UNFIT, ["LINK_LOSSY"], [ping("lesson-zoom", lost=3)]),
    ("lossy from the LAN on", Level.UNFIT, ["LAN_LOSSY"], [ping("lesson-zoom", lost=3), ping("gateway", lost=4)]),
    ("slow names", Level.DEGRADED, ["DNS_SLOW"], [Reading(probe="dns", target="dns", values={"answer_ms": 800.0})]),
    ("clock behind", Level.DEGRADED, ["CLOCK_WRONG"],
     [Reading(probe="agent", target="pc", values={"clock_offset_s": -40.0})]),
    ("certificate", Level.DEGRADED, ["CERTIFICATE_EXPIRES"],
     [Reading(probe="http", target="lesson-zoom", values={"status_code": 200, "tls_expires_days": 3.0})]),
    ("error 503", Level.DEGRADED, ["SERVICE_ERROR"],
     [Reading(probe="http", target="lesson-zoom", values={"status_code": 503})]),
    ("not allowed to ping", Level.UNKNOWN, ["MEASUREMENT_FAILS"], [fails("ping", "lesson-zoom", Outcome.DENIED)]),
    ("not allowed to ping the screen", Level.FIT, [], [fails("ping", "screen", Outcome.DENIED)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "expected", "changed"), [case[1:] for case in CAUSES], ids=[one[0] for one in CAUSES]
)
def test_the_cause_is_named_and_its_consequences_are_not(
    level: Level, expected: list[str], changed: Sequence[Reading]
) -> None:
    room = Room()
    room.minutes(5)
    verdict = room.but(6, *changed)
    assert (verdict.level, codes(verdict)) == (level, expected)


def test_a_lost_way_is_no_verdict_before_three_windows() -> None:
    room = Room()
    room.minutes(5)
    assert "LESSON_UNREACHABLE" not in codes(room.but(2, dead("lesson-zoom")))
    assert codes(room.but(1, dead("lesson-zoom"))) == ["LESSON_UNREACHABLE"]


@pytest.mark.parametrize("step_s", [1.0, 60.0, 300.0], ids=["each second", "each minute", "each five minutes"])
def test_a_link_is_judged_by_windows_whatever_their_interval(step_s: float) -> None:
    room = Room()
    room.but(3, step_s=step_s)
    assert room.but(1, ping("lesson-zoom", rtt_ms=260.0), step_s=step_s).level is Level.FIT
    assert room.but(1, ping("lesson-zoom", rtt_ms=260.0), step_s=step_s).level is Level.DEGRADED
    assert room.but(2, step_s=step_s).level is Level.DEGRADED
    assert room.but(1, step_s=step_s).level is Level.FIT


def test_three_very_slow_windows_in_a_row_are_unfit_and_four_scattered_ones_too() -> None:
    room = Room()
    room.minutes(2)
    slow = ping("lesson-zoom", rtt_ms=600.0)
    assert room.but(2, slow).level is Level.DEGRADED
    assert room.but(1, slow).level is Level.UNFIT
    scattered = Room()
    for _ in range(3):
        scattered.but(1, slow)
        scattered.minutes(1)
    assert scattered.judged().level is Level.DEGRADED
    assert scattered.but(1, slow).level is Level.UNFIT


def test_one_lost_packet_in_ten_is_chance() -> None:
    room = Room()
    room.minutes(10)
    assert room.but(1, ping("lesson-zoom", lost=1)).level is Level.FIT


def test_a_short_cut_leaves_nothing_behind_after_three_good_windows() -> None:
    room = Room()
    room.minutes(5)
    room.but(8, *map(dead, BEYOND))
    assert room.minutes(1).level is Level.UNFIT
    assert room.minutes(2).level is Level.FIT


def test_a_link_that_drops_now_and_then_is_said_to_drop() -> None:
    room = Room()
    for _ in range(4):
        room.minutes(2)
        room.but(1, dead("lesson-zoom"))
    verdict = room.judged()
    assert verdict.level is Level.UNFIT
    assert top(verdict).code == "LINK_DROPS"


def test_a_lesson_server_that_filters_pings_but_takes_connections_is_unknown_not_lost() -> None:
    verdict = Room().but(5, dead("lesson-zoom"), tcp("lesson-zoom"))
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, ["QUALITY_UNKNOWN"])


def test_a_codec_dials_by_address_and_needs_no_names() -> None:
    room = Room(CODEC)
    room.but(2, ping("codec"))
    verdict = room.but(5, ping("codec"), fails("dns", "dns"))
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["DNS_FAILS"])


def test_a_required_codec_whose_service_refuses_makes_the_room_unfit() -> None:
    verdict = Room(CODEC).but(5, ping("codec"), fails("tcp", "codec", Outcome.REFUSED))
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, ["SERVICE_DOWN"])


def test_on_battery_counts_after_two_readings_or_ten_seconds() -> None:
    room = Room()
    room.minutes(2)
    on_battery = power(on_battery_bool=1, battery_runtime_s=7200.0)
    assert room.but(1, on_battery, step_s=1.0).level is Level.FIT
    assert codes(room.judged(after_s=10.0)) == ["POWER_ON_BATTERY"]
    again = Room()
    again.minutes(2)
    assert codes(again.but(2, on_battery, step_s=1.0)) == ["POWER_ON_BATTERY"]
    assert again.but(1, step_s=1.0).level is Level.FIT


def test_a_battery_of_unknown_runtime_is_taken_for_short_after_two_minutes() -> None:
    room = Room()
    room.minutes(2)
    on_battery = Reading(probe="power", target="ups", values={"on_battery_bool": 1})
    assert room.but(2, on_battery).level is Level.DEGRADED
    assert codes(room.but(1, on_battery)) == ["POWER_ON_BATTERY", "POWER_RUNTIME_UNKNOWN"]


SILENCES = [
    ("lost", "", "ROOM_SILENT"),
    ("offline", "shutdown", "PC_SWITCHED_OFF"),
    ("offline", "suspend", "PC_ASLEEP"),
    ("offline", "update", "AGENT_UPDATING"),
    ("offline", "service_stop", "AGENT_STOPPED"),
    ("offline", "on_battery_low", "ROOM_SILENT_ON_BATTERY"),
    ("offline", "a reason of a later version", "AGENT_STOPPED"),
]


@pytest.mark.parametrize(("state", "reason", "code"), SILENCES, ids=[f"{one[0]} {one[1]}" for one in SILENCES])
def test_a_silent_room_is_unknown_with_its_last_word(state: str, reason: str, code: str) -> None:
    room = Room()
    room.minutes(5)
    room.state.hear("pc-101", state, reason, room.now)  # type: ignore[arg-type]  # parametrized from the closed set
    verdict = room.judged(after_s=60)
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, [code])
    assert top(verdict).since_s == room.now - 60


def test_a_room_that_goes_silent_on_battery_has_probably_no_power() -> None:
    room = Room()
    room.minutes(3)
    room.but(2, power(on_battery_bool=1))
    room.state.hear("pc-101", "lost", "", room.now + 45)
    assert codes(room.judged(after_s=60)) == ["ROOM_SILENT_ON_BATTERY"]


def test_one_silent_pc_of_two_does_not_silence_the_room() -> None:
    room = Room()
    room.state.hear("pc-102", "online", "", room.now)
    room.minutes(3)
    room.state.hear("pc-102", "lost", "", room.now)
    verdict = room.judged()
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["ONE_PC_SILENT"])


def test_a_room_that_returns_is_judged_anew() -> None:
    room = Room()
    room.minutes(3)
    room.state.hear("pc-101", "lost", "", room.now)
    assert room.judged(after_s=300).level is Level.UNKNOWN
    room.state.hear("pc-101", "online", "", room.now)
    assert room.minutes(1).level is Level.FIT


def test_a_required_signal_grows_old_after_ten_minutes_and_is_gone_after_thirty() -> None:
    room = Room()
    room.minutes(5)
    rest = [host(), ping("gateway"), dns()]
    assert room.minutes(9, lambda: rest).level is Level.FIT
    verdict = room.minutes(2, lambda: rest)
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["READING_OLD", "READING_OLD", "READING_OLD"])
    verdict = room.minutes(20, lambda: rest)
    assert (verdict.level, set(codes(verdict))) == (Level.UNKNOWN, {"NO_READING"})


def test_a_room_whose_lesson_server_nobody_measures_is_unknown() -> None:
    verdict = Room().minutes(5, lambda: [ping("gateway"), host(), power()])
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, ["NO_READING"])


def test_a_lesson_server_that_has_not_answered_yet_is_not_fit() -> None:
    assert Room().but(1, dead("lesson-zoom")).level is Level.UNKNOWN


def test_a_device_that_left_the_plan_is_not_missed() -> None:
    room = Room()
    room.minutes(3)
    assert room.but(4, dead("camera")).level is Level.UNFIT
    room.state.keep_only({key for key in room.state.sights if key[1] != "camera"})
    assert room.judged().level is Level.FIT


def test_a_verdict_keeps_its_beginning_while_its_level_stays() -> None:
    room = Room()
    began_s = room.minutes(3).since_s
    assert room.minutes(3).since_s == began_s
    lost = room.but(4, dead("camera"))
    assert top(lost).since_s == room.now - 3 * 60
    assert lost.since_s == room.now
    later = room.but(40, dead("camera"))
    assert later.since_s == lost.since_s
    assert top(later).since_s == top(lost).since_s, "the windows no longer reach back so far"


def test_at_most_three_findings_and_the_worst_first() -> None:
    verdict = Room().but(
        6,
        ping("lesson-zoom", rtt_ms=260.0),
        host(cpu_ratio=0.9, disk_free_ratio=0.01),
        power(input_v=190.0, load_ratio=0.9),
    )
    assert codes(verdict) == ["PC_DISK_LOW", "LINK_SLOW", "MAINS_VOLTAGE_LOW"]


def test_what_was_measured_and_what_is_needed_stand_in_the_finding() -> None:
    finding = top(Room().but(6, ping("lesson-zoom", rtt_ms=260.0)))
    assert (finding.target, finding.value, finding.measured, finding.needed) == (
        "lesson-zoom",
        "rtt_p50_ms",
        260.0,
        200.0,
    )
