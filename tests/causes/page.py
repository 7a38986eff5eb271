"""Counts answers against the truth, and writes docs/causes.md."""

from collections import Counter
from typing import Final

from contract.catalogue import say
from readiness.causes import Cause
from tests.causes.scripts import SCRIPTS, Script
from tests.causes.village import Village

HEAD: Final = """\
# Why a room was silent

A room that falls silent tells nothing, so the collector guesses by what it knows: the room's last words, its
neighbours, itself. Once the room is back, what its PC kept measuring, and how the PC came to run again, confirm the
guess or replace it. Without a witness the answer is UNKNOWN. The rules are `readiness/causes.py`, the first that
applies wins; the witnesses are gathered in `collector/outages.py`.

| witness | comes from |
|---|---|
| last words: a goodbye and its reason, on battery or not | the agent's state message; the `power` probe |
| the PC ran on, started anew, slept; how its run before ended | the `boot` and `host` probes |
| which rung of the way failed meanwhile | the `link` probe, and all else that was measured without a line |
| devices ran on or started anew | the uptimes that the `snmp` probe reads |
| neighbours fell silent within two and a half minutes | the rooms of the same district and province |
| we were blind | the collector's own link to its broker |

This page is written by `python3 dev.py test --long tests/causes`: each script happens many times over, at random
moments and for random spans, to simulated rooms whose every fault is known, and the shipping code answers. Such rooms
have witnesses that do not lie: real ones will do worse.
"""


REAL: Final = "## With real programs"
_AFTER_REAL: Final = "## Causes"


class Answers:
    """What was answered, script by script."""

    def __init__(self) -> None:
        self.after: Counter[tuple[str, Cause | None]] = Counter()
        self.live: Counter[tuple[str, Cause | None]] = Counter()
        self._scripts = {script.name: script for script in SCRIPTS}

    def count(self, script: Script, village: Village) -> None:
        """Take in one run."""
        self.after[script.name, village.final_answer] += 1
        self.live[script.name, village.live_answer] += 1

    @property
    def right_after_ratio(self) -> float:
        """Share of the silences that were explained rightly once the room was back."""
        right = sum(count for (name, cause), count in self.after.items() if cause is self._scripts[name].final)
        return right / self.after.total()

    @property
    def wrong_after_ratio(self) -> float:
        """Share of those explained by something else than the truth; UNKNOWN is no such thing."""
        good = {Cause.UNKNOWN, None}
        wrong = sum(
            count for (name, cause), count in self.after.items() if cause not in {*good, self._scripts[name].final}
        )
        return wrong / self.after.total()

    @property
    def right_live_ratio(self) -> float:
        """Share of the right guesses, of those silences in which a witness could speak while they lasted."""
        told = {name for name, script in self._scripts.items() if script.live is not Cause.UNKNOWN}
        asked = {key: count for key, count in self.live.items() if key[0] in told}
        right = sum(count for (name, cause), count in asked.items() if cause is self._scripts[name].live)
        return right / sum(asked.values())

    @property
    def rash_count(self) -> int:
        """Guesses other than UNKNOWN where no witness could speak, or other than the witness's."""
        good = {Cause.UNKNOWN, None}
        return sum(
            count for (name, cause), count in self.live.items() if cause not in {*good, self._scripts[name].live}
        )


class Pairs:
    """What was answered of two faults at once."""

    def __init__(self) -> None:
        self.total = self._named = 0
        self.wrong: list[tuple[tuple[str, str], Cause]] = []

    def count(self, pair: tuple[str, str], cause: Cause, truths: frozenset[Cause]) -> None:
        """Take in one answer."""
        self.total += 1
        self._named += cause in truths
        if cause not in truths and cause is not Cause.UNKNOWN:
            self.wrong.append((pair, cause))

    @property
    def figures(self) -> str:
        """For the page."""
        return (
            f"Of {self.total} silences {self._named / self.total:.1%} were explained by one of the two, "
            f"{len(self.wrong) / self.total:.1%} by a third, the rest stayed UNKNOWN."
        )


def page(full: Answers, less: Answers, pairs: Pairs, real: str) -> str:
    """The whole page; `real` is its section about real programs, which another test writes."""
    return "\n".join((
        HEAD,
        "## With all witnesses",
        "",
        _figures(full),
        "",
        *_matrix(full),
        "",
        "## With some witnesses missing",
        "",
        "Rooms without a device that tells its uptime, without an event log, without the `link` probe, and without the",
        f"first two. {_figures(less)}",
        "",
        *_matrix(less),
        "",
        "## With two faults at once",
        "",
        "Every two of ten faults of one room, in either order, the second before the first is over, with a UPS and",
        f"without, mended in either order. {pairs.figures}",
        "",
        *([real] if real else []),
        _AFTER_REAL,
        "",
        "| code | cause | |",
        "|---:|---|---|",
        *(f"| {cause.number} | {cause.value} | {say(f'outage.{cause}', 'en')} |" for cause in Cause),
        "",
    ))  # fmt: skip


def _figures(answers: Answers) -> str:
    return (
        f"Of {answers.after.total()} silences {answers.right_after_ratio:.1%} were explained rightly after the return, "
        f"{answers.wrong_after_ratio:.1%} wrongly, the rest stayed UNKNOWN. While they lasted, "
        f"{answers.right_live_ratio:.1%} of those in which a witness could speak were guessed rightly, and "
        f"{answers.rash_count} guesses had no witness."
    )


def _matrix(answers: Answers) -> list[str]:
    """Script by script: the truth, and what was answered how often, while it lasted and after."""
    return [
        "| what happened | truth | guessed while it lasted | answered after the return |",
        "|---|---|---|---|",
        *(
            f"| {script.name} | {script.final} | {_tally(answers.live, script)} | {_tally(answers.after, script)} |"
            for script in SCRIPTS
        ),
    ]


def _tally(counted: Counter[tuple[str, Cause | None]], script: Script) -> str:
    mine = Counter({cause: count for (name, cause), count in counted.items() if name == script.name})
    return ", ".join(f"{count} {cause or 'not noticed'}" for cause, count in mine.most_common())


def real_section(text: str) -> str:
    """The section about real programs in a page, empty where it has none."""
    start, end = text.find(REAL), text.find(_AFTER_REAL)
    return text[start:end] if 0 <= start < end else ""


def with_real_section(text: str, real: str) -> str:
    """The page with this section in the place of the one before."""
    before, _, after = text.replace(real_section(text), "").partition(_AFTER_REAL)
    return f"{before}{real}\n{_AFTER_REAL}{after}"
