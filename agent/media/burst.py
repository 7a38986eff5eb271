"""What one burst of test packets says of the way: loss, delay, its variation, gaps, and how speech sounds. Pure."""

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.probe import Values
from contract import e_model
from contract.wilson import wilson

SLOT_NS: Final = 200_000_000
SLOT_LOSS: Final = 0.1
SLOT_LOST_COUNT: Final = 2
"""One packet lost of the ten in a slot is a tenth too, and no burst: chance alone would make every line bursty."""
RATED_FROM_COUNT: Final = 100
_SKEW_MOST: Final = 300e-6
"""No two quartz clocks differ by more; what drifts faster is a queue that fills."""
_JITTER_GAIN: Final = 1 / 16


class Echo(NamedTuple):
    """One packet and what came back, in nanoseconds: T1 and T4 of this PC's clock, T2 and T3 of the reflector's."""

    seq: int
    sent_ns: int
    received_ns: int = 0
    answered_ns: int = 0
    returned_ns: int | None = None
    reflector_seq: int = 0
    order: int = 0
    """In which the answers came."""
    repeats: int = 0

    @property
    def flight_ns(self) -> int:
        """T4 - T1, of one that came back."""
        return 0 if self.returned_ns is None else self.returned_ns - self.sent_ns

    @property
    def rtt_ns(self) -> int:
        """Without the time at the reflector (RFC 8762), unless its clock was set meanwhile."""
        held_ns = self.answered_ns - self.received_ns
        return self.flight_ns - held_ns if 0 <= held_ns <= self.flight_ns else self.flight_ns


def figures(echoes: Sequence[Echo], *, timeout_s: float, interval_s: float, is_stateful: bool) -> Values:
    """All values of the probe. `is_stateful`: the reflector counts by itself what it received of this session.

    An answer later than `timeout_s` is lost, and counted as late; a repeat is counted, and changes nothing else.
    """
    if not echoes:
        return {}
    back = [echo for echo in echoes if echo.returned_ns is not None and echo.flight_ns <= timeout_s * 1e9]
    lost_count = len(echoes) - len(back)
    low, high = wilson(lost_count, len(echoes))
    values: Values = {
        "sent_count": len(echoes),
        "received_count": len(back),
        "late_count": sum(echo.returned_ns is not None for echo in echoes) - len(back),
        "duplicate_count": sum(echo.repeats for echo in echoes),
        "loss_ratio": lost_count / len(echoes),
        "loss_low_ratio": low,
        "loss_high_ratio": high,
        "longest_gap_s": _longest_gap_ns(echoes, back, interval_s) / 1e9,
        "burst_ratio": _burst_ratio(echoes, {echo.seq for echo in back}),
    }
    if not back:
        return values
    values |= _round_trips(back)
    if is_stateful or any(echo.reflector_seq != echo.seq for echo in back):
        values |= _loss_by_direction(back)
    return values | _variation(back, len(echoes), values)


def _round_trips(back: Sequence[Echo]) -> Values:
    times = sorted(echo.rtt_ns / 1e6 for echo in back)
    expected, reordered_count = 0, 0
    for echo in sorted(back, key=lambda echo: echo.order):
        reordered_count += echo.seq < expected
        expected = max(expected, echo.seq + 1)
    return {
        "rtt_min_ms": times[0],
        "rtt_p50_ms": quantile(times, 0.50),
        "rtt_p95_ms": quantile(times, 0.95),
        "rtt_p99_ms": quantile(times, 0.99),
        "rtt_max_ms": times[-1],
        "reorder_ratio": reordered_count / len(back),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """By the nearest rank."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _loss_by_direction(back: Sequence[Echo]) -> Values:
    """Up to the last packet that came back: what lies behind it went nobody knows where."""
    last_seq = max(echo.seq for echo in back)
    reflected_count = max(echo.reflector_seq for echo in back) + 1
    forward_count = max(0, last_seq + 1 - reflected_count)
    backward_count = max(0, reflected_count - len(back))
    return {
        "loss_forward_ratio": forward_count / (last_seq + 1),
        "loss_backward_ratio": backward_count / reflected_count,
    }


def _variation(back: Sequence[Echo], sent_count: int, values: Values) -> Values:
    """Of the delay by direction. No clocks need agree: their offset falls out, and their skew is removed."""
    there = sorted(back, key=lambda echo: echo.reflector_seq)
    here = sorted(back, key=lambda echo: echo.order)
    forward = [(echo.sent_ns, echo.received_ns - echo.sent_ns) for echo in there]
    backward = [(echo.answered_ns, (echo.returned_ns or 0) - echo.answered_ns) for echo in here]
    above = [above_shortest_ms(one) for one in (forward, backward)]
    pdv = [quantile(sorted(one), 0.95) for one in above]
    found: Values = {"pdv_forward_p95_ms": pdv[0], "pdv_backward_p95_ms": pdv[1], "pdv_p95_ms": max(pdv)}
    if len(back) > 1:
        found["jitter_ms"] = max(jitter_ms([delay for _, delay in one]) for one in (forward, backward))
    if len(back) >= RATED_FROM_COUNT:
        buffer_ms = e_model.buffer_ms(max(pdv))
        late_count = max(sum(delay_ms > buffer_ms for delay_ms in one) for one in above)
        # A listener hears one direction; where the two cannot be told apart, both count.
        heard = max(values.get("loss_forward_ratio", values["loss_ratio"]), values.get("loss_backward_ratio", 0.0))
        delay_ms = e_model.mouth_to_ear_ms(values["rtt_p50_ms"], max(pdv))
        r = e_model.rating(delay_ms, min(1.0, heard + late_count / sent_count))
        found |= {"audio_r": r, "audio_mos": e_model.mos(r)}
    return found


def above_shortest_ms(delays: Sequence[tuple[int, int]]) -> list[float]:
    """How much each (time, delay) is above the shortest, once the clocks' skew is taken out.

    The skew is the slope of the straight line that lies below all points and as near to them as can be (Moon, Skelly
    and Towsley, INFOCOM 1999): the edge, over the mean time, of their lower convex hull.
    """
    points = sorted(delays)
    origin_ns, base_ns = points[0]
    hull: list[tuple[int, int]] = []
    for point in points:
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    middle_ns = sum(at_ns - origin_ns for at_ns, _ in points) / len(points) + origin_ns
    skew = 0.0
    for (at_ns, delay_ns), (next_ns, next_delay_ns) in itertools.pairwise(hull):
        if at_ns <= middle_ns <= next_ns and next_ns > at_ns:
            skew = (next_delay_ns - delay_ns) / (next_ns - at_ns)
            break
    skew = max(-_SKEW_MOST, min(skew, _SKEW_MOST))
    straight = [(delay_ns - base_ns) - skew * (at_ns - origin_ns) for at_ns, delay_ns in delays]
    shortest = min(straight)
    return [(delay - shortest) / 1e6 for delay in straight]


def _turns_right(one: tuple[int, int], two: tuple[int, int], three: tuple[int, int]) -> bool:
    """Whether the way over `two` bends upwards no more, so that `two` is no corner of the lower hull."""
    return (two[0] - one[0]) * (three[1] - one[1]) <= (two[1] - one[1]) * (three[0] - one[0])


def jitter_ms(delays_ns: Sequence[int]) -> float:
    """RFC 3550 6.4.1 over delays of one direction in order of arrival: J += (|D| - J) / 16, begun at 0."""
    jitter = 0.0
    for before_ns, after_ns in itertools.pairwise(delays_ns):
        jitter += (abs(after_ns - before_ns) - jitter) * _JITTER_GAIN
    return jitter / 1e6


def _longest_gap_ns(echoes: Sequence[Echo], back: Sequence[Echo], interval_s: float) -> float:
    """The longest time in which nothing came, less what this PC paused in sending by itself."""
    paused_ns = [0.0]
    for before, after in itertools.pairwise(echoes):
        paused_ns.append(paused_ns[-1] + max(0.0, after.sent_ns - before.sent_ns - interval_s * 1e9))
    first, last = echoes[0], echoes[-1]
    if not back:
        return last.sent_ns - first.sent_ns - paused_ns[-1] + interval_s * 1e9
    shortest_ns = min(echo.flight_ns for echo in back)
    # As if what was sent first and last had come as fast as any: a gap may lie at either end.
    came = [(first.sent_ns + shortest_ns, 0), *((echo.returned_ns or 0, echo.seq) for echo in back)]
    came = [*sorted(came), (last.sent_ns + shortest_ns, len(echoes) - 1)]
    gaps = [
        after_ns - before_ns - max(0.0, paused_ns[after] - paused_ns[before])
        for (before_ns, before), (after_ns, after) in itertools.pairwise(came)
    ]
    return max(0.0, *gaps)


def _burst_ratio(echoes: Sequence[Echo], back: set[int]) -> float:
    """The share of slots of 200 ms in which a tenth or more was lost."""
    begin_ns = echoes[0].sent_ns
    slots = [list(group) for _, group in itertools.groupby(echoes, lambda echo: (echo.sent_ns - begin_ns) // SLOT_NS)]
    bad_count = 0
    for slot in slots:
        lost_count = sum(echo.seq not in back for echo in slot)
        bad_count += lost_count >= max(SLOT_LOST_COUNT, SLOT_LOSS * len(slot))
    return bad_count / len(slots)
