"""Everything a page says, in one language and at one moment: sentences, names, times, numbers."""

import datetime as dt
import functools
from typing import Final

from babel.dates import format_datetime, format_timedelta, get_timezone
from babel.numbers import format_decimal

from collector.snapshot import ReadingView
from contract.catalogue import Language, knows, say
from contract.outcome import Outcome
from contract.quantity import quantity
from readiness import telling
from readiness.verdict import Finding, Level

ZONE: Final = get_timezone("Asia/Ho_Chi_Minh")
_LOCALE: Final[dict[Language, str]] = {"vi": "vi", "en": "en_GB"}
_STEPS_S: Final = (604800, 86400, 3600, 60)


class Words:
    """What the templates ask for a text. `now_s` (Unix seconds) is the moment of the page."""

    def __init__(self, language: Language, now_s: float) -> None:
        self.language = language
        self.now_s = now_s

    def say(self, code: str, **facts: object) -> str:
        """The catalogue's `page.<code>`."""
        return say(f"page.{code}", self.language, **facts)

    def level(self, level: Level) -> str:
        """A level in one or two words."""
        return self.say(f"level.{level.name.lower()}")

    def meaning(self, level: Level) -> str:
        """What a level means for the next lesson, as a sentence."""
        return self.say(f"level.{level.name.lower()}.meaning")

    def ago(self, when_s: float) -> str:
        """How long ago, rounded down: `8 phút trước`, `8 min ago`."""
        gone_s = self.now_s - when_s
        step_s = next((step_s for step_s in _STEPS_S if gone_s >= step_s), None)
        if step_s is None:  # less than a minute, or a clock a little ahead of ours
            return self.say("just_now")
        return _ago(int(gone_s // step_s) * step_s, self.language)

    def clock(self, when_s: float) -> str:
        """Time of day to the second, in Vietnam."""
        return _shown(int(when_s), "HH:mm:ss", self.language)

    def minute(self, when_s: float) -> str:
        """Time of day to the minute, in Vietnam."""
        return _shown(int(when_s) // 60 * 60, "HH:mm", self.language)

    def full(self, when_s: float) -> str:
        """Date and time to the second, in Vietnam."""
        return _shown(int(when_s), "HH:mm:ss dd/MM/yyyy", self.language)

    def when(self, when_s: float) -> str:
        """Time to the minute, with the date unless it is today."""
        if _shown(int(when_s), "yyyyMMdd", "en") == _shown(int(self.now_s), "yyyyMMdd", "en"):
            return self.minute(when_s)
        return _shown(int(when_s) // 60 * 60, "HH:mm dd/MM/yyyy", self.language)

    def machine(self, when_s: float) -> str:
        """A time for `<time datetime>` (ISO 8601, UTC)."""
        return dt.datetime.fromtimestamp(int(when_s), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def count(self, number: float) -> str:
        """A whole number with its thousands apart."""
        return format_decimal(round(number), locale=_LOCALE[self.language])

    def number(self, value_name: str, number: float) -> str:
        """A measured number with its unit, as people write it."""
        return quantity(value_name, number, self.language)

    def sentence(self, finding: Finding) -> str:
        """A finding in one sentence."""
        known = knows(f"finding.{finding.code}")  # a code newer than the catalogue says more than a broken page
        return telling.sentence(finding, self.language) if known else finding.code

    def action(self, finding: Finding) -> str:
        """What to do about a finding."""
        return telling.action(finding, self.language) if knows(f"action.{finding.code}") else finding.code

    def value(self, value_name: str) -> str:
        """What a value is called; its own name where the catalogue has none."""
        code = f"page.value.{value_name}"
        return say(code, self.language) if knows(code) else value_name

    def probe(self, probe: str) -> str:
        """What a probe is called."""
        code = f"page.probe.{probe}"
        return say(code, self.language) if knows(code) else probe

    def target(self, target: str) -> str:
        """What a target is called: its role in words and the rest of its name, `Camera 2`."""
        return telling.name_of(target, self.language)

    def outcome(self, outcome: Outcome) -> str:
        """How an attempt to measure ended."""
        return self.say(f"outcome.{outcome.value}")

    def cause(self, code: str) -> str:
        """A finding's code in a few words."""
        return self._known("cause", code)

    def outage(self, code: str) -> str:
        """Why a room was silent."""
        return self._known("outage", code)

    def witness(self, code: str) -> str:
        """One piece of evidence."""
        return self._known("witness", code)

    def certainty(self, code: str) -> str:
        """How sure an explanation is."""
        return self._known("certainty", code)

    def _known(self, kind: str, code: str) -> str:
        return say(f"{kind}.{code}", self.language) if knows(f"{kind}.{code}") else code

    def goodbye(self, code: str) -> str:
        """Why an agent is away, as it said itself."""
        return self._known("goodbye", code)

    def problem(self, code: str) -> str:
        """A problem of the collector: the catalogue's `health.<code>`, else the code itself."""
        return say(f"health.{code}", self.language) if knows(f"health.{code}") else code

    def parts(self, reading: ReadingView) -> list[tuple[str, str]]:
        """(label, number with unit) of each value of a reading that has a published unit."""
        return [(self.value(name), self.number(name, number)) for name, number in reading.values.items()]


@functools.lru_cache(maxsize=4096)
def _ago(gone_s: int, language: Language) -> str:
    return format_timedelta(
        dt.timedelta(seconds=-gone_s), add_direction=True, threshold=1, format="short", locale=_LOCALE[language]
    )  # fmt: skip


@functools.lru_cache(maxsize=8192)
def _shown(when_s: int, pattern: str, language: Language) -> str:
    moment = dt.datetime.fromtimestamp(when_s, dt.UTC)
    return format_datetime(moment, pattern, tzinfo=ZONE, locale=_LOCALE[language])
