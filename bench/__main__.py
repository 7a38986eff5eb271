"""Runs the benchmarks named, or all; `--write` puts what they found into docs/benchmarks.md."""

import argparse
import importlib
import logging
import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Final, cast

from bench.figures import Result, Size, table
from bench.machine import Circumstances, look_around
from bench.page import Section, enter
from bench.programs import MissingError

NAMES: Final = ("wire", "agent", "collector", "ping", "snmp")
PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def main(argv: list[str] | None = None) -> int:
    """Run them one after the other; 1 when one could not run."""
    parser = argparse.ArgumentParser(prog="python3 dev.py bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--write", action="store_true", help="enter the figures in docs/benchmarks.md")
    usual = Size()
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="rounds (%(default)s)")
    parser.add_argument("--minutes", type=int, default=usual.minutes, help="minutes of real time (%(default)s)")
    parser.add_argument("--rooms", type=int, default=usual.rooms, help="rooms that the collector serves (%(default)s)")
    chosen = parser.parse_args(argv)
    unknown = [name for name in chosen.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    logging.basicConfig(level=logging.ERROR)
    size = Size(rounds=chosen.rounds, minutes=chosen.minutes, rooms=chosen.rooms)
    missing = [name for name in chosen.names or NAMES if not measure(name, size, PAGE if chosen.write else None)]
    return 1 if missing else 0


def measure(name: str, size: Size, page: Path | None) -> bool:
    """Run one, print it, and enter it in the page if there is one; False when a program that it needs is missing."""
    module = importlib.import_module(f"bench.{name}")
    method = cleandoc(module.__doc__ or "")
    run = cast("Callable[[Size], Result]", module.run)
    print(f"\n{name}: {method}\n", flush=True)
    before = look_around()
    try:
        result = run(size)
    except MissingError as missing:
        print(f"{name}: {missing}", file=sys.stderr)
        return False
    around = Circumstances(before, look_around())
    print(table(result.rows))
    for note in (*result.notes, *around.sentences()):
        print(f"- {note}")
    if page is not None:
        enter(page, Section(name=name, method=method, result=result, around=around), NAMES)
    return True


if __name__ == "__main__":
    sys.exit(main())
