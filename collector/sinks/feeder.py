"""Step 8 of the line: drains the journal into one sink, in a thread of its own.

The pipeline never waits for it. What the sink cannot take now stays in the journal; what it refuses for good is
counted and shown.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from collector.sample import Sample
from collector.samples import SeriesLimit, samples_of
from collector.sinks.cursor import load_cursor, save_cursor
from collector.sinks.feeding import Ask, Feed, Feeding, Wait
from collector.sinks.sink import Refused, Sink, SinkDown
from collector.snapshot import SinkView
from collector.storage.journal import JournalReader, Kept
from contract.batch import ContractError
from contract.moment import Clock

log = logging.getLogger(__name__)

_RECORDS_MAX_COUNT: Final = 500
_SAMPLES_MAX_COUNT: Final = 5000
_IDLE_S: Final = 1.0
_TIDY_AGAIN_S: Final = 60.0
_REFUSED_FILE_MAX_BYTES: Final = 1 << 20


class Feeder:
    """Feeds one sink. The properties may be read from any thread."""

    def __init__(self, sink: Sink, reader: Callable[[], JournalReader], *, folder: Path, clock: Clock) -> None:
        """`reader` opens the journal for this feeder's thread. In `folder` lie the cursor of a sink that keeps no
        account of its own, and what was refused (`<sink>.refused.jsonl`, the latest one or two MiB).
        """
        self._sink = sink
        self._open_journal = reader
        self._clock = clock
        self._cursor = folder / f"{sink.name}.cursor"
        self._refused = _RefusedFile(folder / f"{sink.name}.refused.jsonl")
        self._journal: JournalReader | None = None
        self._feeding: Feeding | None = None
        self._fed_id = self._sent_id = self._highest_id = self._last_id = 0
        self._refused_total = 0
        self._trouble = ""
        self._tidied_s = float("-inf")
        self._limit = SeriesLimit()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"feeder-{sink.name}", daemon=True)

    @property
    def fed_id(self) -> int:
        """Up to here the sink surely has the journal, also after a crash of either; 0 until that is known."""
        return self._fed_id

    @property
    def view(self) -> SinkView:
        """How the sink is, for pages and metrics. Behind is what was never written yet."""
        return SinkView(
            name=self._sink.name,
            behind_count=max(0, self._last_id - self._sent_id),
            refused_total=self._refused_total,
            trouble=self._trouble,
        )

    def start(self) -> None:
        """Begin feeding."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the journal: do not sleep on."""
        self._wake.set()

    def stop(self, within_s: float = 5.0) -> bool:
        """End after the write in hand; False when that takes longer (nothing is lost: it is written again)."""
        self._stopping = True
        self._wake.set()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping:
                wait_s = self._step()
                if wait_s > 0:
                    self._wake.wait(wait_s)
                self._wake.clear()
        finally:
            self._sink.close()
            if self._journal is not None:
                self._journal.close()

    def _step(self) -> float:
        """Do the next thing; how long to sleep after it."""
        try:
            return self._advance()
        except SinkDown as error:
            return self._fail(str(error))
        except (sqlite3.Error, ContractError, OSError) as error:
            return self._fail(f"journal or cursor: {error}")
        except Exception as error:  # the border of one sink: a fault of ours in it stops neither judging nor the others
            log.exception("sink %s: a fault in feeding it", self._sink.name)
            return self._fail(f"{type(error).__name__}: {error}")

    def _advance(self) -> float:
        began_s = self._clock.now().mono_s
        journal = self._journal or self._open_journal()
        self._journal = journal
        self._last_id = journal.last_id()
        feeding = self._feeding or self._resume()
        if 0 < self._last_id < feeding.sent_id:
            log.warning("sink %s: the journal ends before what was fed: it was restored; feeding all", self._sink.name)
            feeding.restart()
            self._highest_id = 0
        match feeding.next(began_s):
            case Wait(for_s):
                return min(for_s, _IDLE_S)
            case Ask():
                if feeding.marked(self._sink.run_mark(), began_s):
                    log.info("sink %s was restarted: feeding again from %d", self._sink.name, feeding.safe_id)
                self._note(feeding)
                return 0.0
            case Feed(after_id):
                return self._feed(feeding, journal, after_id)

    def _resume(self) -> Feeding:
        own_id = self._sink.fed_id()
        safe_id = load_cursor(self._cursor) if own_id is None else own_id
        self._feeding = Feeding(safe_id, settle_s=self._sink.settle_s)
        self._fed_id = self._sent_id = self._highest_id = safe_id
        return self._feeding

    def _feed(self, feeding: Feeding, journal: JournalReader, after_id: int) -> float:
        last_id, samples, refused = _gather(journal.after(after_id, _RECORDS_MAX_COUNT), self._limit)
        if last_id:
            written = self._sink.write(samples, last_id)
            feeding.wrote(last_id, self._clock.now().mono_s)
            if last_id > self._highest_id:  # what is fed again was counted before
                self._highest_id = last_id
                self._count([*refused, *written.refused])
            self._note(feeding)
        else:
            feeding.idle()
        if self._trouble:
            log.info("sink %s takes samples again", self._sink.name)
            self._trouble = ""
        now = self._clock.now()
        if now.mono_s - self._tidied_s >= _IDLE_S:
            self._tidied_s = now.mono_s + _TIDY_AGAIN_S  # should it fail, feeding goes on meanwhile
            self._sink.tidy(now.wall_s)
            self._tidied_s = now.mono_s
        return 0.0 if last_id else _IDLE_S

    def _note(self, feeding: Feeding) -> None:
        self._sent_id = feeding.sent_id
        if feeding.safe_id != self._fed_id:
            if self._sink.settle_s > 0:
                save_cursor(self._cursor, feeding.safe_id)
            self._fed_id = feeding.safe_id

    def _count(self, refused: list[Refused]) -> None:
        if not refused:
            return
        if not self._refused_total:
            log.warning("sink %s: refused %s: %s", self._sink.name, *refused[0])
        self._refused_total += len(refused)
        self._refused.append(self._clock.now().wall_s, refused)

    def _fail(self, trouble: str) -> float:
        if not self._trouble:
            log.warning("sink %s: %s", self._sink.name, trouble)
        self._trouble = trouble
        if self._feeding is not None:
            self._feeding.failed(self._clock.now().mono_s)
        return _IDLE_S


def _gather(found: Iterable[Kept], limit: SeriesLimit) -> tuple[int, list[Sample], list[Refused]]:
    """Samples of as many records as make one good write; the id of the last of them, 0 when there was none."""
    last_id, samples, refused = 0, list[Sample](), list[Refused]()
    for kept in found:
        made = limit.sift(samples_of(kept))
        samples += made.samples
        refused += made.refused
        last_id = kept.id
        if len(samples) >= _SAMPLES_MAX_COUNT:
            break
    return last_id, samples, refused


class _RefusedFile:
    """What a sink refused, a JSON object a line; when it is full it becomes `….1`, and the older one goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.json.Encoder().encode

    def append(self, now_s: float, refused: list[Refused]) -> None:
        """Note them. A disk that has no room for this loses the note, and only that."""
        lines = bytearray()
        for one in refused:
            line = self._encode({"at_s": now_s, "line": one.line[:2000], "why": one.why[:500]}) + b"\n"
            if len(lines) + len(line) > _REFUSED_FILE_MAX_BYTES:
                break
            lines += line
        try:
            if self._path.exists() and self._path.stat().st_size + len(lines) > _REFUSED_FILE_MAX_BYTES:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            with self._path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            log.warning("cannot note what was refused: %s", error)
