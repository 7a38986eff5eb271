"""The dns probe against servers of the test's making, right ones and others."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probe import ProbeFailed, Values
from agent.probes import dns
from agent.probes.dns import Dns
from contract.outcome import Outcome
from deploy.demo.lesson_server import LESSON_NAME, start_dns
from tests.support.network import FORBIDDEN, NO_ROUTE, REFUSED_BY_ROUTER, Network
from tests.support.ports import free_port

Answer = Callable[[bytes], list[bytes]]


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked_count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked_count += 1
        for answer in self._answer(data):
            self._transport.sendto(answer, addr)  # type: ignore[arg-type] # where it came from


@asynccontextmanager
async def serving(answer: Answer, tcp: Callable[[bytes], bytes] | None = None) -> AsyncIterator[tuple[int, _Server]]:
    loop = asyncio.get_running_loop()
    port = free_port()  # of both kinds
    transport, server = await loop.create_datagram_endpoint(lambda: _Server(answer), local_addr=("127.0.0.1", port))
    stream = None
    if tcp is not None:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            said = tcp(await reader.readexactly(length))
            writer.write(struct.pack("!H", len(said)) + said)
            await writer.drain()
            writer.close()

        stream = await asyncio.start_server(talk, "127.0.0.1", port)
    try:
        yield port, server
    finally:
        transport.close()
        if stream is not None:
            stream.close()


def answer(query: bytes, *addresses: str, flags: int = 0x8180, ttl_s: int = 300) -> bytes:
    body = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0) + query[12:]
    for address in addresses:
        packed = bytes(map(int, address.split(".")))
        body += struct.pack("!HHHIH", 0xC00C, 1, 1, ttl_s, 4) + packed
    return body


def ask(work: Answer, tcp: Callable[[bytes], bytes] | None = None, **settings: object) -> Values:
    async def run() -> Values:
        async with serving(work, tcp) as (port, _):
            return await probe(port, **settings).measure()

    return asyncio.run(run())


def probe(port: int, **settings: object) -> Dns:
    plain: dict[str, object] = {"name_wanted": "zoom.us", "server": "127.0.0.1", "port": port, "timeout_s": 1.0}
    return Dns(**(plain | settings))  # type: ignore[arg-type] # as a plan's settings come


def failing(work: Callable[[], object]) -> tuple[Outcome, str, Values]:
    with pytest.raises(ProbeFailed) as caught:
        work()
    return caught.value.outcome, caught.value.detail, caught.value.values


def test_an_answer_brings_its_time_its_addresses_and_how_long_they_hold() -> None:
    values = ask(lambda query: [answer(query, "203.0.113.1", "203.0.113.2", ttl_s=60)])
    assert values.pop("answer_ms") > 0
    assert values == {"answers_count": 2, "rcode_code": 0, "ttl_min_s": 60.0}


@pytest.mark.parametrize(
    ("expect", "expected"),
    [(("203.0.113.1", "203.0.113.9"), 1), (("203.0.113.9",), 0)],
    ids=["ours", "somebody else's"],
)
def test_addresses_that_were_not_expected_show(expect: tuple[str, ...], expected: int) -> None:
    assert ask(lambda query: [answer(query, "203.0.113.1")], expect=expect)["expected_bool"] == expected


def test_one_foreign_address_among_ours_shows() -> None:
    values = ask(lambda query: [answer(query, "203.0.113.1", "6.6.6.6")], expect=("203.0.113.1",))
    assert values["expected_bool"] == 0


def test_of_many_records_only_addresses_count_and_the_shortest_lived_rules() -> None:
    def mixed(query: bytes) -> list[bytes]:
        records = [(1, 300), (99, 5), (1, 60), (1, 90)]  # type 99 is none that was asked for
        body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, ttl_s, 4) + bytes(4) for kind, ttl_s in records)
        return [query[:2] + b"\x81\x80\0\1\0\4\0\0\0\0" + query[12:] + body]

    values = ask(mixed)
    assert (values["answers_count"], values["ttl_min_s"]) == (3, 60.0)


@pytest.mark.parametrize(
    ("flags", "outcome", "said"),
    [
        (0x8183, Outcome.NO_NAME, "NXDOMAIN"),
        (0x8182, Outcome.NO_NAME, "SERVFAIL"),
        (0x8185, Outcome.DENIED, "REFUSED"),
        (0x8189, Outcome.BROKEN, "9"),
    ],
)
def test_an_answer_code_becomes_an_outcome(flags: int, outcome: Outcome, said: str) -> None:
    found, detail, values = failing(lambda: ask(lambda query: [answer(query, flags=flags)]))
    assert (found, detail) == (outcome, f"dns zoom.us at 127.0.0.1: {said}")
    assert values["rcode_code"] == flags & 15


def test_a_name_without_addresses_is_absent() -> None:
    found, detail, _ = failing(lambda: ask(lambda query: [answer(query)]))
    assert (found, detail) == (Outcome.ABSENT, "dns zoom.us at 127.0.0.1: the name has no A address")


def test_a_silent_server_is_asked_twice_and_then_a_timeout() -> None:
    async def run() -> int:
        async with serving(lambda _query: []) as (port, server):
            with pytest.raises(ProbeFailed, match=r"^dns zoom.us at 127.0.0.1: no answer within 0.4 s$") as caught:
                await probe(port, timeout_s=0.4).measure()
            assert caught.value.outcome is Outcome.TIMEOUT
            return server.asked_count

    assert asyncio.run(run()) == 2


def test_one_lost_packet_is_no_lost_resolver() -> None:
    asked: list[bytes] = []

    def second_time(query: bytes) -> list[bytes]:
        asked.append(query)
        return [answer(query, "203.0.113.1")] if len(asked) > 1 else []

    assert ask(second_time)["answers_count"] == 1


def test_a_port_where_nobody_listens_is_refused() -> None:
    async def run() -> int:
        async with serving(lambda _query: []) as (port, _):
            return port

    port = asyncio.run(run())
    found, detail, _ = failing(lambda: asyncio.run(probe(port).measure()))
    assert (found, detail) == (Outcome.REFUSED, "dns zoom.us at 127.0.0.1: connection refused; the host is alive")


@pytest.mark.parametrize(
    "forge",
    [
        lambda query: bytes([query[0] ^ 1]) + answer(query, "6.6.6.6")[1:],
        lambda query: answer(query[:12] + b"\3bad\3com\0\0\1\0\1", "6.6.6.6"),
        lambda query: query,
        lambda query: query[:2] + b"\x81\x80" + bytes(8),
        lambda _query: b"\0",
    ],
    ids=["another number", "another question", "our own question", "no question and no error", "noise"],
)
def test_forged_answers_are_passed_over(forge: Callable[[bytes], bytes]) -> None:
    values = ask(lambda query: [forge(query), answer(query, "203.0.113.1", "203.0.113.2")])
    assert values["answers_count"] == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: good[:-3],
        lambda good: good[:6] + b"\0\x09" + good[8:],
        lambda good: good[:12] + good[12:].replace(b"\xc0\x0c", b"\x3f\x0c"),
        lambda good: good[:12] + good[12:].replace(b"\xc0\x0c", b"\x41" + b"a" * 65 + b"\0"),
    ],
    ids=["cut short", "fewer records than it says", "a name without an end", "a label longer than any"],
)
def test_an_answer_that_makes_no_sense_is_broken_and_no_crash(spoil: Callable[[bytes], bytes]) -> None:
    found, detail, _ = failing(lambda: ask(lambda query: [spoil(answer(query, "203.0.113.1"))]))
    assert found is Outcome.BROKEN
    assert detail.startswith("dns zoom.us at 127.0.0.1: an answer that makes no sense: ")


def test_a_loop_of_pointers_holds_nobody() -> None:
    def loop(query: bytes) -> list[bytes]:
        return [answer(query, "203.0.113.1").replace(b"\xc0\x0c\0\1", b"\xc0" + bytes([len(query)]) + b"\0\1")]

    assert ask(loop)["answers_count"] == 1


@given(st.binary(max_size=200))
def test_no_bytes_hold_or_break_the_reader(noise: bytes) -> None:
    head = b"\0\1\x81\x80\0\1\xff\xff\0\0\0\0"
    with contextlib.suppress(dns._Nonsense):
        dns._read(head + noise, 12, "A")


def test_a_server_that_answers_in_other_letters_is_believed() -> None:
    values = ask(lambda query: [answer(query.replace(b"zoom", b"ZOOM"), "203.0.113.1")])
    assert values["answers_count"] == 1


def test_a_server_that_could_not_even_read_the_question_is_broken() -> None:
    found, detail, _ = failing(lambda: ask(lambda query: [query[:2] + b"\x81\x81" + bytes(8)]))
    assert (found, detail) == (Outcome.BROKEN, "dns zoom.us at 127.0.0.1: FORMERR")


def test_aliases_are_no_addresses_and_addresses_of_ipv6_are_asked_for_by_their_kind() -> None:
    def aliased(query: bytes) -> list[bytes]:
        assert query[-4:] == b"\0\x1c\0\1"
        alias = struct.pack("!HHHIH", 0xC00C, 5, 1, 5, 2) + b"\xc0\x0c"
        address = struct.pack("!HHHIH", 0xC00C, 28, 1, 60, 16) + bytes(15) + b"\1"
        return [query[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + query[12:] + alias + address]

    values = ask(aliased, kind="AAAA", expect=("0:0::1",))
    assert (values["answers_count"], values["ttl_min_s"], values["expected_bool"]) == (1, 60.0, 1)


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    values = ask(
        lambda query: [answer(query, flags=0x8380)],
        tcp=lambda query: answer(query, *(f"203.0.113.{number}" for number in range(1, 101))),
    )
    assert values["answers_count"] == 100


@pytest.mark.parametrize(
    ("tcp", "outcome", "said"),
    [
        (None, Outcome.REFUSED, "connection refused; the host is alive"),
        (
            lambda query: bytes([query[0] ^ 1]) + answer(query, "6.6.6.6")[1:],
            Outcome.BROKEN,
            "an answer that makes no sense: over TCP it answers something else",
        ),
        (lambda query: query[:3], Outcome.BROKEN, "an answer that makes no sense: over TCP it answers something else"),
    ],
    ids=["nobody", "another number", "cut short"],
)
def test_a_server_that_fails_over_tcp_is_told(
    tcp: Callable[[bytes], bytes] | None, outcome: Outcome, said: str
) -> None:
    found, detail, _ = failing(lambda: ask(lambda query: [answer(query, flags=0x8380)], tcp=tcp))
    assert (found, detail) == (outcome, f"dns zoom.us at 127.0.0.1: {said}")


@pytest.mark.parametrize(
    ("server", "outcome", "said"),
    [
        (NO_ROUTE, Outcome.UNREACHABLE, "Network is unreachable"),
        (REFUSED_BY_ROUTER, Outcome.UNREACHABLE, "No route to host"),
        (FORBIDDEN, Outcome.DENIED, "Permission denied"),
    ],
)
def test_a_server_that_cannot_be_reached_says_why(network: Network, server: str, outcome: Outcome, said: str) -> None:
    found, detail, _ = failing(lambda: network.pc.do(lambda: asyncio.run(probe(53, server=server).measure())))
    assert (found, detail) == (outcome, f"dns zoom.us at {server}: {said}")


def test_a_name_that_can_be_none_is_said_to_be() -> None:
    found, detail, _ = failing(lambda: ask(lambda query: [answer(query)], name_wanted="a" * 64 + ".vn"))
    assert (found, detail) == (Outcome.NO_NAME, f"dns {'a' * 64}.vn: this can be no name")


def test_without_a_server_the_pc_itself_is_asked_and_all_its_answers_are_seen() -> None:
    known = {str(one[4][0]) for one in socket.getaddrinfo("localhost", None, socket.AF_INET, socket.SOCK_STREAM)}
    values = asyncio.run(Dns(name_wanted="localhost", expect=tuple(known)).measure())
    assert (values["answers_count"], values["expected_bool"]) == (len(known), 1)
    assert values["answer_ms"] > 0
    assert asyncio.run(Dns(name_wanted="localhost", expect=("192.0.2.1",)).measure())["expected_bool"] == 0


def test_a_name_that_the_pc_cannot_resolve_is_no_name(network: Network) -> None:
    found, detail, values = failing(
        lambda: network.pc.do(lambda: asyncio.run(Dns(name_wanted="lesson.invalid").measure()))
    )
    assert (found, values) == (Outcome.NO_NAME, {})
    assert detail.startswith("dns lesson.invalid: lesson.invalid does not resolve: ")


def test_the_demos_own_server_is_a_real_one() -> None:
    async def run() -> Values:
        transport, port = await start_dns()
        try:
            return await probe(port, name_wanted=LESSON_NAME, expect=("127.0.0.1",)).measure()
        finally:
            transport.close()

    values = asyncio.run(run())
    assert (values["answers_count"], values["expected_bool"]) == (1, 1)
