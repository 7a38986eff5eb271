"""What every test can use: the servers in tests/support, and `--long`."""

import importlib
import signal
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with --long only")
    if config.getoption("--long") and config.getoption("numprocesses", None):
        raise pytest.UsageError("the long tests tell how much the machine can do, and so run one at a time, without -n")
    # SIGTERM as Ctrl-C: whoever ends a run early leaves no server and no mounted disk behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Every module there may define fixtures: a new server is one file, and nothing central is edited.
    for path in sorted((Path(__file__).parent / "support").glob("[!_]*.py")):
        if not path.stem.startswith("test_"):
            config.pluginmanager.register(importlib.import_module(f"tests.support.{path.stem}"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="runs with --long only")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)
