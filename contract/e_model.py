"""The one formula for how good speech sounds (ITU-T G.107 for G.711 with packet-loss concealment), used everywhere."""

from typing import Final

CODEC_MS: Final = 25.0
"""Packing and look-ahead of G.711 in packets of 20 ms."""
BUFFER_MS: Final = (20.0, 200.0)
"""Between these a de-jitter buffer follows the variation of the delay."""
_R_BEST: Final = 93.2
_IE: Final = 0.0
_BPL: Final = 25.1
_FELT_FROM_MS: Final = 177.3


def mouth_to_ear_ms(rtt_ms: float, pdv_p95_ms: float) -> float:
    """Half the round trip, the buffer that the variation of the delay needs, and the codec."""
    return rtt_ms / 2 + buffer_ms(pdv_p95_ms) + CODEC_MS


def buffer_ms(pdv_p95_ms: float) -> float:
    """The de-jitter buffer for a variation of the delay (95th percentile above the shortest, RFC 5481)."""
    return min(max(pdv_p95_ms, BUFFER_MS[0]), BUFFER_MS[1])


def rating(delay_ms: float, lost_ratio: float) -> float:
    """R of ITU-T G.107, 0 to 93.2 and below 0 at worst. `lost_ratio` counts what came too late for the buffer, too."""
    percent = lost_ratio * 100
    by_delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _FELT_FROM_MS)
    by_loss = _IE + (95 - _IE) * percent / (percent + _BPL)
    return _R_BEST - by_delay - by_loss


def mos(r: float) -> float:
    """The mean opinion score of a rating, 1 to 4.5 (ITU-T G.107 Annex B)."""
    if r < 0:
        return 1.0
    if r > 100:  # noqa: PLR2004 - the scale's end
        return 4.5
    return max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))
