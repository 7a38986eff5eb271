"""Keeps every letter from the moment it is decided, and what became of it; sends nothing."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from email.message import EmailMessage
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from collector.alerting.gathering import Part
from collector.alerting.health import DAILY
from collector.alerting.told import Tellable, Telling, Told
from collector.storage.database import metadata
from collector.web.letters import LetterState, LetterView

KEPT_S: Final = 90 * 86400.0
FARTHEST_S: Final = 2 * 3600.0
"""No try is ever set later than this: one that is was set by a clock that ran ahead, and is due now."""
_WORDS_CHARS: Final = 500

_letter: Final = Table(
    "letter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(500), nullable=False, unique=True),
    Column("incident", String(64), nullable=False, index=True),
    Column("address", String(254), nullable=False),
    Column("subject", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("written_s", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("next_try_s", Float, nullable=False),
    Column("tries_count", Integer, nullable=False, default=0),
    Column("settled_s", Float),
    Column("server_words", Text, nullable=False, default=""),
    Index("letter_by_state", "state", "next_try_s"),
)
"""`raw` is the whole letter (RFC 5322); `settled_s` is when it stopped waiting."""

_part: Final = Table(
    "letter_part",
    metadata,
    Column("letter", Integer, primary_key=True),
    Column("tag", String(300), nullable=False),
    Column("part", Text, nullable=False),
    Index("letter_part_by_tag", "tag"),
)
"""What a letter says where it is gathered with others (JSON of a `gathering.Part`)."""

_TELLING: Final = (
    _letter.c.key, _letter.c.incident, _letter.c.address, _letter.c.written_s, _letter.c.state, _letter.c.settled_s,
)  # fmt: skip
_DUE: Final = (
    _letter.c.id, _letter.c.key, _letter.c.address, _letter.c.written_s, _letter.c.tries_count, _letter.c.raw,
)  # fmt: skip
_WAITS: Final = _letter.c.state == LetterState.WAITING.value


class Taken(NamedTuple):
    """That the server took a letter: when, and its words."""

    at_s: float
    words: str


class DueLetter(NamedTuple):
    """A letter whose time to be sent has come."""

    letter: int
    key: str
    address: str
    written_s: float
    tries_count: int
    raw: bytes


class Together(NamedTuple):
    """A letter beside which others may go in the same mail, and what it says there."""

    due: DueLetter
    part: Part


class Outbox:
    """All letters in a database. Times are Unix seconds; every method is one transaction, from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._news: list[Telling] = []
        with engine.connect() as connection:
            self._counts = _count(connection)
            # Of letters written before the last one that left it is known that they were tried since.
            sent = select(func.max(_letter.c.id)).where(_letter.c.state == LetterState.SENT.value)
            self._heeded_id = connection.scalar(sent) or 0
            self._unheeded_since_s = self._oldest_unheeded_s(connection)
            self._refused_since_s = dict(_refused_last(connection))

    # For the pipeline

    def put(
        self,
        notice: Tellable,
        message: EmailMessage,
        now: float,
        *,
        instead_of: Collection[str] = (),
        taken: Taken | None = None,
        part: Part | None = None,
        held_s: float = 0.0,
    ) -> bool:
        """Keep a letter until it is sent; False when this notice lies here already, whatever became of it. `taken`: it
        was sent already, past the outbox. `part`: what it says where it goes in one mail with others, for which it
        waits at first for `held_s`.

        Letters to the same person of the same incident, or of those that it tells of in their place, that still wait
        are not sent any more: each letter tells the whole story, and nobody wants yesterday's news after today's.
        """
        row = {
            "key": notice.key,
            "incident": notice.incident.incident,
            "address": notice.recipient.address,
            "subject": str(message.get("Subject", "")),
            "raw": message.as_bytes(),
            "written_s": now,
            "state": LetterState.WAITING.value,
            "next_try_s": now + held_s,
        }
        if taken is not None:
            settled = {"state": LetterState.SENT.value, "settled_s": taken.at_s, "server_words": _brief(taken.words)}
            row |= settled
        older = (
            _WAITS,
            _letter.c.incident.in_({notice.incident.incident, *instead_of}),
            _letter.c.address == row["address"],
            _letter.c.key != row["key"],
        )
        try:
            with self._engine.begin() as connection:
                # First of all, so that SQLite takes the lock for writing before anything is read and believed.
                put = connection.execute(insert(_letter).values(row))
                if part is not None and put.inserted_primary_key is not None:
                    own = {"letter": put.inserted_primary_key[0], "tag": part.tag, "part": _in_json(part)}
                    connection.execute(insert(_part).values(own))
                merged = [one.id for one in connection.execute(select(_letter.c.id).where(*older))]
                news = _settle(connection, merged, LetterState.MERGED, now)
                self._look(connection)
        except IntegrityError:
            return False
        queued = _queued(notice, now)
        self._tell([queued if taken is None else replace(queued, sent_s=taken.at_s), *news])
        return True

    def untold(self, incidents: Collection[str], address: str) -> frozenset[str]:
        """Those of the incidents of which a person would have been told by letters that never left, and has not been
        told anything since.
        """
        theirs = (_letter.c.incident.in_(incidents), _letter.c.address == address)
        settled = _letter.c.state.in_((LetterState.SENT.value, LetterState.REFUSED.value))
        last = select(func.coalesce(func.max(_letter.c.id), 0)).where(*theirs, settled).scalar_subquery()
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(select(_letter.c.incident).where(*theirs, _letter.c.id > last)))

    def addressees(self, incidents: Collection[str]) -> dict[str, tuple[str, ...]]:
        """To whom letters about these incidents have left, each person once, the first first."""
        sent = select(_letter.c.incident, _letter.c.address).where(
            _letter.c.incident.in_(incidents), _letter.c.state == LetterState.SENT.value
        )
        found: dict[str, dict[str, None]] = {}
        with self._engine.connect() as connection:
            for incident, address in connection.execute(sent.order_by(_letter.c.id)):
                found.setdefault(incident, {})[address] = None
        return {incident: tuple(addresses) for incident, addresses in found.items()}

    def told(self) -> Told:
        """Who was told what, as far as it is kept."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(*_TELLING).order_by(_letter.c.id)).mappings()
            return Told(_to_telling(row) for row in rows)

    def news(self) -> tuple[Telling, ...]:
        """What has become of letters since the last call; asks no database."""
        with self._lock:
            news, self._news = tuple(self._news), []
        return news

    def waiting_count(self) -> int:
        """How many letters wait; asks no database."""
        return self._counts.get(LetterState.WAITING.value, 0)

    def refused_count(self) -> int:
        """How many letters were refused, of those kept; asks no database."""
        return self._counts.get(LetterState.REFUSED.value, 0)

    def unheeded_since_s(self) -> float | None:
        """When the oldest letter was written that waits and after which none has left; asks no database."""
        return self._unheeded_since_s

    def refused_addresses(self) -> Mapping[str, float]:
        """To whom the last letter was refused, and since when; asks no database."""
        with self._lock:
            return dict(self._refused_since_s)

    # For the pages

    def letters(self, limit: int) -> Sequence[LetterView]:
        """At most `limit` letters, the newest first."""
        shown = (
            _letter.c.id, _letter.c.subject, _letter.c.address, _letter.c.state, _letter.c.written_s,
            _letter.c.tries_count, _letter.c.server_words,
        )  # fmt: skip
        with self._engine.connect() as connection:
            rows = connection.execute(select(*shown).order_by(_letter.c.id.desc()).limit(limit)).all()
        return tuple(
            LetterView(
                letter=str(row.id),
                subject=row.subject,
                to=(row.address,),
                state=LetterState(row.state),
                written_s=row.written_s,
                tries_count=row.tries_count,
                server_words=row.server_words,
            )
            for row in rows
        )

    def letter(self, letter: str) -> bytes | None:
        """The mail itself (RFC 5322 bytes), or None when there is no such letter."""
        if not (letter.isascii() and letter.isdecimal() and len(letter) <= 18):  # noqa: PLR2004 - what a column holds
            return None
        with self._engine.connect() as connection:
            return connection.scalar(select(_letter.c.raw).where(_letter.c.id == int(letter)))

    # For the mailer

    def due(self, now: float, limit: int) -> tuple[DueLetter, ...]:
        """At most `limit` letters whose time has come: least tried first, then oldest.

        Least tried first, since a letter over which the relay breaks the connection must not stand before all others.
        """
        asked = select(*_DUE).where(_WAITS, _is_due(now))
        with self._engine.connect() as connection:
            rows = connection.execute(asked.order_by(_letter.c.tries_count, _letter.c.id).limit(limit))
            return tuple(DueLetter(*row) for row in rows)

    def together(self, letter: DueLetter, limit: int) -> tuple[Together, ...]:
        """At most `limit` letters that wait, due or not, and may go in one mail with this one, which is among them;
        none where it stands alone.
        """
        tag = select(_part.c.tag).where(_part.c.letter == letter.letter).scalar_subquery()
        both = _letter.join(_part, _part.c.letter == _letter.c.id)
        asked = select(*_DUE, _part.c.part).select_from(both)
        mine = (_WAITS, _letter.c.address == letter.address, _part.c.tag == tag)
        with self._engine.connect() as connection:
            rows = connection.execute(asked.where(*mine).order_by(_letter.c.id).limit(limit)).all()
        return tuple(Together(DueLetter(*row[:-1]), _of_json(row[-1])) for row in rows)

    def next_try_s(self) -> float | None:
        """When the next letter is due; None when none waits."""
        with self._engine.connect() as connection:
            next_s: float | None = connection.scalar(select(func.min(_letter.c.next_try_s)).where(_WAITS))
            return next_s

    def claim(self, due: DueLetter, next_try_s: float) -> bool:
        """Write down that a letter is about to be tried, and when again if nothing more is heard of it.

        False when somebody else has tried it, or it is not to be sent any more. Written before the try: a program
        that dies over a letter again and again does not send it again at every start.
        """
        same = (_letter.c.id == due.letter, _letter.c.tries_count == due.tries_count, _WAITS)
        claimed = {"tries_count": due.tries_count + 1, "next_try_s": next_try_s}
        with self._engine.begin() as connection:
            return connection.execute(update(_letter).where(*same).values(claimed)).rowcount == 1

    def sent(self, letters: Sequence[int], now: float, words: str, *, mail: bytes | None = None) -> None:
        """The server has taken them as one mail, even if another letter was to take a place in the meantime. `mail` is
        kept as what was sent; without it the letter itself was.
        """
        self._close(letters, LetterState.SENT, now, words, _letter.c.state.in_(("waiting", "merged")), mail=mail)

    def refused(self, letter: int, now: float, words: str) -> None:
        """It will never be taken."""
        self._close((letter,), LetterState.REFUSED, now, words, _WAITS)

    def failed(self, letter: int, words: str) -> None:
        """It was not taken this time."""
        with self._engine.begin() as connection:
            connection.execute(update(_letter).where(_letter.c.id == letter, _WAITS).values(server_words=_brief(words)))

    def postpone(self, now: float, until_s: float, words: str, *, tried: bool) -> None:
        """Let every letter wait until a time; `tried`: it counts as a try of those that were due."""
        with self._engine.begin() as connection:
            if tried:
                counted = {"tries_count": _letter.c.tries_count + 1}
                connection.execute(update(_letter).where(_WAITS, _is_due(now)).values(counted))
            later = {"next_try_s": until_s, "server_words": _brief(words)}
            connection.execute(update(_letter).where(_WAITS).values(later))

    def hasten(self, by_s: float) -> None:
        """Let no letter wait longer than until a time."""
        with self._engine.begin() as connection:
            connection.execute(update(_letter).where(_WAITS, _letter.c.next_try_s > by_s).values(next_try_s=by_s))

    def note(self, words: str) -> None:
        """Write on every waiting letter why it waits."""
        brief = _brief(words)
        with self._engine.begin() as connection:
            connection.execute(
                update(_letter).where(_WAITS, _letter.c.server_words != brief).values(server_words=brief)
            )

    def overdue(self, before_s: float, tries_count: int) -> tuple[tuple[int, str], ...]:
        """Letters that were written before a time, were tried so often and wait, each with its server's last words."""
        late = (_WAITS, _letter.c.written_s < before_s, _letter.c.tries_count >= tries_count)
        asked = select(_letter.c.id, _letter.c.server_words).where(*late)
        with self._engine.connect() as connection:
            return tuple((row.id, row.server_words) for row in connection.execute(asked))

    def prune(self, now: float) -> None:
        """Forget incidents about which nothing has been written for KEPT_S; what waits is kept.

        An incident still open is reminded of, so its first letter is kept: who was told once is not told anew.
        """
        last_s = func.max(_letter.c.written_s)
        fresh = select(_letter.c.incident).group_by(_letter.c.incident).having(last_s >= now - KEPT_S)
        worn = and_(_letter.c.incident == DAILY, _letter.c.written_s < now - KEPT_S)
        with self._engine.begin() as connection:
            connection.execute(delete(_letter).where(~_WAITS, or_(_letter.c.incident.not_in(fresh), worn)))
            connection.execute(delete(_part).where(_part.c.letter.not_in(select(_letter.c.id).where(_WAITS))))
            self._look(connection)

    def _close(
        self,
        letters: Sequence[int],
        state: LetterState,
        now: float,
        words: str,
        if_so: ColumnElement[bool],
        *,
        mail: bytes | None = None,
    ) -> None:
        values: dict[str, object] = {"state": state.value, "settled_s": now, "server_words": _brief(words)}
        if mail is not None:
            values["raw"] = mail
        news: list[Telling] = []
        with self._engine.begin() as connection:
            for letter in letters:
                done = connection.execute(update(_letter).where(_letter.c.id == letter, if_so).values(values))
                news += _tellings(connection, [letter] if done.rowcount else [])
            if state is LetterState.SENT:
                self._heeded_id = connection.scalar(select(func.max(_letter.c.id))) or 0
            self._look(connection)
        self._tell(news)

    def _look(self, connection: Connection) -> None:
        self._counts = _count(connection)
        self._unheeded_since_s = self._oldest_unheeded_s(connection)

    def _oldest_unheeded_s(self, connection: Connection) -> float | None:
        asked = select(func.min(_letter.c.written_s)).where(_WAITS, _letter.c.id > self._heeded_id)
        oldest_s: float | None = connection.scalar(asked)
        return oldest_s

    def _tell(self, news: Iterable[Telling]) -> None:
        with self._lock:
            for one in news:
                self._news.append(one)
                if one.refused_s is not None:
                    self._refused_since_s.setdefault(one.address, one.refused_s)
                elif one.sent_s is not None:
                    self._refused_since_s.pop(one.address, None)


def _in_json(part: Part) -> str:
    return msgspec.json.encode(part).decode()


_of_json: Final = msgspec.json.Decoder(Part).decode


def _settle(connection: Connection, letters: list[int], state: LetterState, now: float) -> list[Telling]:
    values = {"state": state.value, "settled_s": now}
    connection.execute(update(_letter).where(_letter.c.id.in_(letters)).values(values))
    return _tellings(connection, letters)


def _tellings(connection: Connection, letters: list[int]) -> list[Telling]:
    rows = connection.execute(select(*_TELLING).where(_letter.c.id.in_(letters))).mappings()
    return [_to_telling(row) for row in rows]


def _is_due(now: float) -> ColumnElement[bool]:
    return or_(_letter.c.next_try_s <= now, _letter.c.next_try_s > now + FARTHEST_S)


def _count(connection: Connection) -> dict[str, int]:
    counted = connection.execute(select(_letter.c.state, func.count()).group_by(_letter.c.state))
    return {state: count for state, count in counted}  # noqa: C416 - rows are no pairs to mypy


def _refused_last(connection: Connection) -> Iterator[tuple[str, float]]:
    """Addresses to which the last letter that was settled was refused, and when."""
    settled = _letter.c.state.in_((LetterState.SENT.value, LetterState.REFUSED.value))
    last = select(func.max(_letter.c.id)).where(settled).group_by(_letter.c.address)
    asked = select(_letter.c.address, _letter.c.settled_s)
    refused = _letter.c.state == LetterState.REFUSED.value
    yield from (
        (row.address, row.settled_s) for row in connection.execute(asked.where(_letter.c.id.in_(last), refused))
    )


def _queued(notice: Tellable, now: float) -> Telling:
    return Telling(
        key=notice.key, incident=notice.incident.incident, address=notice.recipient.address, queued_s=now
    )  # fmt: skip


def _to_telling(row: Mapping[Any, Any]) -> Telling:
    state = LetterState(row["state"])
    return Telling(
        key=row["key"],
        incident=row["incident"],
        address=row["address"],
        queued_s=row["written_s"],
        sent_s=row["settled_s"] if state is LetterState.SENT else None,
        refused_s=row["settled_s"] if state is LetterState.REFUSED else None,
        merged_s=row["settled_s"] if state is LetterState.MERGED else None,
    )


def _brief(words: str) -> str:
    one_line = " ".join(words.split())
    return one_line if len(one_line) <= _WORDS_CHARS else f"{one_line[: _WORDS_CHARS - 1]}…"
