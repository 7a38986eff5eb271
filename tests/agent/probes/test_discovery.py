"""The probe `discovery`: its settings, and what it says where it may not look."""

import asyncio
import ipaddress

import pytest

from agent.clock import SystemClock
from agent.probes import load_probe
from agent.probes.discovery import Discovery
from agent.taking import take_reading
from contract.outcome import Outcome
from contract.settings import SettingsError

NETWORK = (ipaddress.IPv4Network("10.0.0.0/24"),)


def test_an_accepted_address_elsewhere_is_not_missed() -> None:
    probe = Discovery(known=("10.0.0.5", "10.0.0.6", "10.9.0.1"))
    assert probe.counted({"10.0.0.5", "10.0.0.7"}, NETWORK) == {"devices_count": 2, "new_count": 1, "vanished_count": 1}


def test_addresses_and_networks_that_are_none_are_told_together() -> None:
    with pytest.raises(SettingsError) as refused:
        load_probe("discovery", {"known": ["10.0.0.5", "camera"], "subnet": ["10.0.0.0/24", "x/24"]}, source="plan")
    assert [problem.where for problem in refused.value.problems] == ["known[1]", "subnet[1]"]


@pytest.mark.parametrize(
    ("probe", "outcome", "detail"),
    [
        (Discovery(interface="lan9"), Outcome.ABSENT, "discovery: This PC has no network card lan9."),
        (Discovery(interface="lo"), Outcome.ABSENT, "discovery: The network card lo has no usable IPv4 address"),
    ],
    ids=["no card", "loopback"],
)
def test_a_pc_without_that_network_says_so(probe: Discovery, outcome: Outcome, detail: str) -> None:
    reading = asyncio.run(take_reading("discovery", probe, SystemClock())).reading
    assert reading.outcome is outcome
    assert reading.detail.startswith(detail)


def test_a_whole_search_fits_into_the_time_that_it_is_given() -> None:
    assert 254 / 20 + 1 < Discovery().longest_s < 60
    assert 4096 / 10 + 1 < Discovery(wide=True).longest_s < 600
