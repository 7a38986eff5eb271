from pathlib import Path

import msgspec
import pytest

from agent.orders import read_orders
from agent.probes import load_probe
from agent.settings import load_settings
from bench.agent import plan_text, write_settings
from bench.job import Breadth, Room, metrics_of
from collector.authority import Authority
from contract.batch import decode_batch, encode_batch


@pytest.mark.parametrize(("breadth", "count"), [("lean", 117), ("full", 167)])
def test_a_minute_has_as_many_samples_as_the_page_says(breadth: Breadth, count: int) -> None:
    batch = decode_batch(encode_batch(Room("room-1", breadth=breadth).batch(1.8e9, 0)))
    assert len(metrics_of(batch.records[0])) == count


def test_the_same_room_measures_the_same_again_and_another_room_something_else() -> None:
    payloads = [encode_batch(Room(name, breadth="full").batch(1.8e9, 0)) for name in ("room-1", "room-1", "room-2")]
    assert payloads[0] == payloads[1] != payloads[2]


def test_the_agent_takes_the_plan_and_the_settings_of_its_benchmark(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", 1.8e9)
    issued = authority.issue_agent("room-1")
    identity = {"ca": authority.certificate, "certificate": issued.certificate, "key": issued.key}
    write_settings(tmp_path, 8883, identity, plan_text([161] * 5, 60.0))
    settings = load_settings(tmp_path / "agent.toml")
    assert settings.plan is not None
    assert settings.identity is not None
    assert msgspec.structs.asdict(settings.identity) == identity
    orders = read_orders(settings.plan.read_bytes(), load_probe, source="plan", toml=True)
    assert [job.probe for job in orders.plan.jobs] == ["host", *["ping"] * 10, *["snmp"] * 5]
