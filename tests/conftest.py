"""What every test can use: the servers in tests/support, and `--long`."""

import importlib
import signal
from pathlib import Path
from types import FrameType

import psutil
import pytest

_TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with --long only")
    if config.getoption("--long") and config.getoption("numprocesses", None):
        raise pytest.UsageError("the long tests tell how much the machine can do, and so run one at a time, without -n")
    # SIGTERM as Ctrl-C: whoever ends a run early leaves no server and no mounted disk behind.
    has_workers = config.getoption("numprocesses", None)
    signal.signal(signal.SIGTERM, _interrupt_workers if has_workers else signal.default_int_handler)
    # Every module there may define fixtures: a new server is one file, and nothing central is edited.
    for path in sorted((_TESTS / "support").glob("[!_]*.py")):
        if not path.stem.startswith("test_"):
            config.pluginmanager.register(importlib.import_module(f"tests.support.{path.stem}"))


def _interrupt_workers(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C in a terminal, which the workers hear too; by itself pytest-xdist would kill them at their work."""
    for worker in psutil.Process().children():
        worker.terminate()
    signal.default_int_handler(number, frame)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What looks at all files stands beside this one and takes long: where several run at a time, it must not come last.
    items.sort(key=lambda item: item.path.parent != _TESTS)
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="runs with --long only")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)
