"""Virtual time: what is to happen, in order, and nothing in between."""

import heapq
from collections.abc import Callable


class Killed(BaseException):
    """A process ends here, in the middle of whatever it does. No `except Exception` sees it, as none sees a kill -9."""


class Engine:
    """Runs actions at their true times (Unix seconds). Equal times run in the order in which they were asked for."""

    def __init__(self, start_s: float) -> None:
        self.now_s = start_s
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._asked_count = 0

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        self._asked_count += 1
        heapq.heappush(self._queue, (max(when_s, self.now_s), self._asked_count, action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        self.at(self.now_s + delay_s, action)

    def run_until(self, end_s: float) -> None:
        while self._queue and self._queue[0][0] <= end_s:
            self.now_s, _, action = heapq.heappop(self._queue)
            action()
        self.now_s = end_s
