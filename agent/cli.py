"""`sansang-agent`: run, check-config, probe, identify, discover, checkup, doctor, spool."""

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from agent.app import Agent, program_version
from agent.checkup import judge_room, measure_room, report
from agent.clock import SystemClock
from agent.devices.memory import Memory, remember_by
from agent.doctor import examine
from agent.keyring import Keyring, keyring_of
from agent.orders import NO_ORDERS, Orders, PlanFile, read_orders
from agent.probe import Probe, ProbeFailed
from agent.probes import load_probe, probe_class, probe_names
from agent.settings import AgentSettings, load_settings
from agent.taking import Taken, take_reading
from contract import names
from contract.catalogue import LANGUAGES, Language, say
from contract.messages import Goodbye
from contract.reading import Record
from contract.secret import clear_secrets
from contract.settings import SettingsError
from contract.spool import SpoolReader
from readiness.profile import default_profiles

EXIT_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h: starting again will not help until somebody edits the file."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return int(arguments.command(arguments))
    except SettingsError as error:
        print(error.text(_language(arguments)), file=sys.stderr)
        return EXIT_SETTINGS
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `… | head` is no error
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sansang-agent", description="Measures a classroom and tells the collector.")
    parser.add_argument("--version", action="version", version=program_version())
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: object, text: str, *, config: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=work)
        if config:
            sub.add_argument("--config", type=Path, default=default_config(), help="the PC's settings (%(default)s)")
        sub.add_argument("--lang", choices=LANGUAGES, help="language of the sentences (as in the settings, else vi)")
        return sub

    command("run", run, "Measure and send until stopped.")
    check = command("check-config", check_config, "Check settings and plan, and report all problems together.")
    check.add_argument("--plan", type=Path, help="check this plan (TOML) too")
    probe = command(
        "probe", probe_once, "Take one reading now and print it; exit 0 whatever comes of it.", config=False
    )
    probe.add_argument("name", choices=probe_names(), help="the probe")
    probe.add_argument("--target", help="what to measure: an address, a URL, or a target's name")
    probe.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the probe")
    probe.add_argument("--json", action="store_true", help="print the reading as one line of JSON")
    identify = command("identify", identify_device, "Say what a device is, and how its parts are.", config=False)
    identify.add_argument("address", metavar="TARGET", help="its address, and the port of SNMP if it is not 161")
    identify.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the device probe"
    )
    identify.add_argument("--json", action="store_true", help="print one line of JSON")
    discover = command("discover", discover_devices, "Look for devices in the PC's network, and propose them.")
    discover.add_argument("--plan", type=Path, help="compare with this plan (TOML) instead of the one in force")
    discover.add_argument("--interface", default="", metavar="CARD", help="the network card (that of the way out)")
    discover.add_argument(
        "--subnet", action="append", default=[], metavar="A.B.C.0/24", help="look through this instead; may be repeated"
    )
    discover.add_argument("--wide", action="store_true", help="look through more than a /24, more slowly, up to a /20")
    discover.add_argument(
        "--community", action="append", default=[], metavar="NAME", help="an SNMP community to try (public); repeatable"
    )
    shape = discover.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one line of JSON")
    shape.add_argument("--toml", action="store_true", help="print tables for the plan")
    checkup = command(
        "checkup", check_room, "Measure all of the plan and judge: exit 0 fit, 1 degraded, 2 unfit, 3 unknown."
    )
    checkup.add_argument("--plan", type=Path, help="a plan (TOML) instead of the one in force")
    checkup.add_argument("--json", action="store_true", help="print the verdict as JSON")
    command(
        "doctor", see_doctor, "Say in plain sentences what is wrong with this PC's monitoring; exit 1 if anything is."
    )
    spool = command("spool", look_at_spool, "Look into the queue of readings.")
    spool.add_argument("what", choices=["stat", "export"], help="figures, or every reading as a line of JSON")
    return parser


def default_config() -> Path:
    """Where the small file lies when nobody says otherwise."""
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "SanSang" / "agent.toml"
    return Path("/etc/sansang/agent.toml")


def _language(arguments: argparse.Namespace, settings: AgentSettings | None = None) -> Language:
    asked: Language | None = arguments.lang
    fallback: Language = "en" if os.environ.get("LANG", "").startswith("en") else "vi"
    return asked or (settings.language if settings else fallback)


def run(arguments: argparse.Namespace) -> int:
    """The service."""
    settings = load_settings(arguments.config)
    agent = Agent(settings, load_probe=load_probe)

    async def serve() -> int:
        stop_on_signals(agent)
        return await agent.run()

    return asyncio.run(serve())


def stop_on_signals(agent: Agent) -> None:
    """Say goodbye on SIGTERM and Ctrl-C, with the reason as far as it can be known."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, lambda *_: agent.stop_from_thread("service_stop"))
        return
    loop.add_signal_handler(signal.SIGINT, agent.stop, "service_stop")
    loop.add_signal_handler(signal.SIGTERM, lambda: agent.stop(_why_terminated()))


def _why_terminated() -> Goodbye:
    """Whether the PC is going down, or only the service: systemd knows."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["/usr/bin/systemctl", "is-system-running"], capture_output=True, timeout=2, check=False
        )
        if answer.stdout.strip() == b"stopping":
            return "shutdown"
    return "service_stop"


def _orders(settings: AgentSettings | None, plan: Path | None) -> Orders:
    """The plan asked for, else the one in force. Raises SettingsError."""
    keyring = Keyring() if settings is None else keyring_of(settings)
    if plan is None and settings is not None:
        payload = PlanFile(settings.folder / "plan.json").load()
        if payload is not None:
            return read_orders(payload, load_probe, source="cached plan", keyring=keyring)
        plan = settings.plan
    if plan is None:
        return NO_ORDERS
    try:
        payload = plan.read_bytes()
    except OSError as error:
        raise SettingsError.unreadable(plan, error) from error
    return read_orders(payload, load_probe, source=str(plan), toml=True, keyring=keyring)


def check_config(arguments: argparse.Namespace) -> int:
    """All problems of both files at once."""
    problems: list[SettingsError] = []
    settings = None
    try:
        settings = load_settings(arguments.config)
    except SettingsError as error:
        problems.append(error)
    try:
        orders = _orders(settings, arguments.plan)
    except SettingsError as error:
        problems.append(error)
    for problem in problems:
        print(problem.text(_language(arguments, settings)), file=sys.stderr)
    if problems:
        return EXIT_SETTINGS
    if arguments.plan is not None and (places := clear_secrets(orders.plan.jobs)):
        text = say("settings.clear_secret", _language(arguments, settings), places=", ".join(places))
        print(f"{arguments.plan}: {text}", file=sys.stderr)
    print(f"{arguments.config}: ok, {len(orders.probes)} probes")
    return 0


def probe_once(arguments: argparse.Namespace) -> int:
    """One measurement, now; exit 0 whatever its outcome, since a failure is a reading too."""
    clock = SystemClock()
    probe = _make_probe(arguments.name, arguments.target, arguments.set)
    taken = asyncio.run(take_reading(arguments.name, probe, clock))
    line = reading_line(taken, clock.now().wall_s - (clock.now().mono_s - taken.began_mono_s))
    if arguments.json:
        print(msgspec.json.encode(line).decode())
        return 0
    print(
        f"{line['probe']} {line['target']}: {line['outcome']}" + (f" - {line['detail']}" if line.get("detail") else "")
    )
    for name, value in taken.reading.values.items():
        print(f"  {name} = {value:g}" if isinstance(value, float) else f"  {name} = {value}")
    return 0


def identify_device(arguments: argparse.Namespace) -> int:
    """What a device is; exit 1 when it is not there, or denies all access."""
    from agent.identify import sentences, told  # noqa: PLC0415 - all kinds of devices come with it
    from agent.probes.device import Device  # noqa: PLC0415 - as above

    probe = _make_probe("device", arguments.address, [*arguments.set, "target=device"])
    assert isinstance(probe, Device)  # noqa: S101 - for mypy
    try:
        seen = asyncio.run(probe.look(anew=True))
    except ProbeFailed as failure:
        if arguments.json:
            line = {"target": arguments.address, "outcome": failure.outcome, "detail": failure.detail}
            print(msgspec.json.encode(line).decode())
        else:
            print(say("identify.failed", _language(arguments), address=arguments.address, detail=failure.detail))
        return 1
    if arguments.json:
        print(msgspec.json.encode(told(arguments.address, seen)).decode())
    else:
        print("\n".join(sentences(arguments.address, seen, _language(arguments))))
    return 0


def discover_devices(arguments: argparse.Namespace) -> int:
    """Who is in the network, and how that differs from the plan; exit 1 when it cannot be looked through."""
    from agent.discovery import scan, telling  # noqa: PLC0415 - all kinds of devices come with it
    from agent.discovery.scope import ScopeRefused, scope_of  # noqa: PLC0415 - as above
    from agent.discovery.sighting import Planned, compare  # noqa: PLC0415 - as above
    from agent.peripherals import find_fitted  # noqa: PLC0415 - as above

    settings = load_settings(arguments.config) if arguments.config.exists() else None
    language = _language(arguments, settings)
    orders = _orders(settings, arguments.plan)
    try:
        scope = scope_of(arguments.interface, arguments.subnet, is_wide=arguments.wide)
    except ScopeRefused as refused:
        print(say(refused.code, language, **refused.facts), file=sys.stderr)
        return 1
    facts = {
        "networks": ", ".join(map(str, scope.swept)),
        "count": len(scope.addresses),
        "seconds": f"{scope.sweep_s:.0f}",
    }
    print(say("discover.began", language, **facts), file=sys.stderr, flush=True)

    async def look() -> tuple[scan.Scanned, list[Planned]]:
        return await scan.scan(scope, arguments.community or ["public"]), await scan.planned_of(orders.probes)

    scanned, planned = asyncio.run(look())
    report = telling.Report(
        networks=tuple(map(str, scope.swept)),
        difference=compare(scanned.found, planned, scope.swept),
        is_complete=scanned.is_complete,
        fitted=tuple(find_fitted() or ()),
        planned_probes=frozenset(job.probe for job in orders.plan.jobs),
    )
    if arguments.json:
        print(msgspec.json.encode(telling.told(report)).decode())
    else:
        tell = telling.tables if arguments.toml else telling.sentences
        print("\n".join(tell(report, language)))
    return 0


def reading_line(taken: Taken, measured_s: float, room: str = "") -> dict[str, object]:
    """A reading as `replay` and `spool export` have it (docs/protocol.md)."""
    reading = taken.reading
    line: dict[str, object] = {"room": room} if room else {}
    line |= {"measured_at": datetime.fromtimestamp(measured_s, UTC).isoformat(timespec="milliseconds")}
    line |= {"probe": reading.probe, "target": reading.target, "outcome": reading.outcome, "values": reading.values}
    return line | ({"detail": reading.detail} if reading.detail else {})


def _make_probe(name: str, target: str | None, assignments: list[str]) -> Probe:
    """A probe from the words of a command line: a value is what TOML makes of it, or else plain text."""
    fields = {field.name for field in msgspec.structs.fields(probe_class(name))}
    pairs = [one.partition("=") for one in assignments]
    plain = {key: text if equals else "true" for key, equals, text in pairs}
    settings: dict[str, object] = {key: _toml_value(text) for key, text in plain.items()}
    if target is not None:
        settings |= {key: value for key, value in _aim(target, fields).items() if key not in settings}
    try:
        return load_probe(name, settings, source=f"probe {name}")
    except SettingsError as error:
        # A community named 1234, or a key that looks like a number: what is no number there is meant as text.
        doubtful = {one.where for one in error.problems if one.where in plain}
        if not doubtful:
            raise
        return load_probe(name, settings | {key: plain[key] for key in doubtful}, source=f"probe {name}")


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _aim(target: str, fields: set[str]) -> dict[str, object]:
    """What `--target` means to a probe: its address or URL, and a name made of it."""
    name = re.sub(r"[^a-z0-9_.:-]", "-", re.sub(r"^[a-z]+://", "", target.lower())).strip("-.:_")[:64]
    aimed: dict[str, object] = {"target": name} if names.is_target(name) else {}
    if "url" in fields:
        aimed["url"] = target if "://" in target else f"http://{target}"
    elif "address" in fields:
        match = re.fullmatch(r"\[(.+)\](?::([0-9]+))?|([^:]+):([0-9]+)", target)
        host, port = (match[1] or match[3], match[2] or match[4]) if match else (target, None)
        if port is None or "port" in fields:
            aimed |= {"address": host} | ({"port": int(port)} if port else {})
        else:
            aimed["address"] = target
    elif "name_wanted" in fields:
        aimed = {"name_wanted": target}
    return aimed


def check_room(arguments: argparse.Namespace) -> int:
    """The acceptance test of a room."""
    settings = load_settings(arguments.config) if arguments.config.exists() or arguments.plan is None else None
    language = _language(arguments, settings)
    orders = _orders(settings, arguments.plan)
    if not orders.probes:
        print(say("checkup.needs_plan", language), file=sys.stderr)
        return 3
    profiles = default_profiles()
    profile = profiles.get(orders.plan.profile)
    if profile is None:  # one of the collector's own, which the PC does not have
        facts = {"got": orders.plan.profile, "expected": ", ".join(profiles)}
        print(say("settings.unknown_profile", language, **facts), file=sys.stderr)
        return 3
    clock = SystemClock()
    known = settings.folder / "devices.json" if settings is not None else None
    remember_by(Memory(known, clock.now, saves=False))
    verdict = judge_room(asyncio.run(measure_room(orders, clock)), profile, clock)
    if arguments.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        print("\n".join(report(verdict, language)))
    return verdict.level.value


def see_doctor(arguments: argparse.Namespace) -> int:
    """Plain sentences; exit 1 when anything is wrong."""
    settings = load_settings(arguments.config)
    language = _language(arguments, settings)
    try:
        orders = _orders(settings, None)
    except SettingsError as error:
        print(error.text(language))
        orders = NO_ORDERS
    ill_count = 0
    for seen in examine(settings, orders, SystemClock(), program_version()):
        ill_count += not seen.well
        print(("ok   " if seen.well else "!!   ") + seen.sentence(language), flush=True)
    print(say("doctor.ill_count", language, count=ill_count) if ill_count else say("doctor.all_well", language))
    return 1 if ill_count else 0


def look_at_spool(arguments: argparse.Namespace) -> int:
    """Figures of the queue, or all that is in it."""
    path = load_settings(arguments.config).folder / "spool.db"
    try:
        with contextlib.closing(SpoolReader(path)) as spool:
            if arguments.what == "stat":
                for name, value in spool.stat()._asdict().items():
                    print(f"{name} = {value}")
            else:
                for seq, record in spool.records():
                    for line in _export_lines(seq, record):
                        print(msgspec.json.encode(line).decode())
    except sqlite3.DatabaseError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return 0


def _export_lines(seq: int, record: Record) -> list[dict[str, object]]:
    taken = record.taken
    lines = []
    for reading in record.readings:
        one = Taken(reading=reading, began_mono_s=taken.mono_s - reading.before_s)
        lines.append(reading_line(one, taken.wall_s - reading.before_s) | {"seq": seq, "boot": taken.boot})
    return lines
