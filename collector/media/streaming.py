"""The reflector's side of a test whether a line carries a bitrate: who may have one, what is sent. Opens no socket.

Nothing is sent to anybody who has not proved, by a signature over what we told that very address, that it is there and
asks for it; and no longer than a second to one that has fallen silent. Times are nanoseconds of one steady clock.
"""

import hmac
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from collector.media.reflecting import Bucket, Keys, Refused, Source
from contract import names, stream
from contract.datagram import HEADERS_BYTES
from contract.stream import Ask, Data, Kind, Message, StreamError, Tally, Why

_COOKIE_LASTS_S: Final = 10
_SILENT_NS: Final = 1_000_000_000
_LINGERS_NS: Final = 2_000_000_000
"""A session is kept so long after its end, to answer the last pulses."""
_BEHIND_NS: Final = 100_000_000
"""A stream that fell back further than this is not made up for: a burst would be none of a lesson's."""
_AT_ONCE: Final = 64
_AGENTS_MAX_COUNT: Final = 16_384
_LONGEST_S: Final = 10.0
_DAY_S: Final = 86400.0
_HOUR_S: Final = 3600.0


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much testing there may be, bytes of both directions together."""

    at_once: int = 8
    most_bps: float = 20e6
    agent_bytes_per_day: float = 64 << 20
    total_bytes_per_hour: float = 4 << 30


class _Session:
    """One test that runs."""

    __slots__ = (
        "agent", "began_ns", "decided", "down_gap_ns", "down_size", "ends_ns", "heard_ns", "key", "next_ns", "nonce",
        "number", "pulse_at_ns", "pulse_ns", "report_at_ns", "reserved", "seq", "source", "spent", "tally", "up_gap_ns",
    )  # fmt: skip

    def __init__(self, ask: Ask, key: bytes, number: int, source: Source, now_ns: int) -> None:
        self.agent, self.nonce, self.key, self.number, self.source = ask.agent, ask.nonce, key, number, source
        self.began_ns = self.heard_ns = self.next_ns = now_ns
        self.ends_ns = now_ns + round(ask.longest_s * 1e9)
        self.up_gap_ns = stream.interval_s(ask.up_bps) * 1e9 if ask.up_bps else 0.0
        self.down_gap_ns = stream.interval_s(ask.down_bps) * 1e9 if ask.down_bps else 0.0
        self.down_size = stream.packet_bytes(ask.down_bps) if ask.down_bps else 0
        self.tally = Tally(ask.longest_s)
        self.decided = 0
        self.seq = 0
        self.pulse_ns, self.pulse_at_ns = ask.sent_ns, now_ns
        self.report_at_ns = now_ns + stream.REPORT_NS
        self.reserved = _bytes_of(ask)
        self.spent = 0

    def sends(self, now_ns: int) -> bool:
        """Whether its stream goes on."""
        is_wanted = self.down_gap_ns and not self.decided & stream.DOWN_DECIDED
        return bool(is_wanted) and now_ns < self.ends_ns and now_ns - self.heard_ns < _SILENT_NS

    def report(self, now_ns: int) -> bytes:
        """What it has come to, and the last pulse."""
        body = self.tally.report(self.pulse_ns, max(0, now_ns - self.pulse_at_ns)).encode()
        return stream.encode(self.key, Kind.REPORT, self.number, body)

    def is_over(self, now_ns: int) -> bool:
        """Whether it takes up no place any more."""
        return now_ns >= self.ends_ns or now_ns - self.heard_ns >= _SILENT_NS or self.decided == _BOTH


_BOTH: Final = stream.UP_DECIDED | stream.DOWN_DECIDED


class Answer(NamedTuple):
    """A message and where it goes."""

    packet: bytes
    source: Source


class Streams:
    """All tests that run."""

    def __init__(self, keys: Keys, limits: StreamLimits) -> None:
        self._keys = keys
        self._limits = limits
        self._cookie_secret = secrets.token_bytes(32)
        self._sessions: dict[int, _Session] = {}
        self._by_agent: OrderedDict[str, Bucket] = OrderedDict()
        self._total = Bucket(limits.total_bytes_per_hour, 0.0)

    def take(self, packet: bytes, source: Source, *, received_ns: int, now_ns: int) -> Answer | Refused | None:
        """One message from an address; the answer to it, if there is one, or why it counts for nothing."""
        try:
            message = stream.peek(packet)
            if message.kind in (Kind.HELLO, Kind.START):
                return self._hear_question(packet, message, source, now_ns)
            session = self._sessions.get(message.session)
            if session is None or session.source != source:
                return Refused.UNKNOWN
            if not stream.is_genuine(packet, session.key):
                return Refused.FORGED
            return self._hear_session(session, message, len(packet), received_ns, now_ns)
        except StreamError:
            return Refused.NOT_STAMP

    def _hear_question(self, packet: bytes, message: Message, source: Source, now_ns: int) -> Answer | Refused:
        ask = Ask.decode(message.body)
        if not names.is_id(ask.agent) or len(packet) < stream.ASK_BYTES:
            return Refused.FORGED
        key = self._keys.of(ask.agent)
        if not stream.is_genuine(packet, key):
            return Refused.FORGED
        if self._keys.is_revoked(ask.agent):
            return Refused.REVOKED
        slot = now_ns // 1_000_000_000 // _COOKIE_LASTS_S
        cookies = [self._cookie(source, ask, slot - back) for back in (0, 1)]
        if message.kind is Kind.HELLO:
            body = ask._replace(cookie=cookies[0]).encode()
            return Answer(stream.encode(key, Kind.CHALLENGE, 0, body, size_bytes=stream.ASK_BYTES), source)
        if not any(hmac.compare_digest(ask.cookie, cookie) for cookie in cookies):
            return Refused.REPLAYED
        return Answer(self._begin(ask, key, source, now_ns), source)

    def _cookie(self, source: Source, ask: Ask, slot: int) -> bytes:
        text = f"{source[0]} {source[1]} {ask.agent} {slot} ".encode() + ask.nonce
        return hmac.digest(self._cookie_secret, text, "sha256")[: len(ask.cookie)]

    def _begin(self, ask: Ask, key: bytes, source: Source, now_ns: int) -> bytes:
        """The first report of a session, a repeat of it for a question that was repeated, or a refusal."""
        self._forget(now_ns)
        number = int.from_bytes(hmac.digest(self._cookie_secret, ask.nonce + ask.agent.encode(), "sha256")[:8])
        session = self._sessions.get(number)
        if session is None:
            why = self._why_not(ask, now_ns)
            if why is not None:
                return stream.encode(key, Kind.REFUSED, 0, b"", code=why, size_bytes=stream.ASK_BYTES)
            session = self._sessions[number] = _Session(ask, key, number, source, now_ns)
        return session.report(now_ns)

    def _why_not(self, ask: Ask, now_ns: int) -> Why | None:
        if max(ask.up_bps, ask.down_bps) > self._limits.most_bps or not 0 < ask.longest_s <= _LONGEST_S:
            return Why.TOO_FAST
        for one in self._sessions.values():
            if one.agent == ask.agent:  # it has given that one up, and its farewell was lost
                one.decided = _BOTH
        if sum(not one.is_over(now_ns) for one in self._sessions.values()) >= self._limits.at_once:
            return Why.BUSY
        now_s = now_ns / 1e9
        wanted = _bytes_of(ask)
        mine = self._bucket(ask.agent, now_s)
        per_day, per_hour = self._limits.agent_bytes_per_day, self._limits.total_bytes_per_hour
        if not mine.take(per_day / _DAY_S, per_day, now_s, wanted):
            return Why.SPENT
        if not self._total.take(per_hour / _HOUR_S, per_hour, now_s, wanted):
            mine.give_back(wanted)
            return Why.SPENT
        return None

    def _bucket(self, agent: str, now_s: float) -> Bucket:
        bucket = self._by_agent.get(agent)
        if bucket is None:
            bucket = self._by_agent[agent] = Bucket(self._limits.agent_bytes_per_day, now_s)
            if len(self._by_agent) > _AGENTS_MAX_COUNT:
                self._by_agent.popitem(last=False)
        else:
            self._by_agent.move_to_end(agent)
        return bucket

    def _hear_session(
        self, session: _Session, message: Message, size: int, received_ns: int, now_ns: int
    ) -> Refused | None:
        session.spent += size + HEADERS_BYTES
        if message.kind is Kind.DATA and session.up_gap_ns and session.spent <= session.reserved:
            session.heard_ns = now_ns
            session.tally.add(Data.decode(message.body), received_ns, interval_ns=session.up_gap_ns)
            return None
        if message.kind is not Kind.PULSE:
            return Refused.NOT_STAMP
        session.pulse_ns, session.pulse_at_ns = stream.decode_pulse(message.body), received_ns
        session.heard_ns = now_ns
        session.decided |= message.code & _BOTH
        return None

    def due(self, now_ns: int) -> Iterator[Answer]:
        """What the streams that run are to send now."""
        for session in self._sessions.values():
            if session.report_at_ns <= now_ns and not session.is_over(now_ns):
                session.report_at_ns = now_ns + stream.REPORT_NS
                yield self._sent(session, session.report(now_ns))
            if not session.sends(now_ns):
                continue
            session.next_ns = max(session.next_ns, now_ns - _BEHIND_NS)
            for _ in range(_AT_ONCE):
                if session.next_ns > now_ns:
                    break
                body = Data(session.seq, now_ns).encode()
                packet = stream.encode(session.key, Kind.DATA, session.number, body, size_bytes=session.down_size)
                session.seq += 1
                session.next_ns += round(session.down_gap_ns)
                yield self._sent(session, packet)
        self._forget(now_ns)

    @staticmethod
    def _sent(session: _Session, packet: bytes) -> Answer:
        session.spent += len(packet) + HEADERS_BYTES
        return Answer(packet, session.source)

    def next_ns(self, now_ns: int) -> int | None:
        """When the next packet of any stream is due; None while none runs."""
        running = [one for one in self._sessions.values() if not one.is_over(now_ns)]
        streams = (one.next_ns for one in running if one.sends(now_ns))
        return min(itertools.chain(streams, (one.report_at_ns for one in running)), default=None)

    def _forget(self, now_ns: int) -> None:
        """Sessions that ended a while ago; what they did not use of their agent's bytes is given back."""
        for number, session in list(self._sessions.items()):
            if session.is_over(now_ns) and now_ns - max(session.heard_ns, session.began_ns) >= _LINGERS_NS:
                del self._sessions[number]
                unused = max(0, session.reserved - session.spent)
                self._bucket(session.agent, now_ns / 1e9).give_back(unused)
                self._total.give_back(unused)

    @property
    def running_count(self) -> int:
        """Sessions in memory."""
        return len(self._sessions)


def _bytes_of(ask: Ask) -> int:
    """What a test takes at most: both streams, and pulses and reports on top."""
    return round((ask.up_bps + ask.down_bps) * ask.longest_s / 8 * 1.1) + 65_536
