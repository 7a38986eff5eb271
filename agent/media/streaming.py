"""Tests with a reflector whether the line carries a bitrate, both ways at once, in a thread of its own.

docs/protocol.md has the messages. The agent asks, proves where it is, sends its stream and takes the reflector's; each
direction stops as soon as `agent.media.sufficing` has decided it.
"""

import secrets
import statistics
import threading
import time
from typing import Final

import msgspec

from agent.media.packets import Arrival, Wire
from agent.media.sufficing import Answer, Found, decide
from contract import stream
from contract.datagram import HEADERS_BYTES
from contract.stream import Ask, Data, Kind, Report, StreamError, Tally, Why

HELLO_COUNT: Final = 10
_HELLO_GAP_S: Final = 0.05
_ANSWERS_WITHIN_S: Final = 3.0
_START_GAP_S: Final = 0.25
_PULSE_NS: Final = 100_000_000
_BEHIND_NS: Final = 100_000_000
_SILENT_NS: Final = 2_000_000_000
_DRAIN_NS: Final = 700_000_000
_SETTLED_AFTER_NS: Final = 500_000_000
_FAREWELL_COUNT: Final = 3
_FAREWELL_GAP_S: Final = 0.02
_RTTS_LEAST_COUNT: Final = 3
_LONGEST_WAIT_S: Final = 0.25


class StreamTest(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for."""

    agent: str
    key: bytes
    up_bps: int
    down_bps: int
    longest_s: float


class Refused(Exception):
    """The reflector answered that there will be no test now, and why."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.name.lower())
        self.why = why


NO_KEY: Final = "no key was given, and a reflector answers only whom it knows"
"""What may be the reason for a silence: the plan from the centre brings the key, a command by hand has to."""


class Silent(Exception):
    """Nothing came back: how far the test had got."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. A direction that was not asked for is None."""

    up: Found | None
    down: Found | None
    idle_rtt_ms: float
    loaded_rtt_ms: float | None
    used_bytes: int
    took_s: float


class LineTest:
    """One test over one wire. It blocks."""

    def __init__(self, wire: Wire, test: StreamTest, abandoned: threading.Event) -> None:
        self._wire = wire
        self._test = test
        self._abandoned = abandoned
        self._nonce = secrets.token_bytes(8)
        self._session = 0
        self._used_bytes = 0
        self._idle_ns: list[int] = []
        self._loaded_ns: list[int] = []
        self._tally = Tally(test.longest_s)
        self._up_windows: list[stream.Window] = []
        self._up_received = 0
        self._pulse_ns = 0
        self._up_gap_ns = round(stream.interval_s(test.up_bps) * 1e9) if test.up_bps else 0
        self._down_gap_s = stream.interval_s(test.down_bps) if test.down_bps else 0.0
        self._up_seq = 0
        self._decided = 0 if test.up_bps else stream.UP_DECIDED
        self._decided |= 0 if test.down_bps else stream.DOWN_DECIDED
        self._heard_ns = 0

    def run(self) -> Result:
        """Ask, test, end. Raises Refused, Silent, Refusal."""
        began_ns = time.perf_counter_ns()
        self._begin(self._ask())
        self._stream()
        rtts = self._loaded_ns if len(self._loaded_ns) >= _RTTS_LEAST_COUNT else []
        return Result(
            up=self._judge_up(is_over=True) if self._test.up_bps else None,
            down=self._judge_down(is_over=True) if self._test.down_bps else None,
            idle_rtt_ms=statistics.median(self._idle_ns) / 1e6,
            loaded_rtt_ms=statistics.median(rtts) / 1e6 if rtts else None,
            used_bytes=self._used_bytes,
            took_s=(time.perf_counter_ns() - began_ns) / 1e9,
        )

    # Before: who asks, and where it is.

    def _question(self, cookie: bytes) -> bytes:
        test = self._test
        return Ask(
            self._nonce, test.agent, time.perf_counter_ns(), test.up_bps, test.down_bps, test.longest_s, cookie
        ).encode()

    def _ask(self) -> bytes:
        """The reflector's challenge. Meanwhile the round trip of the idle line is measured."""
        cookie = b""
        began_ns = next_ns = time.perf_counter_ns()
        sent_count = 0
        while sent_count < HELLO_COUNT or not cookie or len(self._idle_ns) < min(sent_count, HELLO_COUNT) // 2:
            now_ns = time.perf_counter_ns()
            if now_ns - began_ns > _ANSWERS_WITHIN_S * 1e9 or self._abandoned.is_set():
                break
            if now_ns >= next_ns:
                self._send(Kind.HELLO, self._question(bytes(16)), size_bytes=stream.ASK_BYTES)
                sent_count, next_ns = sent_count + 1, now_ns + round(_HELLO_GAP_S * 1e9)
            for kind, _, body, arrival in self._receive(next_ns):
                if kind is Kind.CHALLENGE:
                    ask = Ask.decode(body)
                    if ask.nonce == self._nonce:
                        cookie = ask.cookie
                        self._idle_ns.append(arrival.at_ns - ask.sent_ns)
        if not cookie:
            raise Silent("no answer" if self._test.key else f"no answer; {NO_KEY}")
        return cookie

    def _begin(self, cookie: bytes) -> None:
        began_ns = time.perf_counter_ns()
        next_ns = began_ns
        while not self._session:
            now_ns = time.perf_counter_ns()
            if now_ns - began_ns > _ANSWERS_WITHIN_S * 1e9 or self._abandoned.is_set():
                raise Silent("no answer to the proof of where we are")
            if now_ns >= next_ns:
                self._send(Kind.START, self._question(cookie), size_bytes=stream.ASK_BYTES)
                next_ns = now_ns + round(_START_GAP_S * 1e9)
            for kind, code, body, arrival in self._receive(next_ns):
                if kind is Kind.REFUSED and code in frozenset(Why):
                    raise Refused(Why(code))
                self._hear(kind, body, arrival)

    # The streams.

    def _stream(self) -> None:
        began_ns = time.perf_counter_ns()
        self._heard_ns = next_ns = pulse_ns = began_ns
        ends_ns = began_ns + round(self._test.longest_s * 1e9)
        while self._decided != _BOTH and not self._abandoned.is_set():
            now_ns = time.perf_counter_ns()
            if now_ns >= ends_ns + _DRAIN_NS or now_ns - self._heard_ns > _SILENT_NS:
                break
            if now_ns >= pulse_ns:
                pulse_ns = now_ns + _PULSE_NS
                self._look()
                self._pulse()
            is_sending = not self._decided & stream.UP_DECIDED and now_ns < ends_ns
            if is_sending and now_ns >= next_ns:
                next_ns = max(next_ns, now_ns - _BEHIND_NS) + self._up_gap_ns
                self._send_data()
            for kind, _, body, arrival in self._receive(min(next_ns, pulse_ns) if is_sending else pulse_ns):
                self._hear(kind, body, arrival, is_loaded=now_ns - began_ns > _SETTLED_AFTER_NS and now_ns < ends_ns)
        if not self._up_windows and not self._tally.received:
            raise Silent("the streams brought nothing")
        self._decided = _BOTH
        for _ in range(_FAREWELL_COUNT):  # without a word the reflector would go on for a second
            self._pulse()
            time.sleep(_FAREWELL_GAP_S)

    def _look(self) -> None:
        if not self._decided & stream.UP_DECIDED and self._judge_up().answer is not Answer.OPEN:
            self._decided |= stream.UP_DECIDED
        if not self._decided & stream.DOWN_DECIDED and self._judge_down().answer is not Answer.OPEN:
            self._decided |= stream.DOWN_DECIDED

    def _judge_up(self, *, is_over: bool = False) -> Found:
        return decide(
            self._up_windows, self._test.up_bps, self._up_gap_ns / 1e9, received=self._up_received, is_over=is_over
        )

    def _judge_down(self, *, is_over: bool = False) -> Found:
        return decide(
            self._tally.windows, self._test.down_bps, self._down_gap_s, received=self._tally.received, is_over=is_over
        )

    def _pulse(self) -> None:
        self._send(Kind.PULSE, stream.encode_pulse(time.perf_counter_ns()), code=self._decided)

    def _send_data(self) -> None:
        data = Data(self._up_seq, time.perf_counter_ns())
        self._up_seq += 1
        self._send(Kind.DATA, data.encode(), size_bytes=stream.packet_bytes(self._test.up_bps))

    def _hear(self, kind: Kind, body: bytes, arrival: Arrival, *, is_loaded: bool = False) -> None:
        self._heard_ns = arrival.at_ns
        if kind is Kind.DATA and self._down_gap_s:
            self._tally.add(Data.decode(body), arrival.at_ns, interval_ns=self._down_gap_s * 1e9)
        elif kind is Kind.REPORT:
            report = Report.decode(body)
            if report.received >= self._up_received:
                self._up_windows = stream.merged(self._up_windows, report)
                self._up_received = report.received
            if is_loaded and not self._decided and report.pulse_ns > self._pulse_ns:
                self._pulse_ns = report.pulse_ns
                self._loaded_ns.append(arrival.at_ns - report.pulse_ns - report.held_ns)

    # The wire.

    def _send(self, kind: Kind, body: bytes, *, code: int = 0, size_bytes: int = 0) -> None:
        packet = stream.encode(self._test.key, kind, self._session, body, code=code, size_bytes=size_bytes)
        if self._wire.send(packet):
            self._used_bytes += len(packet) + HEADERS_BYTES

    def _receive(self, until_ns: int) -> list[tuple[Kind, int, bytes, Arrival]]:
        """What comes next before a time, if it is ours; at once, if that time is past."""
        wait_s = min(_LONGEST_WAIT_S, (until_ns - time.perf_counter_ns()) / 1e9)
        arrival = self._wire.receive(max(0.0, wait_s))
        if arrival is None:
            return []
        self._used_bytes += len(arrival.packet) + HEADERS_BYTES
        try:
            message = stream.peek(arrival.packet)
        except StreamError:
            return []
        if not stream.is_genuine(arrival.packet, self._test.key):
            return []
        if message.session != self._session:
            if self._session or message.kind not in (Kind.DATA, Kind.REPORT):
                return []
            self._session = message.session
        return [(message.kind, message.code, message.body, arrival)]


_BOTH: Final = stream.UP_DECIDED | stream.DOWN_DECIDED
