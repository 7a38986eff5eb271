"""Keeps one agent's flood from drowning the others: how much each may send, refilled by time. Sans-IO."""

from typing import Final

BURST: Final = 1000.0
REFILL_PER_S: Final = 100.0
"""In units of one small message. The usual is one a minute; a backlog on a fast line is some dozens a second."""
_UNIT_BYTES: Final = 4096
_AGENTS_MAX_COUNT: Final = 100_000


class Allowance:
    """A bucket for each agent; a message costs one unit, and another for each 4 KiB."""

    def __init__(self, *, burst: float = BURST, refill_per_s: float = REFILL_PER_S) -> None:
        self._burst = burst
        self._refill_per_s = refill_per_s
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, agent: str, size_bytes: int, now_s: float) -> bool:
        """Whether the agent may have this message taken in. `now_s` may step: back, it refills nothing."""
        left, at_s = self._left.get(agent, (self._burst, now_s))
        left = min(self._burst, left + max(0.0, now_s - at_s) * self._refill_per_s)
        cost = 1 + size_bytes / _UNIT_BYTES
        is_free = left >= cost
        if len(self._left) >= _AGENTS_MAX_COUNT and agent not in self._left:
            self._left.clear()  # whoever floods with names gets all of them a fresh start, and no more memory
        self._left[agent] = (left - cost if is_free else left, now_s)
        return is_free
