import re
import subprocess
from pathlib import Path

import pytest

import deploy
from tests.support.debian import require

FOLDER = Path(deploy.__file__).parent / "linux"
PROGRAM = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)
UNITS = ("sansang-agent", "sansang-collector", "sansang-reflector")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require("systemd-analyze"), "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def settings_of(unit: str) -> dict[str, str]:
    """The unit's settings, the latest of a name that stands twice."""
    lines = (FOLDER / f"{unit}.service").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit as if its program were installed."""
    unit = tmp_path / f"{request.param}.service"
    text = (FOLDER / unit.name).read_text(encoding="utf-8")
    unit.write_text(PROGRAM.sub("ExecStart=/bin/true", text), encoding="utf-8")
    return unit


@pytest.mark.parametrize("installed", UNITS, indirect=True)
def test_systemd_finds_nothing_wrong_with_a_unit(installed: Path) -> None:
    done = analyze("verify", installed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("installed", "worst"),
    [("sansang-agent", 2.0), ("sansang-collector", 2.5), ("sansang-reflector", 2.5)],
    indirect=["installed"],
)
def test_a_unit_is_exposed_no_more_than_it_must_be(installed: Path, worst: float) -> None:
    done = analyze("security", "--offline=yes", installed)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= worst, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_starts_the_installed_program_with_its_settings(unit: str) -> None:
    program, command, option, _ = settings_of(unit)["ExecStart"].split()
    wanted = ("sansang-collector", "reflector") if unit == "sansang-reflector" else (unit, "run")
    assert (Path(program).name, command) == wanted
    assert (Path(program).parent, option) == (Path("/opt/sansang/bin"), "--config")


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_never_gives_up_on_a_program(unit: str) -> None:
    settings = settings_of(unit)
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == ("always", "0")
    assert int(settings["RestartSec"]) >= 5
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) > 0


def test_only_the_agent_may_open_raw_sockets() -> None:
    assert settings_of("sansang-agent")["CapabilityBoundingSet"] == "CAP_NET_RAW"
    assert settings_of("sansang-collector")["CapabilityBoundingSet"] == ""
    assert settings_of("sansang-reflector")["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
