"""The meter against the kernel's own counters of an interface that carries nothing else."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from agent.meter import Wire, counting, parse_tcp_info, spent, spent_datagrams, spent_tcp


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
