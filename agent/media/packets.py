"""The media path: one blocking UDP socket in a thread of its own, each packet stamped as it leaves and as it comes.

The event loop takes no part, since its turns would show in the times. What leaves is stamped right before the call,
what comes by the kernel where it can (Linux), else on reading. All times are of one steady clock: a PC's clock that is
set during a burst changes none of them.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from typing import Final, NamedTuple, Self

import msgspec

from agent.media.burst import Echo
from agent.spending.meter import spent_datagrams
from contract import datagram, stamp
from contract.outcome import Outcome

MEDIA_THREADS: Final = 16
"""So many tests may go on at once, to several reflectors."""
_LONGEST_BYTES: Final = 2048
_BUFFER_BYTES: Final = 1 << 20
_LOOK_UP_S: Final = 0.25
"""How soon a thread notices that nobody waits for it any more."""
_BEHIND_COUNT: Final = 2
_LATER_SHARE: Final = 0.5


class Arrival(NamedTuple):
    """One datagram and when it came."""

    packet: bytes
    at_ns: int


class Refusal(Exception):
    """The system or a router said that nobody is there."""

    def __init__(self, error: OSError) -> None:
        super().__init__(os.strerror(error.errno) if error.errno else str(error))
        # On Windows a port where nobody listens is told of as a connection that was reset.
        self.outcome = Outcome.REFUSED if isinstance(error, ConnectionError) else Outcome.UNREACHABLE


class Wire:
    """A socket connected to one port of one address. Only what comes from there is seen."""

    def __init__(self, address: str, family: socket.AddressFamily, port: int) -> None:
        """Raises OSError."""
        self._family = family
        self._sent = self._received = (0, 0)  # datagrams, and their payloads' bytes
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._is_stamped = False
            with contextlib.suppress(OSError):
                self._socket.setsockopt(datagram.SOL_SOCKET, datagram.SO_TIMESTAMPNS, 1)
                self._is_stamped = hasattr(self._socket, "recvmsg")
            self._socket.connect((address, port))
        except BaseException:
            self._socket.close()
            raise
        time.sleep(datagram.STAMPING_STARTS_S)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        spent_datagrams(self._family, sent=self._sent, received=self._received)
        self._socket.close()

    def send(self, packet: bytes) -> bool:
        """Whether it went out; False when there was no room for it. Raises Refusal."""
        try:
            self._socket.send(packet)
        except BlockingIOError:
            return False  # what a full line does to packets
        except OSError as error:
            if isinstance(error, TimeoutError):
                return False
            raise Refusal(error) from error
        self._sent = (self._sent[0] + 1, self._sent[1] + len(packet))
        return True

    def receive(self, within_s: float) -> Arrival | None:
        """The next datagram, or None when none came in time. Raises Refusal."""
        self._socket.settimeout(max(0.0, within_s))
        wall_ns = None
        try:
            if self._is_stamped:
                packet, ancillary, _, _ = self._socket.recvmsg(_LONGEST_BYTES, datagram.ANCILLARY_BYTES)
                wall_ns = datagram.told_by(ancillary).wall_ns
            else:
                packet = self._socket.recv(_LONGEST_BYTES)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            raise Refusal(error) from error
        self._received = (self._received[0] + 1, self._received[1] + len(packet))
        return Arrival(packet, datagram.on_steady_clock(wall_ns, time.time_ns(), time.perf_counter_ns()))


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """Test packets to send: how many, how far apart, how long; signed when there is a key."""

    count: int
    interval_s: float
    size_bytes: int
    wait_s: float
    key: bytes | None = None
    agent: str = ""
    ssid: int = 0


class Sent(NamedTuple):
    """What became of a burst. `late_ns` is how much later than planned each packet left."""

    echoes: list[Echo]
    late_ns: list[int]
    refusal: Refusal | None


def send_burst(wire: Wire, burst: Burst, abandoned: threading.Event) -> Sent:
    """Send a burst evenly, and take what comes back until `wait_s` after the last.

    A packet that is late by more than two intervals moves those behind it, too: a PC that was busy must not make up
    for it by a flood, whose queue would be measured as the line's. What takes half as long again as planned ends.
    """
    plan = _Plan(burst)
    # One moment on both clocks: from here on every T1 is this wall time plus what the steady clock went on.
    epoch_ns = time.time_ns() - time.perf_counter_ns()
    begin_ns = time.perf_counter_ns()
    latest_ns = begin_ns + round(burst.count * burst.interval_s * (1 + _LATER_SHARE) * 1e9) + 1_000_000_000
    next_ns = begin_ns
    gap_ns = round(burst.interval_s * 1e9)
    refusal: Refusal | None = None
    while len(plan.echoes) < burst.count and not abandoned.is_set():
        now_ns = time.perf_counter_ns()
        try:
            if now_ns < next_ns:
                arrival = wire.receive(min((next_ns - now_ns) / 1e9, _LOOK_UP_S))
                if arrival is not None:
                    plan.take(arrival, epoch_ns)
                continue
            if now_ns > latest_ns:
                break
            late_ns = now_ns - next_ns
            next_ns = (now_ns if late_ns > _BEHIND_COUNT * gap_ns else next_ns) + gap_ns
            plan.send(wire, late_ns, epoch_ns)
        except Refusal as error:
            refusal = error
    until_ns = time.perf_counter_ns() + round(burst.wait_s * 1e9)
    while plan.waits and not abandoned.is_set() and (left_ns := until_ns - time.perf_counter_ns()) > 0:
        try:
            arrival = wire.receive(min(left_ns / 1e9, _LOOK_UP_S))
        except Refusal as error:
            refusal = error
            continue
        if arrival is not None:
            plan.take(arrival, epoch_ns)
    return Sent(plan.echoes, plan.late_ns, refusal)


class _Plan:
    """The packets of a burst so far, and what came back."""

    def __init__(self, burst: Burst) -> None:
        self._burst = burst
        self._ssid = burst.ssid or secrets.randbelow(0xFFFF) + 1
        self._waiting = 0
        self._sent: list[bytes] = []
        self._order = 0
        self.echoes: list[Echo] = []
        self.late_ns: list[int] = []

    @property
    def waits(self) -> bool:
        """Whether any packet is still under way."""
        return self._waiting > 0

    def send(self, wire: Wire, late_ns: int, epoch_ns: int) -> None:
        """The next packet, stamped as late as can be. Raises Refusal; the packet counts as sent all the same."""
        burst, seq = self._burst, len(self.echoes)
        sent_ns = time.perf_counter_ns()
        packet = stamp.encode_request(
            seq, sent_ns + epoch_ns, ssid=self._ssid, size_bytes=burst.size_bytes, key=burst.key, agent=burst.agent
        )
        self._sent.append(stamp.time_bytes(sent_ns + epoch_ns))
        self.echoes.append(Echo(seq=seq, sent_ns=sent_ns + epoch_ns))
        self.late_ns.append(late_ns)
        self._waiting += 1
        wire.send(packet)

    def take(self, arrival: Arrival, epoch_ns: int) -> None:
        """One datagram: the answer to a packet of ours, its repeat, or nothing."""
        try:
            reply = stamp.decode_reply(arrival.packet, self._burst.key)
        except stamp.StampError:
            return
        seq = reply.sender_seq
        if reply.ssid != self._ssid or seq >= len(self._sent) or reply.sender_sent != self._sent[seq]:
            return  # of another session, or made up
        echo = self.echoes[seq]
        if echo.returned_ns is not None:
            self.echoes[seq] = echo._replace(repeats=echo.repeats + 1)
            return
        self._waiting -= 1
        self.echoes[seq] = echo._replace(
            returned_ns=arrival.at_ns + epoch_ns,
            received_ns=reply.received_ns,
            answered_ns=reply.sent_ns,
            reflector_seq=reply.seq,
            order=self._order,
        )
        self._order += 1
