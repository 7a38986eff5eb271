"""How much the line carries, each way by itself: once a night, or when asked by hand."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec

from agent.media.searching import Carries, search
from agent.media.streaming import Refused, Result, Silent, StreamTest
from agent.media.sufficing import Found
from agent.media.tested import ASKING_S, OVERHEAD, RESOLVES_WITHIN_S, Run, with_reflector
from agent.probe import Value, Values
from agent.probes.stamp import key_doubts
from agent.spending.circumstances import CIRCUMSTANCES
from contract.settings import Id, Port, Problem, Target

_STREAM_S: Final = 3.0
"""Two seconds settle most streams (`agent.media.sufficing`)."""
_MOST_STREAMS: Final = 4
"""1, 3, 9 and 20 Mb/s; more where `most_bps` is raised."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges faster and faster streams with a reflector of ours until one does not fit (RFC 9097, coarsely).

    Down first, then up, so that neither disturbs the other. It takes `most_bytes` at most and loads the line to its
    end for some 20 s, so a plan runs it in `hours` only, once in each (`hours = ["23:00-05:00"]`), never every so
    often; `sansang-agent probe throughput` runs it at once. Whether a lesson's bitrate holds is told for a tenth of the
    bytes by `sufficiency`. The collector writes `agent`, `key`, `address` and `port` into the plan that it sends, where
    they are absent.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port = 862
    most_bps: Annotated[float, msgspec.Meta(ge=100_000, le=100e6)] = 20e6
    most_bytes: Annotated[int, msgspec.Meta(ge=500_000, le=200_000_000)] = 20_000_000
    key: str = ""
    agent: Id

    values: ClassVar[tuple[Value, ...]] = (
        Value("down_bps", "What the line carries to the room, IP and UDP headers included (RFC 5136)."),
        Value("up_bps", "What it carries from the room."),
        Value("down_capped_bool", "It carried all that was tried, and may carry more."),
        Value("up_capped_bool", "It carried all that was tried, and may carry more."),
        Value("idle_rtt_ms", "Median round trip right before the first."),
        Value("used_bytes", "Bytes that the test took, both ways, with headers."),
        Value("took_s", "How long the test took."),
        *CIRCUMSTANCES,
    )
    rights: ClassVar[str] = "None."
    is_test: ClassVar[bool] = True
    in_hours_only: ClassVar[bool] = True
    example: ClassVar[dict[str, object]] = {
        "target": "lesson.centre",
        "address": "centre.example.vn",
        "port": 8620,
        "agent": "dongvan-pc1",
    }

    def doubts(self) -> Iterator[Problem]:
        """The key as hex, never shown."""
        yield from key_doubts(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r}, {self.address!r}, {self.port})"  # without the key

    @property
    def cost_bytes(self) -> int:
        """The limit; most lines are narrow enough to end the test long before."""
        return self.most_bytes

    @property
    def longest_s(self) -> float:
        """Resolving, and every stream of both ways with its questions."""
        return RESOLVES_WITHIN_S + 2 * (_MOST_STREAMS + 2) * (ASKING_S + _STREAM_S)

    async def measure(self) -> Values:
        """One search each way. Raises ProbeFailed as `with_reflector`, but not once anything is known."""
        what = f"throughput {self.address}:{self.port}"
        return await with_reflector(what, self.address, self.port, self._search)

    def _search(self, run: Run) -> Values:
        """One way by all streams that it needs, then the other with the bytes that are left, at least half of them."""
        tried = _Tried(self, run)
        down = tried.carries("down", self.most_bytes // 2)
        up = tried.carries("up", self.most_bytes - round(tried.used_bytes))
        return tried.values | _of_direction("down", down) | _of_direction("up", up)


class _Tried:
    """What all streams so far have brought and cost."""

    def __init__(self, probe: Throughput, run: Run) -> None:
        self._probe = probe
        self._run = run
        self.used_bytes = 0.0
        self.values: Values = {}

    def carries(self, way: str, most_bytes: int) -> Carries | None:
        """What the line carries one way. Raises what the very first stream does; later ones only end the search."""
        ends_bytes = self.used_bytes + most_bytes

        def may_spend(bps: int) -> bool:
            return self.used_bytes + bps / 8 * _STREAM_S * OVERHEAD <= ends_bytes

        def attempt(bps: int) -> Found | None:
            is_down = way == "down"
            test = StreamTest(
                agent=self._probe.agent,
                key=bytes.fromhex(self._probe.key),
                up_bps=0 if is_down else bps,
                down_bps=bps if is_down else 0,
                longest_s=_STREAM_S,
            )
            try:
                result = self._run(test)
            except (Refused, Silent):
                if not self.values:
                    raise
                return None
            self._add(result)
            return result.down if is_down else result.up

        return search(attempt, may_spend, round(self._probe.most_bps))

    def _add(self, result: Result) -> None:
        self.used_bytes += result.used_bytes
        before = self.values
        self.values = {
            "idle_rtt_ms": before.get("idle_rtt_ms", result.idle_rtt_ms),
            "used_bytes": round(self.used_bytes),
            "took_s": before.get("took_s", 0.0) + result.took_s,
        }


def _of_direction(way: str, carries: Carries | None) -> Values:
    if carries is None:
        return {}
    return {f"{way}_bps": carries.bps, f"{way}_capped_bool": int(not carries.is_most)}
