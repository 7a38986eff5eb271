"""Says things to people in one language: the catalogue's sentences for letters, and Vietnam's time."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_datetime as in_words

from contract.catalogue import Language, knows, say
from contract.quantity import quantity
from readiness import telling
from readiness.verdict import Finding

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
"""The people who are told live there, wherever the collector stands."""
_LOCALE: Final[dict[Language, str]] = {"vi": "vi", "en": "en_GB"}
_CLOCK: Final[dict[Language, str]] = {"vi": "HH:mm", "en": "HH:mm"}
_MOMENT: Final[dict[Language, str]] = {"vi": "HH:mm 'ngày' d/M", "en": "HH:mm 'on' d MMMM"}
_WITH_YEAR: Final[dict[Language, str]] = {"vi": "HH:mm 'ngày' d/M/y", "en": "HH:mm 'on' d MMMM y"}
_SHORT: Final[dict[Language, str]] = {"vi": "HH:mm d/M", "en": "HH:mm d MMM"}


class Words(msgspec.Struct, frozen=True):
    """The catalogue's `letter.` and Vietnam's time, in one language; `now` is the moment of writing. `about` stands
    before the codes of sentences that differ when they tell of no room.
    """

    language: Language
    now: float
    about: str = ""

    def say(self, code: str, **facts: object) -> str:
        """The catalogue's `letter.<code>`."""
        return say(f"letter.{code}", self.language, **facts)

    def say_of_it(self, code: str, **facts: object) -> str:
        """What is said of the room, or of whatever else the letter is about."""
        return self.say(f"{self.about}{code}", **facts)

    def sentence(self, finding: Finding) -> str:
        """What is wrong."""
        if not self.about:
            return telling.sentence(finding, self.language)
        return self._health(finding.code, ".one" if finding.target else "", finding.target, finding.note).strip()

    def action(self, finding: Finding) -> str:
        """What to do about it."""
        return self._health(finding.code, ".do") if self.about else telling.action(finding, self.language)

    def short(self, code: str) -> str:
        """What is wrong, in few words."""
        return self._health(code, ".short") if self.about else telling.short(code, self.language)

    def _health(self, code: str, end: str, about: str = "", note: str = "") -> str:
        """The collector's own; the code itself when it is of another version."""
        named = f"health.{code}{end}"
        return say(named, self.language, about=about, note=note) if knows(named) else code

    def moment(self, when_s: float) -> str:
        """`07:10 ngày 24/11`, with the year when it is another one."""
        pattern = _MOMENT if in_vietnam(when_s).year == in_vietnam(self.now).year else _WITH_YEAR
        return self._shown(when_s, pattern)

    def span(self, from_s: float, until_s: float) -> str:
        """`từ 07:10 đến 07:40 ngày 24/11`; the first with its day when that is another."""
        is_one_day = in_vietnam(from_s).date() == in_vietnam(until_s).date()
        start = self._shown(from_s, _CLOCK) if is_one_day else self.moment(from_s)
        return self.say("span", start=start, end=self.moment(until_s))

    def short_moment(self, when_s: float) -> str:
        """`07:10 24/11`, for a subject."""
        return self._shown(when_s, _SHORT)

    def _shown(self, when_s: float, pattern: dict[Language, str]) -> str:
        locale = _LOCALE[self.language]
        return str(in_words(in_vietnam(when_s), pattern[self.language], tzinfo=ZONE, locale=locale))

    def lasted(self, from_s: float, until_s: float) -> str:
        """`30 phút`."""
        return quantity("lasted_s", max(0.0, until_s - from_s), self.language)


def in_vietnam(when_s: float) -> dt.datetime:
    """The time there, to the second."""
    return dt.datetime.fromtimestamp(int(when_s), ZONE)
