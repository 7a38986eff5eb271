"""`sansang-agent` as its users type it."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

import dev
from agent.app import program_version
from agent.cli import EXIT_SETTINGS, _make_probe, main
from agent.probes.dns import Dns
from collector.broker import EmbeddedBroker
from contract.catalogue import say
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits
from readiness.profile import default_profiles
from readiness.verdict import Verdict
from tests.support.ports import LOOPBACK, free_port

CaptureText = pytest.CaptureFixture[str]


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A PC's file, whose broker is not there."""
    return write_config(tmp_path, free_port())


def write_config(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "agent.toml"
    broker = f'[broker]\nhost = "{LOOPBACK}"\nport = {port}\ntls = false\n'
    path.write_text(f'agent = "dongvan-01"\nlanguage = "en"\ndata_dir = "data"\n{more}{broker}', encoding="utf-8")
    return path


def run(*words: object) -> int:
    return main([str(word) for word in words])


# probe


def test_a_probe_taken_now_is_printed_as_a_line_of_json(listening_port: int, capsys: CaptureText) -> None:
    assert run("probe", "tcp", "--target", f"{LOOPBACK}:{listening_port}", "--json") == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["probe"], line["target"], line["outcome"]) == ("tcp", f"127.0.0.1:{listening_port}", "ok")
    assert line["values"]["connect_ms"] >= 0
    assert datetime.fromisoformat(line["measured_at"]).tzinfo is not None


def test_a_probe_taken_now_is_printed_for_people(listening_port: int, capsys: CaptureText) -> None:
    assert (
        run("probe", "tcp", "--set", "target=codec", "--set", f"address={LOOPBACK}", "--set", f"port={listening_port}")
        == 0
    )
    first, value = capsys.readouterr().out.splitlines()
    assert first == "tcp codec: ok"
    assert value.startswith("  connect_ms = ")


def test_a_failure_is_a_reading_too(capsys: CaptureText) -> None:
    port = free_port()
    assert run("probe", "tcp", "--target", f"{LOOPBACK}:{port}", "--json") == 0
    line = json.loads(capsys.readouterr().out)
    assert line["outcome"] == Outcome.REFUSED
    assert line["detail"] == f"tcp {LOOPBACK}:{port}: connection refused; the host is alive"


@pytest.mark.parametrize(
    ("name", "target", "settings"),
    [
        ("ping", "::1", {"target": "1", "address": "::1"}),
        ("ping", "[::1]", {"target": "1", "address": "::1"}),
        ("ping", "gateway", {"target": "gateway", "address": "gateway"}),
        ("tcp", "codec:1720", {"target": "codec:1720", "address": "codec", "port": 1720}),
        ("tcp", "[2001:db8::1]:443", {"target": "2001:db8::1-:443", "address": "2001:db8::1", "port": 443}),
        ("http", "zoom.us", {"target": "zoom.us", "url": "http://zoom.us"}),
        ("http", "https://zoom.us/", {"target": "zoom.us", "url": "https://zoom.us/"}),
        ("dns", "zoom.us", {"target": "dns", "name_wanted": "zoom.us"}),
    ],
)
def test_a_target_is_what_each_probe_takes_it_for(name: str, target: str, settings: dict[str, object]) -> None:
    probe = _make_probe(name, target, [])
    assert {field: getattr(probe, field) for field in settings} == settings


def test_a_name_is_asked_of_the_server_that_is_set() -> None:
    probe = _make_probe("dns", "zoom.us", ["server=127.0.0.1", "port=5353"])
    assert probe == Dns(name_wanted="zoom.us", server="127.0.0.1", port=5353)


def test_a_wrong_setting_of_a_probe_is_told(capsys: CaptureText) -> None:
    assert run("probe", "tcp", "--target", LOOPBACK, "--set", "timeot_s=1", "--lang", "en") == EXIT_SETTINGS
    assert capsys.readouterr().err.splitlines() == [
        "probe tcp: port: missing; expected a whole number from 1 to 65535",
        "probe tcp: timeot_s: no such key; did you mean timeout_s?",
    ]


def test_a_text_that_looks_like_a_number_is_taken_as_text_where_one_is_wanted(
    listening_port: int, capsys: CaptureText
) -> None:
    words = ("--set", "target=1234", "--set", f"address={LOOPBACK}", "--set", f"port={listening_port}")
    assert run("probe", "tcp", *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["target"] == "1234"


def test_a_probe_that_is_none_is_refused_with_those_that_are(capsys: CaptureText) -> None:
    with pytest.raises(SystemExit) as ended:
        run("probe", "pong")
    assert ended.value.code == 2
    assert "'ping'" in capsys.readouterr().err


# check-config


def test_good_settings_are_said_to_be_good(config: Path, tmp_path: Path, capsys: CaptureText) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[probe]]\nname = "ping"\ntarget = "gateway"\naddress = "10.0.0.1"\n', encoding="utf-8")
    assert run("check-config", "--config", config, "--plan", plan) == 0
    assert capsys.readouterr().out == f"{config}: ok, 1 probes\n"


def test_the_problems_of_settings_and_plan_are_told_together(tmp_path: Path, capsys: CaptureText) -> None:
    config = write_config(tmp_path, 0)
    plan = tmp_path / "plan.toml"
    plan.write_text("tick_s = 0\n", encoding="utf-8")
    assert run("check-config", "--config", config, "--plan", plan, "--lang", "en") == EXIT_SETTINGS
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"{config}: broker.port: expected a whole number from 1 to 65535, got 0"
    assert told[1].startswith(f"{plan}: tick_s: expected a duration")


def test_the_plan_of_the_settings_is_looked_at_too(tmp_path: Path, capsys: CaptureText) -> None:
    (tmp_path / "plan.toml").write_text('[[probe]]\nname = "pong"\n', encoding="utf-8")
    config = write_config(tmp_path, 1883, 'plan = "plan.toml"\n')
    assert run("check-config", "--config", config) == EXIT_SETTINGS
    assert capsys.readouterr().err.startswith(f"{tmp_path}/plan.toml: probe[0].name: there is no probe pong")


def test_a_file_that_is_not_there_is_told_in_vietnamese_unless_asked_otherwise(
    tmp_path: Path, capsys: CaptureText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    for words, told in (((), "không đọc được tệp"), (("--lang", "en"), "cannot read the file")):
        assert run("check-config", "--config", tmp_path / "none.toml", *words) == EXIT_SETTINGS
        assert capsys.readouterr().err == f"{tmp_path}/none.toml: {told}: No such file or directory\n"


def test_a_service_with_bad_settings_ends_at_once_and_for_good(tmp_path: Path) -> None:
    """78 is EX_CONFIG: the service manager does not try again."""
    config = write_config(tmp_path, 0)
    done = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--config", config],
        cwd=dev.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_SETTINGS
    assert done.stderr.count("\n") == 1


# checkup


@pytest.fixture
def failing_site() -> Iterator[int]:
    """A web server that knows that it failed; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def room_plan(folder: Path, *probes: str, profile: str = "h323-720p") -> Path:
    path = folder / "room.toml"
    path.write_text(f'profile = "{profile}"\n' + "".join(f"[[probe]]\n{probe}\n" for probe in probes), encoding="utf-8")
    return path


QUICK = "count = 3\nspacing_s = 0.02\ntimeout_s = 0.3"
LESSON = f'name = "ping"\ntarget = "lesson-zoom"\naddress = "{LOOPBACK}"\n{QUICK}'


def tcp(target: str, port: int) -> str:
    return f'name = "tcp"\ntarget = "{target}"\naddress = "{LOOPBACK}"\nport = {port}'


needs_ping = pytest.mark.skipif(
    sys.platform == "linux" and os.geteuid() != 0, reason="pinging needs root, or a service's capability"
)


@needs_ping
def test_the_exit_code_of_a_checkup_is_the_level(
    tmp_path: Path, listening_port: int, failing_site: int, capsys: CaptureText
) -> None:
    site = f'name = "http"\ntarget = "lesson-zoom"\nurl = "http://{LOOPBACK}:{failing_site}/"\ntimeout_s = 2'
    rooms = {
        0: (LESSON, tcp("codec", listening_port)),
        1: (LESSON, site),
        2: (LESSON, tcp("lesson-zoom", free_port())),
        3: (tcp("codec", listening_port),),
    }
    for level, room in rooms.items():
        plan = room_plan(tmp_path, *room)
        assert run("checkup", "--plan", plan, "--config", tmp_path / "none.toml", "--lang", "en") == level
        first = capsys.readouterr().out.splitlines()[0]
        assert first.split(":")[0] == ("FIT", "DEGRADED", "UNFIT", "UNKNOWN")[level]


@needs_ping
def test_a_checkup_tells_a_program_the_whole_verdict(tmp_path: Path, capsys: CaptureText) -> None:
    plan = room_plan(tmp_path, LESSON)
    assert run("checkup", "--plan", plan, "--config", tmp_path / "none.toml", "--json") == 0
    verdict = msgspec.json.decode(capsys.readouterr().out, type=Verdict)
    assert (verdict.room, verdict.profile, verdict.findings) == ("here", "h323-720p", ())


def test_a_checkup_without_a_plan_says_where_to_get_one(config: Path, capsys: CaptureText) -> None:
    assert run("checkup", "--config", config) == 3
    assert capsys.readouterr().err == (
        "There is no plan to check the room by: name a file with --plan, or run the agent so that it gets one from the"
        " collector.\n"
    )


def test_a_checkup_by_a_profile_that_only_the_collector_has_is_unknown(tmp_path: Path, capsys: CaptureText) -> None:
    plan = room_plan(tmp_path, LESSON, profile="our-own")
    assert run("checkup", "--plan", plan, "--config", tmp_path / "none.toml", "--lang", "en") == 3
    assert capsys.readouterr().err == (
        f"there is no profile our-own; the profiles are: {', '.join(default_profiles())}\n"
    )


def test_a_checkup_takes_the_plan_that_the_collector_sent(
    config: Path, tmp_path: Path, listening_port: int, capsys: CaptureText
) -> None:
    (tmp_path / "data").mkdir()
    probe = {"name": "tcp", "target": "codec", "address": LOOPBACK, "port": listening_port}
    (tmp_path / "data" / "plan.json").write_bytes(msgspec.json.encode({"profile": "h323-720p", "probe": [probe]}))
    assert run("checkup", "--config", config, "--json") == 3
    verdict = msgspec.json.decode(capsys.readouterr().out, type=Verdict)
    assert [(finding.code, finding.target) for finding in verdict.findings] == [("NO_READING", "lesson")]


# doctor


def test_a_doctor_that_finds_something_says_how_many_things(config: Path, capsys: CaptureText) -> None:
    assert run("doctor", "--config", config) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line[:5] for line in lines[:-1]} == {"ok   ", "!!   "}
    assert lines[-1] == say("doctor.ill_count", "en", count=sum(line.startswith("!!") for line in lines))


@needs_ping
def test_a_doctor_that_finds_nothing_ends_well(tmp_path: Path, capsys: CaptureText) -> None:
    broker = EmbeddedBroker(LOOPBACK, 0, authenticate=lambda _agent, _token: True)
    broker.start()
    plan = room_plan(tmp_path, LESSON)
    config = write_config(tmp_path, broker.port, f'plan = "{plan.name}"\n')
    try:
        assert run("doctor", "--config", config, "--lang", "vi") == 0
    finally:
        broker.stop()
    assert capsys.readouterr().out.splitlines()[-1] == "Mọi thứ đều ổn."


def test_a_doctor_goes_on_behind_a_bad_plan(tmp_path: Path, capsys: CaptureText) -> None:
    (tmp_path / "plan.toml").write_text("tick_s = 0\n", encoding="utf-8")
    assert run("doctor", "--config", write_config(tmp_path, free_port(), 'plan = "plan.toml"\n')) == 1
    told = capsys.readouterr().out
    assert "plan.toml: tick_s: expected a duration" in told
    assert "There is no plan yet." in told


# spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    (tmp_path / "data").mkdir()
    with contextlib.closing(Spool(tmp_path / "data" / "spool.db", SpoolLimits(), boot="boot", mono_s=0.0)) as made:
        for number in range(2):
            taken = Moment(boot="boot", mono_s=10.0 + number, wall_s=1_795_500_000.0 + number)
            ping = Reading(probe="ping", target="gateway", values={"loss_ratio": 0.5}, before_s=2.0)
            tcp = Reading(probe="tcp", target="codec", outcome=Outcome.TIMEOUT, detail="không trả lời")
            made.put(Record(taken=taken, readings=(ping, tcp)), mono_s=10.0 + number)
        yield made


def test_a_spool_that_an_agent_uses_can_be_looked_into(config: Path, spool: Spool, capsys: CaptureText) -> None:
    assert run("spool", "stat", "--config", config) == 0
    figures = dict(line.split(" = ") for line in capsys.readouterr().out.splitlines())
    assert figures["epoch"] == spool.present.epoch
    assert (figures["waiting_count"], figures["kept_count"], figures["made_count"]) == ("2", "0", "4")


def test_a_spool_is_exported_reading_by_reading(config: Path, spool: Spool, capsys: CaptureText) -> None:
    assert spool.made_count == 4
    assert run("spool", "export", "--config", config) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 4
    assert lines[0] == {
        "measured_at": "2026-11-24T05:59:58.000+00:00",
        "probe": "ping",
        "target": "gateway",
        "outcome": "ok",
        "values": {"loss_ratio": 0.5},
        "seq": 1,
        "boot": "boot",
    }
    assert (lines[1]["outcome"], lines[1]["detail"]) == ("timeout", "không trả lời")


def test_a_spool_that_is_not_there_is_told(config: Path, tmp_path: Path, capsys: CaptureText) -> None:
    assert run("spool", "stat", "--config", config) == 1
    assert capsys.readouterr().err == f"{tmp_path}/data/spool.db: unable to open database file\n"
    assert not (tmp_path / "data").exists(), "to look changes nothing"


def test_an_export_that_nobody_reads_to_its_end_is_no_error(config: Path, spool: Spool) -> None:
    """`sansang-agent spool export | head`."""
    taken = Moment(boot="boot", mono_s=20.0, wall_s=1_795_500_020.0)
    record = Record(taken=taken, readings=(Reading(probe="ping", target="gateway", detail="x" * 150),))
    spool.take_over([record] * 1000, mono_s=20.0)
    command = f"{sys.executable} -m agent spool export --config {config} | head -1"
    done = subprocess.run(["sh", "-c", command], cwd=dev.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


# everything else


def test_the_version_is_told(capsys: CaptureText) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--version")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{program_version()}\n")


def test_a_service_ends_politely_when_it_is_asked_to(config: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--config", config], cwd=dev.ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "not connected" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
