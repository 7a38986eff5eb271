"""Keeps for each agent what it last said of itself, for its page and its series. No I/O."""

import msgspec

from collector.inlet import BatchArrival
from contract.messages import State


class AgentBook(msgspec.Struct, kw_only=True):
    """What is known of one agent. Times are Unix seconds of our clock."""

    online: bool | None = None
    reason: str = ""
    version: str = ""
    trouble: str = ""
    heard_s: float | None = None
    offset_s: float | None = None
    backlog_count: int = 0
    made_count: int = 0
    dropped_count: int = 0
    batch_bytes: int = 0
    lag_ms: float = 0.0

    def hear_batch(self, arrival: BatchArrival, *, offset_s: float, backlog_count: int) -> None:
        """Enter what a batch tells of its agent."""
        batch = arrival.batch
        self.heard_s, self.offset_s, self.backlog_count = arrival.arrived_s, offset_s, backlog_count
        if batch.records[-1].taken.boot == batch.now.boot:  # else it counts for an epoch of the past
            self.made_count, self.dropped_count = batch.made_count, batch.dropped_count
        self.batch_bytes = arrival.size_bytes
        if self.online is None:
            self.online = True

    def hear_state(self, state: State) -> None:
        """Enter a birth, a goodbye or a Will."""
        self.online, self.reason = state.state == "online", state.reason
        self.version = state.version or self.version
        self.trouble = state.refused

    def values(self) -> dict[str, int | float]:
        """Its numbers, as the series `agent` has them."""
        values: dict[str, int | float] = {
            "backlog_count": self.backlog_count,
            "made_total": self.made_count,
            "dropped_total": self.dropped_count,
            "batch_bytes": self.batch_bytes,
            "lag_ms": self.lag_ms,
        }
        if self.online is not None:
            values["online_bool"] = int(self.online)
        if self.offset_s is not None:
            values["clock_offset_s"] = round(self.offset_s, 3)
        return values
