"""The rows of the table of causes happen to the shipping programs: agents in rooms of namespaces, a real broker, the
collector. What is said of each silence is counted against the truth.
"""

import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from readiness.causes import Cause
from tests.causes.mishaps import MISHAPS, Mishap
from tests.causes.page import REAL, with_real_section
from tests.causes.street import Pace, Street, open_street
from tests.causes.test_causes import PAGE, RIGHT_AFTER, RIGHT_LIVE
from tests.support.processes import Programs
from tests.support.way import BROKER_PORT

SHORT: Final = (
    "sleeps without a word", "switched off, says so", "mains fail, UPS runs empty", "mains fail, no UPS",
    "PC crashes", "agent killed", "cable pulled",
    "foreign page, nothing else passes", "certificate refused", "mains fail in the district",
    "the codec takes no calls", "all devices are gone",
)  # fmt: skip
ROUNDS_COUNT: Final = 3
_LAST_WORD_S: Final = 8.0
"""So long before something happens a room may have said its last word, as its collector reckons."""
_ACQUAINTED_S: Final = 5.0
_APART_S: Final = 170.0
"""Silences that begin so far apart did not begin together."""
_FOUND_WITHIN_S: Final = 90.0
_AWAY_S: Final = 25.0


class Seen(NamedTuple):
    """What was said of one room's silence, or whether what was to be found in it was found."""

    mishap: Mishap
    guesses: tuple[Cause, ...]
    answer: Cause | None
    is_found: bool | None

    @property
    def is_rash(self) -> bool:
        """Whether anything was guessed that no witness spoke for."""
        return not {*self.guesses} <= {Cause.UNKNOWN, self.mishap.live, *self.mishap.also}

    @property
    def is_right(self) -> bool:
        """Whether all that was said once it was over is right."""
        return self.answer is self.mishap.truth and self.is_found is not False


def suffer(street: Street, mishap: Mishap, delay_s: float, span_s: float) -> list[Seen]:
    """Let one thing happen, and hear what is made of it, until it is settled."""
    rooms = [street.rooms[one.name] for one in mishap.rooms]
    heard = [one.name for one in mishap.rooms if one.has_agent]
    found, is_found = mishap.found, None
    time.sleep(delay_s)
    since_s = time.time() - _LAST_WORD_S
    with mishap.happens(street, rooms):
        if mishap.truth is None:
            is_found = street.comes_true(lambda: found in street.findings(heard[0]), _FOUND_WITHIN_S)
        else:
            time.sleep(span_s)
    if mishap.truth is None:
        street.comes_true(lambda: found not in street.findings(heard[0]), _FOUND_WITHIN_S)
    else:
        street.comes_true(lambda: all(street.settled(room, since_s) for room in heard))
        if found is not None:
            is_found = street.comes_true(lambda: found in street.findings(heard[0]), _FOUND_WITHIN_S)
    seen = []
    for room in heard:
        said = street.settled(room, since_s)
        guesses = tuple(street.guesses(room, since_s))
        seen.append(Seen(mishap, guesses, said.explanation.cause if said else None, is_found))
    return seen


def play(street: Street, mishaps: Sequence[Mishap], chance: random.Random | None = None) -> list[Seen]:
    """Let all of it happen, each thing to its own rooms, at once or at random moments and for random spans."""

    def one(mishap: Mishap) -> list[Seen]:
        if chance is None:
            return suffer(street, mishap, 0.0, 34.0)
        return suffer(street, mishap, chance.uniform(0.0, 20.0), chance.uniform(45.0, 90.0))

    with ThreadPoolExecutor(len(mishaps)) as pool:
        return [seen for several in pool.map(one, mishaps) for seen in several]


@contextmanager
def opened(folder: Path, mishaps: Sequence[Mishap], pace: Pace) -> Iterator[Street]:
    programs = Programs(folder)
    addresses = [one for mishap in mishaps for one in (*mishap.rooms, *mishap.spare)]
    with open_street(folder, programs, addresses, pace) as street:
        time.sleep(_ACQUAINTED_S + pace.grace_s)
        yield street


def said(seen: Iterable[Seen]) -> list[str]:
    """For the report of a test that fails."""
    return [
        f"{one.mishap.name}: guessed {[*map(str, dict.fromkeys(one.guesses))]}, answered {one.answer}, {one.is_found}"
        for one in seen
    ]


def test_silences_of_real_rooms_are_explained(tmp_path: Path) -> None:
    mishaps = [one for one in MISHAPS if one.name in SHORT]
    assert len(mishaps) == len(SHORT)
    with opened(tmp_path, mishaps, Pace(grace_s=1.0)) as street:
        seen = play(street, mishaps)
    assert said(one for one in seen if not one.is_right) == []
    assert said(one for one in seen if one.is_rash) == []


@contextmanager
def _broker_killed(street: Street) -> Iterator[None]:
    street.broker.kill()
    yield
    street.broker.start()


@contextmanager
def _collector_killed(street: Street) -> Iterator[None]:
    street.collector.kill()
    yield
    street.collector.start()


def _line_cut(street: Street) -> AbstractContextManager[None]:
    """The centre's own line: its rooms reach all but the broker."""
    way = next(iter(street.town.schools.values()))
    return way.filtering(street.town.world, f"iifname core tcp dport {BROKER_PORT} drop", hook="input")


OURS: Final[dict[str, Callable[[Street], AbstractContextManager[None]]]] = {
    "broker killed": _broker_killed,
    "collector killed": _collector_killed,
    "the centre's line cut": _line_cut,
}


def blame(street: Street, fault: Callable[[Street], AbstractContextManager[None]], span_s: float) -> Counter[str]:
    """Let it be our own fault; how many rooms were said to be silent for which reason."""
    since_s = time.time() - _LAST_WORD_S
    with fault(street):
        time.sleep(span_s)
    time.sleep(60.0)  # until the last has come back and is settled
    blamed: Counter[str] = Counter()
    for room in street.monitored:
        one = street.settled(room, since_s)
        blamed[one.explanation.cause if one else "not noticed"] += 1
    return blamed


@pytest.mark.long
def test_the_table_of_causes_holds_for_real_programs(tmp_path: Path) -> None:
    chance = random.Random(0)
    seen: list[Seen] = []
    blamed: dict[str, Counter[str]] = {name: Counter() for name in OURS}
    with opened(tmp_path, MISHAPS, Pace(grace_s=20.0)) as street:
        for _ in range(ROUNDS_COUNT):
            began_s = time.monotonic()
            seen += play(street, MISHAPS, chance)
            time.sleep(max(0.0, _APART_S - (time.monotonic() - began_s)))
        for name, fault in OURS.items():
            blamed[name] += blame(street, fault, _AWAY_S * (3 if fault is _line_cut else 1))
    text = with_real_section(PAGE.read_text(encoding="utf-8"), section(seen, blamed))
    PAGE.write_text(text, encoding="utf-8")
    silent = [one for one in seen if one.mishap.truth is not None]
    assert sum(one.is_right for one in silent) >= RIGHT_AFTER * len(silent), said(seen)
    told = [one for one in silent if one.mishap.live is not Cause.UNKNOWN]
    assert sum(_last(one) is one.mishap.live for one in told) >= RIGHT_LIVE * len(told), said(told)
    assert said(one for one in seen if one.is_rash) == []
    heard = [one for one in seen if one.mishap.truth is None]
    assert sum(bool(one.is_found) for one in heard) >= RIGHT_AFTER * len(heard), said(heard)
    assert {name for counted in blamed.values() for name in counted} <= {"not noticed", "COLLECTOR", "UNKNOWN"}


def _last(one: Seen) -> Cause | None:
    return one.guesses[-1] if one.guesses else None


def section(seen: Sequence[Seen], blamed: dict[str, Counter[str]]) -> str:
    """The page's section about all this."""
    silent = [one for one in seen if one.mishap.truth is not None]
    told = [one for one in silent if one.mishap.live is not Cause.UNKNOWN]
    right = sum(one.answer is one.mishap.truth for one in silent) / len(silent)
    wrong = sum(one.answer not in (one.mishap.truth, Cause.UNKNOWN, None) for one in silent) / len(silent)
    live = sum(_last(one) is one.mishap.live for one in told) / len(told)
    rash_count = sum(one.is_rash for one in seen)
    by_name: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_name[one.mishap.name].append(one)
    rows = [
        f"| {mishap.name} | {mishap.truth} | {_tally(map(_last, by_name[mishap.name]))} "
        f"| {_tally(one.answer for one in by_name[mishap.name])} |"
        for mishap in MISHAPS
        if mishap.truth is not None
    ]
    finds = [
        f"| {mishap.name} | {mishap.found} | {sum(bool(one.is_found) for one in by_name[mishap.name])} of "
        f"{len(by_name[mishap.name])} |"
        for mishap in MISHAPS
        if mishap.found is not None
    ]
    ours = [f"| {name} | {_tally(counted.elements())} |" for name, counted in blamed.items()]
    return "\n".join((
        REAL,
        "",
        _HEAD,
        (f"Of {len(silent)} silences {_share(right)} were explained rightly after the return, {_share(wrong)} wrongly, "
        f"the rest stayed UNKNOWN or were not noticed. While they lasted, {_share(live)} of the {len(told)} in which a "
        f"witness could speak were guessed rightly, and {rash_count} guesses had no witness."),
        "",
        "| what happened | truth | last guess while it lasted | answered after the return |",
        "|---|---|---|---|",
        *rows,
        "",
        "What happens to a room that is heard, or is heard again, is a finding in it:",
        "",
        "| what happened | finding | found |",
        "|---|---|---|",
        *finds,
        "",
        "When it is the centre's own fault, no room is to be accused; how many rooms were silent for which reason:",
        "",
        "| what happened | rooms |",
        "|---|---|",
        *ours,
        "",
    ))  # fmt: skip


_HEAD: Final = f"""\
The shipping programs as processes: `sansang-agent` on each PC, Mosquitto as `deploy/mosquitto` sets it up with TLS and
certificates, `sansang-collector`. Each room is a PC, a switch that is its router too, devices, and a provider in
network namespaces of their own, and meets the others in a namespace that plays the world. All mishaps happen in the
same minutes, {ROUNDS_COUNT} times over, at random moments and for 45 to 90 seconds; the plan's tick is 3 s, and a
room counts as silent after 10 s. A new boot is a new time namespace, with another boot id, other login records
(`wtmp`) and, after a crash, a record in pstore, mounted over the system's; the word of `systemctl` is mounted too. A
UPS is a real `upsd` whose driver plays a script. Sleep is made: the program stands still and its monotonic clock is
set back by as much, since this machine cannot sleep. On Linux nothing tells the agent that its PC will sleep, or that
it is stopped for an update, so these two goodbyes are not here. A portal that drops what it does not let through,
instead of refusing it, cannot be told from a line that is down with a router that shows a page of its own, and is
called the provider's. Two rows are held where they are made, in `tests/agent` and `tests/readiness`: a probe that
hangs, and a line that is full.
"""


def _share(ratio: float) -> str:
    return f"{math.floor(ratio * 1000) / 10:.1f}%"  # never rounded up to all


def _tally(causes: Iterable[Cause | str | None]) -> str:
    return ", ".join(f"{count} {cause or 'not noticed'}" for cause, count in Counter(causes).most_common())
