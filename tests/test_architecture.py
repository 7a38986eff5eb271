"""Holds the sentences of docs/architecture.md: who may import whom, who owns a clock, what a probe's file holds.

Reads the source by `ast`; a rule speaks about files that exist, whatever their number. Each exception is in a table
here with its reason, and must still be needed.
"""

import ast
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from contract import names
from contract.units import unit_of

ROOT: Final = Path(__file__).resolve().parent.parent
PROGRAM: Final = ("agent", "collector", "contract", "readiness", "deploy")
OURS: Final = (*PROGRAM, "tests", "bench", "dev")
NOT_SOURCE: Final = {"__pycache__", "build", "dist", "node_modules", "demo-data"}

PURE: Final = {
    "__future__", "abc", "bisect", "collections", "copy", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "heapq", "importlib.resources", "itertools", "math", "msgspec", "operator", "re", "statistics",
    "string", "textwrap", "tomllib", "types", "typing", "unicodedata", "zoneinfo",
}  # fmt: skip
"""Modules that do no I/O and tell no time (`datetime.now` is caught by itself). importlib.resources and tomllib read
the files packaged with the code, which are part of it."""

LETTERS: Final = {"babel", "email", "hashlib", "html"}
"""What alerting may use besides PURE: it writes letters, and sends none."""

NETWORK: Final = {
    "aiosmtpd", "amqtt", "asyncio", "ftplib", "http", "httpx", "icmplib", "imaplib", "paho", "poplib", "pysnmp",
    "requests", "select", "selectors", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "xmlrpc",
}  # fmt: skip

DISK_AND_SOCKET: Final = {
    "contract.durable_file", "contract.salvage", "contract.spool", "contract.service_manager",
}  # fmt: skip
"""The part of the contract that does I/O."""

NETWORK_IN_CONTRACT: Final = {
    "contract/service_manager.py": "systemd's notify socket is a Unix socket on this very machine",
}

HOMES: Final = {
    "Cryptodome": {"agent/keyring.py"},
    "amqtt": {"collector/broker.py"},
    "babel": {"collector/"},
    "cryptography": {"collector/authority.py", "collector/sealing.py"},
    "defusedxml": {"agent/"},  # what devices and Windows' event log say in XML
    "icmplib": {"agent/network/icmp.py", "agent/probes/ping.py"},
    "influxdb_client": {"collector/sinks/influx.py"},
    "jinja2": {"collector/web/"},
    "markupsafe": {"collector/web/"},
    "msgspec": {""},  # everywhere: our values are made of it
    "paho": {"agent/link.py", "collector/inlet.py"},
    "prometheus_client": {"collector/metrics.py", "collector/web/"},
    "psutil": {
        "agent/spending/circumstances.py",
        "agent/spending/lesson.py",
        "agent/network/nic.py",
        "agent/probes/boot.py",
        "agent/probes/host.py",
        "agent/probes/power.py",
    },
    "pyasn1": {"agent/snmp/client.py"},
    "pysnmp": {"agent/snmp/client.py"},
    "pywin32": {"deploy/windows/"},
    "sqlalchemy": {
        "collector/storage/database.py",
        "collector/rooms/registry.py",
        "collector/storage/cases.py",
        "collector/mail/outbox.py",
    },
    "starlette": {"collector/web/"},
    "uvicorn": {"collector/web/"},
}
"""Where each third-party package may be imported: files, or folders ending in /."""

PYWIN32: Final = re.compile(r"win32\w*|pywintypes|pythoncom|servicemanager|perfmon")

CLOCKS: Final = {
    "agent/app.py": "wires the agent",
    "agent/clock.py": "is the agent's clock",
    "agent/media/packets.py": "the kernel stamps packets with the wall clock, and STAMP carries it",
    "agent/network/icmp.py": "the kernel stamps packets with the wall clock; `perf_counter` guards against its steps",
    "agent/devices/kinds/onvif.py": "compares a camera's clock with the PC's, and stamps a login",
    "agent/probes/http.py": "compares a certificate's last day with the PC's calendar, as whoever connects does",
    "collector/app.py": "wires the collector",
    "collector/media/reflector.py": "stamps test packets as they come and go, and paces streams",
    "collector/cli.py": "tells its commands when now is: enrol, move, revoke, import",
    "collector/web/server.py": "waits a bounded time for the web server's thread to come up",
}
"""Who may ask what time it is."""
DURATIONS: Final = (
    "agent/probes/",
    "agent/network/icmp.py",
    "agent/network/icmp_windows.py",
    "agent/network/resolving.py",
    "agent/snmp/client.py",
    "agent/link.py",
    "agent/media/packets.py",
    "agent/media/streaming.py",
    "agent/spending/circumstances.py",
)
"""Who may stop how long something took (`perf_counter`), which is a measurement and no schedule."""

ON_THE_SPOT: Final = {"agent/checkup.py", "agent/cli.py", "agent/app.py"}
"""Where the agent judges, for the installer who stands in the room."""

FROM_APP: Final = (
    "agent/cli.py", "collector/cli.py", "collector/commands/", "deploy/demo/", "deploy/windows/service.py", "tests/",
    "bench/",
)  # fmt: skip

NOT_IN_THE_AGENT: Final = (
    "Cryptodome", "amqtt", "babel", "collector", "influxdb_client", "jinja2", "prometheus_client", "pysnmp", "requests",
    "sqlalchemy", "starlette", "uvicorn",
)  # fmt: skip
"""Memory and start-up time that a classroom PC does not pay; pysnmp only comes with a plan that asks for SNMP."""

STANDARD: Final = re.compile(
    r"\bRFC ?\d{3,5}\b|\b[A-Z][A-Za-z0-9-]*-MIB\b|\bIEEE \d|\bITU-T\b|\bISO/IEC \d|\bHTTP/\d|\bPJLink\b|\bONVIF\b"
    r"|\bNUT\b|\bpsutil\b|\bicmplib\b|\bPOSIX\b|\bWMI\b|\bndt7\b|\bTWAMP\b|\bSTUN\b"
)
VAGUE: Final = {"base", "common", "data", "helper", "helpers", "info", "manager", "misc", "stuff", "util", "utils"}


class Source(NamedTuple):
    """One Python file: its path from the project's root, with forward slashes, and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class Import(NamedTuple):
    """One name imported, in full (`from contract import names` is contract.names), and the line that does it."""

    path: str
    line: int
    name: str

    def reaches(self, *packages: str) -> bool:
        """Whether it comes from one of the packages or modules."""
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.name}"


def files_under(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            if entry.name not in NOT_SOURCE and not entry.name.startswith(".") and entry.suffix != ".egg-info":
                yield from files_under(entry)
        else:
            yield entry


@functools.cache
def sources(*folders: str) -> tuple[Source, ...]:
    """All Python files in these folders of the project."""
    return tuple(
        Source(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for folder in folders
        if (ROOT / folder).is_dir()
        for path in files_under(ROOT / folder)
        if path.suffix == ".py"
    )


def imports_of(source: Source) -> Iterator[Import]:
    package = source.module.split(".") if source.path.endswith("__init__.py") else source.module.split(".")[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(source.path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                parts = [*above, *([node.module] if node.module else []), alias.name]
                yield Import(source.path, node.lineno, ".".join(parts))


def imports(*folders: str) -> list[Import]:
    return [found for source in sources(*folders) for found in imports_of(source)]


def lies_in(path: str, homes: Iterable[str]) -> bool:
    return any(path == home or (home.endswith("/") and path.startswith(home)) or not home for home in homes)


def broken(found: Iterable[Import], allowed: Callable[[Import], bool]) -> list[str]:
    return [str(one) for one in found if not allowed(one)]


def test_agent_and_collector_never_import_each_other() -> None:
    assert broken(imports("agent"), lambda one: not one.reaches("collector", "deploy", "tests", "bench", "dev")) == []
    assert broken(imports("collector"), lambda one: not one.reaches("agent", "deploy", "tests", "bench", "dev")) == []


def test_the_contract_imports_nothing_of_ours() -> None:
    others = [name for name in OURS if name != "contract"]
    assert broken(imports("contract"), lambda one: not one.reaches(*others)) == []


def test_the_contract_does_no_network() -> None:
    using = [one for one in imports("contract") if one.reaches(*NETWORK)]
    assert broken(using, lambda one: one.path in NETWORK_IN_CONTRACT) == []


def test_the_agent_judges_only_on_the_spot() -> None:
    using = [one for one in imports("agent") if one.reaches("readiness")]
    assert broken(using, lambda one: one.path in ON_THE_SPOT) == []


def test_readiness_is_pure_and_knows_only_the_contract() -> None:
    def allowed(one: Import) -> bool:
        return one.reaches(*PURE, "contract", "readiness") and not one.reaches(*DISK_AND_SOCKET)

    assert broken(imports("readiness"), allowed) == []


def test_alerting_is_pure_and_so_is_what_it_stands_on() -> None:
    by_module = {source.module: source for source in sources("collector")}
    waiting = [module for module in by_module if module.split(".")[:2] == ["collector", "alerting"]]
    seen: dict[str, list[Import]] = {}
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen[module] = list(imports_of(by_module[module]))
            reached = {name for one in seen[module] for name in (one.name, one.name.rpartition(".")[0])}
            waiting.extend(reached & by_module.keys())

    def allowed(one: Import) -> bool:
        return one.reaches(*PURE, *LETTERS, *PROGRAM) and not one.reaches(*DISK_AND_SOCKET)

    assert broken([one for found in seen.values() for one in found], allowed) == []


@pytest.mark.parametrize("folder", ["readiness", "collector/alerting"])
def test_pure_code_opens_no_file_and_prints_nothing(folder: str) -> None:
    found = [
        f"{source.path}:{node.lineno} calls {node.func.id}"
        for source in sources(folder)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("open", "print", "input", "__import__", "exec", "eval")
    ]
    assert found == []


def test_only_the_command_line_imports_the_wiring() -> None:
    wiring = [one for one in imports(*PROGRAM) if one.reaches("agent.app", "collector.app")]
    assert broken(wiring, lambda one: lies_in(one.path, FROM_APP)) == []


_CLOCK_NAMES: Final = {"time", "time_ns", "monotonic", "monotonic_ns", "clock_gettime", "clock_gettime_ns"}
_DURATION_NAMES: Final = {"perf_counter", "perf_counter_ns", "process_time", "thread_time"}


def clock_readings(source: Source) -> Iterator[tuple[int, str]]:
    """Lines that ask a clock, and how; also when the function is only handed on."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            is_date = owner in ("datetime", "datetime.datetime", "date", "datetime.date")
            if owner == "time" or (is_date and node.attr in ("now", "utcnow", "today")):
                yield node.lineno, "now" if is_date else node.attr


def test_only_the_wiring_asks_what_time_it_is() -> None:
    asking = [
        (source.path, line, how)
        for source in sources("agent", "collector", "contract", "readiness")
        for line, how in clock_readings(source)
        if how in _CLOCK_NAMES | {"now"}
    ]
    assert [f"{path}:{line} asks for {how}" for path, line, how in asking if path not in CLOCKS] == []
    needed = {path for path, _, _ in asking} | {"agent/app.py", "collector/app.py"}
    assert CLOCKS.keys() <= needed, "an exception that nothing needs"


def test_only_probes_measure_how_long_something_took() -> None:
    assert [
        f"{source.path}:{line} asks for {how}"
        for source in sources("agent", "collector", "contract", "readiness")
        for line, how in clock_readings(source)
        if how in _DURATION_NAMES and not lies_in(source.path, DURATIONS)
    ] == []


def test_each_third_party_package_has_one_home() -> None:
    homeless: list[str] = []
    for one in imports(*PROGRAM):
        package = one.name.partition(".")[0]
        if package in sys.stdlib_module_names or package in OURS:
            continue
        if PYWIN32.fullmatch(package):
            package = "pywin32"
        if package not in HOMES:
            homeless.append(f"{one}, which has no home in HOMES")
        elif not lies_in(one.path, HOMES[package]):
            homeless.append(f"{one}, whose home is {', '.join(sorted(HOMES[package]))}")
    assert homeless == []


def test_starting_the_agent_loads_nothing_of_the_collectors() -> None:
    code = "import json, sys, agent.cli, agent.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint(NOT_IN_THE_AGENT), sorted(loaded.intersection(NOT_IN_THE_AGENT))


PROBE_FILES: Final = [
    source for source in sources("agent/probes") if not source.path.rpartition("/")[2].startswith("__init__")
]


def probe_class_of(source: Source) -> ast.ClassDef:
    (found,) = [
        node
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
        if any(getattr(part, "name", "") == "measure" for part in node.body)
    ]
    return found


@pytest.mark.parametrize("source", PROBE_FILES, ids=lambda source: source.module)
def test_a_probes_file_holds_one_probe(source: Source) -> None:
    name = source.module.rpartition(".")[2]
    assert names.is_probe_name(name), f"{source.path}: a plan cannot name it"
    measuring = [
        node.name
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and any(getattr(part, "name", "") == "measure" for part in node.body)
    ]
    assert len(measuring) == 1, f"{source.path}: one class with measure(), not {measuring}"
    measure = next(part for part in probe_class_of(source).body if getattr(part, "name", "") == "measure")
    assert isinstance(measure, ast.AsyncFunctionDef)


@pytest.mark.parametrize("source", PROBE_FILES, ids=lambda source: source.module)
def test_a_probe_names_the_standard_that_it_follows(source: Source) -> None:
    text = ast.get_docstring(probe_class_of(source)) or ""
    assert STANDARD.search(text), f"{source.path}: no RFC, MIB, standard or library named in {text!r}"


@pytest.mark.parametrize("source", PROBE_FILES, ids=lambda source: source.module)
def test_a_probes_values_carry_units_and_its_example_loads(source: Source) -> None:
    from agent.probe import cost_of  # noqa: PLC0415 - as below
    from agent.probes import load_probe, probe_names  # noqa: PLC0415 - here, so that the rules above outlive its faults

    name = source.module.rpartition(".")[2]
    assert name in probe_names()
    probe = load_probe(name, _example_of(source))
    written = [value.name for value in probe.values]
    assert written, "a probe that brings nothing"
    assert [value for value in written if unit_of(value) is None] == []
    assert len(set(written)) == len(written)
    assert [value.name for value in probe.values if not value.meaning.strip()] == []
    assert names.is_target(probe.target)
    assert probe.longest_s > 0
    assert vars(type(probe))["rights"].endswith(".")
    assert cost_of(probe) >= 0
    assert inspect.iscoroutinefunction(probe.measure)


def _example_of(source: Source) -> dict[str, object]:
    from agent.probes import probe_class  # noqa: PLC0415 - as above

    example: dict[str, object] = vars(probe_class(source.module.rpartition(".")[2]))["example"]
    return example


def test_no_file_is_named_vaguely() -> None:
    assert [source.path for source in sources(*PROGRAM, "tests", "bench", "docs", "grafana") if is_vague(source)] == []


def is_vague(source: Source) -> bool:
    return not VAGUE.isdisjoint(source.path.removesuffix(".py").split("/"))


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {folder for source in sources("tests") for folder in Path(source.path).parents if folder != Path()}
    assert sorted(folder.as_posix() for folder in folders if not (ROOT / folder / "__init__.py").exists()) == []


def test_every_module_says_its_job_in_its_first_sentence() -> None:
    silent = [
        source.path
        for source in sources(*PROGRAM, "bench")
        if source.tree.body and not (ast.get_docstring(source.tree) or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "--strict"],
        ["mypy", "--strict", "dev.py"],
    ],
    ids=" ".join,
)
def test_the_tools_find_no_fault(arguments: list[str]) -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
