"""What the pages need to know of letters, and how a stored mail becomes something to read."""

import email
import email.policy
import enum
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Protocol

import msgspec


class LetterState(enum.StrEnum):
    """Where a letter stands. MERGED: what it said went out in another letter."""

    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"
    MERGED = "merged"


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """One letter of the outbox. `server_words` is what came of the last try: the mail server's answer as it came, what
    kept us from it, or a file's name; empty before any.
    """

    letter: str
    subject: str
    to: tuple[str, ...]
    state: LetterState
    written_s: float
    tries_count: int = 0
    server_words: str = ""


class Letters(Protocol):
    """The outbox as the pages read it; called from several threads."""

    def letters(self, limit: int) -> Sequence[LetterView]:
        """At most `limit` letters, the newest first."""
        ...

    def letter(self, letter: str) -> bytes | None:
        """The mail itself (RFC 5322 bytes), or None when there is no such letter."""
        ...


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as a person reads it. `html` is what the sender wrote: show it only inside a sandbox.

    `dated_s` is the Date header (Unix seconds), None when it is missing or makes no sense.
    """

    subject: str
    sender: str
    to: str
    dated_s: float | None
    text: str
    html: str


def read_mail(raw: bytes) -> Mail:
    """The parts of a mail. A part that is missing, or that cannot be decoded at all, is empty."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return Mail(
        subject=_header(message, "Subject"),
        sender=_header(message, "From"),
        to=_header(message, "To"),
        dated_s=_dated_s(message),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _header(message: EmailMessage, name: str) -> str:
    return str(message.get(name, ""))


def _dated_s(message: EmailMessage) -> float | None:
    try:
        return parsedate_to_datetime(_header(message, "Date")).timestamp()
    except (ValueError, OverflowError):
        return None


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return ""
    try:
        return raw.decode(part.get_content_charset("utf-8"), errors="replace")
    except LookupError:  # a charset that Python does not know: most bytes are readable as UTF-8 all the same
        return raw.decode("utf-8", errors="replace")
