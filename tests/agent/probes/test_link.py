"""The link probe on a way of its own, which is broken rung by rung for real: each break names its rung and no other."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import pytest

import dev
from agent.probes import load_probe
from collector.authority import Authority
from collector.broker import server_context
from contract.reading import Reading
from contract.rung import Rung
from contract.settings import SettingsError
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
    PROVIDER,
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
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=dev.ROOT
        )

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


Break = Callable[[Way], AbstractContextManager[None]]


class Fault(NamedTuple):
    """One thing broken: which rung must be named, and what else must be seen."""

    name: str
    rung: Rung
    breaks: Break
    seen: dict[str, object] = {}


def silenced(way: Way) -> AbstractContextManager[None]:
    """The gateway hangs: it answers nothing, ARP neither."""
    broken = ("link set dev lan arp off", "address delete 192.168.7.1/24 dev lan")
    healed = ("link set dev lan arp on", "address add 192.168.7.1/24 dev lan")
    return way.lines(way.gateway, broken, healed)


def both(*breaks: Break) -> Break:
    @contextmanager
    def broken(way: Way) -> Iterator[None]:
        with ExitStack() as stack:
            for one in breaks:
                stack.enter_context(one(way))
            yield

    return broken


def drops(host: str, rule: str, hook: str = "forward") -> Break:
    return lambda way: way.filtering(getattr(way, host), rule, hook=hook)


def lines(host: str, broken: tuple[str, ...], healed: tuple[str, ...]) -> Break:
    return lambda way: way.lines(getattr(way, host), broken, healed)


def lying(**names: str) -> Break:
    """The PC's own resolver knows these names; `every` stands for all others."""

    @contextmanager
    def broken(way: Way) -> Iterator[None]:
        known = {name.replace("_", "-").replace("0", "."): address for name, address in names.items()}
        way.own_names = way.names | {name if name != "every" else "": one for name, one in known.items()}
        try:
            yield
        finally:
            way.own_names = way.names

    return broken


def collector_forgotten(way: Way) -> AbstractContextManager[None]:
    @contextmanager
    def broken() -> Iterator[None]:
        way.own_names = {name: address for name, address in way.names.items() if name != COLLECTOR_NAME}
        try:
            yield
        finally:
            way.own_names = way.names

    return broken()


NO_PINGS: Final = drops("gateway", "icmp type echo-request drop", "input")
HOLE: Final = drops("provider", "ip length > 1400 drop")
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
          both(drops("provider", "iifname wan drop", "prerouting")), {"gateway_bool": 1, "isp_bool": 0}),
    Fault("the provider goes no further", Rung.NATIONAL, drops("provider", "iifname wan drop"), {"isp_bool": 1}),
    Fault("the sea cable", Rung.INTERNATIONAL, drops("provider", f"ip daddr {INTERNATIONAL} drop"),
          {"isp_bool": 1, "international_ms": None}),
    Fault("only the national target", Rung.NONE, drops("provider", f"ip daddr {NATIONAL} drop"),
          {"national_ms": None}),
    Fault("the provider's router says no word", Rung.NONE, drops("provider", "icmp type time-exceeded drop", "output")),
    Fault("the PC's resolver is dead", Rung.DNS,
          lambda way: way.filtering(way.provider, "ip daddr 203.0.113.54 udp dport 53 drop"), {"dns_ms": None}),
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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_rung_that_broke_is_the_one_named(way: Way, walker: Walker, fault: Fault) -> None:
    with fault.breaks(way):
        values = walker.settled()
    assert Rung(values["failed_rung_code"]) is fault.rung
    assert {name: values.get(name) for name in fault.seen} == fault.seen
    walker.heal()
