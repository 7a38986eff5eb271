"""Runs worlds by their seeds, says how to run one again, and adds up what they showed."""

import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.simulation.truth import Broken
from tests.simulation.world import Outcome, World

_DAY_S = 86400.0


class Run(NamedTuple):
    """One world. `broken` says which promise was not kept, and how to see it again; empty when all were."""

    seed: int
    broken: str
    outcome: Outcome | None


def run_world(seed: int, *, is_real: bool = False) -> Run:
    """Run a seed; with `is_real` on SQLite in a temporary folder, as the programs do."""
    again = f"again: python -m tests.simulation {seed}{' --real' if is_real else ''}"
    try:
        if not is_real:
            return Run(seed, "", World(seed).run())
        with tempfile.TemporaryDirectory(prefix="sansang-") as folder:
            return Run(seed, "", World(seed, folder=Path(folder)).run())
    except Broken as error:
        return Run(seed, f"seed {seed}: {error}\n  {again}", None)
    except Exception as error:  # of whatever kind: it only learns which seed it was, and rises on
        error.add_note(f"seed {seed}, {again}")
        raise


def be_quiet() -> None:
    """What agent and collector log of a thousand faults is of no use to anybody."""
    logging.disable(logging.CRITICAL)


def run_worlds(seeds: Iterable[int], processes: int) -> Iterator[Run]:
    """Run many, side by side."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=be_quiet) as pool:
        yield from pool.map(run_world, seeds, chunksize=10)


def digest(outcome: Outcome) -> str:
    """A short name for all that a run showed: two runs of a seed bear the same."""
    shown = [sorted(outcome.faults.items()), sorted(vars(outcome.figures).items()), outcome.simulated_s]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


class Summary:
    """What many runs showed together."""

    def __init__(self) -> None:
        self.seeds_count = 0
        self.simulated_s = 0.0
        self.faults: Counter[str] = Counter()
        self.shown: Counter[str] = Counter()
        self.worst_known_s = 0.0
        self.broken: list[str] = []

    def add(self, run: Run) -> None:
        self.seeds_count += 1
        if run.broken:
            self.broken.append(run.broken)
        if run.outcome is not None:
            self.simulated_s += run.outcome.simulated_s
            self.faults.update(run.outcome.faults)
            figures = vars(run.outcome.figures)
            self.shown.update({name: value for name, value in figures.items() if name.endswith("_count")})
            self.worst_known_s = max(self.worst_known_s, figures["worst_known_s"])

    def phrases(self) -> list[str]:
        """What was counted, for people."""
        shown = self.shown
        return [
            f"{self.seeds_count:,} worlds of {self.simulated_s / (365 * _DAY_S):.1f} simulated years together",
            f"{self.faults.total():,} faults",
            f"{len(self.broken):,} broken promises",
            f"{shown['stored_count']:,} records stored, {shown['kept_count']:,} delivered",
            f"{shown['declared_count']:,} declared lost",
            (
                f"{shown['known_count']:,} times held to 2 s and what the quartz of a PC drifts while it has no line, "
                f"the worst {self.worst_known_s:.2f} s off"
            ),
            f"{shown['unsure_count']:,} marked as estimated",
        ]
