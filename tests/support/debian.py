"""Finds the programs of Debian packages that tests run."""

import os
import shutil
from typing import Final

import pytest

FOLDERS: Final = (
    "/lib/nut",  # before the others: Debian's upsd on the PATH is a wrapper that refuses to run unconfigured
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
)


def find(program: str) -> str | None:
    """Where the program lies, also in the system folders that an ordinary user's PATH lacks."""
    return shutil.which(program, path=os.pathsep.join((*FOLDERS, os.environ.get("PATH", ""))))


def in_ci() -> bool:
    """Whether nothing may be skipped: the environment variable CI is set, and to no denial."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def require(program: str) -> str:
    """The program's path. Without it the test is skipped, and fails in CI, where nobody would notice a skip."""
    path = find(program)
    if path is not None:
        return path
    reason = f"{program} is not installed; 'python3 dev.py test' installs it as root, or names its Debian package"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
