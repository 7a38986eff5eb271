"""Loss, delay and its variation as speech and picture meet them: a burst of test packets of the STAMP protocol."""

import threading
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec

from agent.media.burst import figures
from agent.media.packets import MEDIA_THREADS, Burst, Sent, Wire, send_burst
from agent.media.streaming import NO_KEY
from agent.network.resolving import resolve
from agent.probe import ProbeFailed, Value, Values
from agent.spending.circumstances import CIRCUMSTANCES
from agent.threads import in_thread
from contract.outcome import Outcome
from contract.settings import Id, Port, Problem, Seconds, Target

_RESOLVES_WITHIN_S: Final = 5.0
_LATE_WITHIN_S: Final = 2.0
"""So long after the last packet has timed out, answers that come too late are still counted as such."""
_KEY_LEAST_BYTES: Final = 16
_HEADERS_BYTES: Final = 28
"""IP and UDP."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Sends a burst to a reflector and measures what comes back (RFC 8762, RFC 8972; loss RFC 2680, PDV RFC 5481).

    The collector writes `key` and `agent` into the plan that it sends, where they are absent, and `address` and `port`
    of its own reflector. By hand, a reflector of ours answers only with `--set agent=AGENT --set key=KEY`, the key as
    `sansang-collector reflector --key-of AGENT` prints it. A reflector of another make needs a `key` and an `ssid` set
    at both ends, or neither. A target that begins with `lesson` counts for the lesson, and then outranks its pings. A
    burst by the defaults takes 0.46 MB, both ways together.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port = 862
    packets_per_s: Annotated[float, msgspec.Meta(ge=1, le=200)] = 50.0
    duration_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=120)] = 20.0
    size_bytes: Annotated[int, msgspec.Meta(ge=44, le=1400)] = 200
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=10)] = 2.0
    key: str = ""
    agent: Id | None = None
    ssid: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0

    values: ClassVar[tuple[Value, ...]] = (
        Value("sent_count", "Packets sent; fewer than asked for when the PC was too busy."),
        Value("received_count", "Packets answered in time; repeats and late answers do not count."),
        Value("late_count", "Answers that came after the timeout; their packets count as lost."),
        Value("duplicate_count", "Answers that came again."),
        Value("loss_ratio", "Share of packets without an answer in time, both directions together (RFC 2680)."),
        Value("loss_low_ratio", "Lower bound of the share lost: 95 %, Wilson's interval."),
        Value("loss_high_ratio", "Upper bound of the share lost."),
        Value("loss_forward_ratio", "Share lost on the way to the reflector, which counts what it received."),
        Value("loss_backward_ratio", "Share lost on the way back."),
        Value("rtt_min_ms", "Shortest round trip, the time at the reflector left out."),
        Value("rtt_p50_ms", "Median round trip."),
        Value("rtt_p95_ms", "95th percentile of the round trips, by the nearest rank."),
        Value("rtt_p99_ms", "99th percentile of the round trips."),
        Value("rtt_max_ms", "Longest round trip."),
        Value("pdv_forward_p95_ms", "Delay above the shortest on the way there, 95th percentile (RFC 5481)."),
        Value("pdv_backward_p95_ms", "Delay above the shortest on the way back, 95th percentile."),
        Value("pdv_p95_ms", "The larger of the two."),
        Value("jitter_ms", "Smoothed difference of consecutive delays, the worse direction (RFC 3550 6.4.1)."),
        Value("reorder_ratio", "Share of answers overtaken by a later packet's (RFC 4737)."),
        Value("longest_gap_s", "Longest time in which nothing came, pauses of the PC's own left out."),
        Value("burst_ratio", "Share of slots of 200 ms in which a tenth and at least two of the packets were lost."),
        Value("audio_r", "How speech would sound (ITU-T G.107, G.711); absent under 100 answers."),
        Value("audio_mos", "The same as a mean opinion score."),
        Value("send_late_p95_ms", "How late packets left by the PC's own plan, 95th percentile: a busy PC."),
        *CIRCUMSTANCES,
    )
    rights: ClassVar[str] = "None."
    is_test: ClassVar[bool] = True
    example: ClassVar[dict[str, object]] = {"target": "lesson.centre", "address": "centre.example.vn", "port": 8620}

    def doubts(self) -> Iterator[Problem]:
        """The key as hex, never shown; TLVs and signature need room."""
        yield from key_doubts(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r}, {self.address!r}, {self.port})"  # without the key

    @property
    def cost_bytes(self) -> int:
        """Every packet and its answer."""
        return 2 * round(self.packets_per_s * self.duration_s) * (self.size_bytes + _HEADERS_BYTES)

    @property
    def longest_s(self) -> float:
        """Resolving, the burst on a busy PC, and the last packet's wait."""
        return _RESOLVES_WITHIN_S + self.duration_s * 1.5 + 2 + self.timeout_s + _LATE_WITHIN_S

    async def measure(self) -> Values:
        """One burst. Raises ProbeFailed: with TIMEOUT when nothing at all came back, with REFUSED or UNREACHABLE when
        somebody said why, or with NO_NAME.
        """
        what = f"stamp {self.address}:{self.port}"
        found = await resolve(self.address, what, _RESOLVES_WITHIN_S)
        burst = Burst(
            count=max(1, round(self.packets_per_s * self.duration_s)),
            interval_s=1 / self.packets_per_s,
            size_bytes=self.size_bytes,
            wait_s=self.timeout_s + _LATE_WITHIN_S,
            key=bytes.fromhex(self.key) if self.key else None,
            agent=self.agent or "",
            ssid=self.ssid,
        )

        def send(abandoned: threading.Event) -> Sent:
            with Wire(found.address, found.family, self.port) as wire:
                return send_burst(wire, burst, abandoned)

        try:
            sent = await in_thread("media", send, at_most=MEDIA_THREADS)
        except OSError as error:
            raise ProbeFailed(Outcome.UNREACHABLE, f"{what}: {error.strerror or error}") from None
        values = self._values_of(sent, burst)
        if not values.get("received_count"):
            if sent.refusal is not None:
                raise ProbeFailed(sent.refusal.outcome, f"{what}: {sent.refusal}", values)
            hint = "" if self.key else f"; {NO_KEY}"
            raise ProbeFailed(Outcome.TIMEOUT, f"{what}: none of {len(sent.echoes)} packets was answered{hint}", values)
        return values

    def _values_of(self, sent: Sent, burst: Burst) -> Values:
        values = figures(
            sent.echoes, timeout_s=self.timeout_s, interval_s=burst.interval_s, is_stateful=bool(self.agent)
        )
        if sent.late_ns:
            late_ns = sorted(sent.late_ns)
            values["send_late_p95_ms"] = late_ns[len(late_ns) * 95 // 100] / 1e6
        return values


def key_doubts(key: str) -> Iterator[Problem]:
    """What is wrong with a key; it is not shown."""
    try:
        is_long = len(bytes.fromhex(key)) >= _KEY_LEAST_BYTES
    except ValueError:
        is_long = False
    if key and not is_long:
        yield Problem("key", "settings.bad_key", {})
