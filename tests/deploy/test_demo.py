"""`dev.py demo` as its user runs it: a verdict with the right cause, its mail, its end, and nothing left behind."""

import email
import email.policy
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

import dev
from agent.orders import read_orders
from agent.probes import load_probe
from collector.sinks.sqlite import SqliteHistory
from deploy.demo.plans import ROOM_PLAN, this_pc_plan
from tests.support.ports import LOOPBACK, free_port, is_listening

FOR_S: Final = 90
"""The first room's camera is dark from 15 s to 60 s; hold-off and clearing take 8 s each, a busy machine some."""
MEASURED: Final = {
    "ping": ("lesson-loopback", "rtt_avg_ms"),
    "tcp": ("collector-broker", "connect_ms"),
    "http": ("collector-pages", "status_code"),
    "dns": ("dns", "answer_ms"),
    "host": ("pc", "cpu_ratio"),
}
"""What the real agent must have brought into the store: (target, field) by probe."""


def children_of(session: int) -> list[str]:
    """Command lines of processes whose environment carries the mark of one run of the demo."""
    mark = f"SANSANG_DEMO_MARK={session}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_the_demo_shows_trouble_tells_of_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port, mark = free_port(), time.monotonic_ns()
    data = tmp_path / "demo"
    command = [sys.executable, "-m", "deploy.demo", "--rooms", "4", "--for", str(FOR_S), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data", data],
        cwd=dev.ROOT,
        env={**os.environ, "SANSANG_DEMO_MARK": str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    unfit: set[str] = set()
    try:
        while process.poll() is None:
            unfit |= codes_of_unfit_rooms(f"http://{LOOPBACK}:{port}/rooms.json")
            time.sleep(1.0)
    finally:
        process.terminate()  # it takes its programs with it, also when the run is broken off
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "CAMERA_LOST" in unfit
    mails = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted((data / "outbox").glob("*.eml"))
    ]
    of_camera = [mail for mail in mails if mail["X-Sansang-Room"] == "room-001"]
    assert [mail["X-Sansang-Reason"] for mail in of_camera] == ["opened", "ended"], said
    assert "mất camera" in of_camera[0]["Subject"]
    assert of_camera[1]["In-Reply-To"] == of_camera[0]["Message-ID"]
    history = SqliteHistory(data / "collector" / "series.db")
    for probe, (target, field) in MEASURED.items():
        points = history.points(
            room="this-pc", measurement=probe, field=field, target=target, from_s=0.0, to_s=time.time() + 60
        )
        assert points, f"no {probe} {target} {field} of the real agent"
    assert children_of(mark) == []
    assert not is_listening(port)


def codes_of_unfit_rooms(url: str) -> set[str]:
    try:
        rooms = httpx.get(url, trust_env=False, timeout=2.0).json()["rooms"]
    except httpx.TransportError:
        return set()
    return {room["findings"][0]["code"] for room in rooms if room["level"] == "UNFIT"}


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:

    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "deploy.demo", "--port", str(port), "--data", tmp_path / "demo"],
            cwd=dev.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"127.0.0.1:{port} is taken by another program; choose one with --port\n"


@pytest.mark.parametrize("link", [False, True])
def test_the_agents_take_the_demos_plans(*, link: bool) -> None:
    ours = this_pc_plan(broker_port=1883, web_port=8080, dns_port=5353, link=link)
    for plan in (ROOM_PLAN, ours):
        assert read_orders(plan.encode(), load_probe, source="plan", toml=True).probes
