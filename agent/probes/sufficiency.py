"""Whether the line carries a lesson's bitrate, up and down at once; a few seconds instead of a speed test."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec

from agent.media.streaming import Result, StreamTest
from agent.media.sufficing import Answer, Found
from agent.media.tested import ASKING_S, OVERHEAD, RESOLVES_WITHIN_S, with_reflector
from agent.probe import Value, Values
from agent.probes.stamp import key_doubts
from agent.spending.circumstances import CIRCUMSTANCES
from contract.settings import Id, Port, Problem, Seconds, Target

Bps = Annotated[float, msgspec.Meta(ge=0, le=100e6)]


class Sufficiency(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges a stream with a reflector of ours at a bitrate, and stops when the answer is certain (loss RFC 2680).

    The bitrate is the line's, IP and UDP headers included (RFC 5136). The collector writes `agent`, `key`, `address`,
    `port` and the bitrates, those of the room's profile, into the plan that it sends, where they are absent. Takes at
    most `(up_bps + down_bps) * duration_s / 8` bytes and a little; mostly less than half of it. Run it a few times a
    day, and not during a lesson.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port = 862
    up_bps: Bps
    down_bps: Bps
    duration_s: Annotated[Seconds, msgspec.Meta(ge=2.5, le=10)] = 5.0
    key: str = ""
    agent: Id

    values: ClassVar[tuple[Value, ...]] = (
        Value("up_holds_bool", "The line carries the bitrate from the room; absent when it could not be determined."),
        Value("down_holds_bool", "The line carries the bitrate to the room."),
        Value("up_bps", "What came through from the room: the bitrate asked for when that held, else what fitted."),
        Value("down_bps", "What came through to the room."),
        Value("up_loss_ratio", "Share of the packets from the room that were lost during the test."),
        Value("down_loss_ratio", "Share of the packets to the room that were lost during the test."),
        Value("idle_rtt_ms", "Median round trip right before the streams."),
        Value("loaded_rtt_ms", "Median round trip during both."),
        Value("loaded_rtt_extra_ms", "How much longer the round trip was under load; never below 0."),
        Value("used_bytes", "Bytes that the test took, both ways, with headers."),
        Value("took_s", "How long the test took."),
        *CIRCUMSTANCES,
    )
    rights: ClassVar[str] = "None."
    is_test: ClassVar[bool] = True
    example: ClassVar[dict[str, object]] = {
        "target": "lesson.centre",
        "address": "centre.example.vn",
        "port": 8620,
        "up_bps": 1.8e6,
        "down_bps": 2.6e6,
        "agent": "dongvan-pc1",
    }

    def doubts(self) -> Iterator[Problem]:
        """The key as hex, never shown; something to ask for."""
        yield from key_doubts(self.key)
        if not self.up_bps and not self.down_bps:
            yield Problem("up_bps", "settings.needs", {"what": "sufficiency", "needed": "up_bps, down_bps"})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r}, {self.address!r}, {self.port})"  # without the key

    @property
    def cost_bytes(self) -> int:
        """Both streams at their full length; most tests are certain long before."""
        return round((self.up_bps + self.down_bps) / 8 * self.duration_s * OVERHEAD)

    @property
    def longest_s(self) -> float:
        """Resolving, asking, the streams and their end."""
        return RESOLVES_WITHIN_S + ASKING_S + self.duration_s + 2

    async def measure(self) -> Values:
        """One test. Raises ProbeFailed as `with_reflector`."""
        test = StreamTest(
            agent=self.agent,
            key=bytes.fromhex(self.key),
            up_bps=round(self.up_bps),
            down_bps=round(self.down_bps),
            longest_s=self.duration_s,
        )
        what = f"sufficiency {self.address}:{self.port}"
        return values_of(await with_reflector(what, self.address, self.port, lambda run: run(test)))


def values_of(result: Result) -> Values:
    """The probe's values."""
    values: Values = {"idle_rtt_ms": result.idle_rtt_ms, "used_bytes": result.used_bytes, "took_s": result.took_s}
    for way, found in (("up", result.up), ("down", result.down)):
        values |= _of_direction(way, found)
    if result.loaded_rtt_ms is not None:
        values["loaded_rtt_ms"] = result.loaded_rtt_ms
        values["loaded_rtt_extra_ms"] = max(0.0, result.loaded_rtt_ms - result.idle_rtt_ms)
    return values


def _of_direction(way: str, found: Found | None) -> Values:
    if found is None or found.answer is Answer.OPEN:
        return {}
    return {
        f"{way}_holds_bool": int(found.answer is Answer.HOLDS),
        f"{way}_bps": found.bps,
        f"{way}_loss_ratio": found.loss_ratio,
    }
