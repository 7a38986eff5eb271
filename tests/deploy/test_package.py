"""The package as it is built: whoever installs it with pip gets all that the programs read."""

import subprocess
import sys
import zipfile
from typing import Final

import pytest

import dev

READ: Final = ("toml", "html", "css", "js", "svg", "ico", "json", "yaml", "yml", "service", "conf", "ps1")
"""Endings of files that the programs, or whoever installs them, read beside the code."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names of all files in the wheel, built from a copy of what is under version control."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((dev.ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", target, source], check=True, capture_output=True, timeout=300)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return frozenset(file.namelist())


def tracked() -> list[str]:
    git = subprocess.run(["git", "ls-files"], cwd=dev.ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("no checkout: what belongs to the project is not known")
    return [name for name in git.stdout.splitlines() if (dev.ROOT / name).is_file()]


@pytest.mark.parametrize("package", ["agent", "collector", "contract", "readiness", "deploy", "grafana"])
def test_the_wheel_holds_every_file_that_a_package_reads(built: frozenset[str], package: str) -> None:
    wanted = [name for name in tracked() if name.startswith(f"{package}/") and name.rpartition(".")[2] in (*READ, "py")]
    wanted = [name for name in wanted if not name.startswith(("grafana/check/", "grafana/render/"))]  # for us alone
    assert wanted
    assert [name for name in wanted if name not in built] == []


def test_the_wheel_brings_no_tests(built: frozenset[str]) -> None:
    assert [name for name in built if name.startswith(("tests/", "bench/", "docs/"))] == []
