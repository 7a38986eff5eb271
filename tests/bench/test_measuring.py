"""Each benchmark runs from end to end at a tiny size: what it finds then is no figure, only that it finds it."""

import contextlib
import os
import re
from pathlib import Path

import pytest

from bench import agent, collector, ping, snmp, wire
from bench.figures import Row
from tests.support.debian import find, require


def of(rows: tuple[Row, ...] | list[Row], beginning: str) -> Row:
    (found,) = (row for row in rows if row.what.startswith(beginning))
    return found


def test_wire_counts_what_both_ways_carry(tmp_path: Path) -> None:
    require("mosquitto")
    with contextlib.ExitStack() as until:
        result = wire.measure(until, tmp_path, rounds=1, minute_s=1.0)
    minutes = [row for row in result.rows if row.what == "167 samples: a minute on the wire"]
    batch = of(result.rows, "167 samples: the batch alone")
    assert len(minutes) == 2
    for row in minutes:
        assert batch.ours[0] < row.ours[0] < row.theirs[0]


def test_collector_takes_each_stage_apart(tmp_path: Path) -> None:
    rows = collector.in_a_row(tmp_path, rooms_count=3, rounds=1)
    whole = of(rows, "in a row: all")
    stages = [row.ours[0] for row in rows if row.what.startswith("of it: ")]
    assert sum(stages) == pytest.approx(whole.ours[0])
    assert min(stages) > 0
    assert whole.theirs[0] > 0


def test_collector_stores_and_acknowledges_behind_brokers(tmp_path: Path) -> None:
    require("mosquitto")
    with contextlib.ExitStack() as until:
        rows = collector.behind_brokers(until, tmp_path, rooms_count=2, rounds=1, minute_s=1.0)
    assert all(cpu_ms > 0 for cpu_ms in of(rows, "behind mosquitto: all").ours)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
def test_ping_loses_exactly_what_was_dropped() -> None:
    for program in ("fping", "ip", "nft"):
        require(program)
    result = ping.measure(rounds=1, few=2, many=20, spacing_s=0.05)
    assert of(result.rows, "20 targets: lost, none dropped").ours == (0.0,)
    assert of(result.rows, "100 echoes, 10 dropped: lost").ours == (10.0,)


def test_snmp_gets_every_object_that_it_asks_for() -> None:
    if missing := [name for name in ("snmpd", "snmpget") if find(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: 'python3 dev.py bench' needs more than the tests do")
    result = snmp.measure(rounds=1, cycles_count=2, idle_s=0.2)
    assert result.notes == ("0 objects of ours were not answered.",)
    assert all(cpu_ms > 0 for row in result.rows[:2] for cpu_ms in row.ours)


def test_agent_does_the_same_job_as_its_peers(tmp_path: Path) -> None:
    missing = [name for name in ("collectd", "zabbix_agent2", "snmpd", "mosquitto") if find(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: 'python3 dev.py bench' needs more than the tests do")
    with contextlib.ExitStack() as until:
        result = agent.measure(until, tmp_path, rounds=1, tick_s=4.0)
    readings_count, bad_count, _ = map(int, re.findall(r"\d+", result.notes[0]))
    assert readings_count >= 16, "one tick at least"
    assert bad_count < readings_count / 4, "a loaded machine may miss a few short time-outs, and no more"
    assert all(cpu_ms > 0 for row in result.rows if row.what == "CPU a minute" for cpu_ms in (*row.ours, *row.theirs))
