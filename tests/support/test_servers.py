"""The servers that other tests stand on really start, really work, and leave nothing behind."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt import publish
from paho.mqtt.enums import CallbackAPIVersion

import dev
from tests.support import debian
from tests.support.influxdb import StartInfluxDB
from tests.support.mosquitto import StartMosquitto
from tests.support.ports import free_port, is_listening
from tests.support.processes import DidNotStart, Program, Programs, listens
from tests.support.victoria_metrics import StartVictoriaMetrics

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def listener(folder: Path, code: str = LISTEN, within_s: float = 20.0) -> tuple[Program, int]:
    port = free_port()
    command = [sys.executable, "-c", code, str(port)]
    return Program(command, log=folder / "log", ready=listens(port), within_s=within_s), port


def test_a_program_is_ready_when_started_and_gone_when_stopped(tmp_path: Path) -> None:
    program, port = listener(tmp_path)
    program.start()
    assert is_listening(port)
    pid = program.pid
    assert program.stop() == -15
    assert not is_listening(port)
    assert not is_alive(pid)


def test_a_killed_program_starts_again_at_its_port(tmp_path: Path) -> None:
    program, port = listener(tmp_path)
    program.start()
    before = program.pid
    program.kill()
    assert not program.running
    program.start()
    assert program.pid != before
    assert is_listening(port)
    program.stop()


def test_a_paused_program_can_be_stopped(tmp_path: Path) -> None:
    program, _ = listener(tmp_path)
    program.start()
    program.pause()
    assert program.stop(within_s=5.0) == -15


def test_a_program_that_will_not_end_is_killed(tmp_path: Path) -> None:
    program, _ = listener(tmp_path, f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LISTEN}")
    program.start()
    assert program.stop(within_s=0.2) == -9


def test_a_program_that_ends_at_once_shows_its_last_words(tmp_path: Path) -> None:
    program, _ = listener(tmp_path, "import sys; sys.exit('no such disk')")
    with pytest.raises(DidNotStart, match=r"ended with exit code 1:\nno such disk"):
        program.start()


def test_a_program_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    program, _ = listener(tmp_path, "import time; print('thinking', flush=True); time.sleep(60)", within_s=0.7)
    with pytest.raises(DidNotStart, match=r"was not ready in 0.7 s:\nthinking"):
        program.start()
    assert not program.running


def test_all_programs_of_a_test_end_with_it(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    ports = [free_port(), free_port()]
    pids = [programs.start([sys.executable, "-c", LISTEN, str(port)], ready=listens(port)).pid for port in ports]
    programs.stop_all()
    assert not any(map(is_alive, pids))


def test_a_free_port_is_handed_out_once() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    assert not any(map(is_listening, ports))


def test_two_runs_at_once_are_handed_different_ports() -> None:
    code = "from tests.support.ports import free_port; print([free_port() for _ in range(150)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=dev.ROOT, capture_output=True, text=True, check=True)
    assert set(map(int, re.findall(r"\d+", done.stdout))).isdisjoint(free_port() for _ in range(150))


def test_a_missing_program_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        debian.require("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        debian.require("no-such-program")


def test_mosquitto_carries_a_message_after_it_was_killed_and_started_again(mosquitto: StartMosquitto) -> None:
    broker = mosquitto()
    broker.program.kill()
    broker.program.start()
    heard: list[bytes | bytearray] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _context, message: heard.append(message.payload)
    client.connect(broker.host, broker.port)
    client.subscribe("room/#", qos=1)
    publish.single("room/1", b"ready", qos=1, retain=True, hostname=broker.host, port=broker.port)
    deadline_s = time.monotonic() + 10
    while not heard and time.monotonic() < deadline_s:
        client.loop(timeout=0.1)
    client.disconnect()
    assert heard == [b"ready"]


def test_mosquitto_shows_its_own_words_about_a_bad_configuration(mosquitto: StartMosquitto) -> None:
    with pytest.raises(DidNotStart, match="Unknown configuration variable"):
        mosquitto("listenr {port}\n")


def test_victoria_metrics_gives_back_each_point_once_and_keeps_it_over_a_restart(
    victoria_metrics: StartVictoriaMetrics,
) -> None:
    database = victoria_metrics()
    measured_ms = time.time_ns() // 1_000_000 - 400 * 24 * 3600 * 1000  # older than its default retention
    line = f"ping,room=room-1,target=gateway rtt_avg_ms=4.5 {measured_ms}000000".encode()
    for _ in range(2):
        httpx.post(f"{database.url}/api/v2/write", content=line, trust_env=False).raise_for_status()
    for _ in range(2):
        (series,) = database.series('{room="room-1"}')
        assert series.metric["__name__"] == "ping_rtt_avg_ms"
        assert (series.values, series.timestamps) == ([4.5], [measured_ms])
        database.program.stop()
        database.program.start()


def test_influxdb_answers_influxql(influxdb: StartInfluxDB) -> None:
    database = influxdb()
    database.query("CREATE DATABASE sansang")
    database.write(b"ping,room=room-1 up_bool=1i 1700000000000000000\n", database="sansang")
    (series,) = database.query("SELECT mean(up_bool) FROM ping", database="sansang")
    assert series["values"] == [["1970-01-01T00:00:00Z", 1]]
    with pytest.raises(ValueError, match="SELECT nonsense: error parsing query"):
        database.query("SELECT nonsense")
