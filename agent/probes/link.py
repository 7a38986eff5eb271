"""Which rung of the way from the PC to the collector is broken, the nearest first (RFC 792, 826, 1035, 9110, 9293)."""

import asyncio
import functools
import logging
import re
import secrets
import ssl
import time
from collections.abc import Awaitable, Iterator
from typing import Annotated, ClassVar, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from agent.endpoint import ENDPOINT_PATTERN, ENDPOINT_RULE, Endpoint, parse_endpoint
from agent.network import arp
from agent.network.ladder import OUTSIDE, Step, first_failed, is_cut
from agent.network.nic import Card, choose_card, default_route, is_usable, read_card
from agent.network.path_mtu import look
from agent.network.resolving import resolve
from agent.network.traceroute import Hop, find_provider, passes_provider
from agent.network.wifi import signal_dbm
from agent.probe import ProbeFailed, Value, Values
from agent.probes.dns import Dns
from agent.probes.http import Http
from agent.probes.ping import Ping
from agent.probes.tcp import Tcp
from contract.outcome import Outcome
from contract.rung import Rung
from contract.settings import Phrase, Port, Problem, Seconds, Target, is_loopback

log = logging.getLogger(__name__)

_NUMBER: Final = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)"
_ADDRESS = Annotated[str, msgspec.Meta(pattern=rf"^(?:{_NUMBER})?\Z", description="an address, as a number")]
_GATEWAY = Annotated[
    str, msgspec.Meta(pattern=rf"^(?:auto|{_NUMBER})?\Z", description='"auto", or an address as a number')
]
_BY_NUMBER = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?)?\Z",
        description="an address as a number, alone or with :PORT, one of IPv6 in brackets",
    ),
]
_ENDPOINT = Annotated[str, msgspec.Meta(pattern=rf"^(?:{ENDPOINT_PATTERN})?\Z", description=ENDPOINT_RULE)]
_URL = Annotated[str, msgspec.Meta(pattern=r"^(?:http://[^\s/@?#]+[^\s]*)?\Z", description="a URL with http://")]
_NAME = Annotated[str, msgspec.Meta(max_length=200)]

_NO_PORT: Final = -1
_TLS_PORT: Final = 443
_BROKER_PORT: Final = 8883
_TRIES: Final = 2
_NETWORK_AUTHENTICATION: Final = 511
_SERVER_FAULT: Final = 500
_OWN_MTU_BYTES: Final = 1500
_NONCE: Final = "{nonce}"

_FAILED: Final = "The first rung that failed: " + ", ".join(f"{rung.value} {rung.name}" for rung in Rung) + "."
_WALK_BYTES: Final = 11_000


class Link(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Walks the ladder from the network card to the collector and names the first rung that fails: carrier, address
    (RFC 3927), gateway (RFC 792, else RFC 826), the provider's first router, a national and an international target,
    names (RFC 1035), captive portal (a page that must be exactly ours, RFC 9110), path MTU (RFC 2923), the lesson's
    servers, the collector (RFC 9293, RFC 8446).

    Nothing is contacted that is not named here: a rung whose setting is empty is left out. Of a plan from the centre
    that names no `lesson`, the centre fills in the servers of the room's profile; `lesson = []` leaves them out.
    `gateway = "auto"` means that of the default route. `national` and `international` are addresses, with a port for a
    TCP connection, without one for a ping; the way to them teaches the probe, while all is well, which router is the
    provider's first. That is kept in memory, so a probe that starts amid an outage cannot tell the provider from what
    lies behind. `name_wanted` must resolve, to `name_addresses` only if these are given, and no name below
    `name_absent` may resolve at all. `resolver` is another resolver to compare with. `{nonce}` in `portal_url` and
    `portal_body` stands for letters that are new each time; a URL by number tells a captive portal from names that lie.
    `mtu_address` must answer pings of any size. One turn costs about 2.5 KB beyond the gateway with everything named;
    each `thorough_every_count`-th turn, and each one after a turn or amid one in which something failed, costs 8 KB
    more for `mtu_address`, `lesson` and the collector's TLS, and 30 KB while large packets vanish: 0.9 MB a day at
    every five minutes. While the agent has no connection, the ladder is walked at each tick, whatever its interval.
    """

    target: Target = "pc"
    nic: str = ""
    gateway: _GATEWAY = ""
    national: _BY_NUMBER = ""
    international: _BY_NUMBER = ""
    name_wanted: _NAME = ""
    name_addresses: tuple[str, ...] = ()
    name_absent: _NAME = ""
    resolver: _ADDRESS = ""
    resolver_port: Port = 53
    portal_url: _URL = ""
    portal_body: str = ""
    mtu_address: _ADDRESS = ""
    lesson: tuple[_ENDPOINT, ...] = ()
    collector: _ENDPOINT = ""
    collector_tls: bool = True
    thorough_every_count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 12
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 2.0

    values: ClassVar[tuple[Value, ...]] = (
        Value("failed_rung_code", _FAILED),
        Value("nic_up_bool", "Whether the network card has a carrier: cable in, or Wi-Fi joined."),
        Value("address_usable_bool", "Whether it has an address that reaches beyond the cable (not 169.254)."),
        Value("gateway_bool", "Whether the gateway answers, by ping or by ARP; absent when neither tells."),
        Value("gateway_ms", "Round trip to the gateway; absent when it answers no ping."),
        Value("isp_bool", "Whether the provider's first router still answers; absent until it was found."),
        Value("national_ms", "Ping or TCP handshake; absent when there was no answer."),
        Value("international_ms", "Ping or TCP handshake; absent when there was no answer."),
        Value("dns_ms", "The answer of the PC's own resolver for `name_wanted`; absent when there was none."),
        Value("resolver_ms", "The answer of `resolver`; absent when there was none."),
        Value("dns_lies_bool", "Whether a name resolved to what it must not, or one that cannot exist resolved."),
        Value("portal_bool", "Whether another page came than the one asked for; absent when none came."),
        Value("mtu_hole_bool", "Whether small packets pass and large ones vanish silently; absent if untold."),
        Value("path_mtu_bytes", "The largest IPv4 packet that passed whole, of the usual sizes up to 1500 bytes."),
        Value("lesson_ms", "The quickest TCP handshake with the lesson's servers; absent when none took one."),
        Value("collector_tcp_ms", "TCP handshake with the collector; absent when it failed."),
        Value("collector_tls_ms", "TLS handshake with the collector; absent when it failed or was not asked."),
        Value("wifi_rssi_dbm", "Strength of the Wi-Fi; absent for a cable."),
        Value("nic_speed_bps", "Speed that the card and its switch agreed on; absent when unknown."),
        Value("nic_full_duplex_bool", "Whether both directions may be used at once; absent when unknown."),
        Value("nic_mtu_bytes", "The largest packet that the card sends."),
    )
    rights: ClassVar[str] = (
        "What the ping probe needs; without it the rungs of gateway, provider and path MTU are left out."
    )
    example: ClassVar[dict[str, object]] = {
        "gateway": "auto",
        "national": "203.0.113.10:443",
        "international": "198.51.100.10:443",
        "name_wanted": "giam-sat.example.vn",
        "name_addresses": ["203.0.113.20"],
        "name_absent": "khong-co.example.vn",
        "resolver": "203.0.113.53",
        "portal_url": "http://203.0.113.20/probe?{nonce}",
        "portal_body": "sansang {nonce}",
        "mtu_address": "203.0.113.20",
        "lesson": ["zoom.us:443"],
        "collector": "giam-sat.example.vn:8883",
    }

    def doubts(self) -> Iterator[Problem]:
        """Settings that say nothing without another, and ports that are none."""
        needs = {
            "portal_url": "portal_body",
            "name_addresses": "name_wanted",
            "name_absent": "name_wanted",
            "resolver": "name_wanted",
        }
        for what, needed in needs.items():
            if getattr(self, what) and not getattr(self, needed):
                yield Problem(what, "settings.needs", {"what": what, "needed": needed})
        endpoints = {"national": self.national, "international": self.international, "collector": self.collector}
        endpoints |= {f"lesson[{place}]": one for place, one in enumerate(self.lesson)}
        for what, text in endpoints.items():
            if text and parse_endpoint(text, _TLS_PORT) is None:
                rule = Phrase("expect.text_rule", {"rule": ENDPOINT_RULE})
                yield Problem(what, "settings.expected", {"expected": rule, "got": text})

    @property
    def cost_bytes(self) -> int:
        """A thorough walk with everything asked; most walks cost a third."""
        return _WALK_BYTES

    @property
    def longest_s(self) -> float:
        """What is near, 9 s for a gateway that only ARP can tell of, names, a page, and the servers."""
        return 12 * self.timeout_s + arp.SETTLED_AFTER_S + 1.0

    async def measure(self) -> Values:
        """One walk. Raises ProbeFailed with ABSENT for a network card that is not there, and nothing else."""
        memory = self.memory
        steps, values = await self.walk(thorough=memory.is_due(self.thorough_every_count))
        failed = first_failed(steps)
        memory.note(failed)
        values["failed_rung_code"] = int(Rung.NONE if failed is None else failed.rung)
        return values

    @functools.cached_property
    def memory(self) -> "Memory":
        """What was learned while all was well; gone with the plan that this probe belongs to."""
        return Memory()

    async def walk(self, *, thorough: bool = True) -> tuple[list[Step], Values]:
        """The rungs, the nearest first, as far as asking makes sense, and the figures. Raises ProbeFailed (ABSENT)."""
        values: Values = {}
        card = self._card()
        steps = list(_of_card(card, values))
        if any(step.holds is False for step in steps):
            if self.collector and is_loopback(_parsed(self.collector, _BROKER_PORT).host):
                steps += await self._collector(values)  # no card is needed for what runs on this PC
            return steps, values
        steps += await _all(
            self._isp(card, values, may_search=thorough),
            self._reach(Rung.NATIONAL, self.national, "national_ms", values),
            self._reach(Rung.INTERNATIONAL, self.international, "international_ms", values),
            self._collector(values),
        )
        steps += await self._gateway(card, steps, values)
        if not is_cut(steps):
            steps += await self._names(values)
            steps += await self._portal(steps, values)
            if thorough or first_failed(steps) is not None:
                steps += await _all(self._mtu(card, values), self._lesson(values), self._tls(steps, values))
        elif (failed := first_failed(steps)) is not None and failed.rung is Rung.NATIONAL:
            steps += await self._portal(steps, values)  # whoever lets nothing pass may answer for all others
        steps.sort(key=lambda step: step.rung)
        self._unlearn(steps)
        return steps, values

    # Near.

    def _card(self) -> Card:
        """The card of the way out; while there is none, the one that had it last: a cable out takes its route along."""
        memory = self.memory
        if (route := default_route()) is not None:
            memory.card, memory.gateway = route.card, route.gateway
        try:
            return read_card(choose_card(self.nic) if self.nic or not memory.card else memory.card)
        except KeyError:
            raise ProbeFailed(Outcome.ABSENT, f"link: there is no network card {self.nic}") from None

    async def _gateway(self, card: Card, steps: list[Step], values: Values) -> list[Step]:
        """By ping; one that answers none is asked by ARP, unless what lies behind it answers."""
        if not self.gateway:
            return []
        address = self.memory.gateway if self.gateway == "auto" else self.gateway
        if address is None:
            return [Step(Rung.GATEWAY, holds=False, detail="there is no default route")]
        if not address:
            return []  # a modem's line: what is at its other end has no address of its own
        answer = await self._ping(address)
        if isinstance(answer, float):
            values |= {"gateway_bool": 1, "gateway_ms": answer}
            return [Step(Rung.GATEWAY, holds=True, detail=address)]
        if any(step.holds or step.answered for step in steps if step.rung in (Rung.ISP, *OUTSIDE)):
            return [Step(Rung.GATEWAY, holds=None, detail=f"{address} answers no ping, and passes packets on")]
        is_there = await arp.answers(address, card.name, self.timeout_s)
        if is_there is None:
            return [Step(Rung.GATEWAY, holds=None, detail=answer.detail)]
        values["gateway_bool"] = int(is_there)
        how = "answers ARP, but no ping" if is_there else "answers neither ping nor ARP"
        return [Step(Rung.GATEWAY, is_there, f"{address} {how}")]

    # Far, by number.

    async def _isp(self, card: Card, values: Values, *, may_search: bool) -> list[Step]:
        towards, memory = self.national or self.international, self.memory
        if not towards or (memory.hop is None and not may_search):
            return []
        host = _parsed(towards, _TLS_PORT).host
        try:
            if memory.hop is None:
                memory.hop = await find_provider(host, card.addresses, self.timeout_s)
                passes = True
            else:
                passes = await passes_provider(memory.hop, host, card.addresses, self.timeout_s)
        except ProbeFailed as failure:
            return [Step(Rung.ISP, holds=None, detail=failure.detail)]
        if memory.hop is None:
            return [Step(Rung.ISP, holds=None, detail=f"no router of a provider shows on the way to {host}")]
        values["isp_bool"] = int(passes)
        return [Step(Rung.ISP, passes, f"{memory.hop.address}, {memory.hop.hops_count} hops away")]

    def _unlearn(self, steps: list[Step]) -> None:
        """Forget a provider's router that went while the way goes on: it has another one now."""
        failed = first_failed(steps)
        goes_on = failed is None or failed.rung > Rung.ISP
        if goes_on and any(step.rung is Rung.ISP and step.holds is False for step in steps):
            self.memory.hop = None

    async def _reach(self, rung: Rung, written: str, value: str, values: Values) -> list[Step]:
        if not written:
            return []
        endpoint = parse_endpoint(written, _NO_PORT)
        answer = await (self._ping(_parsed(written, _TLS_PORT).host) if endpoint is None else self._connect(endpoint))
        if isinstance(answer, float):
            values[value] = answer
            return [Step(rung, holds=True, detail=written)]
        if answer.outcome is Outcome.REFUSED:
            return [Step(rung, holds=True, detail=answer.detail)]
        return [Step(rung, None if answer.outcome is Outcome.DENIED else False, answer.detail)]

    async def _collector(self, values: Values) -> list[Step]:
        if not self.collector:
            return []
        endpoint = _parsed(self.collector, _BROKER_PORT)
        try:
            found = await resolve(endpoint.host, f"tcp {self.collector}", self.timeout_s)
        except ProbeFailed as failure:
            return [Step(Rung.COLLECTOR_NAME, holds=False, detail=failure.detail)]
        name = Step(Rung.COLLECTOR_NAME, holds=True, detail=found.address)
        answer = await self._connect(Endpoint(found.address, endpoint.port))
        if isinstance(answer, float):
            values["collector_tcp_ms"] = answer
            return [name, Step(Rung.COLLECTOR_TCP, holds=True, detail=self.collector)]
        refused = answer.outcome is Outcome.REFUSED
        return [name, Step(Rung.COLLECTOR_TCP, holds=False, detail=answer.detail, answered=refused)]

    # Names and pages.

    async def _names(self, values: Values) -> list[Step]:
        if not self.name_wanted:
            return []
        own, other, absent = await asyncio.gather(self._resolve(), self._resolve_elsewhere(), self._resolve_absent())
        if own.took_ms is not None:
            values["dns_ms"] = own.took_ms
        if other is not None and other.took_ms is not None:
            values["resolver_ms"] = other.took_ms
        steps = [Step(Rung.DNS, own.resolves, own.detail)]
        if other is not None and own.resolves is False:
            how = "resolves it" if other.resolves else "does neither"
            steps = [Step(Rung.DNS, holds=False, detail=f"{own.detail}; {self.resolver} {how}")]
        if self.name_addresses or self.name_absent:
            lies = [one.lie for one in (own, other, absent) if one is not None and one.lie]
            if lies or own.resolves is not False:  # who says nothing does not lie, and is not known to be honest
                values["dns_lies_bool"] = int(bool(lies))
                steps.append(Step(Rung.DNS_LIES, not lies, "; ".join(lies)))
        return steps

    async def _resolve(self) -> "_Named":
        asking = Dns(
            target=self.target, name_wanted=self.name_wanted, expect=self.name_addresses, timeout_s=self.timeout_s
        )
        return await _named(asking, "this PC's resolver")

    async def _resolve_elsewhere(self) -> "_Named | None":
        if not self.resolver:
            return None
        asking = Dns(
            target=self.target,
            name_wanted=self.name_wanted,
            server=self.resolver,
            port=self.resolver_port,
            expect=self.name_addresses,
            timeout_s=self.timeout_s,
        )
        return await _named(asking, self.resolver)

    async def _resolve_absent(self) -> "_Named | None":
        """A name that nobody can have heard of. The dot at its end keeps the PC from trying it below its own domain."""
        if not self.name_absent:
            return None
        name = f"{secrets.token_hex(5)}.{self.name_absent.rstrip('.')}."
        found = await _named(Dns(target=self.target, name_wanted=name, timeout_s=self.timeout_s), "this PC's resolver")
        return found._replace(lie=f"{name}, which does not exist, resolves") if found.resolves else None

    async def _portal(self, steps: list[Step], values: Values) -> list[Step]:
        """Ask for a page of ours. Where names lie or do not resolve, only one by number tells of a portal."""
        if not self.portal_url:
            return []
        host = urlsplit(self.portal_url).hostname or ""
        names_fail = any(step.holds is False for step in steps if step.rung in (Rung.DNS, Rung.DNS_LIES))
        if names_fail and not _is_number(host):
            return []
        nonce = secrets.token_hex(5)
        url, body = (text.replace(_NONCE, nonce) for text in (self.portal_url, self.portal_body))
        foreign = await _foreign(url, body, self.target, self.timeout_s)
        if foreign is None:
            return [Step(Rung.PORTAL, holds=None, detail=f"{url} brought no page")]
        values["portal_bool"] = int(bool(foreign))
        return [Step(Rung.PORTAL, not foreign, foreign or url)]

    # What only a thorough turn asks.

    async def _mtu(self, card: Card, values: Values) -> list[Step]:
        if not self.mtu_address or ":" in self.mtu_address:
            return []  # IPv6 has routers that say "too big" by duty, and no old ones
        try:
            found = await look(self.mtu_address, card.mtu_bytes or _OWN_MTU_BYTES, self.timeout_s)
        except ProbeFailed as failure:
            return [Step(Rung.MTU, holds=None, detail=failure.detail)]
        if found.largest_bytes is not None:
            values["path_mtu_bytes"] = found.largest_bytes
        if found.has_hole is None:
            return [Step(Rung.MTU, holds=None, detail=f"{self.mtu_address} answers no ping, or no large one")]
        values["mtu_hole_bool"] = int(found.has_hole)
        return [Step(Rung.MTU, not found.has_hole, f"{found.largest_bytes} bytes pass to {self.mtu_address}")]

    async def _lesson(self, values: Values) -> list[Step]:
        if not self.lesson:
            return []
        answers = await asyncio.gather(*(self._connect(_parsed(one, _TLS_PORT)) for one in self.lesson))
        taken_ms = [answer for answer in answers if isinstance(answer, float)]
        if taken_ms:
            values["lesson_ms"] = min(taken_ms)
            return [Step(Rung.LESSON, holds=True, detail=", ".join(self.lesson))]
        failures = [answer for answer in answers if isinstance(answer, ProbeFailed)]
        refused = any(failure.outcome is Outcome.REFUSED for failure in failures)
        detail = "; ".join(failure.detail for failure in failures)
        return [Step(Rung.LESSON, holds=False, detail=detail, answered=refused)]

    async def _tls(self, steps: list[Step], values: Values) -> list[Step]:
        takes_tcp = any(step.holds for step in steps if step.rung is Rung.COLLECTOR_TCP)
        if not (self.collector_tls and takes_tcp):
            return []
        began_s = time.perf_counter()
        failure = await _shake_hands(_parsed(self.collector, _BROKER_PORT), self.timeout_s)
        if not failure:
            values["collector_tls_ms"] = (time.perf_counter() - began_s) * 1000
        return [Step(Rung.COLLECTOR_TLS, not failure, failure or self.collector)]

    # One question each.

    async def _ping(self, address: str) -> float | ProbeFailed:
        """The round trip in ms, of the first try or of a second, or why there is none."""
        for _ in range(_TRIES):
            asking = Ping(target=self.target, address=address, count=1, timeout_s=self.timeout_s / _TRIES)
            try:
                values = await asking.measure()
            except ProbeFailed as failure:
                return failure
            if values["received_count"]:
                return float(values["rtt_min_ms"])
        return ProbeFailed(Outcome.TIMEOUT, f"ping {address}: no answer within {self.timeout_s:g} s")

    async def _connect(self, endpoint: Endpoint) -> float | ProbeFailed:
        """The TCP handshake in ms, or why there was none."""
        asking = Tcp(target=self.target, address=endpoint.host, port=endpoint.port, timeout_s=self.timeout_s)
        try:
            return float((await asking.measure())["connect_ms"])
        except ProbeFailed as failure:
            return failure


class Memory:
    """What one probe knows from its turns before."""

    def __init__(self) -> None:
        self.card = ""
        self.gateway: str | None = None
        """The router of the default route, empty where that has none; None while no such route was seen."""
        self.hop: Hop | None = None
        self._turns_count = 0
        self._failed: Rung | None = None

    def is_due(self, every_count: int) -> bool:
        """Whether this turn, which is counted, asks everything: the first, each so many, and those amid trouble."""
        due = self._turns_count % every_count == 0 or self._failed is not None
        self._turns_count += 1
        return due

    def note(self, failed: Step | None) -> None:
        """Remember how the turn ended, and log when that is another rung than before."""
        rung = None if failed is None else failed.rung
        if failed is not None and rung is not self._failed:
            log.warning("the way is broken at %s: %s", failed.rung.name, failed.detail)
        elif failed is None and self._failed is not None:
            log.info("the way is whole again; it was broken at %s", self._failed.name)
        self._failed = rung


class _Named(NamedTuple):
    """What became of a name: whether it resolves (None: it has no such address), how fast, and a lie told of it."""

    resolves: bool | None
    detail: str
    took_ms: float | None = None
    lie: str = ""


async def _named(asking: Dns, by: str) -> _Named:
    try:
        values = await asking.measure()
    except ProbeFailed as failure:
        return _Named(None if failure.outcome is Outcome.ABSENT else False, failure.detail)
    lie = f"{by} gives another address for {asking.name_wanted}" if values.get("expected_bool") == 0 else ""
    return _Named(True, asking.name_wanted, values.get("answer_ms"), lie)


async def _foreign(url: str, body: str, target: str, timeout_s: float) -> str | None:
    """What came instead of the page, empty when it was the page itself, None when none came, or our server's fault."""
    size_bytes = len(body.encode())
    asking = Http(
        target=target,
        url=url,
        expect_status=(200,),
        expect_body=body,
        body_max_bytes=size_bytes + 1,
        timeout_s=timeout_s,
    )
    try:
        values = await asking.measure()
    except ProbeFailed as failure:
        status = failure.values.get("status_code")
        if status is None or (status >= _SERVER_FAULT and status != _NETWORK_AUTHENTICATION):
            return None
        return failure.detail
    return "" if values["body_bytes"] == size_bytes else f"{url}: more came than was asked for"


async def _shake_hands(endpoint: Endpoint, timeout_s: float) -> str:
    """Why there was no TLS; empty when there was. Whom to believe is the link's business: this asks who speaks TLS."""
    what = f"tls {endpoint.host}:{endpoint.port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=context, server_hostname=endpoint.host
            )
    except TimeoutError:
        return f"{what}: connected, but no TLS within {timeout_s:g} s"
    except ssl.SSLError as error:
        # An alert is TLS, too: a broker may want a certificate that this probe does not have.
        return "" if "ALERT" in (error.reason or "") else f"{what}: {error.reason or error}"
    except OSError as error:
        return f"{what}: {error.strerror or error}"
    writer.transport.abort()
    return ""


async def _all(*asking: Awaitable[list[Step]]) -> list[Step]:
    return [step for steps in await asyncio.gather(*asking) for step in steps]


def _of_card(card: Card, values: Values) -> Iterator[Step]:
    values["nic_up_bool"] = int(card.is_up)
    if not card.is_up:
        yield Step(Rung.NIC, holds=False, detail=card.name)
        return
    yield Step(Rung.NIC, holds=True, detail=card.name)
    if (level_dbm := signal_dbm(card.name)) is not None:
        values["wifi_rssi_dbm"] = level_dbm
    if card.speed_bps is not None:
        values["nic_speed_bps"] = card.speed_bps
    if card.is_full_duplex is not None:
        values["nic_full_duplex_bool"] = int(card.is_full_duplex)
    if card.mtu_bytes is not None:
        values["nic_mtu_bytes"] = card.mtu_bytes
    usable = any(map(is_usable, card.addresses))
    values["address_usable_bool"] = int(usable)
    yield Step(Rung.ADDRESS, usable, ", ".join(card.addresses))


def _parsed(written: str, default_port: int) -> Endpoint:
    endpoint = parse_endpoint(written, default_port)
    assert endpoint is not None, written  # noqa: S101 - the settings were checked
    return endpoint


def _is_number(host: str) -> bool:
    return re.fullmatch(_NUMBER, host) is not None
