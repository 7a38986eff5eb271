"""Holds what a letter says, in its order, and makes the mail of it: once as plain text and once as HTML."""

import hashlib
import html
import textwrap
from collections.abc import Iterable, Iterator
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr, quote
from typing import Any, Final, NamedTuple

import msgspec

from collector.alerting.decide import Recipient
from collector.alerting.words import Words, in_vietnam
from contract.catalogue import Language
from readiness.verdict import Level

_COLUMNS: Final = 72
_BAR: Final = {Level.FIT: "#2e9e4f", Level.DEGRADED: "#d98b00", Level.UNKNOWN: "#8a63d2", Level.UNFIT: "#d93025"}
"""Seen on white and on black alike: who reads in the dark has colours turned by the mail program, but not these."""


class Item(NamedTuple):
    """One thing told, such as a finding; below it, smaller, the sign by which we know. `url` is where more stands."""

    sentence: str
    sign: str
    url: str = ""


class Section(NamedTuple):
    """A heading with reasons, or with things to do."""

    title: str
    reasons: tuple[Item, ...] = ()
    steps: tuple[str, ...] = ()


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a letter says, in its order, before it is text or HTML."""

    level: Level
    first: str
    room: str
    lead: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    link: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


def digest(of: str) -> str:
    """What makes a Message-ID of a key: the same for the same."""
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def as_mail(sheet: Sheet, subject: str, words: Words, *, sender: str, recipient: Recipient) -> EmailMessage:
    """The mail to one person, without what ties it to others."""
    message = EmailMessage(policy=LETTER_POLICY)
    message["From"] = address_of(sender)
    message["To"] = address_of(recipient.address, recipient.name)
    message["Subject"] = _tidy(subject)
    message["Date"] = format_datetime(in_vietnam(words.now))
    # Nobody's holiday reply comes back (RFC 3834; the second is Exchange's). No "Precedence: bulk" and no List-Id:
    # both put a letter among the advertisements.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(_as_text(sheet))
    message.add_alternative(_as_html(sheet, subject, words.language), subtype="html")
    message["Content-Language"] = words.language  # last: to set the content clears all headers about it
    return message


def address_of(written: str, name: str = "") -> Address:
    """An address with the name beside it, or else with the one that is written in it."""
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


def _as_text(sheet: Sheet) -> str:
    blocks = [_wrapped(sheet.first)]
    if sheet.room:
        blocks[0] += f"\n{_wrapped(sheet.room)}"
    blocks += [_wrapped(sentence) for sentence in sheet.lead]
    for section in sheet.sections:
        blocks.append("\n".join((section.title.upper(), *_items_as_text(section))))
    tail = [_wrapped(f"{label}: {value}", "  ") for label, value in sheet.rows]
    if sheet.link:
        tail.append(f"{sheet.link[0]}: {sheet.link[1]}")
    if tail:
        blocks.append("\n".join(tail))
    if sheet.notes:
        blocks.append(_wrapped(" ".join(sheet.notes)))
    return "\n\n".join(blocks) + "\n"


def _items_as_text(section: Section) -> Iterator[str]:
    for reason in section.reasons:
        yield _wrapped(f"- {reason.sentence}", "  ")
        if reason.sign:
            yield _wrapped(f"  {reason.sign}", "  ")
        if reason.url:
            yield f"  {reason.url}"
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


def _as_html(sheet: Sheet, subject: str, language: Language) -> str:
    body = "\n".join(_html_parts(sheet))
    return _DOCUMENT.format(language=language, title=html.escape(subject), body=body)


def _html_parts(sheet: Sheet) -> Iterable[str]:
    yield f'<div style="border-left:6px solid {_BAR[sheet.level]};padding:2px 0 2px 12px">'
    yield f'<p style="margin:0;font-size:20px;font-weight:bold">{html.escape(sheet.first)}</p>'
    if sheet.room:
        yield f'<p style="margin:4px 0 0">{html.escape(sheet.room)}</p>'
    yield "</div>"
    yield from (f'<p style="margin:16px 0 0">{html.escape(sentence)}</p>' for sentence in sheet.lead)
    for section in sheet.sections:
        yield f'<h2 style="margin:20px 0 4px;font-size:16px">{html.escape(section.title)}</h2>'
        yield from _items_as_html(section)
    if sheet.link:
        label, url = (html.escape(part) for part in sheet.link)
        yield f'<p style="margin:24px 0"><a href="{url}" style="font-weight:bold">{label}</a></p>'
    for label, value in sheet.rows:
        shown = f'<span style="opacity:.7">{html.escape(label)}:</span> {html.escape(value)}'
        yield f'<p style="margin:0 0 2px">{shown}</p>'
    yield f'<p style="margin:20px 0 0;font-size:13px;opacity:.7">{html.escape(" ".join(sheet.notes))}</p>'


def _items_as_html(section: Section) -> Iterator[str]:
    for reason in section.reasons:
        sentence = html.escape(reason.sentence)
        shown = f'<a href="{html.escape(reason.url)}">{sentence}</a>' if reason.url else sentence
        yield f'<p style="margin:0 0 2px">{shown}</p>'
        if reason.sign:
            yield f'<p style="margin:0 0 10px;font-size:14px;opacity:.75">{html.escape(reason.sign)}</p>'
    if len(section.steps) > 1:
        yield '<ol style="margin:0;padding-left:24px">'
        yield from (f'<li style="margin:0 0 6px">{html.escape(step)}</li>' for step in section.steps)
        yield "</ol>"
    else:
        yield from (f'<p style="margin:0 0 6px">{html.escape(step)}</p>' for step in section.steps)
