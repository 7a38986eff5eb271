"""Writes the mail for a notice: one content, as plain text and as HTML, for somebody who reads it on a phone."""

import datetime as dt
import hashlib
import html
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr, quote
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_datetime as in_words

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.incident import AGENTS, COLLECTOR, Incident
from contract.catalogue import Language, knows, say
from contract.quantity import quantity
from readiness import telling
from readiness.causes import Cause, Explanation
from readiness.verdict import Finding, Level, worst

DEFAULT_SENDER: Final = "Sẵn Sàng <sansang@localhost>"
ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
"""The people who are told live there, wherever the collector stands."""
_LOCALE: Final[dict[Language, str]] = {"vi": "vi", "en": "en_GB"}
_CLOCK: Final[dict[Language, str]] = {"vi": "HH:mm", "en": "HH:mm"}
_MOMENT: Final[dict[Language, str]] = {"vi": "HH:mm 'ngày' d/M", "en": "HH:mm 'on' d MMMM"}
_WITH_YEAR: Final[dict[Language, str]] = {"vi": "HH:mm 'ngày' d/M/y", "en": "HH:mm 'on' d MMMM y"}
_SHORT: Final[dict[Language, str]] = {"vi": "HH:mm d/M", "en": "HH:mm d MMM"}
_ANOTHER_TIME_S: Final = 60.0
_COLUMNS: Final = 72
_EARLIER_SHOWN: Final = 5
_ABOUT: Final = {COLLECTOR: "collector.", AGENTS: "agents."}
"""What stands before the codes of the sentences that tell of no room."""
_DAILY_ORDER: Final = (Level.FIT, Level.DEGRADED, Level.UNFIT, Level.UNKNOWN)
_BAR: Final = {Level.FIT: "#2e9e4f", Level.DEGRADED: "#d98b00", Level.UNKNOWN: "#8a63d2", Level.UNFIT: "#d93025"}
"""Seen on white and on black alike: who reads in the dark has colours turned by the mail program, but not these."""


class RoomFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a letter says of a room. `place` runs from the province down to the school; `contacts` is who answers."""

    room: str
    name: str
    place: tuple[str, ...]
    contacts: tuple[Recipient, ...] = ()
    silence: Explanation | None = None
    """Why the room cannot be heard, or could not lately."""


def compose(
    notice: Notice,
    facts: RoomFacts,
    language: Language,
    *,
    sender: str,
    now: float,
    base_url: str,
    is_first: bool = False,
    earlier: Sequence[Incident] = (),
) -> EmailMessage:
    """The mail for a notice. `is_first`: the person has not got any letter about this incident before. `earlier`: the
    room's incidents whose letters never left, oldest first; this one tells of them in their place.

    The same notice gives the same Message-ID whenever it is composed.
    """
    incident = notice.incident
    words = _Words(language, now, _ABOUT.get(incident.room, ""))
    page = _page(notice, facts, words, base_url, earlier)
    subject = _subject(notice, facts, words, is_first=is_first)
    message = _message(page, subject, words, sender=sender, recipient=notice.recipient)
    domain = _address(sender).domain
    message["Message-ID"] = _message_id(notice, domain)
    if notice.reason is not Reason.OPENED:
        first = _first_id(incident, notice.recipient, domain)
        message["In-Reply-To"] = first
        message["References"] = first
    # For filters: machines do not read subjects.
    message["X-Sansang-Room"] = incident.room
    message["X-Sansang-Incident"] = incident.incident
    message["X-Sansang-Reason"] = notice.reason.value
    if earlier:
        message["X-Sansang-Earlier"] = " ".join(one.incident for one in earlier)
    return message


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """What the daily mail says of the day: how many rooms stand at each level, how many letters wait and were refused,
    and what its reader has to mend.
    """

    rooms: Mapping[Level, int]
    waiting_count: int
    refused_count: int
    findings: tuple[Finding, ...]


def compose_daily(
    recipient: Recipient, today: Today, *, sender: str, now: float, base_url: str, at: str, missing_at: str
) -> EmailMessage:
    """The mail that comes every day at `at`, and is missed from `missing_at` on (both `HH:mm`): that it comes is the
    message.
    """
    words = _Words(recipient.language, now, _ABOUT[COLLECTOR])
    count = sum(today.rooms.values())
    facts = {"fit": today.rooms.get(Level.FIT, 0), "count": count}
    link = f"{base_url.rstrip('/')}/about"
    sections = tuple(_what_and_what_to_do("daily.why", today.findings, now, words))
    levels = (words.say(f"daily.{one.name.lower()}", count=today.rooms.get(one, 0)) for one in _DAILY_ORDER)
    page = _Page(
        level=worst(one.level for one in today.findings) if today.findings else Level.FIT,
        first=words.say("daily.trouble" if today.findings else "daily.well"),
        room="",
        lead=(
            words.say("daily.rooms", count=count, levels=", ".join(levels)),
            words.say("daily.letters", waiting=today.waiting_count, refused=today.refused_count),
        ),
        sections=sections,
        link=(words.say("operators.link"), link),
        notes=(
            words.say("as_of", now=words.moment(now)),
            words.say("daily.promise", at=at, missing_at=missing_at, link=link),
        ),
    )
    subject = words.say("daily.subject", when=words.short_moment(now), **facts)
    message = _message(page, subject, words, sender=sender, recipient=recipient)
    message["Message-ID"] = f"<{_digest(f'daily {recipient.address} {now}')}@{_address(sender).domain}>"
    message["X-Sansang-Reason"] = "daily"
    return message


def compose_test(to: str, language: Language, *, sender: str, now: float) -> EmailMessage:
    """A mail that says that mails arrive."""
    words = _Words(language, now)
    page = _Page(
        level=Level.FIT,
        first=words.say("test.first"),
        room="",
        lead=(words.say("test.lead"),),
        notes=(words.say("as_of", now=words.moment(now)),),
    )
    recipient = Recipient(address=to, name="", language=language)
    message = _message(page, words.say("test.subject"), words, sender=sender, recipient=recipient)
    message["Message-ID"] = f"<{_digest(f'test {to} {now}')}@{_address(sender).domain}>"
    return message


# What it says


class _Reason(NamedTuple):
    """One finding: what is wrong, and the sign by which we know."""

    sentence: str
    sign: str


class _Section(NamedTuple):
    """A heading with reasons, or with things to do."""

    title: str
    reasons: tuple[_Reason, ...] = ()
    steps: tuple[str, ...] = ()


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a letter says, in its order, before it is text or HTML."""

    level: Level
    first: str
    room: str
    lead: tuple[str, ...] = ()
    sections: tuple[_Section, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    link: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


class _Words(msgspec.Struct, frozen=True):
    """The catalogue's `letter.` and Vietnam's time, in one language; `now` is the moment of writing. `about` stands
    before the codes of sentences that differ when they tell of no room.
    """

    language: Language
    now: float
    about: str = ""

    def say(self, code: str, **facts: object) -> str:
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
        pattern = _MOMENT if _in_vietnam(when_s).year == _in_vietnam(self.now).year else _WITH_YEAR
        return self._shown(when_s, pattern)

    def span(self, from_s: float, until_s: float) -> str:
        """`từ 07:10 đến 07:40 ngày 24/11`; the first with its day when that is another."""
        is_one_day = _in_vietnam(from_s).date() == _in_vietnam(until_s).date()
        start = self._shown(from_s, _CLOCK) if is_one_day else self.moment(from_s)
        return self.say("span", start=start, end=self.moment(until_s))

    def short_moment(self, when_s: float) -> str:
        """`07:10 24/11`, for a subject."""
        return self._shown(when_s, _SHORT)

    def _shown(self, when_s: float, pattern: dict[Language, str]) -> str:
        locale = _LOCALE[self.language]
        return str(in_words(_in_vietnam(when_s), pattern[self.language], tzinfo=ZONE, locale=locale))

    def lasted(self, from_s: float, until_s: float) -> str:
        """`30 phút`."""
        return quantity("lasted_s", max(0.0, until_s - from_s), self.language)


def _in_vietnam(when_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(when_s), ZONE)


def _page(notice: Notice, facts: RoomFacts, words: _Words, base_url: str, earlier: Sequence[Incident]) -> _Page:
    incident = notice.incident
    rows = [] if words.about else [(words.say("row.room"), f"{facts.name} ({facts.room})")]
    if facts.place:
        rows.append((words.say("row.place"), ", ".join(reversed(facts.place))))
    if facts.contacts:
        people = (f"{one.name} <{one.address}>" if one.name else one.address for one in facts.contacts)
        rows.append((words.say("row.contact"), ", ".join(people)))
    if incident.ended_s is None:
        level, first, lead, sections = _while_open(notice, incident, words)
    else:
        level, first, lead, sections = _at_the_end(incident, incident.ended_s, words)
    notes = [words.say("as_of", now=words.moment(words.now))]
    if incident.ended_s is None:
        notes.append(words.say_of_it("will_tell"))
    person = notice.recipient.name or notice.recipient.address
    notes.append(words.say("operators.automatic" if words.about else "automatic", recipient=person))
    site = base_url.rstrip("/")
    return _Page(
        level=level,
        first=first,
        room="" if words.about else _label(facts, words),
        lead=lead,
        sections=(*sections, *_silence(incident, facts.silence, words), *_earlier(earlier, words)),
        rows=tuple(rows),
        link=(words.say("operators.link"), f"{site}/about")
        if words.about
        else (words.say("link"), f"{site}/rooms/{facts.room}"),
        notes=tuple(notes),
    )


def _silence(incident: Incident, why: Explanation | None, words: _Words) -> Iterator[_Section]:
    """Why the room was not heard, where the incident is about that and something is known."""
    if why is None or why.cause is Cause.UNKNOWN:
        return
    if not any(one.code in _SILENCES for one in (*incident.first_findings, *incident.findings)):
        return
    known_by = ", ".join(say(f"witness.{one}", words.language) for one in why.evidence)
    sign = words.say("known_by", evidence=known_by)
    if why.against:
        against = ", ".join(say(f"witness.{one}", words.language) for one in why.against)
        sign += " " + words.say("against", evidence=against)
    cause, certainty = (
        say(code, words.language) for code in (f"outage.{why.cause}", f"certainty.{why.certainty.name}")
    )
    yield _Section(words.say("silence"), reasons=(_Reason(f"{cause} ({certainty}).", sign),))


_SILENCES: Final = frozenset({"ROOM_SILENT", "ROOM_SILENT_ON_BATTERY", "PC_SWITCHED_OFF", "PC_ASLEEP", "AGENT_STOPPED"})


def _earlier(incidents: Sequence[Incident], words: _Words) -> Iterator[_Section]:
    """What happened while no letter left, in place of the letters."""
    if not incidents:
        return
    told = []
    if len(incidents) > _EARLIER_SHOWN:
        told.append(_Reason(words.say("earlier.more", count=len(incidents) - _EARLIER_SHOWN), ""))
    for one in incidents[-_EARLIER_SHOWN:]:
        ended_s = words.now if one.ended_s is None else one.ended_s
        causes = dict.fromkeys(words.short(finding.code) for finding in (*one.first_findings, *one.findings))
        what = ", ".join(causes) or words.say("subject.no_cause")
        span, lasted = words.span(one.opened_s, ended_s), words.lasted(one.opened_s, ended_s)
        sentence = words.say("earlier.one", what=what, span=span, lasted=lasted)
        told.append(_Reason(sentence[:1].upper() + sentence[1:], ""))
    yield _Section(words.say("earlier"), reasons=tuple(told))


_Told = tuple[Level, str, tuple[str, ...], tuple[_Section, ...]]


def _while_open(notice: Notice, incident: Incident, words: _Words) -> _Told:
    times = {
        "since": words.moment(incident.opened_s),
        "lasted": words.lasted(incident.opened_s, words.now),
    }
    first = words.say_of_it(f"{notice.reason.value}.{incident.level.name.lower()}", **times)
    return incident.level, first, (), tuple(_what_and_what_to_do("why", incident.findings, incident.opened_s, words))


def _at_the_end(incident: Incident, ended_s: float, words: _Words) -> _Told:
    """The whole story, since the letters before may never have been sent."""
    times = {
        "ended": words.moment(ended_s),
        "span": words.span(incident.opened_s, ended_s),
        "lasted": words.lasted(incident.opened_s, ended_s),
    }
    how = "gone" if incident.end_level is None else incident.end_level.name.lower()
    story = words.say_of_it(f"story.{incident.worst.name.lower()}", **times)
    happened = {(one.code, one.target): one for one in (*incident.first_findings, *incident.findings)}
    sections = []
    if happened:
        then = tuple(_Reason(words.sentence(one), "") for one in happened.values())
        sections.append(_Section(words.say("why_then"), reasons=then))
    if incident.end_level is Level.FIT:
        sections.append(_Section(words.say("do"), steps=(words.say("do.nothing"),)))
    else:
        sections += _what_and_what_to_do("still", incident.end_findings, ended_s, words)
    level = Level.UNKNOWN if incident.end_level is None else incident.end_level
    return level, words.say_of_it(f"ended.{how}", **times), (story,), tuple(sections)


def _what_and_what_to_do(
    title: str, findings: tuple[Finding, ...], since_s: float, words: _Words
) -> Iterator[_Section]:
    """`since_s`: the time that the letter has named already."""
    if findings:
        reasons = (_Reason(words.sentence(one), _sign(one, since_s, words)) for one in findings)
        yield _Section(words.say(title), reasons=tuple(reasons))
        steps = dict.fromkeys(words.action(one) for one in findings)
        yield _Section(words.say("do"), steps=tuple(steps))


def _sign(finding: Finding, since_s: float, words: _Words) -> str:
    """By what we know it: what was measured where, what is needed, since when; empty if the sentence says all that."""
    parts = []
    if finding.measured is not None:
        named = f"page.value.{finding.value}"
        facts = {
            "name": say(named, words.language) if knows(named) else finding.value,
            "measured": quantity(finding.value, finding.measured, words.language),
        }
        if finding.needed is None:
            parts.append(words.say("signal.figure", **facts))
        else:
            needed = quantity(finding.value, finding.needed, words.language)
            parts.append(words.say("signal.needed", **facts, needed=needed))
    if abs(finding.since_s - since_s) >= _ANOTHER_TIME_S:
        parts.append(words.say("signal.since", since=words.moment(finding.since_s)))
    if not parts:
        return ""
    if not words.about:
        parts.insert(0, telling.name_of(finding.target, words.language))
    return words.say("signal", parts=" · ".join(parts))


# What stands above it


def _subject(notice: Notice, facts: RoomFacts, words: _Words, *, is_first: bool) -> str:
    """Gmail puts letters into one conversation by References and by a subject that is the same but for "Re:".

    So all letters of an incident bear the subject of the first, after "Re: ", and how the room is now is said in the
    first line, which phones show beside the subject. A time is in it: the next trouble of the room is another
    conversation, also for programs that know no References. Who got no letter before gets a subject of today.
    """
    incident = notice.incident
    first_level = incident.first_findings[0].level if incident.first_findings else incident.worst
    opening = _line(facts, words, first_level, incident.first_findings, words.short_moment(incident.opened_s))
    if notice.reason is Reason.OPENED and notice.level is first_level:
        return opening
    if notice.reason is not Reason.OPENED and not is_first:
        return words.say("subject.reply", subject=opening)
    if incident.ended_s is None:
        return _line(facts, words, incident.level, incident.findings, words.short_moment(incident.opened_s))
    span = words.say(
        "subject.span", start=words.short_moment(incident.opened_s), end=words.short_moment(incident.ended_s)
    )  # fmt: skip
    level = Level.UNKNOWN if incident.end_level is None else incident.end_level
    return _line(facts, words, level, incident.first_findings, span)


def _line(facts: RoomFacts, words: _Words, level: Level, findings: tuple[Finding, ...], when: str) -> str:
    cause = words.short(findings[0].code) if findings else words.say("subject.no_cause")
    state = words.say_of_it(f"subject.{level.name.lower()}", cause=cause)
    label = words.say_of_it("name") if words.about else _label(facts, words)
    return words.say("subject", room=label, state=state, when=when)


def _label(facts: RoomFacts, words: _Words) -> str:
    """What people call a room from afar: with its school, unless its name says it."""
    school = facts.place[-1] if facts.place else ""
    if not school or school.casefold() in facts.name.casefold():
        return facts.name
    return words.say("room", school=school, name=facts.name)


def _message_id(notice: Notice, domain: str) -> str:
    if notice.reason is Reason.OPENED:
        return _first_id(notice.incident, notice.recipient, domain)
    return f"<{_digest(notice.key)}@{domain}>"


def _first_id(incident: Incident, recipient: Recipient, domain: str) -> str:
    """The opening letter's: there is one for each incident and person, whatever its level, and later ones refer to it.

    Where it was never sent, they still refer to the same id, and so stand together.
    """
    return f"<{_digest(f'{incident.incident}/{recipient.address}')}@{domain}>"


def _digest(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def _message(page: _Page, subject: str, words: _Words, *, sender: str, recipient: Recipient) -> EmailMessage:
    message = EmailMessage(policy=LETTER_POLICY)
    message["From"] = _address(sender)
    message["To"] = _address(recipient.address, recipient.name)
    message["Subject"] = _tidy(subject)
    message["Date"] = format_datetime(_in_vietnam(words.now))
    # Nobody's holiday reply comes back (RFC 3834; the second is Exchange's). No "Precedence: bulk" and no List-Id:
    # both put a letter among the advertisements.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(_as_text(page))
    message.add_alternative(_as_html(page, subject, words.language), subtype="html")
    message["Content-Language"] = words.language  # last: to set the content clears all headers about it
    return message


def _address(written: str, name: str = "") -> Address:
    found, spec = parseaddr(written)
    user, _, domain = spec.rpartition("@")
    return Address(display_name=_tidy(name or found), username=user, domain=domain)


def _tidy(text: str) -> str:
    """In one line, of signs that can be seen: what else there is in a name would break a header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


class _LetterPolicy(EmailPolicy):
    """SMTP's, but for folding: until 3.12 the standard library loses spaces between encoded words (gh-92081), which
    Vietnamese subjects are full of. `email.header.Header` does not.
    """

    def fold(self, name: str, value: str) -> str:
        if name.lower() == "subject":
            return f"{name}: {_encoded(value, name)}\r\n"
        if name.lower() in ("from", "to"):
            return f"{name}: {_folded_addresses(value, name)}\r\n"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in ("subject", "from", "to"):
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


LETTER_POLICY: Final = _LetterPolicy(linesep=SMTP.linesep, cte_type="7bit")
"""Everything in ASCII lines: every relay takes that, also one that knows no 8BITMIME."""


def _encoded(text: str, name: str) -> str:
    return Header(str(text), "utf-8", header_name=name, maxlinelen=75).encode(linesep="\r\n")


def _folded_addresses(value: Any, name: str) -> str:  # noqa: ANN401 - a header object of the email package
    shown = []
    for one in value.addresses:
        spec = f"<{one.addr_spec}>"
        if not one.display_name:
            shown.append(one.addr_spec)
        elif one.display_name.isascii():
            shown.append(f'"{quote(one.display_name)}" {spec}')
        else:
            shown.append(f"{_encoded(one.display_name, name)}\r\n {spec}")
    return ",\r\n ".join(shown)


# As text


def _as_text(page: _Page) -> str:
    blocks = [_wrapped(page.first)]
    if page.room:
        blocks[0] += f"\n{_wrapped(page.room)}"
    blocks += [_wrapped(sentence) for sentence in page.lead]
    for section in page.sections:
        blocks.append("\n".join((section.title.upper(), *_items_as_text(section))))
    tail = [_wrapped(f"{label}: {value}", "  ") for label, value in page.rows]
    if page.link:
        tail.append(f"{page.link[0]}: {page.link[1]}")
    if tail:
        blocks.append("\n".join(tail))
    if page.notes:
        blocks.append(_wrapped(" ".join(page.notes)))
    return "\n\n".join(blocks) + "\n"


def _items_as_text(section: _Section) -> Iterator[str]:
    for reason in section.reasons:
        yield _wrapped(f"- {reason.sentence}", "  ")
        if reason.sign:
            yield _wrapped(f"  {reason.sign}", "  ")
    for number, step in enumerate(section.steps, start=1):
        yield _wrapped(f"{number}. {step}" if len(section.steps) > 1 else step, "   " if len(section.steps) > 1 else "")


def _wrapped(text: str, below: str = "") -> str:
    return textwrap.fill(text, _COLUMNS, subsequent_indent=below, break_long_words=False, break_on_hyphens=False)


# As HTML. Nothing is loaded from anywhere, and no colour is given to text or ground: the reader's program has its own,
# light or dark.

_DOCUMENT: Final = """\
<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title></head>
<body style="margin:0;padding:16px;font:16px/1.5 -apple-system,'Segoe UI',Roboto,Arial,sans-serif">
<div style="max-width:600px;margin:0 auto">
{body}
</div>
</body></html>
"""


def _as_html(page: _Page, subject: str, language: Language) -> str:
    body = "\n".join(_html_parts(page))
    return _DOCUMENT.format(language=language, title=html.escape(subject), body=body)


def _html_parts(page: _Page) -> Iterable[str]:
    yield f'<div style="border-left:6px solid {_BAR[page.level]};padding:2px 0 2px 12px">'
    yield f'<p style="margin:0;font-size:20px;font-weight:bold">{html.escape(page.first)}</p>'
    if page.room:
        yield f'<p style="margin:4px 0 0">{html.escape(page.room)}</p>'
    yield "</div>"
    yield from (f'<p style="margin:16px 0 0">{html.escape(sentence)}</p>' for sentence in page.lead)
    for section in page.sections:
        yield f'<h2 style="margin:20px 0 4px;font-size:16px">{html.escape(section.title)}</h2>'
        yield from _items_as_html(section)
    if page.link:
        label, url = (html.escape(part) for part in page.link)
        yield f'<p style="margin:24px 0"><a href="{url}" style="font-weight:bold">{label}</a></p>'
    for label, value in page.rows:
        shown = f'<span style="opacity:.7">{html.escape(label)}:</span> {html.escape(value)}'
        yield f'<p style="margin:0 0 2px">{shown}</p>'
    yield f'<p style="margin:20px 0 0;font-size:13px;opacity:.7">{html.escape(" ".join(page.notes))}</p>'


def _items_as_html(section: _Section) -> Iterator[str]:
    for reason in section.reasons:
        yield f'<p style="margin:0 0 2px">{html.escape(reason.sentence)}</p>'
        if reason.sign:
            yield f'<p style="margin:0 0 10px;font-size:14px;opacity:.75">{html.escape(reason.sign)}</p>'
    if len(section.steps) > 1:
        yield '<ol style="margin:0;padding-left:24px">'
        yield from (f'<li style="margin:0 0 6px">{html.escape(step)}</li>' for step in section.steps)
        yield "</ol>"
    else:
        yield from (f'<p style="margin:0 0 6px">{html.escape(step)}</p>' for step in section.steps)
