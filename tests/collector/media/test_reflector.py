"""The reflector as a service: its socket, its secret, alone on a host, and packets of an independent implementation."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.orders import read_orders
from agent.probes import load_probe
from agent.probes.stamp import Stamp
from collector.media.reflecting import Refused
from collector.media.reflector import ReflectorError, ReflectorService, load_secret
from collector.plans import Completion, Reach, read_plan_file
from collector.settings import ReflectorSettings
from contract import stamp, stream
from readiness.profile import default_profiles
from tests.support.collector import StartCollector
from tests.support.ports import free_port
from tests.support.reflector import SECRET, Reflecting

with warnings.catch_warnings():
    # scapy reads the system's routes when it is imported, and warns of a machine that has none.
    warnings.simplefilter("ignore")
    from scapy.contrib import stamp as scapys

PROFILES = default_profiles()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(10.0)
        yield one


def test_a_packet_that_scapy_built_is_reflected_for_scapy_to_read(sock: socket.socket) -> None:
    reflecting = Reflecting(ssids=(9,))
    try:
        request = scapys.STAMPSessionSenderTestUnauthenticated(seq=5, ssid=9, ts=time.time() + 2_208_988_800)
        sock.sendto(
            bytes(request) + bytes(scapys.STAMPTestTLV(type=1, len=8, value=bytes(8))), ("127.0.0.1", reflecting.port)
        )
        theirs = scapys.STAMPSessionReflectorTestUnauthenticated(sock.recv(2048))
    finally:
        reflecting.service.stop()
    assert (theirs.seq, theirs.ssid, theirs.seq_sender, theirs.ttl_sender) == (0, 9, 5, 64)
    assert float(theirs.ts_sender) == pytest.approx(float(request.ts), abs=1e-3)
    assert request.ts - 1 < theirs.ts_rx <= theirs.ts < request.ts + 60
    assert [(tlv.type, int(tlv.flags)) for tlv in theirs.tlv_objects] == [(1, 0)]


def test_an_agents_packet_comes_back_stamped_by_the_kernel(reflecting: Reflecting, sock: socket.socket) -> None:
    key = stamp.derive_key(SECRET, "pc-1")
    before_ns = time.time_ns()
    sock.sendto(stamp.encode_request(0, before_ns, ssid=7, key=key, agent="pc-1"), ("127.0.0.1", reflecting.port))
    reply = stamp.decode_reply(sock.recv(2048), key)
    assert before_ns <= reply.received_ns <= reply.sent_ns <= time.time_ns()


def test_strangers_get_no_answer(reflecting: Reflecting, sock: socket.socket) -> None:
    where = ("127.0.0.1", reflecting.port)
    for packet in (b"", b"x" * 200, stamp.encode_request(0, 0, ssid=7), stream.MAGIC + bytes(300)):
        sock.sendto(packet, where)
    key = stamp.derive_key(SECRET, "pc-1")
    sock.sendto(stamp.encode_request(9, 1, ssid=7, key=key, agent="pc-1"), where)
    assert stamp.decode_reply(sock.recv(2048), key).sender_seq == 9, "the first answer is to the agent"
    reflecting.service.stop()  # it counts after it has sent
    assert sum(reflecting.service.refused.values()) == 4
    assert reflecting.service.answered_count == 1


def test_a_flood_of_one_address_is_cut(sock: socket.socket) -> None:
    reflecting = Reflecting(packets_per_s_per_source=10.0)
    try:
        key = stamp.derive_key(SECRET, "pc-1")
        for seq in range(300):
            sock.sendto(stamp.encode_request(seq, 1, ssid=7, key=key, agent="pc-1"), ("127.0.0.1", reflecting.port))
        deadline_s = time.monotonic() + 30
        while sum(reflecting.service.refused.values()) + reflecting.service.answered_count < 300:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    finally:
        reflecting.service.stop()
    assert reflecting.service.refused[Refused.TOO_MANY] > 100
    assert reflecting.service.answered_count >= 10


def test_ipv6_is_answered_too() -> None:
    try:
        reflecting = Reflecting(host="::1")
    except ReflectorError:
        pytest.skip("no IPv6 here")
    key = stamp.derive_key(SECRET, "pc-1")
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10.0)
            sock.sendto(stamp.encode_request(0, 1, ssid=7, key=key, agent="pc-1"), ("::1", reflecting.port))
            assert stamp.decode_reply(sock.recv(2048), key).ttl == 64
    finally:
        reflecting.service.stop()


def test_a_port_that_is_taken_is_named(sock: socket.socket) -> None:
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    with pytest.raises(ReflectorError, match=f"^UDP 127.0.0.1:{port}: Address already in use$"):
        ReflectorService(ReflectorSettings(host="127.0.0.1", port=port), SECRET).start()


# The secret, and what agents get of it


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "reflector-secret"
    secret = load_secret(path)
    assert (len(secret), path.stat().st_mode & 0o777) == (64, 0o600)
    assert load_secret(path) == secret


H323 = PROFILES["h323-720p"]


def no_secret() -> bytes:
    raise AssertionError("asked for")


PLAN = """
[[probe]]
name = "ping"
target = "lesson.centre"
address = "192.0.2.1"

[[probe]]
name = "stamp"
target = "lesson.centre"

[[probe]]
name = "stamp"
target = "lesson.other"
address = "203.0.113.7"
port = 9000
ssid = 12

[[probe]]
name = "sufficiency"
target = "lesson.centre"
every_s = "6h"

[[probe]]
name = "throughput"
target = "lesson.centre"
hours = ["23:00-05:00"]
"""


def test_a_plan_is_completed_for_its_agent(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text(PLAN, encoding="utf-8")
    plan = read_plan_file(path, tuple(PROFILES))
    completion = Completion(lambda: SECRET, Reach("centre.example.vn", 8620))
    payload = completion.payload(plan, "pc-1", PROFILES["zoom-720p"])
    key = stamp.derive_key(SECRET, "pc-1").hex()
    _, ours, other, sufficiency, throughput = read_orders(payload, load_probe, source="plan").plan.jobs
    assert ours.settings == {
        "target": "lesson.centre", "address": "centre.example.vn", "port": 8620, "agent": "pc-1", "key": key
    }  # fmt: skip
    assert other.settings == {"target": "lesson.other", "address": "203.0.113.7", "port": 9000, "ssid": 12}
    assert sufficiency.settings == ours.settings | {"up_bps": 1.8e6, "down_bps": 2.6e6}
    assert throughput.settings == ours.settings
    assert completion.payload(plan, "pc-1", PROFILES["zoom-720p"]) is payload, "the same as long as nothing changed"
    assert completion.payload(plan, "pc-2", PROFILES["zoom-720p"]) != payload
    assert b'"up_bps":150000' in completion.payload(plan, "pc-1", PROFILES["audio-only"])


def test_the_way_is_walked_to_the_servers_of_the_rooms_kind_of_lesson(tmp_path: Path) -> None:
    """And needs no secret for it; a plan that names its own, or none on purpose, stays as it is."""
    path = tmp_path / "default.toml"
    walks: tuple[tuple[str, list[str]], ...] = (
        ("", ["zoom.us:443"]),
        ('lesson = ["meet.example.vn:443"]', ["meet.example.vn:443"]),
        ("lesson = []", []),
    )
    for written, expected in walks:
        path.write_text(f'[[probe]]\nname = "link"\n{written}\n', encoding="utf-8")
        plan = read_plan_file(path, tuple(PROFILES))
        payload = Completion(no_secret, Reach("x", 1)).payload(plan, "pc-1", PROFILES["zoom-720p"])
        (job,) = read_orders(payload, load_probe, source="plan").plan.jobs
        found = job.settings["lesson"]
        assert isinstance(found, list)
        assert found[: len(expected)] == expected
        assert bool(found) is bool(expected)
    by_number = Completion(no_secret, Reach("x", 1)).payload(read_plan_file(path, tuple(PROFILES)), "pc-1", H323)
    assert b"zoom" not in by_number


def test_a_plan_without_test_packets_needs_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text('[[probe]]\nname = "ping"\ntarget = "lesson"\naddress = "192.0.2.1"\n', encoding="utf-8")
    plan = read_plan_file(path, tuple(PROFILES))

    assert Completion(no_secret, Reach("x", 1)).payload(plan, "pc-1", PROFILES["zoom-720p"]) is plan.payload


def test_a_plan_whose_keys_cannot_be_made_goes_out_as_written_and_completed_later(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text(PLAN, encoding="utf-8")
    plan = read_plan_file(path, tuple(PROFILES))
    unreadable = tmp_path / "secret"
    unreadable.mkdir()
    completion = Completion(lambda: load_secret(unreadable), Reach("x", 1))
    assert completion.payload(plan, "pc-1", PROFILES["zoom-720p"]) is plan.payload
    unreadable.rmdir()
    assert b'"agent":"pc-1"' in completion.payload(plan, "pc-1", PROFILES["zoom-720p"])


# Alone on a host


def write_settings(folder: Path, port: int) -> Path:
    path = folder / "reflector.toml"
    path.write_text(f'data_dir = "data"\n[reflector]\nhost = "127.0.0.1"\nport = {port}\n', encoding="utf-8")
    return path


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "collector", *map(str, words)]


def test_it_runs_alone_with_nothing_but_its_secret(tmp_path: Path, sock: socket.socket) -> None:
    settings = write_settings(tmp_path, free_port(socket.SOCK_DGRAM))
    port = int(settings.read_text().split()[-1])
    printed = subprocess.run(
        command("reflector", "--config", settings, "--key-of", "pc-1"), capture_output=True, text=True, check=True
    ).stdout
    key = bytes.fromhex(printed.strip())
    running = subprocess.Popen(command("reflector", "--config", settings), stderr=subprocess.DEVNULL)
    try:
        sock.settimeout(0.2)
        reply = None
        deadline_s = time.monotonic() + 60
        while reply is None:
            assert time.monotonic() < deadline_s
            assert running.poll() is None
            packet = stamp.encode_request(0, time.time_ns(), ssid=7, key=key, agent="pc-1")
            sock.sendto(packet, ("127.0.0.1", port))
            try:
                reply = stamp.decode_reply(sock.recv(2048), key)
            except (TimeoutError, ConnectionRefusedError):
                continue
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["reflector-secret"]


def test_a_name_that_can_have_no_key_is_refused(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, 0)
    done = subprocess.run(
        command("reflector", "--config", settings, "--key-of", "PC 1", "--lang", "en"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "3 to 32 characters" in done.stderr


def test_the_collector_answers_beside_its_other_work(collector: StartCollector) -> None:
    port = free_port(socket.SOCK_DGRAM)
    centre = collector(
        f'[broker]\nport = {free_port()}\n[reflector]\nenabled = true\nhost = "127.0.0.1"\nport = {port}\n'
    )
    centre.wait_for(lambda: centre.get("/healthz").is_success)
    key = stamp.derive_key(load_secret(centre.folder / "reflector-secret"), "pc-1").hex()
    probe = Stamp(target="lesson", address="127.0.0.1", port=port, key=key, agent="pc-1", duration_s=0.5)
    assert asyncio.run(probe.measure())["received_count"] > 0
    assert centre.program.stop() == 0
