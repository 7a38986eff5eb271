"""What a share of few trials says about the true share."""

import math
from typing import Final

Z95: Final = 1.959964
"""Two-sided 95 % of the normal distribution."""


def wilson(hits: float, trials: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a share, 0 to 1 (E. B. Wilson, JASA 22, 1927). No trials say nothing: (0, 1).

    >>> [round(bound, 4) for bound in wilson(0, 300)]
    [0.0, 0.0126]
    """
    if trials <= 0:
        return 0.0, 1.0
    share = min(max(hits / trials, 0.0), 1.0)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    middle = share + z * z / (2 * trials)
    scale = 1 + z * z / trials
    # The share itself lies within, whatever the rounding.
    return min(share, max(0.0, (middle - spread) / scale)), max(share, min(1.0, (middle + spread) / scale))


def at_most(hits: int, trials: int, share: float) -> float:
    """Probability of so few hits or fewer in independent trials of the given share."""
    if share <= 0 or hits >= trials:
        return 1.0
    if share >= 1:
        return 0.0
    term = (1 - share) ** trials
    if term == 0.0:  # underflow: among so many trials, fewer hits than expected are out of the question
        return 0.0 if hits < trials * share else 1.0
    total = term
    for count in range(hits):
        term *= (trials - count) / (count + 1) * share / (1 - share)
        total += term
    return min(1.0, total)
