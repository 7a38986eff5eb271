"""`sansang-collector replay`: readings from files, judged by their own clock as they would have been when they came."""

import io
import itertools
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli import main
from collector.replay import BadLine, Played, read_line
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from contract.outcome import Outcome
from contract.reading import Reading

CaptureText = pytest.CaptureFixture[str]
START = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
DOCUMENTED = (
    '{"room": "dong-van-01", "measured_at": "2026-11-24T01:00:00+00:00", "probe": "ping", "target": "gateway",'
    ' "outcome": "ok", "values": {"sent_count": 10, "received_count": 10, "loss_ratio": 0.0, "rtt_avg_ms": 1.2}}'
)
"""The line that docs/protocol.md shows."""


def a_line(at: datetime, *, room: str = "dong-van-01", target: str = "lesson-zoom", lost: float = 0.0) -> str:
    values = {"sent_count": 10, "received_count": round(10 * (1 - lost)), "loss_ratio": lost}
    if lost < 1:
        values["rtt_p50_ms"] = 20.0
    reading = {"room": room, "measured_at": at.isoformat(), "probe": "ping", "target": target, "values": values}
    return json.dumps(reading)


def minutes(count: int, *, start: datetime = START, lost: float = 0.0, room: str = "dong-van-01") -> list[str]:
    return [a_line(start + timedelta(minutes=minute), lost=lost, room=room) for minute in range(count)]


def after(count: int) -> datetime:
    return START + timedelta(minutes=count)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A collector without any data yet."""
    path = tmp_path / "collector.toml"
    path.write_text('data_dir = "data"\nlanguage = "en"\n', encoding="utf-8")
    return path


def play(config: Path, lines: Iterable[str], *words: str) -> int:
    """Write the lines to a file and replay it; the exit code. Rooms are judged by the codec's profile."""
    file = config.with_name("readings.jsonl")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return main(["replay", "--config", str(config), "--profile", "h323-720p", str(file), *words])


def happenings(capsys: CaptureText) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


FAILURE = [*minutes(30), *minutes(30, start=after(30), lost=1.0), *minutes(30, start=after(60))]
"""Half an hour without a lesson server, between two good ones."""


def test_a_failure_becomes_verdicts_an_incident_and_notices_in_order(config: Path, capsys: CaptureText) -> None:
    assert play(config, FAILURE, "--json") == 0
    found = happenings(capsys)
    assert [one["at"] for one in found] == sorted(one["at"] for one in found)
    kinds = [
        (one["kind"], one[one["kind"]].get("kind") or one[one["kind"]].get("reason") or one[one["kind"]].get("level"))
        for one in found
    ]
    levels = [level for kind, level in kinds if kind == "verdict"]
    assert (levels[0], 2 in levels, levels[-1]) == (0, True, 0)
    assert [what for kind, what in kinds if kind == "change" and what != "changed_cause"] == ["opened", "ended"]
    assert [what for kind, what in kinds if kind == "notice"] == ["opened", "ended"]


def test_an_incident_is_confirmed_as_late_as_it_would_have_been(config: Path, capsys: CaptureText) -> None:
    """The third lost window tells, and then hold_off_s, five minutes by default, has to pass."""
    play(config, FAILURE, "--json")
    (opened,) = [one for one in happenings(capsys) if one["kind"] == "change" and one["change"]["kind"] == "opened"]
    at = datetime.fromisoformat(opened["at"])
    assert after(30) + timedelta(minutes=5) <= at <= after(30) + timedelta(minutes=9)
    assert opened["change"]["incident"]["room"] == "dong-van-01"


def test_the_text_is_for_people_in_their_language(config: Path, capsys: CaptureText) -> None:
    assert play(config, FAILURE) == 0
    english = capsys.readouterr().out.splitlines()
    assert english[0] == "2026-11-24T01:00:05.000Z  dong-van-01  FIT"
    assert any("dong-van-01  UNFIT  " in line for line in english)
    assert any(line.endswith("dong-van-01  notice opened -> replay@localhost") for line in english)
    assert any("dong-van-01  incident opened (" in line for line in english)
    assert play(config, FAILURE, "--lang", "vi") == 0
    vietnamese = capsys.readouterr().out.splitlines()
    assert len(vietnamese) == len(english)
    assert vietnamese != english


def test_a_room_that_falls_silent_between_two_readings_is_noticed(config: Path, capsys: CaptureText) -> None:
    play(config, [*minutes(30), *minutes(30, start=after(240))], "--json")
    found = happenings(capsys)
    silent = [one for one in found if one["kind"] == "verdict" and one["verdict"]["level"] == 3]
    assert [finding["code"] for finding in silent[0]["verdict"]["findings"]] == ["ROOM_SILENT"]
    assert after(30) < datetime.fromisoformat(silent[0]["at"]) < after(40)
    assert [one["notice"]["reason"] for one in found if one["kind"] == "notice"] == ["opened", "ended"]


def test_a_year_between_two_readings_is_passed_over_quickly(config: Path, capsys: CaptureText) -> None:
    began_s = time.monotonic()
    assert play(config, [*minutes(5), *minutes(5, start=START + timedelta(days=365))], "--json") == 0
    assert time.monotonic() - began_s < 20
    reminders = [one for one in happenings(capsys) if one["kind"] == "notice" and one["notice"]["reason"] == "reminder"]
    assert 300 < len(reminders) <= 365, "one a day"


def test_rooms_are_judged_apart(config: Path, capsys: CaptureText) -> None:
    good, bad = minutes(60, room="meo-vac-01"), minutes(60, lost=1.0)
    play(config, itertools.chain.from_iterable(zip(good, bad, strict=True)), "--json")
    found = happenings(capsys)
    last = {one["verdict"]["room"]: one["verdict"]["level"] for one in found if one["kind"] == "verdict"}
    assert last == {"meo-vac-01": 0, "dong-van-01": 2}
    assert {one["notice"]["incident"]["room"] for one in found if one["kind"] == "notice"} == {"dong-van-01"}


def test_rooms_whose_ids_begin_alike_are_judged_apart(config: Path, capsys: CaptureText) -> None:
    one, other = "truong-thcs-dong-van-phong-101", "truong-thcs-dong-van-phong-102"
    spoken = itertools.chain.from_iterable(zip(minutes(60, room=one), minutes(60, room=other), strict=True))
    play(config, [*spoken, *minutes(60, start=after(60), room=other)], "--json")
    verdicts = [one["verdict"] for one in happenings(capsys) if one["kind"] == "verdict"]
    last = {verdict["room"]: [finding["code"] for finding in verdict["findings"]] for verdict in verdicts}
    assert last == {one: ["ROOM_SILENT"], other: []}


def test_a_room_of_the_registry_is_told_to_whom_it_would_be(config: Path, capsys: CaptureText) -> None:
    (config.parent / "data").mkdir()
    engine = open_database(sqlite_url(config.parent / "data" / "collector.db"))
    registry = Registry(engine)
    registry.add_room("dong-van-01", name="Phòng 1", province="Hà Giang", school="THCS", profile="audio-only")
    registry.set_contact("dong-van-01", START.timestamp() - 1, name="Lan", address="lan@example.vn", language="vi")
    engine.dispose()
    play(config, FAILURE, "--json")
    found = happenings(capsys)
    assert {one["notice"]["recipient"]["address"] for one in found if one["kind"] == "notice"} == {"lan@example.vn"}
    assert {one["verdict"]["profile"] for one in found if one["kind"] == "verdict"} == {"audio-only"}


def test_to_play_something_makes_no_registry(config: Path) -> None:
    play(config, minutes(5))
    assert not (config.parent / "data").exists()


def test_the_same_file_gives_the_same_answer(config: Path, capsys: CaptureText) -> None:
    play(config, FAILURE, "--json")
    first = capsys.readouterr().out
    play(config, FAILURE, "--json")
    assert capsys.readouterr().out == first


# Lines.


def test_the_line_that_the_document_shows_is_read(config: Path, capsys: CaptureText) -> None:
    assert play(config, [DOCUMENTED]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("written", "measured_s"),
    [
        ('"2026-11-24T08:00:00+07:00"', START.timestamp()),
        ('"2026-11-24T01:00:00Z"', START.timestamp()),
        ('"2026-11-24T01:00:00.250Z"', START.timestamp() + 0.25),
        ("1795482000", 1_795_482_000.0),
        ("1795482000.5", 1_795_482_000.5),
    ],
)
def test_a_time_is_rfc_3339_with_an_offset_or_unix_seconds(written: str, measured_s: float) -> None:
    line = f'{{"room":"dong-van-01","measured_at":{written},"probe":"ping","target":"gateway"}}'
    assert read_line(1, line) == Played(measured_s, "dong-van-01", Reading(probe="ping", target="gateway"))


def test_outcome_and_detail_are_read_and_may_be_absent() -> None:
    line = DOCUMENTED.replace('"ok"', '"timeout"').replace("}}", '}, "detail": "no answer"}')
    played = read_line(1, line)
    assert isinstance(played, Played)
    assert (played.reading.outcome, played.reading.detail) == (Outcome.TIMEOUT, "no answer")


BAD_LINES = {
    "no json": ("measured", "JSON is malformed: invalid character (byte 0)"),
    "no room": (DOCUMENTED.replace("room", "raum"), "Object missing required field `room`"),
    "a bad room": (DOCUMENTED.replace("dong-van-01", "Đồng Văn"), "at `$.room`"),
    "no offset": (
        DOCUMENTED.replace("+00:00", ""),
        "measured_at '2026-11-24T01:00:00' has no offset from UTC, such as +07:00 or Z",
    ),
    "no time": (DOCUMENTED.replace("2026-11-24T01:00:00+00:00", "yesterday"), "Invalid isoformat string: 'yesterday'"),
    "a text for a number": (DOCUMENTED.replace("1.2", '"fast"'), "at `$.values[...]`"),
    "an outcome that is none": (DOCUMENTED.replace('"ok"', '"fine"'), "Invalid enum value 'fine' - at `$.outcome`"),
    "a list": ("[]", "Expected `object`, got `array`"),
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_none_stops_nothing_and_is_named(line: str, why: str, config: Path, capsys: CaptureText) -> None:
    good = minutes(10)
    assert play(config, [*good[:4], "", line, *good[4:]]) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"{config.with_name('readings.jsonl')}: line 6: ")
    assert why in output.err
    assert output.err.count("\n") == 1
    assert output.out.count("FIT") == 1


@given(
    st.text(max_size=40) | st.builds(lambda key: DOCUMENTED.replace(key, ""), st.sampled_from(["{", "ping", ":", "1"]))
)
def test_no_text_is_anything_but_a_reading_or_a_bad_line(text: str) -> None:
    assert isinstance(read_line(1, text), Played | BadLine)


# Files.


def test_several_files_follow_each_other_and_each_names_its_own_lines(config: Path, capsys: CaptureText) -> None:
    first, second = config.with_name("first.jsonl"), config.with_name("second.jsonl")
    first.write_text("\n".join([*minutes(5), "bad"]) + "\n", encoding="utf-8")
    second.write_text("\n".join(["bad", *minutes(30, start=after(5), lost=1.0)]) + "\n", encoding="utf-8")
    assert main(["replay", "--config", str(config), "--profile", "h323-720p", "--json", str(first), str(second)]) == 1
    output = capsys.readouterr()
    assert [line.split(": JSON")[0] for line in output.err.splitlines()] == [f"{first}: line 6", f"{second}: line 1"]
    assert '"opened"' in output.out


def test_a_minus_is_standard_input(config: Path, capsys: CaptureText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(minutes(3)) + "\n"))
    assert main(["replay", "--config", str(config), "--profile", "h323-720p", "-"]) == 0
    assert "dong-van-01  FIT" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(config: Path, capsys: CaptureText) -> None:
    assert main(["replay", "--config", str(config), "--lang", "en", str(config.with_name("none"))]) == 78
    assert capsys.readouterr().err == f"{config.with_name('none')}: cannot read the file: No such file or directory\n"


def test_a_profile_that_is_none_is_refused_with_those_that_are(config: Path, capsys: CaptureText) -> None:
    assert main(["replay", "--config", str(config), "--profile", "zoom", "x"]) == 2
    assert capsys.readouterr().err.startswith("--profile: expected one of ")


def test_an_empty_file_is_no_error(config: Path, capsys: CaptureText) -> None:
    assert play(config, []) == 0
    assert capsys.readouterr() == ("", "")
