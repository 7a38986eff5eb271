"""The ping probe on loopback, and on hosts in a network namespace that answer badly or not at all."""

import asyncio
import math
import re
import socket
import statistics
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network import icmp_windows
from agent.network.echo import LOST, Echo, Manner
from agent.network.icmp import pinger
from agent.probe import ProbeFailed, Values
from agent.probes.ping import Ping, figures, jitter_ms
from contract.outcome import Outcome
from tests.support.debian import in_ci, require
from tests.support.network import (
    FORBIDDEN,
    NO_ROUTE,
    REFUSED_BY_ROUTER,
    REFUSED_BY_ROUTER_6,
    ROUTER,
    ROUTER_6,
    SERVER,
    Network,
)


@pytest.fixture(autouse=True)
def _may_ping() -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return
    if in_ci():
        pytest.fail("no right to send pings")
    pytest.skip("no right to send pings")


def measure(address: str, **settings: object) -> Values:
    plain: dict[str, object] = {
        "target": "gateway",
        "address": address,
        "count": 3,
        "spacing_s": 0.02,
        "timeout_s": 0.5,
    }
    return asyncio.run(Ping(**(plain | settings)).measure())  # type: ignore[arg-type] # as a plan's settings come


def test_a_host_that_answers_has_its_times_in_order() -> None:
    values = measure("127.0.0.1", count=10)
    assert (values["sent_count"], values["received_count"], values["loss_ratio"]) == (10, 10, 0.0)
    assert 0 < values["rtt_min_ms"] <= values["rtt_p50_ms"] <= values["rtt_p95_ms"] <= values["rtt_max_ms"]
    assert set(values) == {value.name for value in Ping.values}


@pytest.mark.parametrize("size_bytes", [8, 56, 1400])
def test_packets_of_any_size_come_back(size_bytes: int) -> None:
    assert measure("127.0.0.1", size_bytes=size_bytes)["received_count"] == 3


def test_a_name_is_resolved_first() -> None:
    assert measure("localhost")["received_count"] == 3


def test_a_hundred_hosts_at_once_are_each_measured_honestly() -> None:
    async def all_at_once() -> list[Values]:
        probes = [
            Ping(target=f"device-{number}", address=f"127.0.0.{number}", count=3, spacing_s=0.01)
            for number in range(1, 101)
        ]
        return await asyncio.gather(*(probe.measure() for probe in probes))

    found = asyncio.run(all_at_once())
    assert [values["received_count"] for values in found] == [3] * 100
    # Stamped when Python gets round to it, these read some milliseconds; stamped by the kernel, hundredths of one.
    assert statistics.median(values["rtt_min_ms"] for values in found) < 0.5


def test_an_idle_pinger_holds_no_socket() -> None:
    async def look() -> tuple[bool, bool]:
        one = pinger(socket.AF_INET)
        before = one.is_open
        await Ping(target="gateway", address="127.0.0.1", count=1).measure()
        return before, one.is_open

    assert asyncio.run(look()) == (False, False)


def test_our_times_agree_with_fpings() -> None:
    fping = require("fping")
    ours_ms = measure("127.0.0.1", count=20, spacing_s=0.01)["rtt_p50_ms"]
    said = subprocess.run(
        [fping, "-q", "-C20", "-p10", "127.0.0.1"], capture_output=True, text=True, check=False
    ).stderr
    theirs_ms = statistics.median(float(word) for word in re.findall(r"\d+\.\d+(?= |$)", said.partition(":")[2]))
    assert abs(ours_ms - theirs_ms) < 1.0


# Hosts that answer badly or not at all


def test_a_dead_host_is_a_measurement_with_all_lost(network: Network) -> None:
    network.server.set(ipv4__icmp_echo_ignore_all="1")
    assert network.pc.do(lambda: measure(SERVER)) == {"sent_count": 3, "received_count": 0, "loss_ratio": 1.0}


def test_loss_is_counted_exactly(network: Network) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through icmp type echo-request numgen inc mod 4 == 0 drop
    """)
    values = network.pc.do(lambda: measure(SERVER, count=20, spacing_s=0.01))
    assert (values["sent_count"], values["received_count"], values["loss_ratio"]) == (20, 15, 0.25)


@pytest.mark.parametrize(
    ("address", "outcome", "told"),
    [
        (REFUSED_BY_ROUTER, Outcome.UNREACHABLE, f"{ROUTER} says: Destination host unreachable"),
        (REFUSED_BY_ROUTER_6, Outcome.UNREACHABLE, f"{ROUTER_6} says: No route to destination"),
        (NO_ROUTE, Outcome.UNREACHABLE, "Network is unreachable"),
        (FORBIDDEN, Outcome.DENIED, "Permission denied"),
    ],
)
def test_why_no_answer_comes_is_told_when_somebody_says_so(
    network: Network, address: str, outcome: Outcome, told: str
) -> None:
    with pytest.raises(ProbeFailed) as caught:
        network.pc.do(lambda: measure(address))
    assert (caught.value.outcome, caught.value.detail) == (outcome, f"ping {address}: {told}")
    assert caught.value.values == {"sent_count": 3, "received_count": 0, "loss_ratio": 1.0}


def test_a_filter_on_the_way_is_told_by_who_filters(network: Network) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through icmp type echo-request reject with icmp type admin-prohibited
    """)
    with pytest.raises(ProbeFailed, match=rf"^ping {SERVER}: {ROUTER} says: Packet filtered$") as caught:
        network.pc.do(lambda: measure(SERVER))
    assert caught.value.outcome is Outcome.UNREACHABLE


def test_a_host_that_is_not_there_is_told_by_the_pc_that_looked_for_it(network: Network) -> None:
    network.pc.set(ipv4__neigh__lan__retrans_time_ms="100")
    with pytest.raises(ProbeFailed, match=r"^ping 10.213.1.99: 10.213.1.2 says: Destination host unreachable$"):
        network.pc.do(lambda: measure("10.213.1.99", count=1, timeout_s=6.0))


def test_one_answer_outweighs_what_routers_say(network: Network) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through icmp type echo-request numgen inc mod 3 < 2 reject
    """)
    values = network.pc.do(lambda: measure(SERVER))
    assert (values["sent_count"], values["received_count"]) == (3, 1)


def test_a_name_that_nobody_resolves_is_no_name(network: Network) -> None:
    reason = "(Temporary failure in name resolution|Name or service not known)"
    detail = f"^ping lesson.invalid: lesson.invalid does not resolve: {reason}$"
    with pytest.raises(ProbeFailed, match=detail) as caught:
        network.pc.do(lambda: measure("lesson.invalid"))
    assert caught.value.outcome is Outcome.NO_NAME


# The figures


@pytest.mark.parametrize(
    ("times_ms", "jitter"), [((1.0, 1.0, 1.0), 0.0), ((1.0, 3.0), 2.0), ((1.0, 3.0, 3.0), 2.0 - 2.0 / 16)]
)
def test_jitter_is_smoothed_as_rfc_3550_says(times_ms: tuple[float, ...], jitter: float) -> None:
    assert jitter_ms(times_ms) == pytest.approx(jitter)


def test_one_answer_has_no_jitter_and_none_has_no_times() -> None:
    assert "jitter_ms" not in figures([0.001])
    assert figures([None, None]) == {"sent_count": 2, "received_count": 0, "loss_ratio": 1.0}


@given(st.lists(st.none() | st.floats(1e-6, 10), min_size=1, max_size=100))
def test_figures_are_sound_whatever_comes_back(rtts_s: list[float | None]) -> None:
    values = figures(rtts_s)
    assert values["loss_ratio"] == (values["sent_count"] - values["received_count"]) / values["sent_count"]
    assert all(math.isfinite(value) for value in values.values())
    if values["received_count"]:
        slack = 1 + 1e-9
        assert values["rtt_min_ms"] <= values["rtt_avg_ms"] * slack <= values["rtt_max_ms"] * slack**2
        assert values["rtt_min_ms"] <= values["rtt_p95_ms"] <= values["rtt_max_ms"]


# Windows' driver, as far as Linux can tell


def test_windows_replies_are_read_from_the_drivers_buffer() -> None:
    buffer = struct.pack("=4sII", socket.inet_aton("192.0.2.7"), 0, 12) + bytes(40)
    assert icmp_windows.parse_reply(socket.AF_INET, buffer) == ("192.0.2.7", 0, 12)


def test_windows_replies_of_ipv6_are_read_behind_their_packed_address() -> None:
    address = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    buffer = struct.pack("=HI16sI2xII", 0, 0, address, 5, 11003, 3) + bytes(40)
    reply = icmp_windows.parse_reply(socket.AF_INET6, buffer)
    assert reply == ("2001:db8::7", 11003, 3)
    assert icmp_windows.echo_of(socket.AF_INET6, reply, 0.003, 1.0) == Echo(
        None, Outcome.UNREACHABLE, "2001:db8::7 says: Address unreachable", "2001:db8::7"
    )


def test_a_windows_address_of_ipv6_is_laid_out_as_a_sockaddr() -> None:
    packed = icmp_windows.pack_address_6("fe80::7%3")
    assert packed.hex(" ", -4) == "17000000 00000000 fe800000 00000000 00000000 00000007 03000000"


R = "192.0.2.1"


def test_windows_options_are_laid_out_with_their_padding_before_the_pointer() -> None:
    assert icmp_windows.pack_options(Manner(hops_max_count=3, may_split=False)).hex(" ", -4)[:17] == "03000200 00000000"


@pytest.mark.parametrize(
    ("status", "source", "echo"),
    [
        (11010, "", LOST),
        (11003, R, Echo(None, Outcome.UNREACHABLE, f"{R} says: Destination host unreachable", R)),
        (11013, R, Echo(None, Outcome.UNREACHABLE, f"{R} says: Time to live exceeded", R)),
        (11050, "", Echo(None, Outcome.UNREACHABLE, "General failure")),
        (1231, "", Echo(None, Outcome.UNREACHABLE, "Network is unreachable")),
        (5, "", Echo(None, Outcome.DENIED, "Windows denies it: access denied")),
        (99999, "", Echo(None, Outcome.BROKEN, "Windows' error 99999")),
    ],
)
def test_windows_statuses_have_their_meaning(status: int, source: str, echo: Echo) -> None:
    assert icmp_windows.failed(socket.AF_INET, status, source) == echo


def test_windows_times_are_our_watchs_unless_the_thread_had_to_wait() -> None:
    reply = icmp_windows.Reply("192.0.2.7", 0, 12)
    assert icmp_windows.echo_of(socket.AF_INET, reply, 0.0123, 1.0) == Echo(0.0123)
    assert icmp_windows.echo_of(socket.AF_INET, reply, 0.5, 1.0) == Echo(0.012)
    late = icmp_windows.Reply("192.0.2.7", 0, 1500)
    assert icmp_windows.echo_of(socket.AF_INET, late, 1.5, 1.0) == LOST


@pytest.mark.skipif(sys.platform == "win32", reason="what Linux says")
def test_the_windows_module_says_where_it_is() -> None:
    with pytest.raises(OSError, match="no Windows here"):
        asyncio.run(icmp_windows.echo_all("127.0.0.1", 1, 0.1, 0.1, 56))
