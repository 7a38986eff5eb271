"""`sansang-agent discover` in a network of namespaces, with devices that answer by real sockets."""

import asyncio
import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import pytest

from agent.discovery.scan import scan
from agent.discovery.scope import Scope
from agent.orders import read_orders
from agent.probes import load_probe
from tests.agent.discovery.school import ABSENT, ADDRESSES, GATEWAY, PC, SUBNET, School, school
from tests.support.debian import require
from tests.support.processes import Programs
from tests.support.snmpsim import own_recordings

PLAN: Final = f"""
[[probe]]
name = "device"
target = "camera"
address = "{ADDRESSES["camera"]}"

[[probe]]
name = "ping"
target = "codec"
address = "{ABSENT}"

[[probe]]
name = "ping"
target = "lesson-zoom"
address = "192.0.2.7"
"""


class Told(NamedTuple):
    """What discover printed, as JSON and as tables."""

    json: dict[str, Any]
    toml: str
    counted: dict[str, Any]
    """What the probe `discovery` read, taken without the right to ping."""

    def device(self, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.json["devices"] if one["address"] == ADDRESSES[name]]
        return found  # type: ignore[no-any-return]  # JSON


@pytest.fixture(scope="module")
def village() -> Iterator[School]:
    with school() as made:
        yield made


@pytest.fixture(scope="module")
def told(village: School, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """One look around in each shape, all at once, at a network whose SNMP camera answers to the community `school`."""
    folder = tmp_path_factory.mktemp("discover")
    (folder / "recordings").mkdir()
    (folder / "recordings" / "school.snmprec").write_text(own_recordings()["camera"], encoding="latin-1")
    plan = folder / "plan.toml"
    plan.write_text(PLAN, encoding="utf-8")
    programs = Programs(folder)
    command = [
        sys.executable, "-W", "ignore", "-m", "snmpsim.commands.responder",
        f"--data-dir={folder / 'recordings'}", f"--cache-dir={folder / 'cache'}",
        f"--agent-udpv4-endpoint={ADDRESSES['snmp']}:161", f"--logging-method=file:{folder / 'said'}",
    ]  # fmt: skip
    try:
        programs.start(
            village.devices["snmp"].inside(*command),
            ready=lambda: (folder / "said").exists() and b"Listening at UDP/IPv4" in (folder / "said").read_bytes(),
            environment={"SNMPSIM_ALLOW_ROOT": "true"},
        )
        words = ["discover", "--config", str(folder / "none.toml"), "--plan", str(plan), "--lang", "en"]
        words += ["--community", "public", "--community", "school"]
        known = ", ".join(f'"{one}"' for one in (ABSENT, "192.168.7.7", *list(ADDRESSES.values())[2:]))
        deprived = (require("setpriv"), "--bounding-set=-net_raw", sys.executable, "-m", "agent")
        with ThreadPoolExecutor() as pool:
            as_json = pool.submit(village.agent, *words, "--json")
            as_toml = pool.submit(village.agent, *words, "--toml")
            counted = pool.submit(
                village.pc.run, *deprived, "probe", "discovery", "--set", f"known=[{known}]", "--json"
            )
        yield Told(json=json.loads(as_json.result()), toml=as_toml.result(), counted=json.loads(counted.result()))
    finally:
        programs.stop_all()


def test_every_device_of_the_network_is_found_once_and_nobody_else(told: Told) -> None:
    assert sorted(one["address"] for one in told.json["devices"]) == sorted(ADDRESSES.values())
    assert told.json["networks"] == [SUBNET]
    assert told.json["is_complete"] is True


@pytest.mark.parametrize(
    ("device", "role", "by", "name"),
    [
        ("television", "screen", "ssdp", "Linux/5.4 UPnP/1.0 Telly/2.1"),
        ("sound", "dsp", "mdns", "Ceiling"),
        ("projector", "projector", "pjlink", "Epsilon EB-2611"),
        ("camera", "camera", "onvif", "Camera nhà AX-1"),
    ],
)
def test_a_device_is_known_by_what_it_speaks(told: Told, device: str, role: str, by: str, name: str) -> None:
    found = told.device(device)
    assert (found["role"], found["name"]) == (role, name)
    assert by in found["by"]
    assert "ping" in found["by"]


def test_an_snmp_device_is_recognised_by_the_community_that_it_answers_to(told: Told) -> None:
    found = told.device("snmp")
    assert (found["role"], found["kind"], found["model"]) == ("camera", "axis", "M0000")
    assert "snmp" in found["by"]
    assert "school" not in json.dumps(told.json)


def test_a_device_that_answers_no_ping_is_seen_by_arp(told: Told) -> None:
    assert told.device("shy")["by"] == ["arp"]


def test_one_that_talks_nonsense_is_only_there(told: Told) -> None:
    found = told.device("liar")
    assert (found["role"], found["kind"], found["name"]) == ("device", "", "")


def test_the_gateway_is_told_from_the_other_devices(told: Told) -> None:
    assert told.device("gateway")["role"] == "gateway"


def test_what_the_plan_knows_is_known_and_what_is_silent_in_it_has_vanished(told: Told) -> None:
    status = {one["target"]: one["status"] for one in told.json["devices"]}
    assert status["camera"] == "known"
    assert status["camera-2"] == "new"
    assert told.json["vanished"] == [{"target": "codec", "host": ABSENT}]


def test_the_tables_load_beside_the_plan_that_was_there(told: Told) -> None:
    orders = read_orders((PLAN + told.toml).encode(), load_probe, source="plan", toml=True)
    pairs = zip(orders.plan.jobs, orders.probes, strict=True)
    made: dict[str, Any] = {f"{job.probe} {probe.target}": job.settings for job, probe in pairs}
    assert made["ping gateway"]["address"] == GATEWAY
    assert made["device camera-2"] == {
        "target": "camera-2", "address": ADDRESSES["snmp"], "kind": "axis", "community": "school",
    }  # fmt: skip
    assert {"device projector", "device screen", "device dsp"} <= made.keys()
    assert sorted(made["discovery pc"]["known"]) == sorted(ADDRESSES.values())
    assert f"# not proposed: {ADDRESSES['liar']}: unidentified (ping)" in told.toml
    assert f"# in the plan, silent this time: codec {ABSENT}" in told.toml


def test_the_probe_counts_who_is_new_and_who_has_vanished_without_the_right_to_ping(told: Told) -> None:
    assert (told.counted["outcome"], told.counted["target"]) == ("ok", "pc")
    assert told.counted["values"] == {"devices_count": len(ADDRESSES), "new_count": 2, "vanished_count": 1}


def test_when_time_runs_out_those_who_are_there_are_listed_all_the_same(village: School) -> None:
    both = (ADDRESSES["camera"], ADDRESSES["television"])
    scope = Scope(
        card="lan", own=PC, cable=(ipaddress.IPv4Network(SUBNET),), swept=tuple(map(ipaddress.IPv4Network, both)),
        addresses=both, hosts_per_s=20.0,
    )  # fmt: skip
    scanned = village.pc.do(lambda: asyncio.run(scan(scope, ["public"], limit_s=0.0)))
    assert scanned.is_complete is False
    assert tuple(one.address for one in scanned.found) == both


def test_without_the_right_to_ping_nothing_is_pinged(village: School) -> None:
    """What the count above stands on."""
    deprived = (require("setpriv"), "--bounding-set=-net_raw", sys.executable, "-m", "agent")
    line = json.loads(village.pc.run(*deprived, "probe", "ping", "--target", GATEWAY, "--json"))
    assert line["outcome"] == "denied"


def test_no_question_leaves_the_cable(village: School) -> None:
    """Its own address in no network of a school, or none at all: nothing is asked."""
    village.pc.ip("link add dev wan type veth peer name line", "address add 203.0.113.2/24 dev wan")
    village.pc.set(ipv6__conf__wan__disable_ipv6="1")
    village.pc.ip("link set wan up", "link set line up")
    for words, sentence in (
        (("--interface", "wan"), "203.0.113.0/24 is no private network"),
        (("--subnet", "203.0.113.0/24"), "203.0.113.0/24 is no private network"),
        (("--interface", "lan9"), "This PC has no network card lan9."),
    ):
        command = village.pc.inside(sys.executable, "-m", "agent", "discover", "--lang", "en", "--config", "/none")
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert done.stdout == ""
    assert village.pc.run("cat", "/sys/class/net/wan/statistics/tx_packets").strip() == "0"
