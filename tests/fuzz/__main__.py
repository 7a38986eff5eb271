"""`python -m tests.fuzz TARGET FLAG… FOLDER…`: atheris (libFuzzer) searches for inputs that a decoder cannot bear."""

import importlib
import sys
import time

import atheris

from tests.fuzz.limits import LONGEST_S


def main() -> None:
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["agent", "collector", "contract"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")

    def take(data: bytes) -> None:
        began_s = time.process_time()  # the wall clock would blame an input for whatever else the machine does
        target.take(data)
        assert time.process_time() - began_s < LONGEST_S

    atheris.Setup([sys.argv[0], *flags], take)
    atheris.Fuzz()


main()
