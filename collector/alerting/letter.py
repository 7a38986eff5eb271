"""Writes the mail for a notice: one content, as plain text and as HTML, for somebody who reads it on a phone."""

from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage
from typing import Final

import msgspec

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.incident import AGENTS, COLLECTOR, Incident
from collector.alerting.sheet import Item, Section, Sheet, address_of, as_mail, digest
from collector.alerting.words import Words
from contract.catalogue import Language, knows, say
from contract.quantity import quantity
from readiness import telling
from readiness.causes import Cause, Explanation
from readiness.verdict import Finding, Level, worst

DEFAULT_SENDER: Final = "Sẵn Sàng <sansang@localhost>"
_ANOTHER_TIME_S: Final = 60.0
_EARLIER_SHOWN: Final = 5
_ABOUT: Final = {COLLECTOR: "collector.", AGENTS: "agents."}
"""What stands before the codes of the sentences that tell of no room."""
_DAILY_ORDER: Final = (Level.FIT, Level.DEGRADED, Level.UNFIT, Level.UNKNOWN)


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
    words = Words(language, now, _ABOUT.get(incident.room, ""))
    page = sheet_of(notice, facts, words, base_url, earlier)
    subject = _subject(notice, facts, words, is_first=is_first)
    message = as_mail(page, subject, words, sender=sender, recipient=notice.recipient)
    domain = address_of(sender).domain
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
    words = Words(recipient.language, now, _ABOUT[COLLECTOR])
    count = sum(today.rooms.values())
    facts = {"fit": today.rooms.get(Level.FIT, 0), "count": count}
    link = f"{base_url.rstrip('/')}/about"
    sections = tuple(_what_and_what_to_do("daily.why", today.findings, now, words))
    levels = (words.say(f"daily.{one.name.lower()}", count=today.rooms.get(one, 0)) for one in _DAILY_ORDER)
    page = Sheet(
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
    message = as_mail(page, subject, words, sender=sender, recipient=recipient)
    message["Message-ID"] = f"<{digest(f'daily {recipient.address} {now}')}@{address_of(sender).domain}>"
    message["X-Sansang-Reason"] = "daily"
    return message


def compose_test(to: str, language: Language, *, sender: str, now: float) -> EmailMessage:
    """A mail that says that mails arrive."""
    words = Words(language, now)
    page = Sheet(
        level=Level.FIT,
        first=words.say("test.first"),
        room="",
        lead=(words.say("test.lead"),),
        notes=(words.say("as_of", now=words.moment(now)),),
    )
    recipient = Recipient(address=to, name="", language=language)
    message = as_mail(page, words.say("test.subject"), words, sender=sender, recipient=recipient)
    message["Message-ID"] = f"<{digest(f'test {to} {now}')}@{address_of(sender).domain}>"
    return message


# What it says


def sheet_of(notice: Notice, facts: RoomFacts, words: Words, base_url: str, earlier: Sequence[Incident] = ()) -> Sheet:
    """All that a letter about one room says."""
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
    return Sheet(
        level=level,
        first=first,
        room="" if words.about else label_of(facts, words),
        lead=lead,
        sections=(*sections, *_silence(incident, facts.silence, words), *_earlier(earlier, words)),
        rows=tuple(rows),
        link=(words.say("operators.link"), f"{site}/about")
        if words.about
        else (words.say("link"), f"{site}/rooms/{facts.room}"),
        notes=tuple(notes),
    )


def _silence(incident: Incident, why: Explanation | None, words: Words) -> Iterator[Section]:
    """Why the room was not heard, where the incident is about that and something is known."""
    if why is None or why.cause is Cause.UNKNOWN or not is_about_silence(incident):
        return
    known_by = ", ".join(say(f"witness.{one}", words.language) for one in why.evidence)
    sign = words.say("known_by", evidence=known_by)
    if why.against:
        against = ", ".join(say(f"witness.{one}", words.language) for one in why.against)
        sign += " " + words.say("against", evidence=against)
    cause, certainty = (
        say(code, words.language) for code in (f"outage.{why.cause}", f"certainty.{why.certainty.name}")
    )
    yield Section(words.say("silence"), reasons=(Item(f"{cause} ({certainty}).", sign),))


def is_about_silence(incident: Incident) -> bool:
    """Whether the room was not heard: then what explains its silence explains the incident."""
    return any(one.code in _SILENCES for one in (*incident.first_findings, *incident.findings))


_SILENCES: Final = frozenset({"ROOM_SILENT", "ROOM_SILENT_ON_BATTERY", "PC_SWITCHED_OFF", "PC_ASLEEP", "AGENT_STOPPED"})


def _earlier(incidents: Sequence[Incident], words: Words) -> Iterator[Section]:
    """What happened while no letter left, in place of the letters."""
    if not incidents:
        return
    told = []
    if len(incidents) > _EARLIER_SHOWN:
        told.append(Item(words.say("earlier.more", count=len(incidents) - _EARLIER_SHOWN), ""))
    for one in incidents[-_EARLIER_SHOWN:]:
        ended_s = words.now if one.ended_s is None else one.ended_s
        causes = dict.fromkeys(words.short(finding.code) for finding in (*one.first_findings, *one.findings))
        what = ", ".join(causes) or words.say("subject.no_cause")
        span, lasted = words.span(one.opened_s, ended_s), words.lasted(one.opened_s, ended_s)
        sentence = words.say("earlier.one", what=what, span=span, lasted=lasted)
        told.append(Item(sentence[:1].upper() + sentence[1:], ""))
    yield Section(words.say("earlier"), reasons=tuple(told))


_Told = tuple[Level, str, tuple[str, ...], tuple[Section, ...]]


def _while_open(notice: Notice, incident: Incident, words: Words) -> _Told:
    times = {
        "since": words.moment(incident.opened_s),
        "lasted": words.lasted(incident.opened_s, words.now),
    }
    first = words.say_of_it(f"{notice.reason.value}.{incident.level.name.lower()}", **times)
    return incident.level, first, (), tuple(_what_and_what_to_do("why", incident.findings, incident.opened_s, words))


def _at_the_end(incident: Incident, ended_s: float, words: Words) -> _Told:
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
        then = tuple(Item(words.sentence(one), "") for one in happened.values())
        sections.append(Section(words.say("why_then"), reasons=then))
    if incident.end_level is Level.FIT:
        sections.append(Section(words.say("do"), steps=(words.say("do.nothing"),)))
    else:
        sections += _what_and_what_to_do("still", incident.end_findings, ended_s, words)
    level = Level.UNKNOWN if incident.end_level is None else incident.end_level
    return level, words.say_of_it(f"ended.{how}", **times), (story,), tuple(sections)


def _what_and_what_to_do(title: str, findings: tuple[Finding, ...], since_s: float, words: Words) -> Iterator[Section]:
    """`since_s`: the time that the letter has named already."""
    if findings:
        reasons = (Item(words.sentence(one), _sign(one, since_s, words)) for one in findings)
        yield Section(words.say(title), reasons=tuple(reasons))
        steps = dict.fromkeys(words.action(one) for one in findings)
        yield Section(words.say("do"), steps=tuple(steps))


def _sign(finding: Finding, since_s: float, words: Words) -> str:
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


def _subject(notice: Notice, facts: RoomFacts, words: Words, *, is_first: bool) -> str:
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


def _line(facts: RoomFacts, words: Words, level: Level, findings: tuple[Finding, ...], when: str) -> str:
    cause = words.short(findings[0].code) if findings else words.say("subject.no_cause")
    state = words.say_of_it(f"subject.{level.name.lower()}", cause=cause)
    label = words.say_of_it("name") if words.about else label_of(facts, words)
    return words.say("subject", room=label, state=state, when=when)


def label_of(facts: RoomFacts, words: Words) -> str:
    """What people call a room from afar: with its school, unless its name says it."""
    school = facts.place[-1] if facts.place else ""
    if not school or school.casefold() in facts.name.casefold():
        return facts.name
    return words.say("room", school=school, name=facts.name)


def _message_id(notice: Notice, domain: str) -> str:
    if notice.reason is Reason.OPENED:
        return _first_id(notice.incident, notice.recipient, domain)
    return f"<{digest(notice.key)}@{domain}>"


def _first_id(incident: Incident, recipient: Recipient, domain: str) -> str:
    """The opening letter's: there is one for each incident and person, whatever its level, and later ones refer to it.

    Where it was never sent, they still refer to the same id, and so stand together.
    """
    return f"<{digest(f'{incident.incident}/{recipient.address}')}@{domain}>"
