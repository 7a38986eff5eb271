"""A collector's core on a copy of a folder that was made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.centre import Centre


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collector's data before anything came, made once: a disk is slow."""
    folder = tmp_path_factory.mktemp("fresh")
    Centre(folder).close()
    return folder


@pytest.fixture
def folder(fresh: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(fresh, tmp_path / "data")


@pytest.fixture
def centre(folder: Path) -> Iterator[Centre]:
    made = Centre(folder)
    made.link()
    yield made
    made.close()
