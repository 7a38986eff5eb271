"""From an operator's plan to a verdict: the real collector, its reflector, and the real agent."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.support.collector import StartCollector
from tests.support.ports import free_port
from tests.support.processes import Programs

PLAN = """
tick_s = "12s"
profile = "zoom-720p"

[[probe]]
name = "stamp"
target = "lesson.centre"
duration_s = 0.5
timeout_s = 0.1
packets_per_s = 200
"""


def test_a_room_whose_plan_brings_its_agent_a_key_is_judged_by_test_packets(
    collector: StartCollector, programs: Programs, tmp_path: Path
) -> None:
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "default.toml").write_text(PLAN, encoding="utf-8")
    broker, udp = free_port(), free_port(socket.SOCK_DGRAM)
    centre = collector(
        f"[broker]\nport = {broker}\n[agents]\nport = {broker}\n"
        f'[reflector]\nenabled = true\nhost = "127.0.0.1"\nport = {udp}\n',
        top=f'plans = "{plans}"',
    )

    def operate(*words: str) -> None:
        command = [sys.executable, "-m", "collector", *words, "--config", str(centre.config)]
        subprocess.run(command, check=True, capture_output=True)

    operate("rooms", "add", "phong-101", "--name", "Phòng 101", "--province", "Lào Cai", "--school", "THCS")
    small_file = tmp_path / "pc-1.toml"
    operate("agents", "add", "pc-1", "--room", "phong-101", "--file", str(small_file))
    small_file.write_text(f'data_dir = "{tmp_path / "agent"}"\n{small_file.read_text()}', encoding="utf-8")
    programs.start([sys.executable, "-m", "agent", "run", "--config", small_file], ready=lambda: True)

    centre.wait_for(lambda: [room["level"] for room in centre.get("/rooms.json").json()["rooms"]] == ["FIT"], 120)
