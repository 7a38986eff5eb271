import msgspec
from prometheus_client.parser import text_string_to_metric_families

from collector.metrics import exposition, metrics_registry
from collector.snapshot import Snapshot
from tests.collector.web import demo


def _figures(snapshot: Snapshot | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition(metrics_registry(lambda: snapshot)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_snapshot() -> None:
    figures = _figures(demo.snapshot())
    for name, value in (
        ("sansang_batches_total", 271_420),
        ("sansang_records_total", 271_611),
        ("sansang_quarantined_total", 2),
        ("sansang_duplicates_total", 118),
        ("sansang_journal_bytes", 143_654_912),
        ("sansang_journal_last_id", 271_611),
        ("sansang_broker_connected_bool", 1),
        ("sansang_outbox_waiting", 1),
        ("sansang_outbox_refused", 1),
        ("sansang_snapshot_bool", 1),
    ):
        assert figures[name, ()] == value
    assert figures["sansang_sink_behind", (("sink", "influx"),)] == 1204
    assert figures["sansang_sink_refused_total", (("sink", "influx"),)] == 7
    levels = ("fit", "degraded", "unfit", "unknown")
    assert [figures["sansang_rooms", (("level", level),)] for level in levels] == [67, 8, 7, 4]


def test_each_room_has_its_level_and_a_silent_one_is_unknown() -> None:
    figures = _figures(demo.snapshot())
    assert figures["sansang_room_level_code", (("province", "Hà Giang"), ("room", "phong-0001"))] == 2
    assert figures["sansang_room_level_code", (("province", "Cao Bằng"), ("room", "phong-0011"))] == 3


def test_a_hostile_province_stays_inside_its_label() -> None:
    room = msgspec.structs.replace(demo.snapshot(1).rooms[0], place=('x"} 1\nforged{a="\\',))
    figures = _figures(msgspec.structs.replace(demo.snapshot(1), rooms=(room,)))
    assert figures["sansang_room_level_code", (("province", 'x"} 1\nforged{a="\\'), ("room", "phong-0000"))] == 0
    assert [name for name, _ in figures if name.startswith("forged")] == []


def test_before_the_first_review_only_that_is_told() -> None:
    figures = _figures(None)
    assert figures["sansang_snapshot_bool", ()] == 0
    assert [name for name, _ in figures if name.startswith("sansang_") and name != "sansang_snapshot_bool"] == []


def test_two_collectors_in_one_process_do_not_share_figures() -> None:
    assert _figures(demo.snapshot(3))["sansang_rooms", (("level", "fit"),)] == 1
    assert _figures(demo.snapshot(86))["sansang_rooms", (("level", "fit"),)] == 67


def test_a_proof_of_mail_has_an_age_and_a_missing_one_has_none() -> None:
    unproven = demo.snapshot(1)
    health = msgspec.structs.replace(unproven.health, mail_proved_s=unproven.taken_s - 3600)
    proven = _figures(msgspec.structs.replace(unproven, health=health))
    assert proven["sansang_mail_proven_bool", ()] == 1
    assert proven["sansang_mail_proof_age_seconds", ()] == 3600
    figures = _figures(unproven)
    assert figures["sansang_mail_proven_bool", ()] == 0
    assert ("sansang_mail_proof_age_seconds", ()) not in figures
