"""The link probe on a way of its own, which is broken rung by rung for real: each break names its rung and no other."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest

import dev
from agent.probe import ProbeFailed
from agent.probes import load_probe
from collector.authority import Authority
from collector.broker import server_context
from contract.outcome import Outcome
from contract.rung import Rung
from contract.settings import SettingsError
from tests.agent.breaks import (
    HOLE,
    LINE_OUT,
    NO_PINGS,
    Break,
    both,
    collector_forgotten,
    drops,
    lines,
    lying,
    silenced,
)
from tests.support.reliability import Seen
from tests.support.way import (
    ABSENT,
    BROKER_PORT,
    COLLECTOR,
    COLLECTOR_NAME,
    GATEWAY,
    INTERNATIONAL,
    LESSON,
    LESSON_NAME,
    NATIONAL,
    RESOLVER,
    WRONG,
    Way,
    changed_page,
    echo_page,
    nothing,
    open_way,
    portal_page,
    speaking_tls,
)

SETTINGS: Final[dict[str, object]] = {
    "gateway": "auto",
    "national": f"{NATIONAL}:443",
    "international": INTERNATIONAL,
    "name_wanted": COLLECTOR_NAME,
    "name_addresses": [COLLECTOR],
    "name_absent": ABSENT,
    "resolver": RESOLVER,
    "portal_url": f"http://{COLLECTOR}/probe?{{nonce}}",
    "portal_body": "sansang {nonce}",
    "mtu_address": COLLECTOR,
    "lesson": [f"{LESSON_NAME}:443"],
    "collector": f"{COLLECTOR_NAME}:{BROKER_PORT}",
    "thorough_every_count": 1,
    "timeout_s": 1.0,
}
PORTAL_PORT: Final = 8080
CHANGING_PORT: Final = 8081
WALKS_MAX_COUNT: Final = 10


class Walker:
    """The probe in a process on the PC, as an agent has it: it keeps what it learned."""

    def __init__(self, way: Way, **changed: object) -> None:
        words = way.on_pc(sys.executable, "-m", "tests.agent.walker", json.dumps(SETTINGS | changed))
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=dev.ROOT)

    def walk(self) -> dict[str, Any]:
        """The values of one walk."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        reading: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert reading["outcome"] == "ok", reading
        values: dict[str, Any] = reading["values"]
        return values

    def settled(self) -> dict[str, Any]:
        """The values once two walks in a row name the same rung, as whoever judges wants it."""
        before = self.walk()
        for _ in range(WALKS_MAX_COUNT):
            now = self.walk()
            if now["failed_rung_code"] == before["failed_rung_code"]:
                return now
            before = now
        pytest.fail("it names another rung each time")

    def heal(self) -> None:
        """Walk until all is well."""
        for _ in range(WALKS_MAX_COUNT):
            if self.walk()["failed_rung_code"] == Rung.NONE:
                return
        pytest.fail(f"healed, and it still names {Rung(self.walk()['failed_rung_code']).name}")

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder = tmp_path_factory.mktemp("way")
    issued = Authority(folder / "ca", 1.8e9).issue_server((COLLECTOR_NAME,), (COLLECTOR,))
    with open_way(folder) as way:
        for host in (way.pc, way.gateway, way.provider, way.world):
            host.set(ipv6__conf__all__disable_ipv6="1")  # it looks for routers now and then, and bytes are counted here
        way.listen(way.world, NATIONAL, 443, nothing)
        way.listen(way.world, LESSON, 443, nothing)
        way.listen(way.world, COLLECTOR, 80, echo_page)
        way.listen(way.world, COLLECTOR, BROKER_PORT, speaking_tls(server_context(issued.certificate, issued.key)))
        way.listen(way.gateway, GATEWAY, PORTAL_PORT, portal_page)
        way.listen(way.gateway, GATEWAY, CHANGING_PORT, changed_page)
        yield way


@pytest.fixture(scope="module")
def walker(way: Way) -> Iterator[Walker]:
    walker = Walker(way)
    assert walker.walk()["failed_rung_code"] == Rung.NONE, "it learns while all is well"
    yield walker
    walker.close()


class Fault(NamedTuple):
    """One thing broken: which rung must be named, and what else must be seen."""

    name: str
    rung: Rung
    breaks: Break
    seen: Mapping[str, object] = MappingProxyType({})


FAULTS: Final = [
    Fault("nothing", Rung.NONE, both()),
    Fault("the cable is out", Rung.NIC, lines("gateway", ("link set dev lan down",), ("link set dev lan up",)),
          {"nic_up_bool": 0}),
    Fault("DHCP gave nothing", Rung.ADDRESS,
          lines("pc", ("address delete 192.168.7.2/24 dev lan", "address add 169.254.3.4/16 dev lan"),
                ("address delete 169.254.3.4/16 dev lan", "address add 192.168.7.2/24 dev lan",
                 f"route add default via {GATEWAY}")), {"nic_up_bool": 1, "address_usable_bool": 0}),
    Fault("no address at all", Rung.ADDRESS,
          lines("pc", ("address delete 192.168.7.2/24 dev lan",),
                ("address add 192.168.7.2/24 dev lan", f"route add default via {GATEWAY}")),
          {"address_usable_bool": 0}),
    Fault("the gateway is gone", Rung.GATEWAY, silenced, {"gateway_bool": 0, "isp_bool": 0}),
    Fault("the gateway filters pings", Rung.NONE, NO_PINGS, {"gateway_ms": None}),
    Fault("it filters pings and its line is out", Rung.ISP,
          both(NO_PINGS, lines("provider", ("link set dev wan down",), ("link set dev wan up",
               "route add 192.168.7.0/24 via 100.64.7.2"))),
          {"gateway_bool": 1, "gateway_ms": None, "isp_bool": 0}),
    Fault("the provider swallows everything", Rung.ISP,
          LINE_OUT, {"gateway_bool": 1, "isp_bool": 0}),
    Fault("the provider goes no further", Rung.NATIONAL, drops("provider", "iifname wan drop"), {"isp_bool": 1}),
    Fault("the sea cable", Rung.INTERNATIONAL, drops("provider", f"ip daddr {INTERNATIONAL} drop"),
          {"isp_bool": 1, "international_ms": None}),
    Fault("only the national target", Rung.NONE, drops("provider", f"ip daddr {NATIONAL} drop"),
          {"national_ms": None}),
    Fault("the provider's router says no word", Rung.NONE, drops("provider", "icmp type time-exceeded drop", "output")),
    Fault("the PC's resolver is dead", Rung.DNS,
          lambda way: way.filtering(way.provider, "ip daddr 203.0.113.54 udp dport 53 drop"),
          {"dns_ms": None, "dns_lies_bool": None}),
    Fault("all resolvers are dead", Rung.DNS, drops("provider", "udp dport 53 drop"), {"resolver_ms": None}),
    Fault("every name exists", Rung.DNS_LIES, lying(every=WRONG), {"dns_lies_bool": 1}),
    Fault("our name leads elsewhere", Rung.DNS_LIES, lying(giam_sat0example=WRONG), {"dns_lies_bool": 1}),
    Fault("only the other resolver is dead", Rung.NONE, drops("provider", f"ip daddr {RESOLVER} drop"),
          {"resolver_ms": None, "dns_lies_bool": 0}),
    Fault("a portal sends elsewhere", Rung.PORTAL, lambda way: way.captured(80, PORTAL_PORT), {"portal_bool": 1}),
    Fault("a page is changed", Rung.PORTAL, lambda way: way.captured(80, CHANGING_PORT), {"portal_bool": 1}),
    Fault("a portal that answers all names", Rung.PORTAL,
          both(lying(every=WRONG), lambda way: way.captured(80, PORTAL_PORT)), {"portal_bool": 1}),
    Fault("our page's server is away", Rung.NONE, drops("provider", "tcp dport 80 drop"), {"portal_bool": None}),
    Fault("an MTU hole", Rung.MTU, HOLE, {"mtu_hole_bool": 1, "path_mtu_bytes": 1400}),
    Fault("a tunnel whose word is filtered", Rung.MTU,
          both(lines("provider", ("link set dev core mtu 1420",), ("link set dev core mtu 1500",)),
               drops("provider", "icmp type destination-unreachable drop", "output")),
          {"mtu_hole_bool": 1, "path_mtu_bytes": 1420}),
    Fault("a tunnel that says how small it is", Rung.NONE,
          lines("provider", ("link set dev core mtu 1420",), ("link set dev core mtu 1500",)),
          {"mtu_hole_bool": 0, "path_mtu_bytes": 1420}),
    Fault("large pings are filtered", Rung.NONE, drops("provider", "icmp type echo-request ip length > 1000 drop"),
          {"mtu_hole_bool": None}),
    Fault("the lesson's server is away", Rung.LESSON, drops("provider", f"ip daddr {LESSON} drop"),
          {"lesson_ms": None}),
    Fault("the collector's name is unknown", Rung.DNS, collector_forgotten, {"dns_ms": None}),
    Fault("the collector refuses", Rung.COLLECTOR_TCP,
          drops("provider", f"tcp dport {BROKER_PORT} reject with tcp reset"), {"collector_tcp_ms": None}),
    Fault("the collector is silent", Rung.COLLECTOR_TCP, drops("provider", f"tcp dport {BROKER_PORT} drop"),
          {"collector_tcp_ms": None}),
    Fault("half-open: it connects, and nothing comes", Rung.COLLECTOR_TLS,
          drops("provider", f"tcp sport {BROKER_PORT} ip length > 60 drop"), {"collector_tls_ms": None}),
]  # fmt: skip


_SLOW: Final = {
    "no address at all",
    "the provider swallows everything",
    "only the national target",
    "all resolvers are dead",
    "our name leads elsewhere",
    "only the other resolver is dead",
    "a portal that answers all names",
    "our page's server is away",
    "a tunnel whose word is filtered",
    "large pings are filtered",
    "the collector is silent",
}
"""Broken with --long only: what each shows, another shows nearly as well."""
assert {fault.name for fault in FAULTS} >= _SLOW


@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, id=one.name, marks=pytest.mark.long if one.name in _SLOW else ()) for one in FAULTS],
)
def test_the_rung_that_broke_is_the_one_named(way: Way, walker: Walker, fault: Fault) -> None:
    with fault.breaks(way):
        values = walker.settled()
    assert Rung(values["failed_rung_code"]) is fault.rung
    assert {name: values.get(name) for name in fault.seen} == dict(fault.seen)
    walker.heal()


# What is asked, and what it costs.


def test_a_calm_walk_leaves_out_what_costs_most_until_something_fails(way: Way) -> None:
    walker = Walker(way, thorough_every_count=3)
    try:
        asked = ["collector_tls_ms" in walker.walk() for _ in range(7)]
        assert asked == [True, False, False, True, False, False, True]
        with way.captured(80, PORTAL_PORT):
            assert "collector_tls_ms" in walker.walk(), "amid trouble"
        assert "collector_tls_ms" in walker.walk(), "after trouble"
        assert ["collector_tls_ms" in walker.walk() for _ in range(3)] == [True, False, False]
    finally:
        walker.close()


def sent_and_received_bytes(way: Way) -> int:
    figures = json.loads(way.gateway.run("ip", "-s", "-j", "link", "show", "dev", "wan"))[0]["stats64"]
    return int(figures["rx"]["bytes"]) + int(figures["tx"]["bytes"])


def test_a_walk_costs_what_the_probe_says(way: Way) -> None:
    walker = Walker(way, thorough_every_count=1000)
    try:
        before = sent_and_received_bytes(way)
        walker.walk()
        thorough = sent_and_received_bytes(way) - before
        walker.walk()
        calm = sent_and_received_bytes(way) - before - thorough
    finally:
        walker.close()
    assert calm < 4000, "2.5 KB, each packet's 14 bytes of Ethernet, and a stray ARP"
    assert thorough < calm + 12000, "8 KB, and as above"


def test_an_agent_that_starts_amid_an_outage_cannot_tell_the_provider_from_what_lies_behind(way: Way) -> None:
    with LINE_OUT(way):
        walker = Walker(way)
        try:
            values = walker.settled()
        finally:
            walker.close()
    assert values["failed_rung_code"] == Rung.NATIONAL
    assert "isp_bool" not in values


def test_a_pc_that_pings_without_rights_sees_the_same(way: Way) -> None:
    """Datagram sockets, which hear of routers from the kernel's queue of errors, in place of raw ones."""
    way.pc.set(ipv4__ping_group_range="0 2147483647")
    walker = Walker(way)
    try:
        well = {"failed_rung_code": 0, "isp_bool": 1, "mtu_hole_bool": 0, "path_mtu_bytes": 1500}
        assert well.items() <= walker.settled().items()
        with HOLE(way):
            assert {"failed_rung_code": 10, "path_mtu_bytes": 1400}.items() <= walker.settled().items()
        with lines("provider", ("link set dev core mtu 1420",), ("link set dev core mtu 1500",))(way):
            assert {"mtu_hole_bool": 0, "path_mtu_bytes": 1420}.items() <= walker.settled().items()
        with LINE_OUT(way):
            assert {"failed_rung_code": 4, "isp_bool": 0}.items() <= walker.settled().items()
    finally:
        walker.close()
        way.pc.set(ipv4__ping_group_range="1 0")


def test_a_pc_without_a_default_route_has_no_gateway(way: Way) -> None:
    with lines("pc", ("route delete default",), (f"route add default via {GATEWAY}",))(way):
        walker = Walker(way)
        try:
            values = walker.walk()
        finally:
            walker.close()
    assert values["failed_rung_code"] == Rung.GATEWAY
    assert "gateway_bool" not in values


def test_a_line_without_a_router_as_of_a_modem_leaves_the_gateway_out(way: Way, walker: Walker) -> None:
    with lines("pc", ("route replace default dev lan",), (f"route replace default via {GATEWAY}",))(way):
        values = walker.walk()
    assert values["failed_rung_code"] not in (Rung.NONE, Rung.GATEWAY)
    assert "gateway_bool" not in values
    walker.heal()


def test_a_provider_with_a_new_first_router_is_learned_anew(way: Way, walker: Walker) -> None:
    assert walker.walk()["isp_bool"] == 1
    with drops("provider", "icmp type time-exceeded drop", "output")(way):
        assert walker.walk()["isp_bool"] == 0
        assert "isp_bool" not in walker.walk(), "forgotten, since the way goes on without it"
    assert walker.walk()["isp_bool"] == 1


def test_without_targets_nobody_is_contacted(way: Way) -> None:
    bare = {
        name: type(value)() for name, value in SETTINGS.items() if name not in ("thorough_every_count", "timeout_s")
    }
    walker = Walker(way, **bare)
    try:
        before = sent_and_received_bytes(way)
        for _ in range(3):
            values = walker.walk()
        assert sent_and_received_bytes(way) == before
    finally:
        walker.close()
    assert {"failed_rung_code": 0, "nic_up_bool": 1, "address_usable_bool": 1}.items() <= values.items()


def test_a_card_that_is_not_there_is_absent() -> None:
    probe = load_probe("link", {"nic": "nosuch0"})
    with pytest.raises(ProbeFailed, match="there is no network card nosuch0") as caught:
        asyncio.run(probe.measure())
    assert caught.value.outcome is Outcome.ABSENT


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"national": "zoom.us:443"}, "national"),
        ({"international": "198.51.100.10:99999"}, "international"),
        ({"gateway": "router.lan"}, "gateway"),
        ({"resolver": "dns.example"}, "resolver"),
        ({"resolver": "203.0.113.53"}, "resolver"),
        ({"portal_url": "http://203.0.113.20/"}, "portal_url"),
        ({"portal_url": "https://203.0.113.20/", "portal_body": "x"}, "portal_url"),
        ({"name_addresses": ["203.0.113.20"]}, "name_addresses"),
        ({"name_absent": "khong-co.example"}, "name_absent"),
        ({"collector": "giam-sat.example:0"}, "collector"),
        ({"lesson": ["zoom.us:443", "zoom.us:70000"]}, "lesson[1]"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_settings_that_say_nothing_are_refused(settings: dict[str, object], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_probe("link", settings)
    assert [problem.where for problem in caught.value.problems] == [where]


@pytest.mark.long
@pytest.mark.bar("weak links", load=f"{len(FAULTS)} breaks of the way in namespaces, each named by two walks in a row")
def test_no_break_is_taken_for_another(way: Way, walker: Walker, seen: Seen) -> None:
    rounds_count = 3
    matrix: Counter[tuple[str, str]] = Counter()
    for _ in range(rounds_count):
        for fault in FAULTS:
            with fault.breaks(way):
                matrix[fault.name, Rung(walker.settled()["failed_rung_code"]).name] += 1
            walker.heal()
    right_count = sum(matrix[fault.name, fault.rung.name] for fault in FAULTS)
    seen(f"{rounds_count * len(FAULTS) - right_count} of {rounds_count * len(FAULTS)} breaks taken for another")
    assert matrix == {(fault.name, fault.rung.name): rounds_count for fault in FAULTS}
