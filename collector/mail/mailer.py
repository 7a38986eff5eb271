"""Goes round the outbox in a thread of its own: what is due leaves, and what became of it is written down."""

import logging
import threading
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

from collector.alerting.gathering import FEWEST, gathered
from collector.mail.outbox import DueLetter, Outbox, Taken
from collector.mail.relay import MailFailed, MailSettings, RelayFailed, Way, open_way
from collector.storage.database import DatabaseRefused
from contract.catalogue import Language, say

log = logging.getLogger(__name__)

SHORTEST_WAIT_S: Final = 60.0
LONGEST_WAIT_S: Final = 3600.0
PATIENCE_S: Final = 5 * 86400.0
"""RFC 5321 (4.5.4.1): the give-up time generally needs to be at least 4 to 5 days."""
_JITTER: Final = 0.2
_FEWEST_TRIES: Final = 10
_AT_ONCE: Final = 50
_TOGETHER_AT_MOST: Final = 300
_BROKEN_IN_A_ROW: Final = 3
_LOOK_EVERY_S: Final = 60.0
_TIDY_EVERY_S: Final = 3600.0
_POLITE_STOP_S: Final = 2.0
_STOP_WITHIN_S: Final = 3.0


class _Bundle(NamedTuple):
    """Letters that leave as one mail; a single one as it was written."""

    letters: tuple[DueLetter, ...]
    mail: DueLetter


class ByHand:
    """Letters that the outbox cannot take, such as those that tell of its database: they are sent past it, and entered
    once it takes them. From any thread. What lies here does not outlast the program, which may then send it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, DueLetter] = {}
        self._underway: str | None = None
        self._taken: dict[str, Taken] = {}

    def give(self, letter: DueLetter) -> None:
        """A letter to be sent, unless it is known already."""
        with self._lock:
            if letter.key not in self._taken and letter.key != self._underway:
                self._waiting.setdefault(letter.key, letter)

    def take(self) -> tuple[DueLetter, ...]:
        """All that wait."""
        with self._lock:
            return tuple(self._waiting.values())

    def begin(self, letter: DueLetter) -> bool:
        """It is about to be sent; False when it is the outbox's by now."""
        with self._lock:
            self._underway = letter.key if self._waiting.pop(letter.key, None) else None
            return self._underway is not None

    def end(self, letter: DueLetter, taken: Taken | None) -> None:
        """It was taken, or is to be tried again."""
        with self._lock:
            self._underway = None
            if taken is None:
                self._waiting[letter.key] = letter
            else:
                self._taken[letter.key] = taken

    def is_underway(self, key: str) -> bool:
        """Whether nobody can say yet what becomes of it. If it is not, it is not sent from here any more."""
        with self._lock:
            self._waiting.pop(key, None)
            return self._underway == key

    def settle(self, key: str) -> Taken | None:
        """What became of it."""
        with self._lock:
            return self._taken.get(key)


class Mailer:
    """Sends what the outbox holds. Its thread sleeps until it is woken or the next try is due.

    `language` is the one in which the relay's troubles are written on waiting letters. `clock_s` is Unix time,
    `base_url` where people find the pages.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: MailSettings,
        *,
        clock_s: Callable[[], float],
        language: Language = "vi",
        by_hand: ByHand | None = None,
        base_url: str = "",
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._base_url = base_url
        self._clock_s = clock_s
        self._language = language
        self._by_hand = by_hand or ByHand()
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mailer", daemon=True)
        self._way: Way | None = None
        self._lost_since_s: float | None = None
        self._refuses = False
        self._tidied_s = float("-inf")
        self._unrecorded: dict[tuple[int, ...], tuple[float, str, bytes | None]] = {}
        self._apart: set[int] = set()

    def start(self) -> None:
        """Begin with what is due. Who has just mended the settings need not wait for the hour to be over."""
        if self._settings.mode == "none":
            log.warning("no mail is configured: letters are written and kept, and nobody gets them")
        # Not at once: a program that dies over a letter again and again must not send it at every start.
        self._outbox.hasten(self._clock_s() + SHORTEST_WAIT_S)
        self._thread.start()

    def wake(self) -> None:
        """There may be a new letter."""
        self._awake.set()

    def stop(self) -> None:
        """End within seconds; a letter in the middle of its way is sent again after the next start."""
        self._stopping.set()
        self._awake.set()
        if not self._thread.is_alive():
            return
        self._thread.join(_POLITE_STOP_S)
        way = self._way
        if way is not None:
            way.abort()
        self._thread.join(_STOP_WITHIN_S)

    def send_due(self) -> None:
        """Try every letter whose time has come, once. DatabaseRefused when that cannot even be written down."""
        now = self._clock_s()
        self._record_again()
        self._tidy(now)
        if self._settings.mode == "none":
            self._outbox.note(say("mail.none", self._language))
            return
        broken_count = 0
        while not self._stopping.is_set() and (due := self._outbox.due(now, _AT_ONCE)):
            broken_count = self._send(due, now, broken_count)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            wait_s = _LOOK_EVERY_S
            try:
                self._send_by_hand()
                self.send_due()
                wait_s = self._wait_s()
                if self._refuses:
                    self._refuses = False
                    log.info("the database takes letters again")
            except DatabaseRefused:
                if not self._refuses:
                    self._refuses = True
                    log.exception("the database refuses; letters wait")
            except Exception:
                # A border: whatever is wrong with one round, the next may be well, and letters must not stop for good.
                log.exception("a round of sending letters failed")
            self._awake.wait(wait_s)

    def _send_by_hand(self) -> None:
        letters = self._by_hand.take()
        way = open_way(self._settings) if letters else None
        if way is None:
            return
        self._way = way
        if self._stopping.is_set():  # as in _send
            return
        try:
            with way:
                for letter in letters:
                    if self._by_hand.begin(letter):
                        taken = None
                        try:
                            taken = Taken(self._clock_s(), way.hand_over(letter))
                        finally:
                            self._by_hand.end(letter, taken)
        except MailFailed as error:
            log.error("a letter about the database that holds letters waits: %s", error)  # noqa: TRY400 - the relay's fault
        finally:
            self._way = None

    def _wait_s(self) -> float:
        """Until the next try; never long, since the clock that says so may be set in the meantime."""
        next_s = None if self._settings.mode == "none" else self._outbox.next_try_s()
        return _LOOK_EVERY_S if next_s is None else min(_LOOK_EVERY_S, max(1.0, next_s - self._clock_s()))

    def _send(self, due: tuple[DueLetter, ...], now: float, broken_count: int) -> int:
        """Try these over one connection; how often in a row the connection has broken over a letter.

        Whatever happens, at least one of them is due no more.
        """
        way = open_way(self._settings)
        assert way is not None  # noqa: S101 - for mypy: with mode none nothing is sent
        self._way = way
        if self._stopping.is_set():  # looked at after `_way` is set: `stop` sees the way, or we see that it stops
            return broken_count
        try:
            with way:
                for letter in due:
                    bundle = None if self._stopping.is_set() else self._claim(letter, now)
                    if bundle is None:
                        continue
                    try:
                        self._try(way, bundle)
                    except RelayFailed as error:
                        self._note_failed(bundle, error)
                        if broken_count + 1 >= _BROKEN_IN_A_ROW:
                            self._note_lost(error, now, tried=False)
                        return broken_count + 1
                    broken_count = 0
                    self._note_back()
        except RelayFailed as error:
            self._note_lost(error, now, tried=True)
        finally:
            self._way = None
        return broken_count

    def _claim(self, letter: DueLetter, now: float) -> _Bundle | None:
        """Take a letter, and those that may go in one mail with it, due or not; None when it is not to be sent now."""
        together = [
            one for one in self._outbox.together(letter, _TOGETHER_AT_MOST) if one.due.letter not in self._apart
        ]
        is_among = any(one.due.letter == letter.letter for one in together)
        if not is_among or len(together) < FEWEST:
            return _Bundle((letter,), letter) if self._outbox.claim(letter, _next_try_s(letter, now)) else None
        claimed = [one for one in together if self._outbox.claim(one.due, _next_try_s(one.due, now))]
        if len(claimed) < FEWEST:
            return _Bundle((claimed[0].due,), claimed[0].due) if claimed else None  # the others keep their next try
        message = gathered(
            {one.due.key: one.part for one in claimed},
            letter.address,
            sender=self._settings.sender,
            now=now,
            base_url=self._base_url,
        )
        letters = tuple(one.due for one in claimed)
        return _Bundle(letters, letters[0]._replace(raw=message.as_bytes()))

    def _try(self, way: Way, bundle: _Bundle) -> None:
        try:
            words = way.hand_over(bundle.mail)
        except RelayFailed:
            raise
        except MailFailed as error:
            if not error.permanent:
                self._note_failed(bundle, error)
            elif len(bundle.letters) > 1:
                # It may be this mail that is not wanted, and no letter in it: each goes alone from now on.
                self._apart.update(one.letter for one in bundle.letters)
                self._note_failed(bundle, error)
            else:
                (letter,) = bundle.letters
                log.warning("letter %d to %s is refused for good: %s", letter.letter, letter.address, error)
                self._outbox.refused(letter.letter, self._clock_s(), error.text(self._language))
            return
        # Record after sending: a crash here repeats a letter, it does not lose one.
        mail = None
        if len(bundle.letters) > 1:
            mail = bundle.mail.raw
            words = say("mail.gathered", self._language, count=len(bundle.letters), words=words)
        letters = tuple(one.letter for one in bundle.letters)
        self._apart.difference_update(letters)
        self._unrecorded[letters] = (self._clock_s(), words, mail)
        self._record_again()

    def _record_again(self) -> None:
        """Write down what was sent; before anything else is, so that a full disk does not send a letter each minute."""
        for letters, (sent_s, words, mail) in list(self._unrecorded.items()):
            self._outbox.sent(letters, sent_s, words, mail=mail)
            del self._unrecorded[letters]

    def _note_lost(self, error: RelayFailed, now: float, *, tried: bool) -> None:
        if self._stopping.is_set():
            return
        if self._lost_since_s is None:
            self._lost_since_s = now
            log.error("letters wait: %s", error)
        wait_s = _spread(_patience_s(now - self._lost_since_s), f"{self._lost_since_s}")
        self._outbox.postpone(now, now + wait_s, error.text(self._language), tried=tried)

    def _note_back(self) -> None:
        if self._lost_since_s is not None:
            self._lost_since_s = None
            log.info("letters leave again")
            self._outbox.hasten(self._clock_s())

    def _note_failed(self, bundle: _Bundle, error: MailFailed) -> None:
        for letter in bundle.letters:
            if letter.tries_count == 0:
                log.warning("letter %d to %s waits: %s", letter.letter, letter.address, error)
            self._outbox.failed(letter.letter, error.text(self._language))

    def _tidy(self, now: float) -> None:
        # So long by the clock, and tried again and again: it is no clock that was wrong when the letter was written.
        tries_count = 0 if self._settings.mode == "none" else _FEWEST_TRIES
        for letter, words in self._outbox.overdue(now - PATIENCE_S, tries_count):
            days = round(PATIENCE_S / 86400)
            log.warning("letter %d is given up after %d days: %s", letter, days, words)
            self._outbox.refused(letter, now, say("mail.gave_up", self._language, days=days, words=words))
        if abs(now - self._tidied_s) >= _TIDY_EVERY_S:
            self._tidied_s = now
            self._outbox.prune(now)


def _patience_s(tried_for_s: float) -> float:
    """How long to wait after trying for so long: as long again, so that the waits double without being counted."""
    return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, tried_for_s))


def _next_try_s(letter: DueLetter, now: float) -> float:
    return now + _spread(_patience_s(now - letter.written_s), f"{letter.key} {letter.tries_count}")


def _spread(wait_s: float, of: str) -> float:
    """Up to a fifth longer, each letter otherwise: a relay that comes back is not met by all at once."""
    return wait_s * (1 + _JITTER * zlib.crc32(of.encode()) / 2**32)
