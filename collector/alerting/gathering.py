"""Makes one letter of several to one person about rooms near each other, so that an outage of an area is one mail.

What a letter says in it beside others is its part. Which letters belong together is their tag; until when the first of
them waits for the others is decided where it is written. Pure.
"""

from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Final

import msgspec

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.incident import OWN, Incident
from collector.alerting.letter import RoomFacts, is_about_silence, label_of, sheet_of
from collector.alerting.sheet import Item, Section, Sheet, address_of, as_mail, digest
from collector.alerting.words import Words
from contract.catalogue import Language, say
from readiness.causes import Cause
from readiness.verdict import Level, worst

FEWEST: Final = 3
"""Two rooms in trouble at once are two letters; as many as an area has to have for an outage of its own."""
_ROOMS_SHOWN: Final = 60
_AREA_DEPTH: Final = 2


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one room in a letter about several. `person` is the recipient's name, `since_s` when it began,
    or when it was over. `why` is the code of what is behind it, a silence's cause or a finding; `cause` says it.
    """

    tag: str
    language: Language
    person: str
    room: str
    area: str
    level: Level
    first: str
    why: str
    cause: str
    since_s: float
    steps: tuple[str, ...]
    url: str


def area_of(place: Sequence[str]) -> tuple[str, ...]:
    """The district, or the school where there are none: rooms of the same are near each other."""
    return tuple(place[:_AREA_DEPTH])


def part_of(notice: Notice, facts: RoomFacts, *, now: float, base_url: str) -> Part | None:
    """The part of a notice; None for one that stands alone: the collector's own, and a room without a place."""
    incident, language = notice.incident, notice.recipient.language
    area = area_of(facts.place)
    if incident.room in OWN or not area:
        return None
    words = Words(language, now)
    sheet = sheet_of(notice, facts, words, base_url)
    is_over = notice.reason is Reason.ENDED
    why, cause = _cause(incident, facts, words)
    return Part(
        tag="/".join(("ended" if is_over else "open", language, *area)),
        language=language,
        person=notice.recipient.name,
        room=label_of(facts, words),
        area=", ".join(reversed(area)),
        level=sheet.level,
        first=sheet.first,
        why=why,
        cause=cause,
        since_s=incident.opened_s if incident.ended_s is None else incident.ended_s,
        steps=tuple(step for section in sheet.sections for step in section.steps),
        url=sheet.link[1] if sheet.link else base_url,
    )


def _cause(incident: Incident, facts: RoomFacts, words: Words) -> tuple[str, str]:
    """Why, as a code and in few words: of a silence what explains it, if anything does."""
    silence = facts.silence
    if silence is not None and silence.cause is not Cause.UNKNOWN and is_about_silence(incident):
        cause, certainty = f"outage.{silence.cause}", f"certainty.{silence.certainty.name}"
        return silence.cause.value, f"{say(cause, words.language)} ({say(certainty, words.language)})"
    findings = incident.findings or incident.first_findings
    if not findings:
        return "", words.say("subject.no_cause")
    return findings[0].code, words.short(findings[0].code)


def gathered(parts: Mapping[str, Part], address: str, *, sender: str, now: float, base_url: str) -> EmailMessage:
    """One mail to one person of several parts of the same tag, by the keys of their notices.

    The same notices give the same Message-ID, whenever and in whatever order they are gathered.
    """
    ordered = sorted(parts.values(), key=lambda part: (-part.level.severity, part.since_s, part.room))
    recipient = Recipient(address=address, name=ordered[0].person, language=ordered[0].language)
    words = Words(recipient.language, now)
    is_over = ordered[0].tag.startswith("ended/")
    code = "gathered.ended" if is_over else "gathered.open"
    since_s = max(part.since_s for part in ordered) if is_over else min(part.since_s for part in ordered)
    shared = ordered[0].cause if len({part.cause for part in ordered}) == 1 else ""
    site = f"{base_url.rstrip('/')}/"
    notes = [words.say("as_of", now=words.moment(now))]
    if not is_over:
        notes.append(words.say("gathered.will_tell"))
    notes.append(words.say("gathered.automatic", recipient=recipient.name or recipient.address))
    page = Sheet(
        level=worst(part.level for part in ordered),
        first=words.say(code, count=len(ordered), area=ordered[0].area, since=words.moment(since_s)),
        room="",
        lead=(words.say("gathered.cause", cause=shared[:1].upper() + shared[1:]),) if shared else (),
        sections=(_to_do(ordered, words, is_over=is_over), _rooms(ordered, words, site, with_cause=not shared)),
        link=(words.say("gathered.link"), site),
        notes=tuple(notes),
    )
    state = words.say(f"{code}.subject", count=len(ordered))
    subject = words.say("subject", room=ordered[0].area, state=state, when=words.short_moment(since_s))
    message = as_mail(page, subject, words, sender=sender, recipient=recipient)
    message["Message-ID"] = f"<{digest(' '.join(sorted(parts)))}@{address_of(sender).domain}>"
    # For filters, as in other letters.
    message["X-Sansang-Incidents"] = " ".join(sorted({key.partition("/")[0] for key in parts}))
    message["X-Sansang-Reason"] = (Reason.ENDED if is_over else Reason.OPENED).value
    return message


def _to_do(parts: Sequence[Part], words: Words, *, is_over: bool) -> Section:
    """All steps of all rooms, each once, if there are any; the one call that is for all of them first."""
    nothing = words.say("do.nothing")
    steps = [step for part in parts for step in part.steps if step != nothing]
    if not is_over and (whom := _whom_to_ask(parts)):
        steps.insert(0, words.say(f"gathered.do.{whom}", count=len(parts)))
    return Section(words.say("do"), steps=tuple(dict.fromkeys(steps)) or (nothing,))


def _rooms(parts: Sequence[Part], words: Words, site: str, *, with_cause: bool) -> Section:
    """Each room with its link, and with what is not said of all of them."""
    with_first = len({part.first for part in parts}) > 1
    items = [
        Item(part.room, _sign(part, with_first=with_first, with_cause=with_cause), part.url)
        for part in parts[:_ROOMS_SHOWN]
    ]
    if len(parts) > _ROOMS_SHOWN:
        items.append(Item(words.say("gathered.more", count=len(parts) - _ROOMS_SHOWN), "", site))
    return Section(words.say("gathered.rooms"), reasons=tuple(items))


def _sign(part: Part, *, with_first: bool, with_cause: bool) -> str:
    cause = f"{part.cause[:1].upper()}{part.cause[1:]}."
    return " ".join(said for said, wanted in ((part.first, with_first), (cause, with_cause)) if wanted)


_ASKED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("AREA_POWER", "POWER_CUT", "POWER_CUT_NETWORK", "UPS_EMPTY", "ROOM_SILENT_ON_BATTERY"), "power"),
    **dict.fromkeys(("AREA_LINE", "ISP", "ISP_DOWN", "NO_INTERNET"), "line"),
    "ROOM_SILENT": "either",
}
"""Who is to be asked first when several rooms near each other have this."""


def _whom_to_ask(parts: Sequence[Part]) -> str:
    """Who can know of all of them: the power company, the provider, either of both; empty when neither."""
    asked = {_ASKED.get(part.why, "") for part in parts}
    if "" in asked:
        return ""
    known = asked - {"either"}
    return known.pop() if len(known) == 1 else "either"
