"""Counts how often the mains failed in the last day, from what a UPS says whenever it is asked.

Each word is "on battery" or "on mains" at a moment. A failure begins with the first word "on battery" after one "on
mains". Mains that were back for less than a minute were not back (IEEE 1159 calls an interruption of up to a minute
temporary): what flickers is one failure. Flickering that goes on for more than five minutes counts again (IEEE 1366
takes what happens within five minutes for one event).

Only the words beside a change are kept, so that a room costs two words and two more for each failure. A word that comes
late goes where it belongs: in a power cut the router is often dead before the PC, and what the UPS said meanwhile is
told when all is over. It is late for the present, and not for a count of the last day.
"""

import bisect
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

DAY_S: Final = 86400.0
SAME_FAILURE_S: Final = 60.0
RESTLESS_S: Final = 300.0
_WORDS_MAX_COUNT: Final = 500
"""More than any limit is about; the oldest go first."""
_LOOK_APART_MAX_S: Final = 180.0
"""Between looks no farther apart a UPS's own count tells of failures that were over before the next look."""
_COUNTED_MAX: Final = 100
"""A UPS that counts more in so short a time was reset, or counts something else."""


class Word(NamedTuple):
    """What was true of the mains at a moment (Unix seconds)."""

    at_s: float
    is_on_battery: bool


class Mains:
    """What one agent said of one UPS in the last day."""

    __slots__ = ("_counted", "_counted_s", "_words")

    def __init__(self) -> None:
        self._words: list[Word] = []
        self._counted = -1
        self._counted_s = -math.inf

    @property
    def words(self) -> tuple[Word, ...]:
        """All that is remembered: said again, they tell the same failures."""
        return tuple(self._words)

    def say(self, word: Word) -> bool:
        """Put a word in its place; True when it says more than that things are still as they were.

        What comes late is expected in its own order, as an agent's backlog is: of what lies between two words that say
        the same nothing is known.
        """
        words = self._words
        newest_s = words[-1].at_s if words else word.at_s
        at = bisect.bisect_left(words, word.at_s, key=_time)
        if word.at_s < newest_s - DAY_S or (at < len(words) and words[at].at_s == word.at_s):
            return False
        words.insert(at, word)
        is_news = not at or any(one.is_on_battery is not word.is_on_battery for one in words[at - 1 : at + 2])
        for place in (at + 1, at, at - 1):
            self._drop_if_between(place)
        self._forget()
        return is_news

    def count(self, counted: int, word: Word) -> bool:
        """What a UPS counts itself: a failure that began and ended between two looks is one all the same.

        Gives what `say` gives. A count that goes back, leaps, or comes after a longer silence says nothing.
        """
        before_s, more = self._counted_s, counted - self._counted
        if word.at_s <= before_s:
            return False
        is_known = self._counted >= 0 and word.at_s - before_s <= _LOOK_APART_MAX_S
        self._counted, self._counted_s = counted, word.at_s
        if not is_known or not 0 < more <= _COUNTED_MAX or word.is_on_battery:
            return False
        told = any(one.is_on_battery and before_s <= one.at_s <= word.at_s for one in self._words)
        return not told and self.say(Word((before_s + word.at_s) / 2, is_on_battery=True))

    def failures_s(self, now: float) -> list[float]:
        """When the failures of the last day began, as far as was told; the oldest first."""
        return [began_s for began_s in self._failures() if now - DAY_S < began_s <= now]

    def _failures(self) -> Iterator[float]:
        is_back = False  # of what was before the first word nobody knows
        battery_s = restless_s = -math.inf
        for word in self._words:
            if not word.is_on_battery:
                if battery_s > -math.inf and restless_s == -math.inf:
                    restless_s = word.at_s
                is_back = True
                continue
            if is_back and (word.at_s - battery_s >= SAME_FAILURE_S or word.at_s - restless_s >= RESTLESS_S):
                restless_s = -math.inf
                yield word.at_s
            is_back, battery_s = False, word.at_s

    def _drop_if_between(self, place: int) -> None:
        """A word between two that say the same says nothing more."""
        words = self._words
        if 0 < place < len(words) - 1 and (
            words[place - 1].is_on_battery is words[place].is_on_battery is words[place + 1].is_on_battery
        ):
            del words[place]

    def _forget(self) -> None:
        """Let go of what lies more than a day back, but for the last word: it tells what a change changed."""
        words = self._words
        oldest_s = words[-1].at_s - DAY_S
        first = max(0, len(words) - _WORDS_MAX_COUNT)
        while first < len(words) - 1 and words[first + 1].at_s <= oldest_s:
            first += 1
        del words[:first]


def _time(word: Word) -> float:
    return word.at_s
