"""Decides what becomes of a STAMP packet: answered, or refused and why. Holds all sessions; opens no socket.

Who speaks is proved by a signature (the agent's key is derived from the reflector's secret and the agent's id), or at
least known by an SSID that the operator listed. Memory is bounded, whoever sends what.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable, Collection
from ipaddress import IPv6Address
from typing import Final, NamedTuple

import msgspec

from contract import names, stamp

Source = tuple[str, int]
"""Address and port."""

_KEYS_MAX_COUNT: Final = 16_384
_WINDOW: Final = 1024
_TURNED_AWAY_S: Final = 120.0
"""Longer than any burst lasts."""
_NEAR_BYTES: Final = 8
"""Of an IPv6 address: whoever has one there has all others, too."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many packets a second are answered to one address, and in all; bursts may be as long as a second. So many
    addresses, and sessions, are remembered. Half of the total is for sessions that are under way: new ones are turned
    away whole when less is left, since packets refused here and there would be measured as a loss of the line.
    """

    per_source: float = 5000.0
    total: float = 20_000.0
    remembered: int = 16_384


class Refused(enum.StrEnum):
    """Why a packet gets no answer."""

    TOO_MANY = "too_many"  # from one address
    NOT_STAMP = "not_stamp"
    UNKNOWN = "unknown"  # unsigned, and its SSID is none that the operator listed
    FORGED = "forged"
    REVOKED = "revoked"
    REPLAYED = "replayed"
    BUSY = "busy"  # too many in all


class Bucket:
    """So many tokens a second, and as many at once as `burst`."""

    __slots__ = ("_at_s", "_left")

    def __init__(self, burst: float, at_s: float) -> None:
        self._left = burst
        self._at_s = at_s

    def take(self, rate: float, burst: float, at_s: float, tokens: float = 1.0) -> bool:
        """Whether there are enough; then they are gone."""
        self._left = min(burst, self._left + max(0.0, at_s - self._at_s) * rate)
        self._at_s = at_s
        if self._left < tokens:
            return False
        self._left -= tokens
        return True

    def has(self, rate: float, burst: float, at_s: float, tokens: float) -> bool:
        """Whether there are so many."""
        return self.take(rate, burst, at_s, 0.0) and self._left >= tokens

    def give_back(self, tokens: float) -> None:
        """What was taken and not used."""
        self._left += tokens


class Sources:
    """A bucket for each address. The one longest silent is forgotten first, when there are too many."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.per_source
        self._most = limits.remembered
        self._buckets: OrderedDict[bytes | str, Bucket] = OrderedDict()

    def admits(self, address: str, at_s: float) -> bool:
        """Whether one more packet of an address may be looked at."""
        key = _near(address)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, at_s)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(self._rate, self._rate, at_s)

    def __len__(self) -> int:
        return len(self._buckets)


def _near(address: str) -> bytes | str:
    if ":" not in address:
        return address
    one = IPv6Address(address.partition("%")[0])
    # A socket for both families shows IPv4 addresses so, each of somebody else.
    return str(one.ipv4_mapped) if one.ipv4_mapped else one.packed[:_NEAR_BYTES]


def _nobody(_agent: str) -> bool:
    return False


class Keys:
    """The agents' keys, derived as they are asked for. A key cannot be taken back: whose it was is revoked."""

    def __init__(self, secret: bytes, is_revoked: Callable[[str], bool] = _nobody) -> None:
        """`is_revoked` is asked about each signed packet: it must be quick, and safe in any thread."""
        self._secret = secret
        self.is_revoked = is_revoked
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def of(self, agent: str) -> bytes:
        """One agent's."""
        key = self._known.get(agent)
        if key is None:
            key = self._known[agent] = stamp.derive_key(self._secret, agent)
            if len(self._known) > _KEYS_MAX_COUNT:
                self._known.popitem(last=False)
        return key


class Session:
    """What was received of one sender's session: how many, and which numbers lately."""

    __slots__ = ("_newest_ns", "_seen", "_top", "count", "turned_away_s")

    def __init__(self) -> None:
        self.count = 0
        self.turned_away_s = -_TURNED_AWAY_S
        self._top = -1
        self._seen = 0
        self._newest_ns = -1

    def is_new(self, seq: int, sent_ns: int) -> bool:
        """Whether this number did not come before; then it is entered. A sender may begin anew at 0 with later times,
        which nobody who only repeats what was sent can have.
        """
        if seq > self._top:
            self._seen = (self._seen << min(seq - self._top, _WINDOW) | 1) & (1 << _WINDOW) - 1
            self._top = seq
        else:
            behind_count = self._top - seq  # up to 2**32: looked at before anything is shifted so far
            if behind_count < _WINDOW and not self._seen >> behind_count & 1:
                self._seen |= 1 << behind_count
            elif sent_ns <= self._newest_ns:
                return False
            else:
                self._top, self._seen, self.count = seq, 1, 0
        self._newest_ns = max(self._newest_ns, sent_ns)
        return True


class _Sessions:
    """By who speaks, and SSID. The one longest silent is forgotten first, when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, int], Session] = OrderedDict()

    def of(self, who: str, ssid: int) -> Session:
        """A session, new or known."""
        session = self._known.get((who, ssid))
        if session is None:
            session = self._known[who, ssid] = Session()
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end((who, ssid))
        return session

    def __len__(self) -> int:
        return len(self._known)


class _Known(NamedTuple):
    """Who sent a packet, and by which key its answer is signed."""

    who: str
    key: bytes | None


class Reflector:
    """All sessions of one reflector."""

    def __init__(self, keys: Keys, *, ssids: Collection[int] = (), limits: Limits, wall_ns: Callable[[], int]) -> None:
        """`ssids` may speak unsigned; `wall_ns` stamps each answer as it is made."""
        self._keys = keys
        self._ssids = frozenset(ssids)
        self._limits = limits
        self._wall_ns = wall_ns
        self._sources = Sources(limits)
        self._total = Bucket(limits.total, 0.0)
        self._signed = _Sessions(limits.remembered)
        self._plain = _Sessions(limits.remembered)  # by themselves: who forges addresses crowds out no agent

    def admits(self, address: str, at_s: float) -> bool:
        """Whether one more packet of an address may be looked at: asked first, of every packet."""
        return self._sources.admits(address, at_s)

    def answer(
        self, packet: bytes, source: Source, *, received_ns: int, ttl: int | None, at_s: float
    ) -> bytes | Refused:
        """The answer to an admitted packet, as long as it was; or why there is none."""
        try:
            request = stamp.decode_request(packet)
        except stamp.StampError:
            return Refused.NOT_STAMP
        known = self._known(packet, request, source)
        if isinstance(known, Refused):
            return known
        session = (self._plain if known.key is None else self._signed).of(known.who, request.ssid)
        # Counted once the sender is known: a flood of forgeries uses up nobody's share.
        if not self._has_room(session, at_s):
            return Refused.BUSY
        # Unsigned packets prove nothing: to look for repeats would only lock out a sender that starts anew.
        if known.key is not None and not session.is_new(request.seq, request.sent_ns):
            return Refused.REPLAYED
        seq = session.count
        session.count += 1
        return stamp.reflect(
            packet,
            request,
            seq=seq,
            received_ns=received_ns,
            sent_ns=self._wall_ns(),
            ttl=stamp.UNKNOWN_TTL if ttl is None else ttl,
            key=known.key,
        )

    def _has_room(self, session: Session, at_s: float) -> bool:
        total = self._limits.total
        if at_s - session.turned_away_s < _TURNED_AWAY_S:
            return False
        if not session.count and not self._total.has(total, total, at_s, total / 2):
            session.turned_away_s = at_s
            return False
        return self._total.take(total, total, at_s)

    def _known(self, packet: bytes, request: stamp.Request, source: Source) -> _Known | Refused:
        if not request.is_signed:
            return _Known(source[0], None) if request.ssid in self._ssids else Refused.UNKNOWN
        who = request.agent or f"ssid-{request.ssid}"
        if not names.is_id(who):
            return Refused.FORGED
        key = self._keys.of(who)
        if not stamp.is_genuine(packet, key):
            return Refused.FORGED
        return Refused.REVOKED if self._keys.is_revoked(who) else _Known(who, key)
