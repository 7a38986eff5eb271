"""Echoes over the kernel-stamped socket: on loopback, and in a small network whose hosts answer as a test wants."""

import asyncio
import contextlib
import gc
import itertools
import json
import math
import socket
import statistics
import struct
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Final, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icmplib import ICMPv4Socket  # type: ignore[import-untyped]  # it has no annotations

from agent.network import icmp
from agent.network.echo import LOST, Echo, Manner
from agent.network.icmp import echo_all, pinger
from contract.outcome import Outcome
from tests.support.debian import in_ci, require
from tests.support.network import (
    FORBIDDEN,
    NO_ROUTE,
    REFUSED_BY_ROUTER,
    REFUSED_BY_ROUTER_6,
    ROUTER,
    ROUTER_6,
    ROUTER_LINK_LOCAL,
    SERVER,
    SERVER_6,
    Network,
    icmp_message,
    reply_to,
)

T = TypeVar("T")


class _Unopened4(icmp._Socket4):
    def __init__(self) -> None:
        """No socket: it only builds."""
        self._sock = None


class _Plain4(ICMPv4Socket):  # type: ignore[misc]  # icmplib is not annotated
    def __init__(self) -> None:
        """No socket: it only builds."""
        self._sock = None


FAR: Final = {SERVER: "IPv4", SERVER_6: "IPv6"}


@pytest.fixture(autouse=True)
def _may_ping() -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(PermissionError):
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
            return
    if in_ci():
        pytest.fail("no right to send pings")
    pytest.skip("no right to send pings")


@pytest.fixture(params=["raw", "datagram"])
def line(network: Network, request: pytest.FixtureRequest) -> Network:
    """The small network, and the PC on either kind of ICMP socket."""
    if request.param == "datagram":
        network.allow_datagrams()
    return network


def ping(address: str, *, count: int = 3, spacing_s: float = 0.01, timeout_s: float = 1.0) -> list[Echo]:
    return running(echo_all(address, count, spacing_s, timeout_s, 56))


def running(work: Coroutine[None, None, T]) -> T:
    """What the work returns; nothing may have gone wrong beside it."""
    beside: list[dict[str, object]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: beside.append(context))
        return await work

    found = asyncio.run(watched())
    assert beside == []
    return found


# What is measured


def test_with_many_targets_at_once_the_kernels_stamps_are_true_where_the_event_loops_times_are_not() -> None:
    async def measure() -> tuple[list[float], list[float]]:
        stamped_s, seen_s = [], []
        async with pinger(socket.AF_INET) as one:

            async def see(number: int) -> None:
                began_s = time.perf_counter()
                (echo,) = await one.echoes(f"127.0.0.{number}", 1, 0.0, 2.0, 56)
                seen_s.append(time.perf_counter() - began_s)
                assert echo.rtt_s is not None
                stamped_s.append(echo.rtt_s)

            await asyncio.gather(*(see(number) for number in range(1, 201)))
        return stamped_s, seen_s

    stamped_s, seen_s = running(measure())
    assert 0 < statistics.median(stamped_s) < 0.001
    assert statistics.median(stamped_s) < statistics.median(seen_s) / 5
    assert all(stamp_s <= loop_s for stamp_s, loop_s in zip(stamped_s, seen_s, strict=True))


def test_the_very_first_answer_of_a_socket_is_stamped_by_the_kernel_too() -> None:
    async def measure() -> Echo:
        async with pinger(socket.AF_INET) as one:
            asking = asyncio.create_task(one.echoes("127.0.0.1", 1, 0.0, 5.0, 56))
            await asyncio.sleep(0)
            time.sleep(0.1)  # noqa: ASYNC251 - the loop must stand still
            (echo,) = await asking
            return echo

    time.sleep(0.1)  # Linux forgets to stamp a while after the last socket that wanted it
    echo = running(measure())
    assert echo.rtt_s is not None
    assert echo.rtt_s < 0.05


def test_a_thousand_requests_at_once_overflow_no_buffer() -> None:
    async def measure() -> list[Echo]:
        async with pinger(socket.AF_INET) as one:
            assert one._socket is not None
            one._socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # a hundred answers or two
            addresses = [f"127.0.{block}.{number}" for block in range(1, 6) for number in range(1, 201)]
            found = await asyncio.gather(*(one.echoes(address, 1, 0.0, 5.0, 56) for address in addresses))
        return [echo for echoes in found for echo in echoes]

    assert [echo.outcome for echo in running(measure())] == [Outcome.OK] * 1000


@pytest.mark.parametrize("address", FAR, ids=FAR.values())
def test_a_host_behind_a_router_answers(line: Network, address: str) -> None:
    echoes = line.pc.do(lambda: ping(address))
    assert [echo.outcome for echo in echoes] == [Outcome.OK] * 3
    assert all(echo.rtt_s is not None and 0 < echo.rtt_s < 1 for echo in echoes)


def test_an_address_of_the_own_cable_is_pinged_through_it(line: Network) -> None:
    echoes = line.pc.do(lambda: ping(ROUTER_LINK_LOCAL))
    assert [echo.outcome for echo in echoes] == [Outcome.OK] * 3


def test_an_answer_that_came_in_time_counts_though_the_program_was_busy() -> None:
    async def measure() -> Echo:
        async with pinger(socket.AF_INET) as one:
            asking = asyncio.create_task(one.echoes("127.0.0.1", 1, 0.0, 0.1, 56))
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251 - the loop must stand still
            (echo,) = await asking
            return echo

    echo = running(measure())
    assert echo.rtt_s is not None
    assert echo.rtt_s < 0.1


def test_an_answer_that_lies_there_when_the_time_is_up_counts() -> None:
    async def measure() -> Echo:
        async with pinger(socket.AF_INET) as one:
            asking = asyncio.create_task(one.echoes("127.0.0.1", 1, 0.0, 5.0, 56))
            await asyncio.sleep(0)  # it is sent, and the loop has not looked at the socket since
            (flight,) = one._flights.values()
            flight.row.timeout_s = 0.0001
            one._take_turn()
            (echo,) = await asking
            return echo

    assert running(measure()).outcome is Outcome.OK


def test_requests_go_out_at_their_times_whether_the_ones_before_are_answered_or_not(line: Network) -> None:
    arrived_s: list[float] = []

    def every_other(request: bytes) -> list[bytes]:
        arrived_s.append(time.monotonic())
        return [reply_to(request)] if len(arrived_s) % 2 else []

    with line.server.answering(every_other):
        echoes = line.pc.do(lambda: ping(SERVER, count=6, spacing_s=0.2, timeout_s=0.5))
    assert [echo == LOST for echo in echoes] == [False, True] * 3
    assert all(moment_s - arrived_s[0] > place * 0.2 - 0.1 for place, moment_s in enumerate(arrived_s))


@given(st.integers(0, 0xFFFF), st.binary(max_size=99))
def test_requests_carry_the_checksum_that_icmplib_would_reckon(number: int, payload: bytes) -> None:
    assert icmp._Socket4.build(_Unopened4(), 7, number, payload) == ICMPv4Socket._create_packet(
        _Plain4(), 7, number, payload
    )


# What goes wrong


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (REFUSED_BY_ROUTER, f"{ROUTER} says: Destination host unreachable"),
        (REFUSED_BY_ROUTER_6, f"{ROUTER_6} says: No route to destination"),
        (NO_ROUTE, "Network is unreachable"),
    ],
    ids=["a router, IPv4", "a router, IPv6", "the PC itself"],
)
def test_who_says_that_a_host_is_unreachable_is_told(line: Network, address: str, told: str) -> None:
    by = told.partition(" says: ")[0] if " says: " in told else ""
    assert line.pc.do(lambda: ping(address, count=2)) == [Echo(None, Outcome.UNREACHABLE, told, by)] * 2


def test_what_a_router_says_of_one_host_is_not_taken_for_another(line: Network) -> None:
    """On a datagram socket the kernel hands a router's word to whoever sends next, as if that could not be sent."""

    async def both() -> tuple[list[Echo], list[Echo]]:
        return await asyncio.gather(
            echo_all(REFUSED_BY_ROUTER, 100, 0.001, 2.0, 56), echo_all(SERVER, 100, 0.001, 2.0, 56)
        )

    refused, answered = line.pc.do(lambda: running(both()))
    assert f"{ROUTER} says: Destination host unreachable" in {echo.told for echo in refused}
    assert [echo for echo in answered if echo.rtt_s is None] == []


@pytest.mark.parametrize("hops_count", [1, 2])
def test_an_echo_goes_as_far_as_it_may(line: Network, hops_count: int) -> None:
    manner = Manner(hops_max_count=hops_count)
    (echo,) = line.pc.do(lambda: running(echo_all(SERVER, 1, 0.0, 2.0, 56, manner=manner)))
    assert (echo.by, echo.rtt_s is None) == ((ROUTER, True) if hops_count == 1 else ("", False))


def test_a_whole_echo_is_never_cut(line: Network) -> None:
    for host in (line.router, line.server):
        host.ip("link set dev wan mtu 1400")

    def large(*, may_split: bool) -> Echo:
        (echo,) = running(echo_all(SERVER, 1, 0.0, 2.0, 1452, manner=Manner(may_split=may_split)))
        return echo

    assert "ragment" in line.pc.do(lambda: large(may_split=False)).told
    assert line.pc.do(lambda: large(may_split=True)).rtt_s is not None, "the path is known to be small now"
    assert "ragment" in line.pc.do(lambda: large(may_split=False)).told, "and a whole one goes out all the same"


def test_a_loop_of_routers_is_told(line: Network) -> None:
    line.router.ip("route add 10.213.7.0/24 via 10.213.2.2")
    line.server.set(ipv4__ip_forward="1")
    (echo,) = line.pc.do(lambda: ping("10.213.7.7", count=1))
    assert (echo.rtt_s, echo.outcome) == (None, Outcome.UNREACHABLE)
    assert echo.told.endswith(" says: Time to live exceeded")


def test_what_the_pc_forbids_is_denied(line: Network) -> None:
    assert line.pc.do(lambda: ping(FORBIDDEN, count=1)) == [Echo(None, Outcome.DENIED, "Permission denied")]


def test_a_pc_without_the_right_to_ping_says_how_to_get_it(network: Network) -> None:
    powerless = (require("setpriv"), "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    asked = (sys.executable, "-m", "agent", "probe", "ping", "--target", "127.0.0.1", "--json")
    said = json.loads(network.pc.run(*powerless, *asked))
    assert said["outcome"] == "denied"
    assert said["detail"] == (
        "ping: no right to send pings: give the program CAP_NET_RAW, or run sysctl -w "
        'net.ipv4.ping_group_range="0 2147483647"'
    )


def test_every_fourth_packet_lost_is_lost_exactly(line: Network) -> None:
    line.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through icmp type echo-request numgen inc mod 4 == 0 drop
    """)
    echoes = line.pc.do(lambda: ping(SERVER, count=8, timeout_s=0.5))
    assert [echo == LOST for echo in echoes] == [True, False, False, False] * 2


def test_a_late_answer_is_lost_and_is_not_taken_for_the_next_ones(line: Network) -> None:
    def late(request: bytes) -> Iterator[bytes]:
        time.sleep(0.3)
        yield reply_to(request)

    with line.server.answering(late):
        assert line.pc.do(lambda: ping(SERVER, count=2, spacing_s=0.5, timeout_s=0.15)) == [LOST] * 2


def test_an_answer_that_came_too_late_is_lost_though_the_program_was_too_busy_to_give_up(line: Network) -> None:
    def late(request: bytes) -> Iterator[bytes]:
        time.sleep(0.2)
        yield reply_to(request)

    async def measure() -> Echo:
        async with pinger(socket.AF_INET) as one:
            asking = asyncio.create_task(one.echoes(SERVER, 1, 0.0, 0.1, 56))
            await asyncio.sleep(0)
            time.sleep(0.4)  # noqa: ASYNC251 - the loop must stand still
            (echo,) = await asking
            return echo

    with line.server.answering(late):
        assert line.pc.do(lambda: running(measure())) == LOST


def test_duplicates_change_nothing(line: Network) -> None:
    with line.server.answering(lambda request: [reply_to(request)] * 3):
        echoes = line.pc.do(lambda: ping(SERVER, count=5))
    assert [echo.outcome for echo in echoes] == [Outcome.OK] * 5


def test_an_answer_to_somebody_elses_request_is_none(line: Network) -> None:
    with line.server.answering(lambda request: [reply_to(request, payload=bytes(len(request) - 8))]):
        assert line.pc.do(lambda: ping(SERVER, count=2, timeout_s=0.2)) == [LOST] * 2


def test_what_a_router_says_of_another_destination_is_passed_over(line: Network) -> None:
    def of_another(request: bytes) -> Iterator[bytes]:
        quoted = bytes([0x45]) + bytes(8) + bytes([1]) + bytes(6) + socket.inet_aton(ROUTER) + request[:8]
        yield icmp_message(3, 1, bytes(4) + quoted)

    with line.server.answering(of_another):
        assert line.pc.do(lambda: ping(SERVER, count=1, timeout_s=0.2)) == [LOST]


def test_an_answer_with_ip_options_is_read(line: Network) -> None:
    with line.server.answering(lambda request: [reply_to(request)], options=b"\x01\x01\x01\x00"):
        echoes = line.pc.do(lambda: ping(SERVER))
    assert [echo.outcome for echo in echoes] == [Outcome.OK] * 3


def test_a_flood_of_foreign_answers_does_not_push_ours_out_of_the_buffer(line: Network) -> None:
    async def measure() -> Echo:
        async with pinger(socket.AF_INET) as one:
            assert one._socket is not None
            foreign = reply_to(b"\x08\0\0\0" + struct.pack("!HH", one._identifier ^ 1, 1) + bytes(56))
            fitting_count = one._socket.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 512
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as stranger:
                for _ in range(fitting_count):
                    stranger.sendto(foreign, ("127.0.0.1", 0))
            (echo,) = await one.echoes("127.0.0.1", 1, 0.0, 1.0, 56)
            return echo

    assert line.pc.do(lambda: running(measure())).outcome is Outcome.OK


def test_a_number_that_is_still_on_its_way_is_given_to_no_other_request() -> None:
    async def measure() -> list[list[Echo]]:
        async with pinger(socket.AF_INET) as one:
            one._numbers = itertools.repeat(7)  # type: ignore[assignment]  # as after 65,536 others
            return await asyncio.gather(*(one.echoes("127.0.0.1", 1, 0.0, 2.0, 56) for _ in range(2)))

    (first,), (second,) = running(measure())
    assert first.outcome is Outcome.OK
    assert second == Echo(None, Outcome.BROKEN, "more than 65,536 requests at once")


def test_what_breaks_in_the_midst_of_a_row_rises_where_it_was_asked_for_and_the_others_go_on() -> None:
    async def measure() -> list[list[Echo] | BaseException]:
        async with pinger(socket.AF_INET) as one:
            asking = [asyncio.create_task(one.echoes("127.0.0.1", 2, 0.2, 2.0, 56)) for _ in range(2)]
            await asyncio.sleep(0)
            next(iter(one._flights.values())).row.destination = None  # type: ignore[assignment]  # that is what breaks
            async with asyncio.timeout(10.0):
                return await asyncio.gather(*asking, return_exceptions=True)

    broken, whole = running(measure())
    assert isinstance(broken, TypeError)
    assert isinstance(whole, list)
    assert [echo.outcome for echo in whole] == [Outcome.OK] * 2


def test_an_address_of_a_cable_that_is_gone_is_unreachable() -> None:
    echoes = ping("fe80::1%gone", count=2)
    assert [(echo.rtt_s, echo.outcome) for echo in echoes] == [(None, Outcome.UNREACHABLE)] * 2
    assert echoes[0].told


# Sockets, loops and clocks


def test_nobody_is_woken_for_what_has_been_answered() -> None:
    async def measure() -> tuple[float, float]:
        async with pinger(socket.AF_INET) as one:
            patient = asyncio.create_task(one.echoes("127.0.0.1", 2, 2.0, 9.0, 56))
            await one.echoes("127.0.0.2", 1, 0.0, 1.0, 56)
            await asyncio.sleep(0)
            next_s = one._timer_due_s - time.perf_counter()
            await patient
            return next_s, one._timer_due_s

    next_s, afterwards_s = running(measure())
    assert next_s > 1.0, "the second request is due, and not the first one's end of patience"
    assert afterwards_s == math.inf


def test_an_idle_pinger_holds_no_socket_and_many_share_one() -> None:
    async def measure() -> list[bool]:
        one = pinger(socket.AF_INET)
        seen = [one.is_open]
        both = asyncio.gather(*(echo_all(f"127.0.0.{number}", 2, 0.05, 1.0, 56) for number in (1, 2)))
        await asyncio.sleep(0.03)
        seen += [one.is_open, pinger(socket.AF_INET) is one]
        await both
        return [*seen, one.is_open]

    assert running(measure()) == [False, True, True, False]


def test_a_ping_that_is_given_up_leaves_nothing_behind() -> None:
    async def measure() -> tuple[bool, int]:
        one = pinger(socket.AF_INET)
        asking = asyncio.create_task(echo_all("127.0.0.1", 100, 0.05, 1.0, 56))
        await asyncio.sleep(0.1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        return one.is_open, len(one._flights)

    assert running(measure()) == (False, 0)


def test_a_ping_that_is_given_up_at_once_closes_no_socket_of_another() -> None:
    async def measure() -> tuple[bool, list[Echo], bool]:
        one = pinger(socket.AF_INET)
        hasty, patient = (asyncio.create_task(echo_all("127.0.0.1", 1, 0.05, 1.0, 56)) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hasty
        return one.is_open, await patient, one.is_open

    was_open, echoes, is_open = running(measure())
    assert (was_open, [echo.outcome for echo in echoes], is_open) == (True, [Outcome.OK], False)


def test_each_event_loop_has_a_pinger_of_its_own_which_goes_with_it() -> None:
    gc.collect()
    before_count = len(icmp._pingers)  # of loops that other tests' programs still hold
    for _ in range(3):
        assert [echo.outcome for echo in ping("127.0.0.1")] == [Outcome.OK] * 3
    gc.collect()
    assert len(icmp._pingers) == before_count


def test_a_moment_is_put_on_the_steady_clock_unless_the_wall_clock_was_stepped() -> None:
    began_s = time.perf_counter()
    moment_s = icmp._on_the_steady_clock(time.time(), began_s)
    assert moment_s is not None
    assert began_s - 1e-6 <= moment_s <= time.perf_counter()
    assert icmp._on_the_steady_clock(time.time() + 3600, began_s) is None  # the clock was put back since
    assert icmp._on_the_steady_clock(time.time() - 3600, began_s) is None  # or forward
