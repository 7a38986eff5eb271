"""A bad line on loopback: a UDP relay that lets through what a link of some bitrate, queue, delay and loss would.

The links are models without a clock, so that they can be driven in virtual time, too.
"""

import bisect
import contextlib
import heapq
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from contract import datagram

HEADERS_BYTES: Final = datagram.HEADERS_BYTES
MAHIMAHI_BYTES: Final = 1504


class Link(Protocol):
    """One direction of a line."""

    def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
        """When a packet (with its headers) comes out that went in at a time; None if it is lost. Times go forward."""
        ...


class Steady:
    """A link of one bitrate (None: without end) behind a queue that drops what does not fit."""

    def __init__(
        self,
        *,
        bps: float | None = None,
        queue_bytes: int = 40_000,
        delay_s: float = 0.0,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._bps = bps
        self._queue_bytes = queue_bytes
        self._delay_ns = round(delay_s * 1e9)
        self._loss = loss
        self._chance = random.Random(seed)
        self._free_ns = 0

    def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
        if self._chance.random() < self._loss:
            return None
        if self._bps is None:
            return at_ns + self._delay_ns
        waiting_ns = max(0, self._free_ns - at_ns)
        if waiting_ns / 1e9 * self._bps / 8 + size_bytes > self._queue_bytes + size_bytes:
            return None
        self._free_ns = at_ns + waiting_ns + round(size_bytes * 8 / self._bps * 1e9)
        return self._free_ns + self._delay_ns


class Traced:
    """A link that carries 1504 bytes at each of recorded moments (mahimahi), again and again."""

    def __init__(
        self, moments_ns: Sequence[int], *, queue_bytes: int = 150_000, delay_s: float = 0.02, begin_ns: int = 0
    ) -> None:
        self._moments = moments_ns
        self._lasts_ns = moments_ns[-1]
        self._queue_bytes = queue_bytes
        self._delay_ns = round(delay_s * 1e9)
        self._begin_ns = begin_ns
        self._place = 0
        self._left_bytes = 0
        self._queued: list[tuple[int, int]] = []

    def _moment_ns(self, place: int) -> int:
        turns, rest = divmod(place, len(self._moments))
        return self._begin_ns + turns * self._lasts_ns + self._moments[rest]

    def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
        self._queued = [(out_ns, size) for out_ns, size in self._queued if out_ns > at_ns]
        if sum(size for _, size in self._queued) + size_bytes > self._queue_bytes:
            return None
        if self._moment_ns(self._place) < at_ns:
            turns, rest_ns = divmod(at_ns - self._begin_ns, self._lasts_ns)
            self._place = turns * len(self._moments) + bisect.bisect_left(self._moments, rest_ns)
            self._left_bytes = MAHIMAHI_BYTES
        missing_bytes = size_bytes
        while missing_bytes > self._left_bytes:
            missing_bytes -= self._left_bytes
            self._place += 1
            self._left_bytes = MAHIMAHI_BYTES
        self._left_bytes -= missing_bytes
        out_ns = self._moment_ns(self._place)
        self._queued.append((out_ns, size_bytes))
        return out_ns + self._delay_ns


def read_moments(path: Path) -> list[int]:
    """A mahimahi trace, in nanoseconds."""
    return [int(line) * 1_000_000 for line in path.read_text(encoding="ascii").split()]


def moments_of_rates(path: Path) -> list[int]:
    """The same of a trace with lines of seconds and Mbit/s."""
    points = [(float(at), float(rate)) for at, rate in (line.split() for line in path.read_text().splitlines() if line)]
    moments: list[int] = []
    carried = 0.0
    for (begin_s, rate), (end_s, _) in itertools.pairwise(points):
        bytes_per_s = rate * 1e6 / 8
        now_s = begin_s
        while bytes_per_s and (next_s := now_s + (MAHIMAHI_BYTES - carried) / bytes_per_s) <= end_s:
            moments.append(round((next_s - points[0][0]) * 1e9))
            now_s, carried = next_s, 0.0
        carried += (end_s - now_s) * bytes_per_s
    return moments


class UdpRelay:
    """Between any sender on loopback and one port. `up` is the link to that port, `down` the one back.

    Each sender has a socket of its own towards the port. A packet enters its link when the kernel got it, and leaves
    as near to the link's word as the machine allows.
    """

    def __init__(
        self, port: int, up: Link, down: Link, *, spoil: Callable[[bytes, bool], list[bytes]] | None = None
    ) -> None:
        """`spoil` may change, drop or repeat packets: it gets each and whether it goes up."""
        self._target = ("127.0.0.1", port)
        self._links = {True: up, False: down}
        self._spoil = spoil
        self._listening = self._socket()
        self._listening.bind(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._to_target: dict[tuple[str, int], socket.socket] = {}
        self._on_the_way: list[tuple[int, int, bytes, socket.socket, tuple[str, int]]] = []
        self._order = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.setsockopt(datagram.SOL_SOCKET, datagram.SO_TIMESTAMPNS, 1)
        made.setblocking(False)
        return made

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._listening.close()
        for one in self._to_target.values():
            one.close()

    def _run(self) -> None:
        # Polls: a thread that sleeps wakes up too late by as much as some links' whole delay.
        while not self._stopping.is_set():
            moved = self._deliver()
            for source, packet, at_ns in list(self._arrivals(self._listening)):
                moved = True
                if source not in self._to_target:
                    self._to_target[source] = self._socket()
                    self._to_target[source].bind(("127.0.0.1", 0))
                self._enter(packet, at_ns, self._to_target[source], self._target, is_up=True)
            for source, own in list(self._to_target.items()):
                for _, packet, at_ns in list(self._arrivals(own)):
                    moved = True
                    self._enter(packet, at_ns, self._listening, source, is_up=False)
            if not moved:
                time.sleep(0.0005)

    def _enter(self, packet: bytes, at_ns: int, out: socket.socket, to: tuple[str, int], *, is_up: bool) -> None:
        for one in [packet] if self._spoil is None else self._spoil(packet, is_up):
            out_ns = self._links[is_up].arrives_ns(at_ns, len(one) + HEADERS_BYTES)
            if out_ns is not None:
                heapq.heappush(self._on_the_way, (out_ns, next(self._order), one, out, to))

    @staticmethod
    def _arrivals(sock: socket.socket) -> Iterator[tuple[tuple[str, int], bytes, int]]:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            for _ in range(64):
                packet, ancillary, _, source = sock.recvmsg(4096, datagram.ANCILLARY_BYTES)
                wall_ns = datagram.told_by(ancillary).wall_ns
                yield source, packet, datagram.on_steady_clock(wall_ns, time.time_ns(), time.monotonic_ns())

    def _deliver(self) -> bool:
        moved = False
        while self._on_the_way and self._on_the_way[0][0] <= time.monotonic_ns():
            _, _, packet, out, to = heapq.heappop(self._on_the_way)
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                out.sendto(packet, to)
            moved = True
        return moved
