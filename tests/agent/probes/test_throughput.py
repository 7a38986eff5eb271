"""How much a line carries, over a relay that is a line of known bitrate."""

import asyncio
from typing import Any

import pytest

from agent.orders import read_orders
from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.probes.throughput import Throughput
from contract.outcome import Outcome
from contract.settings import SettingsError
from tests.support.ports import free_port
from tests.support.reflector import Reflecting
from tests.support.udp_relay import Steady, UdpRelay


def measure(reflecting: Reflecting, port: int, **more: Any) -> Values:
    return asyncio.run(Throughput(**reflecting.probe(port, **more)).measure())


def line(bps: float, seed: int) -> Steady:
    return Steady(bps=bps, queue_bytes=60_000, delay_s=0.03, seed=seed)


def test_it_tells_what_each_way_carries(reflecting: Reflecting) -> None:
    with UdpRelay(reflecting.port, line(0.6e6, 1), line(2.4e6, 2)) as relay:
        values = measure(reflecting, relay.port)
    assert values["up_bps"] == pytest.approx(0.6e6, rel=0.15)
    assert values["down_bps"] == pytest.approx(2.4e6, rel=0.15)
    assert (values["up_capped_bool"], values["down_capped_bool"]) == (0, 0)
    assert values["used_bytes"] < 2_500_000
    assert 60 <= values["idle_rtt_ms"] < 200


def test_it_spends_no_more_than_it_may_and_says_that_there_may_be_more(reflecting: Reflecting) -> None:
    with UdpRelay(reflecting.port, line(50e6, 3), line(50e6, 4)) as relay:
        values = measure(reflecting, relay.port, most_bytes=1_200_000)
    assert (values["up_capped_bool"], values["down_capped_bool"]) == (1, 1)
    assert (values["up_bps"], values["down_bps"]) == (1e6, 1e6)
    assert values["used_bytes"] <= 1_200_000


def test_a_reflector_that_is_not_there_says_so(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed) as failed:
        measure(reflecting, free_port())
    assert failed.value.outcome in (Outcome.REFUSED, Outcome.TIMEOUT)


PLAN = """
[[probe]]
name = "throughput"
target = "lesson.centre"
address = "centre.example.vn"
agent = "dongvan-pc1"
"""


def test_a_plan_names_the_hours_in_which_it_may_run() -> None:
    orders = read_orders(f'{PLAN}hours = ["23:00-05:00"]'.encode(), load_probe, source="plan", toml=True)
    assert len(orders.plan.jobs[0].hours.windows) == 1
    for written, sentence in (
        ('every_s = "1h"', 'probe[0].hours: throughput needs hours = ["23:00-05:00"]'),
        ("", 'probe[0].hours: throughput needs hours = ["23:00-05:00"]'),
        ('hours = ["23-5"]', "probe[0].hours[0]: "),
        ('hours = ["23:00-05:00"]\nevery_s = "1h"', "probe[0].hours: goes without every_s"),
    ):
        with pytest.raises(SettingsError) as refused:
            read_orders(f"{PLAN}{written}".encode(), load_probe, source="plan", toml=True)
        assert sentence in str(refused.value)
