"""Orders: a plan is taken whole or refused whole, with every reason, and the last good one outlives a restart."""

import os
from pathlib import Path

import msgspec
import pytest

from agent.orders import PlanFile, read_orders
from agent.probes import load_probe
from contract.settings import SettingsError
from tests.agent.made import MadeProbe, loads

TWO_PINGS = {
    "tick_s": "30s",
    "profile": "h323-720p",
    "backlog_bps": 16000,
    "probe": [
        {"name": "ping", "target": "gateway", "address": "192.168.1.1"},
        {"name": "ping", "target": "lesson-zoom", "address": "10.1.1.1", "every_s": "1m", "count": 20},
    ],
}
TWO_PINGS_TOML = b"""
tick_s = "30s"
profile = "h323-720p"
backlog_bps = 16000
[[probe]]
name = "ping"
target = "gateway"
address = "192.168.1.1"
[[probe]]
name = "ping"
target = "lesson-zoom"
address = "10.1.1.1"
every_s = "1m"
count = 20
"""


@pytest.mark.parametrize(
    ("payload", "toml"), [(msgspec.json.encode(TWO_PINGS), False), (TWO_PINGS_TOML, True)], ids=["json", "toml"]
)
def test_a_plan_is_the_same_as_it_travels_and_as_people_write_it(payload: bytes, *, toml: bool) -> None:
    orders = read_orders(payload, load_probe, source="plan", toml=toml)
    assert (orders.plan.tick_s, orders.plan.profile, orders.plan.backlog_bps) == (30.0, "h323-720p", 16000.0)
    assert [(job.probe, job.every_s) for job in orders.plan.jobs] == [("ping", 30.0), ("ping", 60.0)]
    assert [(probe.target, getattr(probe, "count", None)) for probe in orders.probes] == [
        ("gateway", 10),
        ("lesson-zoom", 20),
    ]


def test_a_fingerprint_tells_plans_apart() -> None:
    first, again, other = (
        read_orders(msgspec.json.encode(raw), load_probe, source="plan").fingerprint
        for raw in (TWO_PINGS, TWO_PINGS, TWO_PINGS | {"tick_s": "60s"})
    )
    assert first == again != other
    assert 0 < len(first) <= 40, "as long as a state may carry"


def test_one_bad_probe_refuses_the_whole_plan_and_all_reasons_are_given() -> None:
    raw = TWO_PINGS | {
        "probe": [
            {"name": "ping", "target": "gateway", "address": "192.168.1.1"},
            {"name": "pong", "target": "gateway"},
            {"name": "ping", "target": "isp", "address": "10.0.0.1", "count": 0, "every_s": "45s"},
            {"name": "ping", "target": "isp", "address": "10.0.0.1"},
        ]
    }
    with pytest.raises(SettingsError) as refused:
        read_orders(msgspec.json.encode(raw), load_probe, source="plan from the collector")
    wheres = [problem.where for problem in refused.value.problems]
    assert wheres == ["probe[2].every_s", "probe[3].target", "probe[1].name", "probe[2].count"]


def test_a_probe_that_has_a_name_for_its_target_by_default_is_measured_once() -> None:
    load = loads(host=MadeProbe(target="pc"))
    raw = {"probe": [{"name": "host"}, {"name": "host"}]}
    with pytest.raises(SettingsError) as refused:
        read_orders(msgspec.json.encode(raw), load, source="plan")
    assert str(refused.value) == (
        "plan: probe[1].target: target pc is measured by host already; a probe measures a target once"
    )


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"null", b'{"probe": 7}', b'{"probe": [7]}'], ids=repr
)
def test_what_is_no_plan_is_refused_and_breaks_nothing(payload: bytes) -> None:
    for toml in (False, True):
        with pytest.raises(SettingsError):
            read_orders(payload or b"=", load_probe, source="plan", toml=toml)


@pytest.mark.parametrize(
    "payload", [b'{"probe": ' + b"[" * 100_000, b"probe = " + b"[" * 100_000], ids=["json", "toml"]
)
def test_a_deep_plan_is_refused_and_breaks_nothing(payload: bytes) -> None:
    with pytest.raises(SettingsError):
        read_orders(payload, load_probe, source="plan", toml=payload.startswith(b"probe"))


def test_a_plan_without_probes_is_a_plan() -> None:
    """An operator may silence a PC."""
    assert read_orders(b"{}", load_probe, source="plan").probes == ()


def test_the_last_good_plan_is_kept_on_disk(tmp_path: Path) -> None:
    file = PlanFile(tmp_path / "plan.json")
    assert file.load() is None
    file.keep(b"first")
    file.keep(b"second")
    assert PlanFile(tmp_path / "plan.json").load() == b"second"
    assert os.listdir(tmp_path) == ["plan.json"]  # noqa: PTH208 - names only


def test_a_plan_that_cannot_be_kept_leaves_the_one_before(tmp_path: Path) -> None:
    file = PlanFile(tmp_path / "plan.json")
    file.keep(b"first")
    (tmp_path / "plan.draft").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.keep(b"second")
    assert file.load() == b"first"
