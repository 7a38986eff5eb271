"""Delivery and time, held to docs/protocol.md in worlds where everything fails; each world is made from one seed.

`python -m tests.simulation SEED` runs one again; SANSANG_SEEDS=0-99 runs others here; `--long` runs two thousand.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.simulation.runs import Summary, be_quiet, run_world, run_worlds
from tests.simulation.truth import Broken
from tests.simulation.world import World
from tests.support.reliability import Seen

SHORT_COUNT: Final = 60
REAL_COUNT: Final = 8
LONG_COUNT: Final = 2000
LEAST_YEARS: Final = 5.0
FOUND: Final = (923, 1057)
"""Seeds in which a promise was broken once: a quartz's drift over a restart, and a late batch right after a step."""
WITH_FROZEN_DISKS: Final = (0, 0)


def chosen_seeds() -> list[int]:
    first, _, last = os.environ.get("SANSANG_SEEDS", f"0-{SHORT_COUNT - 1}").partition("-")
    seeds = list(range(int(first), int(last or first) + 1))
    return seeds if "SANSANG_SEEDS" in os.environ else [*seeds, *FOUND]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    be_quiet()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", chosen_seeds())
def test_every_promise_is_kept_in_a_world_where_everything_fails(seed: int) -> None:
    assert run_world(seed).broken == ""


@pytest.mark.parametrize("seed", range(REAL_COUNT))
def test_every_promise_is_kept_on_the_real_spools_and_the_real_journal(seed: int) -> None:
    assert run_world(seed, is_real=True).broken == ""


@pytest.mark.parametrize("seed", range(3))
def test_an_agent_that_trusts_the_brokers_ack_loses_records_and_is_found_out(seed: int) -> None:
    with pytest.raises(Broken, match="acknowledged, and neither in the journal nor declared lost"):
        World(seed, trims_on_puback=True).run()


@pytest.mark.parametrize("seed", WITH_FROZEN_DISKS)
def test_an_agent_that_kept_its_epoch_on_a_disk_that_came_back_gives_numbers_out_twice(seed: int) -> None:
    with pytest.raises(Broken, match="given out a second time, for another record"):
        World(seed, keeps_epoch=True).run()


def test_a_seed_runs_the_same_whatever_the_hashes_of_python() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "3"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.long
@pytest.mark.bar(
    "simulation",
    load="the shipping code of agents and collector in worlds made from seeds: every line, broker, process, disk and "
    "clock fails, power is cut, disks come back as they were, the collector is put back from a backup",
)
def test_two_thousand_worlds_keep_every_promise(seen: Seen) -> None:
    summary = Summary()
    for run in run_worlds(range(LONG_COUNT), os.cpu_count() or 1):
        summary.add(run)
    for phrase in summary.phrases():
        seen(phrase)
    assert summary.broken == []
    assert summary.simulated_s >= LEAST_YEARS * 365 * 86400.0
