"""Decides what the pipeline takes next: all that is live, and some backlog. Reads no clock, writes nothing."""

import queue
from collections import deque
from typing import Final

from collector.inlet import Arrival, BatchArrival, StateArrival
from contract.batch import Batch

_GROUP_MAX_COUNT: Final = 200
"""As many agents as may speak in one transaction: each touches a page of every table, and on a full disk the
write-ahead log has room for little more than a thousand."""
_GROUP_MAX_READINGS: Final = 1000
"""How much backlog a transaction takes: some hundredths of a second, for which whatever is live may have to wait."""
_BACKLOG_MAX_COUNT: Final = 5000
_LIVE_WITHIN_S: Final = 180.0


class Waiting:
    """What has come and waits for the pipeline: gives it out in groups, what tells of the present before any backlog.

    What one agent sent stays in its order, except that live records overtake its own backlog of the same boot.
    """

    def __init__(self, arrivals: "queue.Queue[Arrival]") -> None:
        self._arrivals = arrivals
        self._backlog: deque[BatchArrival] = deque()

    def gather(self, wait_s: float) -> list[Arrival]:
        """What one transaction is to take, waiting for the first at most `wait_s`: all that is live, some backlog."""
        group: list[Arrival] = []
        try:
            self._sort(self._arrivals.get(timeout=0.0 if self._backlog else wait_s), group)
            while len(group) < _GROUP_MAX_COUNT:
                self._sort(self._arrivals.get_nowait(), group)
        except queue.Empty:
            pass
        readings_count = 0
        while self._backlog and len(group) < _GROUP_MAX_COUNT and readings_count < _GROUP_MAX_READINGS:
            readings_count += sum(len(record.readings) for record in self._backlog[0].batch.records)
            group.append(self._backlog.popleft())
        return group

    def _sort(self, arrival: Arrival, group: list[Arrival]) -> None:
        if isinstance(arrival, BatchArrival):
            if not _is_live(arrival.batch):
                # Beyond this it is passed over: unacknowledged, it comes again, and meanwhile what is live is found.
                if len(self._backlog) < _BACKLOG_MAX_COUNT:
                    self._backlog.append(arrival)
                return
            self._let_out(group, arrival.agent, but_of=arrival.batch.now.boot)
        elif isinstance(arrival, StateArrival):
            self._let_out(group, arrival.agent, but_of="")
        group.append(arrival)

    def _let_out(self, group: list[Arrival], agent: str, *, but_of: str) -> None:
        """Let an agent's backlog go first if what comes now would contradict it: a goodbye, or another boot."""
        out = [one for one in self._backlog if one.agent == agent]
        if any(one.batch.now.boot != but_of for one in out):
            group += out
            self._backlog = deque(one for one in self._backlog if one.agent != agent)


def _is_live(batch: Batch) -> bool:
    """Whether it tells of the present."""
    newest = batch.records[-1].taken
    return newest.boot == batch.now.boot and batch.now.mono_s - newest.mono_s <= _LIVE_WITHIN_S
