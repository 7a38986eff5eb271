"""A weak line between two hosts: slow, with a short queue, lossy, and now and then dead; it counts what it carries.

Each host has a TUN device, and a thread of the test carries the packets from one to the other, so that the kernel's own
TCP meets the line. Chance comes from a seed, but which packet it meets depends on when the hosts send.
"""

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.network import Host, hosts

PC: Final = "10.214.0.1"
SERVER: Final = "10.214.0.2"
_TUN: Final = Path("/dev/net/tun")
_TUNSETIFF: Final = 0x4004_54CA
_IFF_TUN_NO_PI: Final = 0x1001
_MTU_BYTES: Final = 1500
_IDLE_S: Final = 0.1


class Quality(NamedTuple):
    """What the line is like in each direction."""

    rate_bps: float
    loss_ratio: float = 0.0
    delay_s: float = 0.05
    queue_bytes: int = 16_000


def always(_elapsed_s: float) -> bool:
    """A line that is never dead."""
    return True


def never(_elapsed_s: float) -> bool:
    """A line that is dead."""
    return False


def flapping(every_s: float) -> Callable[[float], bool]:
    """Up so long, then down so long, and so on."""
    return lambda elapsed_s: int(elapsed_s / every_s) % 2 == 0


class Way:
    """One direction.

    A packet waits in the queue, or is dropped when that is full; then it takes its time on the line, and is lost or
    arrives after the delay.
    """

    def __init__(self, quality: Quality, seed: int) -> None:
        self.quality = quality
        self.passes: Callable[[float], bool] = always
        self.carried: list[tuple[float, int]] = []
        """When, in seconds since the line was made, each packet left the queue for the line, and its bytes (IP)."""
        self.dropped_count = self.lost_count = 0
        self._chance = random.Random(seed)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._free_s = 0.0  # when the line has finished with the packet before
        self._numbers = itertools.count()
        self._flying: list[tuple[float, int, bytes]] = []

    def take(self, packet: bytes, now_s: float) -> None:
        """A host sends."""
        if self._queued_bytes + len(packet) > self.quality.queue_bytes:
            self.dropped_count += 1
            return
        if not self._queue:
            self._free_s = max(self._free_s, now_s)
        self._queue.append(packet)
        self._queued_bytes += len(packet)

    def arrived(self, now_s: float) -> Iterator[bytes]:
        """Move everything on to where it is by now; what has come to the other end."""
        while self._queue:
            leaves_s = self._free_s + len(self._queue[0]) * 8 / self.quality.rate_bps
            if leaves_s > now_s:
                break
            packet = self._queue.popleft()
            self._queued_bytes -= len(packet)
            self._free_s = leaves_s
            self.carried.append((leaves_s, len(packet)))
            if self._chance.random() < self.quality.loss_ratio or not self.passes(leaves_s):
                self.lost_count += 1
                continue
            heapq.heappush(self._flying, (leaves_s + self.quality.delay_s, next(self._numbers), packet))
        while self._flying and self._flying[0][0] <= now_s:
            yield heapq.heappop(self._flying)[2]

    def next_s(self) -> float:
        """When to look again."""
        times = [self._flying[0][0]] if self._flying else []
        if self._queue:
            times.append(self._free_s + len(self._queue[0]) * 8 / self.quality.rate_bps)
        return min(times, default=float("inf"))

    def carried_bytes(self, from_s: float = 0.0, until_s: float = float("inf")) -> int:
        """What the line carried in a stretch of time, headers and repetitions included."""
        return sum(size_bytes for at_s, size_bytes in list(self.carried) if from_s <= at_s < until_s)

    def busiest_bps(self, window_s: float, from_s: float = 0.0, until_s: float = float("inf")) -> float:
        """The most that it carried in any stretch of so many seconds."""
        recent: deque[tuple[float, int]] = deque()
        total_bytes = most_bytes = 0
        for at_s, size_bytes in list(self.carried):
            if not from_s <= at_s < until_s:
                continue
            recent.append((at_s, size_bytes))
            total_bytes += size_bytes
            while recent[0][0] <= at_s - window_s:
                total_bytes -= recent.popleft()[1]
            most_bytes = max(most_bytes, total_bytes)
        return most_bytes * 8 / window_s


class WeakLink:
    """The line with its two hosts; `up` leads from the PC to the server."""

    def __init__(self, pc: Host, server: Host, quality: Quality, seed: int) -> None:
        self.pc, self.server = pc, server
        self.up, self.down = Way(quality, seed), Way(quality, seed + 1)
        self._began_s = time.monotonic()
        self._over = threading.Event()

    def elapsed_s(self) -> float:
        """Seconds since the line was made; everything here counts from then."""
        return time.monotonic() - self._began_s

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Nothing gets through in either direction, and nobody is told."""
        self.up.passes = self.down.passes = never
        try:
            yield
        finally:
            self.up.passes = self.down.passes = always

    def flap(self, every_s: float) -> None:
        """Be up so long and dead so long by turns, from now on."""
        began_s, up = self.elapsed_s(), flapping(every_s)
        self.up.passes = self.down.passes = lambda elapsed_s: up(max(0.0, elapsed_s - began_s))

    @contextmanager
    def carrying(self) -> Iterator[None]:
        """Carry packets, in a thread, for as long as this lasts."""
        devices = [_tun(host, address, peer) for host, address, peer in
                   ((self.pc, PC, SERVER), (self.server, SERVER, PC))]  # fmt: skip
        thread = threading.Thread(target=self._carry, args=devices, name="weak link")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            for device in devices:
                os.close(device)

    def _carry(self, pc: int, server: int) -> None:
        ways = {pc: (self.up, server), server: (self.down, pc)}
        while not self._over.is_set():
            wait_s = min(way.next_s() for way, _ in ways.values()) - self.elapsed_s()
            readable, _, _ = select.select(list(ways), [], [], max(0.0, min(wait_s, _IDLE_S)))
            for device in readable:
                ways[device][0].take(os.read(device, _MTU_BYTES + 100), self.elapsed_s())
            for way, other in ways.values():
                for packet in way.arrived(self.elapsed_s()):
                    os.write(other, packet)


def _tun(host: Host, address: str, peer: str) -> int:
    """A TUN device of a host, up and with its address; the descriptor of its other side."""

    def make() -> int:
        device = os.open(_TUN, os.O_RDWR)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"weak", _IFF_TUN_NO_PI))
        return device

    host.set(ipv6__conf__default__disable_ipv6="1")  # its chatter would be counted
    device = host.do(make)
    host.ip(f"address add {address} peer {peer} dev weak", f"link set weak mtu {_MTU_BYTES} txqueuelen 1000 up")
    return device


@contextmanager
def weak_link(quality: Quality, *, seed: int = 1) -> Iterator[WeakLink]:
    """Two hosts and the line between them. Skips where the system has no TUN devices."""
    if not _TUN.exists():
        pytest.skip(f"{_TUN} is not there")
    with hosts("pc", "server") as (pc, server):
        link = WeakLink(pc, server, quality, seed)
        with link.carrying():
            yield link
