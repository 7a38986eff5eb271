"""Whatever comes from outside is taken or refused in the way that its decoder declares: fast, and in little memory.

`--long` gives ten million inputs to atheris; `python -m tests.fuzz TARGET FOLDER` searches by hand for as long as one
likes.
"""

import importlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import psutil
import pytest

import dev
from tests.fuzz.limits import LONGEST_S
from tests.fuzz.mutator import spoilt
from tests.support.debian import in_ci
from tests.support.reliability import Seen

HANGS_S: Final = 60
MEMORY_MIB: Final = 256
GROWTH_BYTES: Final = 32 << 20
INPUT_MAX_BYTES: Final = 8_000
SEED: Final = 20_261_124


class Target(Protocol):
    """A module of tests/fuzz/targets."""

    WORDS: tuple[bytes, ...]

    def inputs(self) -> list[bytes]: ...
    def take(self, data: bytes) -> bool: ...


class Plan(NamedTuple):
    """How many inputs a target gets: each time, and with `--long`."""

    short_count: int
    long_count: int


PLANS: Final = {
    "batch": Plan(6000, 3_200_000),
    "messages": Plan(4000, 2_500_000),
    "topics": Plan(3000, 1_500_000),
    "plans": Plan(2000, 150_000),
    "settings": Plan(800, 50_000),
    "certificate": Plan(2000, 1_100_000),
    "dns": Plan(2000, 1_000_000),
    "datagrams": Plan(2000, 300_000),
    "nut": Plan(600, 60_000),
    "apcupsd": Plan(600, 60_000),
    "http": Plan(600, 60_000),
    "snmp": Plan(300, 20_000),
}


def target_of(name: str) -> Target:
    target: Target = importlib.import_module(f"tests.fuzz.targets.{name}")
    return target


def test_every_target_has_a_plan() -> None:
    folder = Path(__file__).parent / "targets"
    assert {path.stem for path in folder.glob("[!_]*.py")} == PLANS.keys()
    assert sum(plan.long_count for plan in PLANS.values()) >= 10_000_000


@pytest.mark.parametrize("name", PLANS)
def test_a_spoilt_input_is_taken_or_refused_as_declared(name: str) -> None:
    target = target_of(name)
    this = psutil.Process()
    count = PLANS[name].short_count
    good_count = 0
    for place, data in enumerate(spoilt(target.inputs(), target.WORDS, count, SEED)):
        if place == count // 2:
            held_bytes = this.memory_info().rss
        began_s = time.process_time()
        good_count += target.take(data)
        assert time.process_time() - began_s < LONGEST_S, data
    assert 0 < good_count < count, "a target that takes nothing, or everything, shows nothing"
    assert this.memory_info().rss - held_bytes < GROWTH_BYTES


@pytest.mark.long
@pytest.mark.bar(
    "fuzz",
    load="whatever comes from outside, spoilt: batches, acks, states, topics, plans, settings, certificates, "
    "test packets, and the answers of name servers, web servers, UPSes and SNMP devices",
)
def test_ten_million_inputs_bring_nothing_but_what_is_declared(seen: Seen, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        should_be_there = sys.platform == "linux" and sys.version_info < (3, 12)
        assert not (in_ci() and should_be_there), "atheris is not installed"
        pytest.skip("atheris is not installed (it exists for Linux and Python up to 3.11)")
    found = {name: found for name, plan in PLANS.items() if (found := search(name, plan.long_count, tmp_path))}
    seen(f"{len(PLANS)} decoders, {sum(plan.long_count for plan in PLANS.values()):,} inputs")
    seen(f"{len(found)} that raised what they do not declare, took over {LONGEST_S:g} s, or {MEMORY_MIB} MiB in all")
    assert found == {}


def search(name: str, runs: int, tmp_path: Path) -> str:
    """Let libFuzzer search; what it found, empty for nothing."""
    target, folder = target_of(name), tmp_path / name
    folder.mkdir()
    for place, data in enumerate(target.inputs()):
        (folder / f"good-{place}").write_bytes(data[:INPUT_MAX_BYTES])
    words = tmp_path / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS), encoding="ascii")
    flags = [f"-runs={runs}", f"-max_len={INPUT_MAX_BYTES}", f"-timeout={HANGS_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    flags += [f"-seed={SEED}", f"-dict={words}", f"-artifact_prefix={tmp_path}/{name}-", "-print_final_stats=1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, *flags, folder],
        cwd=dev.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    is_done = done.returncode == 0 and f"stat::number_of_executed_units: {runs}" in said
    return "" if is_done else said[-3000:]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word[:60])
