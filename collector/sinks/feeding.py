"""Decides what a feeder does next: feed from where, ask the database whether it has been restarted, or wait. Pure.

A database's "stored" is believed only after it has stayed up for a while (`settle_s`): VictoriaMetrics answers 204 up
to ten seconds before the points are on disk. So there are two places in the journal: `sent_id`, up to which all was
written once, and `safe_id`, up to which all is surely on disk. After a restart, or a failure that may have been one,
feeding goes on from `safe_id`; a repeat changes nothing.
"""

from collections import deque
from typing import Final, NamedTuple

ASK_EVERY_S: Final = 10.0
_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 60.0


class Wait(NamedTuple):
    """Do nothing for so long."""

    for_s: float


class Ask(NamedTuple):
    """Ask the database for its run mark, and tell `marked` or `failed`."""


class Feed(NamedTuple):
    """Write what the journal holds after this id, and tell `wrote`, `failed`, or `idle` when there is nothing."""

    after_id: int


Step = Wait | Ask | Feed


class Feeding:
    """One sink's progress. All times are seconds of one monotonic clock."""

    def __init__(self, safe_id: int, *, settle_s: float) -> None:
        """`safe_id` is where the last run surely was; with `settle_s` 0 every write that returned is safe."""
        self.sent_id = self.safe_id = safe_id
        self._settle_s = settle_s
        self._mark: str | None = None
        self._doubt = settle_s > 0
        self._asked_s = float("-inf")
        self._unsettled: deque[tuple[float, int]] = deque()
        self._failures_count = 0
        self._retry_s = float("-inf")

    def next(self, now_s: float) -> Step:
        """What to do now."""
        if now_s < self._retry_s:
            return Wait(self._retry_s - now_s)
        if self._doubt or (self._settle_s > 0 and now_s - self._asked_s >= ASK_EVERY_S):
            return Ask()
        return Feed(self.sent_id)

    def wrote(self, up_to_id: int, now_s: float) -> None:
        """The database took everything up to an id; `now_s` is when its answer was here."""
        self._failures_count = 0
        self.sent_id = up_to_id
        if self._settle_s <= 0:
            self.safe_id = up_to_id
            return
        if self._unsettled and int(self._unsettled[-1][0]) == int(now_s):  # one entry a second is fine enough
            self._unsettled.pop()
        self._unsettled.append((now_s, up_to_id))

    def idle(self) -> None:
        """There was nothing to write."""
        self._failures_count = 0

    def failed(self, now_s: float) -> None:
        """A write or a question failed: wait, longer each time, and find out whether it was a restart."""
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(self._failures_count, 16))
        self._failures_count += 1
        self._retry_s = now_s + delay_s
        self._doubt = self._settle_s > 0

    def marked(self, mark: str, now_s: float) -> bool:
        """The database answered with its run mark (empty: it has none to tell); `now_s` is when it was asked.

        True when feeding goes back to `safe_id`: the mark is another one, or there is none and something failed.
        """
        stayed_up = mark == self._mark and (mark != "" or not self._doubt)
        self._mark, self._doubt, self._asked_s = mark, False, now_s
        if stayed_up:
            while self._unsettled and self._unsettled[0][0] <= now_s - self._settle_s:
                self.safe_id = self._unsettled.popleft()[1]
            return False
        back = self.sent_id > self.safe_id
        self.sent_id = self.safe_id
        self._unsettled.clear()
        return back

    def restart(self) -> None:
        """Feed the whole journal again: it is another one than before."""
        self.sent_id = self.safe_id = 0
        self._unsettled.clear()
