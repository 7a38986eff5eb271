"""Our pings against fping: round-trip times at 100 targets at once, CPU and loss at 1,000.

Both run in turn in a network namespace of their own, as processes of their own, against loopback addresses: ten echoes
of 56 bytes to each of 100 targets, 0.2 s apart, then five echoes to each of 1,000, 1 s apart. A loopback answers in
microseconds, so the round-trip times show what the measuring adds. Ours uses the CPU that the process takes once it
is started, fping's all that the kernel charged to it, which starts in a millisecond. For the loss, nftables drops every
tenth request: exactly as many must be missing, no more and no fewer.
"""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from bench.echoing import Account, addresses
from bench.figures import Result, Row, Size
from bench.programs import need

_RULES: Final = """\
add table ip bench
add chain ip bench input {{ type filter hook input priority 0; }}
add rule ip bench input icmp type echo-request numgen inc mod {every} == 0 counter drop
"""
DROPPED_EVERY: Final = 10


def run(size: Size) -> Result:
    """In a namespace that is gone afterwards."""
    return measure(rounds=size.rounds, few=100, many=1000, spacing_s=1.0)


def measure(*, rounds: int, few: int, many: int, spacing_s: float) -> Result:
    """Round trips, then CPU, then loss."""
    fping = need("fping")
    with contextlib.ExitStack() as until:
        space = Namespace(until)
        times = [
            (space.ours(few, 10, spacing_s / 5), space.theirs(fping, few, 10, spacing_s / 5)) for _ in range(rounds)
        ]
        heavy = [(space.ours(many, 5, spacing_s), space.theirs(fping, many, 5, spacing_s)) for _ in range(rounds)]
        space.drop_every(DROPPED_EVERY)
        lossy = (space.ours(many, 5, spacing_s), space.theirs(fping, many, 5, spacing_s))
    rows = []
    for what, of in (("median", statistics.median), ("mean", statistics.fmean), ("95th percentile", _p95)):
        rows.append(
            Row(
                what=f"{few} targets: {what} of the round trips",
                unit="µs",
                ours=tuple(1000 * of(ours.rtts_ms) for ours, _ in times),
                peer="fping",
                theirs=tuple(1000 * of(theirs.rtts_ms) for _, theirs in times),
            )
        )
    rows.append(
        Row(
            what=f"{many:,} targets: CPU an echo",
            unit="µs",
            ours=tuple(1e6 * ours.cpu_s / ours.sent_count for ours, _ in heavy),
            peer="fping",
            theirs=tuple(1e6 * theirs.cpu_s / theirs.sent_count for _, theirs in heavy),
        )
    )
    for what, rounds_of in ((f"{many:,} targets: lost, none dropped", heavy), (_dropped(lossy[0]), [lossy])):
        ours = tuple(float(ours.sent_count - len(ours.rtts_ms)) for ours, _ in rounds_of)
        theirs = tuple(float(theirs.sent_count - len(theirs.rtts_ms)) for _, theirs in rounds_of)
        rows.append(Row(what=what, unit="echoes", ours=ours, peer="fping", theirs=theirs))
    return Result(rows=tuple(rows))


def _dropped(one: Account) -> str:
    return f"{one.sent_count:,} echoes, {one.sent_count // DROPPED_EVERY} dropped: lost"


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


class _Ended(NamedTuple):
    text: str
    cpu_s: float


class Namespace:
    """A network namespace with a loopback interface and nothing else."""

    def __init__(self, until: contextlib.ExitStack) -> None:
        self._name = f"sansang-bench-{os.getpid()}"
        self._ip = need("ip")
        self._nft = need("nft")
        subprocess.run([self._ip, "netns", "add", self._name], check=True)
        until.callback(subprocess.run, [self._ip, "netns", "del", self._name], check=True)
        subprocess.run([self._ip, "-n", self._name, "link", "set", "lo", "up"], check=True)

    def drop_every(self, every: int) -> None:
        """From now on every so many-th echo request is dropped on its way in."""
        self._inside([self._nft, "-f", "-"], _RULES.format(every=every))

    def ours(self, targets_count: int, count: int, spacing_s: float) -> Account:
        """The agent's pinger."""
        numbers = [str(targets_count), str(count), str(spacing_s), "2.0"]
        ended = self._inside([sys.executable, "-m", "bench.echoing", *numbers])
        return msgspec.json.decode(ended.text, type=Account)

    def theirs(self, fping: str, targets_count: int, count: int, spacing_s: float) -> Account:
        """The peer with the same targets, counts and waits; a request each millisecond at most, its own rule."""
        options = ["-q", "-C", str(count), "-p", str(round(1000 * spacing_s)), "-i", "1", "-t", "2000", "-b", "56"]
        ended = self._inside([fping, *options, "-f", "-"], "\n".join(addresses(targets_count)) + "\n")
        answers = [word for line in ended.text.splitlines() for word in line.partition(" : ")[2].split()]
        rtts_ms = [float(word) for word in answers if word != "-"]
        return Account(sent_count=len(answers), rtts_ms=rtts_ms, cpu_s=ended.cpu_s)

    def _inside(self, command: Sequence[str], text: str = "") -> _Ended:
        """What a program says on either output, and its CPU. fping's exit code is 1 when anything is lost."""
        inside = [self._ip, "netns", "exec", self._name, *command]
        with subprocess.Popen(
            inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdin is not None  # noqa: S101 - for mypy
            assert process.stdout is not None  # noqa: S101 - for mypy
            process.stdin.write(text)
            process.stdin.close()
            said = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"{command[0]} ended with exit code {process.returncode}: {said}")
        return _Ended(said, used.ru_utime + used.ru_stime)
