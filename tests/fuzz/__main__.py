"""`python -m tests.fuzz TARGET FLAG… FOLDER…`: atheris (libFuzzer) searches for inputs that a decoder cannot bear."""

import importlib
import sys

import atheris


def main() -> None:
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["agent", "collector", "contract"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")

    def take(data: bytes) -> None:
        target.take(data)

    atheris.Setup([sys.argv[0], *flags], take)
    atheris.Fuzz()


main()
