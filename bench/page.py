"""Keeps docs/benchmarks.md: one section a benchmark, replaced when it runs again, the others left as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import Result, table
from bench.machine import Circumstances

HEAD: Final = """\
# Benchmarks

What we cost beside others who do the same work. Written by `python3 dev.py bench --write`; each section says when and
where it ran. A figure is the median over the rounds, with the least and the most in brackets; the ratio is taken round
by round, since ours and theirs ran at the same time or in turn, and below 1 means that we need less.
"""


class Section(NamedTuple):
    """What one benchmark has to say."""

    name: str
    method: str
    result: Result
    around: Circumstances

    def text(self) -> str:
        """As the page holds it, from its heading on."""
        notes = [f"- {note}" for note in (*self.result.notes, *self.around.sentences())]
        return "\n\n".join((f"## {self.name}", self.method, table(self.result.rows), "\n".join(notes))) + "\n"


def enter(path: Path, section: Section, order: Sequence[str]) -> None:
    """Put a section into the page, in the place of its older self."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {part.split("\n", 1)[0].strip(): f"## {part.strip()}\n" for part in text.split("\n## ")[1:]}
    known[section.name] = section.text()
    path.write_text("\n".join((HEAD, *(known[name] for name in order if name in known))), encoding="utf-8")
