"""Dashboards are what Grafana's own schema says, and compose.yaml what Compose's says; needs node and `npm ci`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import dev

CHECK: Final = dev.ROOT / "grafana" / "check"


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None or not (CHECK / "node_modules").is_dir():
        pytest.skip("Grafana's schema is not installed: run 'npm ci' in grafana/check (needs Node.js 20 or newer)")
    return found


def run(node: str, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [node, CHECK / script, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_every_dashboard_fits_grafanas_schema(node: str) -> None:
    done = run(node, "check.mjs")
    assert (done.returncode, done.stdout) == (0, "24 dashboards, 0 faults\n"), done.stderr


def test_a_dashboard_that_does_not_fit_is_noticed(node: str, tmp_path: Path) -> None:
    good = dev.ROOT / "grafana" / "dashboards" / "vi" / "promql" / "1-today.json"
    board = json.loads(good.read_text(encoding="utf-8"))
    board["panels"][0]["options"]["colorMode"] = "rainbow"
    board["links"][0]["keepTime"] = "yes"
    board["annotations"]["list"] = [{"no_such_key": 1}]
    (tmp_path / "bad.json").write_text(json.dumps(board), encoding="utf-8")
    done = run(node, "check.mjs", tmp_path)
    assert done.returncode == 1
    assert "rainbow" in done.stderr
    assert "no_such_key" in done.stderr
    assert "'string' is not assignable to type 'boolean'" in done.stderr


def test_compose_yaml_fits_the_compose_schema(node: str, tmp_path: Path) -> None:
    compose = dev.ROOT / "deploy" / "compose" / "compose.yaml"
    done = run(node, "compose.mjs", compose)
    assert (done.returncode, done.stdout) == (0, "compose.yaml: 0 faults\n"), done.stderr
    bad = tmp_path / "bad.yaml"
    bad.write_text(compose.read_text(encoding="utf-8").replace("    ports:", "    prots:"), encoding="utf-8")
    assert run(node, "compose.mjs", bad).returncode == 1


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((CHECK / "package-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"]
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
