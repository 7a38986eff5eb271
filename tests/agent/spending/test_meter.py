"""The meter against the kernel's own counters of an interface that carries nothing else."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.probes import load_probe
from agent.probes.ping import Ping
from agent.spending.meter import Wire, counting, parse_tcp_info, spent, spent_datagrams, spent_tcp
from tests.support.network import SERVER, Network


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Sends back whatever comes, until the other side is done."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(10)
    listener.close()


def test_what_is_spent_in_tasks_and_threads_counts_into_their_measurement() -> None:
    async def measure() -> Wire:
        with counting() as tally:
            spent(sent_bytes=1, received_bytes=2)
            await asyncio.gather(asyncio.create_task(_spend()), asyncio.to_thread(spent, sent_bytes=100))
            return tally.wire

    assert asyncio.run(measure()) == Wire(111, 22)


async def _spend() -> None:
    spent(sent_bytes=10, received_bytes=20)


def test_two_measurements_at_once_do_not_count_into_each_other() -> None:
    async def measure(sent_bytes: int) -> Wire:
        with counting() as tally:
            await asyncio.sleep(0)
            spent(sent_bytes=sent_bytes)
            await asyncio.sleep(0)
            return tally.wire

    async def both() -> list[Wire]:
        return list(await asyncio.gather(measure(1), measure(2)))

    assert asyncio.run(both()) == [Wire(1, 0), Wire(2, 0)]


def test_datagrams_cost_their_headers() -> None:
    with counting() as tally:
        spent_datagrams(socket.AF_INET, sent=(3, 300), received=(2, 200))
        spent_datagrams(socket.AF_INET6, sent=(1, 0))
    assert tally.wire == Wire(3 * 28 + 300 + 48, 2 * 28 + 200)


def test_a_connection_costs_its_bytes_and_the_headers_of_every_segment() -> None:
    with echo_server() as port, counting() as tally, socket.create_connection(("127.0.0.1", port)) as sock:
        for _ in range(20):
            sock.sendall(b"x" * 1000)
            assert len(sock.recv(2000)) == 1000
        spent_tcp(sock)
    # At least one segment each way for each turn, and the handshake; at most an ACK of its own for each.
    least_bytes, most_bytes = 20_000 + 22 * 52, 20_000 + 50 * 52
    assert least_bytes <= tally.wire.sent_bytes <= most_bytes
    assert least_bytes <= tally.wire.received_bytes <= most_bytes


@pytest.mark.parametrize("told", [b"", bytes(100)])
def test_a_system_that_does_not_tell_costs_nothing_rather_than_a_guess(told: bytes) -> None:
    assert parse_tcp_info(told, socket.AF_INET) == Wire()


def test_a_closed_connection_costs_nothing_more() -> None:
    sock = socket.socket()
    sock.close()
    with counting() as tally:
        spent_tcp(sock)
    assert tally.wire == Wire()


class Card(NamedTuple):
    """A network card's own counters, which see every packet; bytes from the IP header on."""

    sent_bytes: int
    received_bytes: int

    @classmethod
    def read(cls) -> "Card":
        """Of the one card, beside loopback, of the namespace that this thread is in."""
        lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines()[2:]
        fields = next(line.split(":")[1].split() for line in lines if not line.strip().startswith("lo:"))
        received_bytes, received_count, sent_bytes, sent_count = (int(fields[place]) for place in (0, 1, 8, 9))
        return cls(sent_bytes - sent_count * ETHERNET_BYTES, received_bytes - received_count * ETHERNET_BYTES)


ETHERNET_BYTES = 14


@contextlib.contextmanager
def web_server(network: Network) -> Iterator[int]:
    """Answers each request with three thousand bytes; what asks for nothing gets nothing."""
    listener = network.server.do(lambda: socket.create_server((SERVER, 0)))
    listener.settimeout(0.2)
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            if connection.recv(4096):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
                connection.recv(1)

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    over.set()
    thread.join(10)
    listener.close()


SEGMENT_BYTES = 52
RUNS = 10


def both_counts(network: Network, work: Callable[[], object]) -> tuple[Wire, Wire]:
    """What we counted of some work on the PC, and what its card saw."""

    def count() -> tuple[Wire, Card, Card]:
        asyncio.run(Ping(target="lesson", address=SERVER, count=1).measure())  # ARP is asked now, and not meanwhile
        before = Card.read()
        with counting() as tally:
            work()
        time.sleep(0.3)  # the last segments of closed connections
        return tally.wire, before, Card.read()

    ours, before, after = network.pc.do(count)
    seen = Wire(after.sent_bytes - before.sent_bytes, after.received_bytes - before.received_bytes)
    return ours, seen


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"probe": "ping", "address": SERVER, "count": 50, "spacing_s": 0.01}, id="ping"),
        pytest.param({"probe": "tcp", "address": SERVER, "port": 0}, id="tcp"),
        pytest.param({"probe": "http", "url": f"http://{SERVER}:0/"}, id="http"),
    ],
)
def test_a_probes_count_is_what_the_card_saw_but_for_a_segment_of_each_connection(
    network: Network, settings: dict[str, Any]
) -> None:
    with web_server(network) as port:
        settings = {"target": "lesson", **settings}
        if "port" in settings:
            settings["port"] = port
        if "url" in settings:
            settings["url"] = settings["url"].replace(":0/", f":{port}/")
        probe = load_probe(settings.pop("probe"), settings)

        def work() -> None:
            for _ in range(RUNS):
                asyncio.run(probe.measure())

        ours, seen = both_counts(network, work)
    assert ours.sent_bytes == pytest.approx(seen.sent_bytes, rel=0.02, abs=RUNS * SEGMENT_BYTES)
    assert ours.received_bytes == pytest.approx(seen.received_bytes, rel=0.02, abs=RUNS * SEGMENT_BYTES)


def test_a_long_connection_counts_within_two_percent_of_what_the_card_saw(network: Network) -> None:
    """As the one to the broker: a batch and its answer, again and again."""
    listener = network.server.do(lambda: socket.create_server((SERVER, 0)))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(4096):
                connection.sendall(b"a" * 150)

    thread = threading.Thread(target=answer)
    thread.start()

    def work() -> None:
        with socket.create_connection(listener.getsockname()) as sock:
            for _ in range(300):
                sock.sendall(b"b" * 700)
                sock.recv(4096)
            spent_tcp(sock)

    ours, seen = both_counts(network, work)
    thread.join(10)
    listener.close()
    assert ours.sent_bytes == pytest.approx(seen.sent_bytes, rel=0.02)
    assert ours.received_bytes == pytest.approx(seen.received_bytes, rel=0.02)
