"""Small disks of a test's own: to be filled, and to be made read-only. Mounting them needs root."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.debian import in_ci

_CHUNK_BYTES = 1 << 16


class SmallDisk:
    """A file system in memory."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._filler = folder / "video.mp4"
        folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))

    def fill(self, *, but_bytes: int = 0) -> None:
        """Take all the room that is left, as a recording does that nobody watches."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(_CHUNK_BYTES)) == _CHUNK_BYTES:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - but_bytes))

    def clear(self) -> None:
        """Somebody deletes the recording."""
        self._filler.unlink(missing_ok=True)

    def make_read_only(self) -> None:
        """As Linux does to a disk on which it found errors: also for files that are open."""
        _run("mount", "-o", "remount,ro", str(self.folder))

    def make_writable(self) -> None:
        """As it was."""
        _run("mount", "-o", "remount,rw", str(self.folder))

    def unmount(self) -> None:
        """Take it away, whoever still has a file of it open."""
        _run("umount", "--lazy", str(self.folder))


class MakeDisk(Protocol):
    """Makes a disk that goes with the test."""

    def __call__(self, size_bytes: int) -> SmallDisk:
        """Make an empty one of that size."""
        ...


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        reason = "mounting a small disk needs root"
        if in_ci():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    made: list[SmallDisk] = []

    def make(size_bytes: int) -> SmallDisk:
        made.append(SmallDisk(tmp_path / f"disk-{len(made)}", size_bytes))
        return made[-1]

    yield make
    for disk in made:
        disk.unmount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
