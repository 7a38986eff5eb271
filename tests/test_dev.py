"""dev.py works on a bare machine, destroys nothing, and passes on what the programs say."""

import ast
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import dev

OLDEST_GRAMMAR = (3, 8)


def run_dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(dev.ROOT / "dev.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def locked_requirements(name: str) -> dict[str, list[str]]:
    """Each requirement's name in a lock file, normalised, with the lines that belong to it."""
    text = (dev.ROOT / name).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return {normal(block.partition("==")[0]): block.splitlines() for block in blocks if block.strip()}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(*extras: str) -> set[str]:
    project = tomllib.loads(dev.PROJECT.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found = [re.match(r"[A-Za-z0-9._-]+", line) for line in lines if "python_version < '3'" not in line]
    return {normal(match[0]) for match in found if match}


def test_dev_stands_on_the_standard_library_alone() -> None:
    tree = ast.parse((dev.ROOT / "dev.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_an_older_python_can_read_dev_far_enough_to_be_told_that_it_is_too_old() -> None:
    ast.parse((dev.ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=OLDEST_GRAMMAR)


def test_an_older_python_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert dev.main(["test"]) == 2
    assert capsys.readouterr().err == "dev.py: Python 3.11 or newer is needed; this is 3.9.2.\n"


def test_an_unknown_command_gets_one_sentence_and_exit_code_2() -> None:
    done = run_dev("dance")
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == "dev.py: There is no command 'dance'; there are demo, test, bench, check, docs, grafana, setup, lock.\n"
    )


def test_help_lists_every_command() -> None:
    done = run_dev("--help")
    assert done.returncode == 0
    assert re.findall(r"^  (\w+)  +\S", done.stdout, flags=re.MULTILINE) == list(dev.COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["-q"], ["-x", "--durations=20"]], ids=" ".join)
def test_all_tests_run_several_at_a_time(arguments: list[str]) -> None:
    assert dev.manner(arguments) == dev.SEVERAL_AT_A_TIME


@pytest.mark.parametrize("arguments", [["tests/test_dev.py"], ["-k", "storm"], ["--long"], ["--pdb"]], ids=" ".join)
def test_those_that_are_named_and_the_long_ones_run_one_at_a_time(arguments: list[str]) -> None:
    assert dev.manner(arguments) == ()


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    done = run_dev("setup", SANSANG_VENV=str(tmp_path))
    assert done.returncode == 2
    wanted = f"dev.py: {tmp_path} holds something else than a Python environment; name another in SANSANG_VENV.\n"
    assert done.stderr == wanted
    assert list(tmp_path.iterdir()) == [letter]


def test_an_environment_that_is_as_it_should_be_is_used_as_it_is(tmp_path: Path) -> None:
    python = dev.venv_python(tmp_path)
    python.parent.mkdir()
    python.touch()
    stamp = tmp_path / dev.STAMP
    stamp.write_text(f"{dev.foundation(tmp_path)}\n{dev.contents()}", encoding="utf-8")
    done = run_dev("setup", SANSANG_VENV=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{python}\n", "")


@pytest.mark.parametrize("stamp", ["", "one line", "three\nlines\nhere"], ids=repr)
def test_a_stamp_that_was_half_written_counts_as_none(tmp_path: Path, stamp: str) -> None:
    python = dev.venv_python(tmp_path)
    python.parent.mkdir()
    python.touch()
    (tmp_path / dev.STAMP).write_text(stamp, encoding="utf-8")
    assert dev.stamp_of(tmp_path) is None


def test_clearing_an_environment_keeps_the_lock_that_others_wait_for(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.11").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / dev.SETUP_LOCK).touch()
    (tmp_path / dev.STAMP).touch()
    dev.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [dev.SETUP_LOCK]


def test_a_set_up_that_is_killed_keeps_others_out_until_its_pip_has_ended(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    pip = "import time; print('at work', flush=True); time.sleep(1.0)"
    code = (
        "import dev, pathlib, sys\n"
        f"with dev.only_one(pathlib.Path({str(lock)!r})) as held:\n"
        f"    dev.run(pathlib.Path(sys.executable), '-c', {pip!r}, holding=held)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=dev.ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        parent.wait()
        with lock.open("a+b") as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            began_s = time.monotonic()
            fcntl.flock(file, fcntl.LOCK_EX)
        assert time.monotonic() - began_s < 10


@pytest.mark.parametrize(
    ("code", "wanted"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM)],
    ids=["exit code", "signal"],
)
def test_the_end_of_the_program_is_the_end_of_dev(code: str, wanted: int) -> None:
    become = f"import dev, pathlib, sys; dev.become(pathlib.Path(sys.executable), '-c', {code!r})"
    done = subprocess.run([sys.executable, "-c", become], cwd=dev.ROOT, check=False)
    assert done.returncode == wanted


@pytest.mark.parametrize(
    ("name", "extras"),
    [("requirements.lock", ("collector", "dev", "windows")), ("requirements-agent.lock", ("windows",))],
)
def test_a_lock_file_holds_everything_required_with_hashes_and_no_address(name: str, extras: tuple[str, ...]) -> None:
    locked = locked_requirements(name)
    assert required(*extras) - locked.keys() == set(), "run: python3 dev.py lock"
    assert [package for package, lines in locked.items() if not any("--hash=sha256:" in line for line in lines)] == []
    text = (dev.ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|(?:^|[\s@])/\w+", text) == []


def test_a_classroom_pc_installs_no_package_of_the_collectors() -> None:
    agent = locked_requirements("requirements-agent.lock").keys()
    assert agent & (required("collector") - required()) == set()
    assert agent < locked_requirements("requirements.lock").keys()
