"""`sansang-collector`: run, reflector, check-config, rooms, agents, broker, replay, ledger, test-mail, and more."""

import argparse
import contextlib
import itertools
import logging
import os
import re
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from collector.alerting.decide import Notice
from collector.alerting.incident import Change
from collector.app import Collector, load_files, load_profiles, open_settings_database, policy_of, program_version
from collector.authority import Authority, AuthorityError
from collector.backup import BackupError, back_up, restore
from collector.broker import BrokerError
from collector.database import DatabaseRefused
from collector.enrolment import BrokerAddress, dismiss, enrol, equip_broker
from collector.journal import JournalReader
from collector.ledger import Cause, Ledger, make_ledger
from collector.plans import remarks
from collector.reflector import ReflectorError, ReflectorService, load_secret, secret_path
from collector.registry import Registry, RegistryError, RegistryView, Room
from collector.relay import MailFailed, is_address, no_address, send_test_mail
from collector.replay import BadLine, Happening, Played, read_lines, replay
from collector.rooms_file import ContactRow
from collector.settings import CollectorSettings, load_settings
from collector.watch import DEFAULT_PROFILE
from collector.web.server import WebServerError
from contract import names, service_manager
from contract.catalogue import LANGUAGES, Language, say
from contract.settings import Phrase, Problem, SettingsError
from contract.stamp import derive_key
from readiness import telling
from readiness.verdict import Verdict

log = logging.getLogger(__name__)

EXIT_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h: starting again will not help until somebody edits the file."""
EXIT_WRONG: Final = 2
"""As argparse ends: something on the command line cannot be meant, and nothing was done."""
_HOST: Final = re.compile(r"[A-Za-z0-9_*]([A-Za-z0-9_.:-]*[A-Za-z0-9.:])?|::[0-9a-fA-F:.]*")
DEFAULT_CONFIG: Final = Path("/etc/sansang/collector.toml")


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return int(arguments.command(arguments))
    except SettingsError as error:
        print(error.text(_language(arguments)), file=sys.stderr)
        return EXIT_SETTINGS
    except (RegistryError, _WrongWordError) as error:
        print(error.text(_language(arguments)), file=sys.stderr)
        return EXIT_WRONG
    except AuthorityError as error:
        print(error.text(_language(arguments)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `… | head` is no error
        return 0
    except (OSError, sqlite3.Error, DatabaseRefused) as error:  # a folder or a database that cannot be used
        log.debug("where it happened", exc_info=True)
        code = "operator.cannot_start" if arguments.command in (run, run_reflector) else "operator.failed"
        print(say(code, _language(arguments), reason=error), file=sys.stderr)
        return 1


class _WrongWordError(Exception):
    """What stands on the command line cannot be meant: at which word, and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence("en"))
        self._problem = problem

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return self._problem.sentence(language)


def _demand_writable(where: str, path: Path) -> None:
    """Before anything is made that would be lost without its file."""
    if path.is_dir():
        raise _WrongWordError(Problem(where, "operator.is_folder", {"path": path}))
    if not path.parent.is_dir():
        raise _WrongWordError(Problem(where, "settings.no_folder", {"path": path.parent}))
    if not os.access(path.parent, os.W_OK):
        raise _WrongWordError(Problem(where, "operator.not_writable", {"path": path.parent}))


class _Commands:
    """Adds commands with what all of them share."""

    def __init__(self, group: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        self._group = group

    def add(self, name: str, work: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        """One command: its name, what does it, what it is for."""
        sub = self._group.add_parser(name, help=text, description=text)
        sub.set_defaults(command=work)
        usual = DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None
        sub.add_argument("--config", type=Path, default=usual, help=f"settings ({DEFAULT_CONFIG}, else all defaults)")
        sub.add_argument("--lang", choices=LANGUAGES, help="language of the sentences")
        return sub

    def below(self, name: str, text: str) -> "_Commands":
        """A command that has commands of its own."""
        return _Commands(self._group.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sansang-collector", description="Keeps, judges, and tells people.")
    parser.add_argument("--version", action="version", version=program_version())
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    commands = _Commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    commands.add("run", run, "Keep, judge and tell until stopped.")
    reflect = commands.add("reflector", run_reflector, "Only answer test packets of agents, here, until stopped.")
    reflect.add_argument("--key-of", metavar="AGENT", help="print the key of an agent, or of a ssid-NUMBER, and end")
    commands.add("check-config", check_config, "Check settings, profiles and plans, and report all problems together.")
    commands.add("status", status, "Show how the running collector is.")
    mail = commands.add("test-mail", test_mail, "Send one test mail now.")
    mail.add_argument("to", help="the address to send it to")
    backup = commands.add(
        "backup", make_backup, "Copy journal, registry, series, authority and the reflector's secret into one file."
    )
    backup.add_argument("file", type=Path)
    back = commands.add("restore", restore_backup, "Put a backup into an empty data folder.")
    back.add_argument("file", type=Path)
    play = commands.add("replay", replay_files, "Judge readings from files by their own clock; print what comes of it.")
    play.add_argument("files", nargs="+", metavar="FILE", help="JSON lines, - for standard input")
    play.add_argument("--json", action="store_true", help="print JSON lines")
    play.add_argument("--profile", default=DEFAULT_PROFILE, help="for rooms that are not in the registry (%(default)s)")
    ledger = commands.add("ledger", show_ledger, "Hold what a room's agents measured against what is stored.")
    ledger.add_argument("--room", required=True)
    ledger.add_argument("--from", dest="begin", type=_moment, help="RFC 3339 time with an offset (a day ago)")
    ledger.add_argument("--to", dest="end", type=_moment, help="RFC 3339 time with an offset (now)")
    ledger.add_argument("--json", action="store_true", help="print JSON")
    aside = commands.add("quarantine", show_quarantine, "Show the messages that were put aside.")
    aside.add_argument("--limit", type=_count, default=20)
    _add_registry(commands)
    return parser


def _add_registry(commands: _Commands) -> None:
    """The commands about rooms, agents, and a broker that runs by itself."""
    rooms = commands.below("rooms", "The rooms of the registry.")
    imported = rooms.add("import", import_rooms, "Take over a CSV file of rooms, whole or not at all.")
    imported.add_argument("file", type=Path)
    rooms.add("list", list_rooms, "List all rooms.")
    added = rooms.add("add", add_room, "Add one room.")
    added.add_argument("room")
    for name in ("name", "province", "school"):
        added.add_argument(f"--{name}", required=True)
    for name in ("district", "profile", "contact-name", "contact-mail"):
        added.add_argument(f"--{name}", default="")

    agents = commands.below("agents", "The agents and their rooms.")
    enrolled = agents.add("add", add_agent, "Enrol an agent: make its credential and the small file that its PC needs.")
    enrolled.add_argument("agent")
    enrolled.add_argument("--room", required=True)
    enrolled.add_argument("--file", type=Path, help="where to write the PC's file (AGENT.toml)")
    agents.add("list", list_agents, "List all agents.")
    moved = agents.add("move", move_agent, "Let an agent stand in another room from now on.")
    moved.add_argument("agent")
    moved.add_argument("--room", required=True)
    agents.add("revoke", revoke_agent, "End an agent's credential for good.").add_argument("agent")

    broker = commands.below("broker", "A broker that runs by itself.")
    equipped = broker.add("equip", equip, "Write the certificates that deploy/mosquitto needs.")
    equipped.add_argument("folder", type=Path)
    equipped.add_argument("--name", action="append", default=[], help="a name or address under which agents reach it")


def _settings(arguments: argparse.Namespace) -> CollectorSettings:
    """The settings, whose language all that follows is told in unless another was asked for."""
    settings = load_settings(arguments.config)
    arguments.lang = arguments.lang or settings.language
    return settings


def _language(arguments: argparse.Namespace) -> Language:
    fallback: Language = "en" if os.environ.get("LANG", "").startswith("en") else "vi"
    asked: Language | None = arguments.lang
    return asked or fallback


def run(arguments: argparse.Namespace) -> int:
    """The service; 75 asks the service manager for a fresh start."""
    settings = _settings(arguments)
    collector = Collector(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: collector.request_stop())
    try:
        collector.start()
    except (BrokerError, WebServerError, ReflectorError) as error:
        reason = error.text(_language(arguments)) if isinstance(error, BrokerError) else str(error)
        print(say("operator.cannot_start", _language(arguments), reason=reason), file=sys.stderr)
        collector.stop()
        return 1
    is_well = collector.wait()
    collector.stop()
    return 0 if is_well else 75


def run_reflector(arguments: argparse.Namespace) -> int:
    """The reflector alone: it needs its secret; where there is a registry, agents revoked there get no answer."""
    settings = _settings(arguments)
    if arguments.key_of is not None and not names.is_id(arguments.key_of):
        facts = {"expected": Phrase(names.ID_RULE, {}), "got": repr(arguments.key_of)}
        raise _WrongWordError(Problem("--key-of", "settings.expected", facts))
    secret = load_secret(secret_path(settings.reflector, settings.folder))
    if arguments.key_of is not None:
        print(derive_key(secret, arguments.key_of).hex())
        return 0
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        view = _known_rooms(settings)
    except DatabaseRefused as error:
        log.warning("no registry, so nobody is known to be revoked: %s", error)
        view = None
    service = ReflectorService(
        settings.reflector, secret, is_revoked=lambda agent: view is not None and view.is_revoked(agent)
    )
    try:
        service.start()
    except ReflectorError as error:
        print(say("operator.cannot_start", _language(arguments), reason=error), file=sys.stderr)
        return 1
    service_manager.notify("READY=1")
    with _registry(settings) if view is not None else contextlib.nullcontext() as registry:
        while service.is_running and not stopping.wait(1.0):
            service_manager.notify("WATCHDOG=1")
            with contextlib.suppress(DatabaseRefused):  # who was revoked before stays so
                view = registry.view(view) if registry is not None else None
    is_well = service.is_running
    service_manager.notify("STOPPING=1")
    service.stop()
    return 0 if is_well else 75


def check_config(arguments: argparse.Namespace) -> int:
    """All problems of all files at once."""
    settings = _settings(arguments)
    language = _language(arguments)
    refused: Exception | None = None
    rooms: Iterable[Room] | None = None
    try:
        view = _known_rooms(settings)
        rooms = view.rooms.values() if view is not None else ()
    except DatabaseRefused as error:  # said last, after what is wrong in files
        refused = error
    try:
        files = load_files(settings, rooms)
    except SettingsError as error:
        print(error.text(language), file=sys.stderr)
        if refused is not None:
            print(say("operator.cannot_start", language, reason=refused), file=sys.stderr)
        return EXIT_SETTINGS
    for name, remark in remarks(files.plans, files.secrets):
        print(f"{name}.toml: {remark.sentence(language)}", file=sys.stderr)
    if refused is not None:
        raise refused
    print(f"{arguments.config or 'defaults'}: ok, {len(files.profiles)} profiles, {len(files.plans)} plans")
    return 0


@contextlib.contextmanager
def _registry(settings: CollectorSettings) -> Iterator[Registry]:
    engine = open_settings_database(settings)
    try:
        yield Registry(engine)
    finally:
        engine.dispose()


def import_rooms(arguments: argparse.Namespace) -> int:
    """Every bad line with its number and reason, or all rooms."""
    settings = _settings(arguments)
    language = _language(arguments)
    with _registry(settings) as registry:
        report = registry.import_rooms(arguments.file, time.time(), profiles=load_profiles(settings.profiles))
    if report.bad:
        print("\n".join(line.sentence(language) for line in report.bad), file=sys.stderr)
        print(say("operator.import_refused", language, file=arguments.file, count=len(report.bad)), file=sys.stderr)
        return EXIT_WRONG
    counts = {"added": len(report.added), "updated": len(report.updated), "unchanged": len(report.unchanged)}
    print(say("operator.imported", language, **counts))
    return 0


def list_rooms(arguments: argparse.Namespace) -> int:
    """A line a room: id, name, place, agents."""
    with _registry(_settings(arguments)) as registry:
        view = registry.view()
    for name, room in sorted(view.rooms.items()):
        agents = ",".join(view.agents_in(name)) or "-"
        print(f"{name}\t{room.name}\t{' > '.join(room.place)}\t{room.profile or DEFAULT_PROFILE}\t{agents}")
    return 0


def add_room(arguments: argparse.Namespace) -> int:
    """One room by hand, with its contact if given."""
    settings = _settings(arguments)
    contact = None
    if arguments.contact_mail:
        name = arguments.contact_name or arguments.contact_mail
        contact = ContactRow(name, arguments.contact_mail, settings.language)
    elif arguments.contact_name:
        facts = {"what": "--contact-name", "needed": "--contact-mail"}
        raise _WrongWordError(Problem("", "settings.needs", facts))
    with _registry(settings) as registry:
        registry.add_room(
            arguments.room,
            name=arguments.name,
            province=arguments.province,
            school=arguments.school,
            district=arguments.district,
            profile=arguments.profile,
            profiles=load_profiles(settings.profiles),
            contact=contact,
            now_s=time.time(),
        )
    print(say("operator.room_added", _language(arguments), room=arguments.room))
    return 0


def add_agent(arguments: argparse.Namespace) -> int:
    """Credential and small file; again for the same agent ends the credential before."""
    settings = _settings(arguments)
    reach = BrokerAddress(host=settings.agents.host, port=settings.agents_port, tls=settings.agents_tls)
    path = arguments.file or Path(f"{arguments.agent}.toml")
    _demand_writable("--file", path)
    with _registry(settings) as registry:
        enrolled = enrol(
            registry,
            Authority(settings.folder / "authority", time.time()),
            arguments.agent,
            arguments.room,
            broker=reach,
            now_s=time.time(),
            language=settings.language,
        )
    enrolled.write(path)
    print("\n".join(enrolled.sentences(path, _language(arguments))))
    return 0


def list_agents(arguments: argparse.Namespace) -> int:
    """A line an agent: id, room, state."""
    with _registry(_settings(arguments)) as registry:
        for agent in registry.agents():
            print(f"{agent.agent}\t{agent.room or '-'}\t{'revoked' if agent.revoked_s else 'active'}")
    return 0


def move_agent(arguments: argparse.Namespace) -> int:
    """From now on; what was measured before stays with the room before."""
    settings = _settings(arguments)
    with _registry(settings) as registry:
        before = registry.move_agent(arguments.agent, arguments.room, time.time())
    facts = {"agent": arguments.agent, "before": before, "room": arguments.room}
    print(say("operator.agent_moved", _language(arguments), **facts))
    return 0


def revoke_agent(arguments: argparse.Namespace) -> int:
    """Its token and its certificate end."""
    settings = _settings(arguments)
    with _registry(settings) as registry:
        crl = dismiss(registry, Authority(settings.folder / "authority", time.time()), arguments.agent, time.time())
    print(say("operator.agent_revoked", _language(arguments), agent=arguments.agent, crl=crl))
    return 0


def equip(arguments: argparse.Namespace) -> int:
    """Certificates for a broker of its own and for the collector as its client."""
    settings = _settings(arguments)
    names = tuple(arguments.name) or (settings.agents.host,)
    for name in names:
        if not _HOST.fullmatch(name):
            raise _WrongWordError(Problem("--name", "operator.no_host", {"got": repr(name)}))
    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise _WrongWordError(Problem("folder", "settings.no_folder", {"path": arguments.folder}))
    equip_broker(Authority(settings.folder / "authority", time.time()), arguments.folder, names)
    print(say("operator.broker_equipped", _language(arguments), folder=arguments.folder))
    return 0


def test_mail(arguments: argparse.Namespace) -> int:
    """One mail now, with the relay's own words when it refuses."""
    settings = _settings(arguments)
    language = _language(arguments)
    if settings.mail.mode == "none":
        print(say("operator.mail_none", language), file=sys.stderr)
        return 1
    if not is_address(arguments.to):
        raise _WrongWordError(no_address("to", arguments.to))
    try:
        send_test_mail(settings.mail, arguments.to, language, time.time())
    except MailFailed as error:
        print(say("operator.mail_failed", language, reason=error.text(language)), file=sys.stderr)
        return 1
    print(say("operator.mail_sent", language, to=arguments.to))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """What the running program says of itself; exit 1 when it is not ready or not there."""
    settings = _settings(arguments)
    url = f"http://{settings.web.host}:{settings.web.port}"
    try:
        with urllib.request.urlopen(f"{url}/rooms.json", timeout=5) as answer:  # noqa: S310 - our own pages
            document = msgspec.json.decode(answer.read())
    except (OSError, msgspec.DecodeError) as error:
        facts = {"url": url, "reason": error}
        print(say("operator.not_running", _language(arguments), **facts), file=sys.stderr)
        return 1
    for room in document["rooms"]:
        print(f"{room['room']}\t{room['level']}\t{room['name']}")
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=5).close()  # noqa: S310 - our own pages
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"), file=sys.stderr)
        return 1
    return 0


def make_backup(arguments: argparse.Namespace) -> int:
    """Consistent while the program runs."""
    settings = _settings(arguments)
    language = _language(arguments)
    _demand_writable("file", arguments.file)
    try:
        back_up(settings.folder, arguments.file, secret=secret_path(settings.reflector, settings.folder))
    except BackupError as error:
        print(say(error.code, language, **error.facts), file=sys.stderr)
        return 1
    size = f"{arguments.file.stat().st_size / 1e6:.1f}"
    print(say("operator.backed_up", language, file=arguments.file, size=size))
    return 0


def restore_backup(arguments: argparse.Namespace) -> int:
    """Into an empty data folder; the agents refill what is newer."""
    settings = _settings(arguments)
    language = _language(arguments)
    try:
        restore(arguments.file, settings.folder)
    except BackupError as error:
        print(say(error.code, language, **error.facts), file=sys.stderr)
        return 1
    print(say("operator.restored", language, file=arguments.file, folder=settings.folder))
    return 0


def _count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _moment(text: str) -> float:
    """Unix seconds of an RFC 3339 time with its offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-24T07:00:00+07:00") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset from UTC, such as +07:00 or Z")
    return moment.timestamp()


@contextlib.contextmanager
def _journal(settings: CollectorSettings) -> Iterator[JournalReader]:
    """The journal, only to be read: it is the running collector's. Raises SettingsError where there is none."""
    path = settings.folder / "journal.db"
    if not path.exists():
        raise SettingsError(str(settings.folder), [Problem("", "settings.no_file", {"path": path})])
    with contextlib.closing(JournalReader(path)) as journal:
        journal.stand_still()  # else what was made and what is stored would be of two moments, and not add up
        yield journal


def show_ledger(arguments: argparse.Namespace) -> int:
    """Every account and every hole; exit 1 when something is missing without a cause."""
    settings = _settings(arguments)
    language = _language(arguments)
    now_s = time.time()
    end_s = now_s if arguments.end is None else arguments.end
    begin_s = end_s - 86400.0 if arguments.begin is None else arguments.begin
    if begin_s >= end_s:
        raise _WrongWordError(Problem("--from", "operator.no_span", {"begin": _stamp(begin_s), "end": _stamp(end_s)}))
    with _registry(settings) as registry:
        registry.room(arguments.room)
        standings = [one for agent in registry.agents() for one in agent.standings if one.room == arguments.room]
    agents = list(dict.fromkeys(one.agent for one in standings))
    # Before its first agent stood there nothing was to come from a room.
    begin_s = max(begin_s, min((one.from_s for one in standings), default=begin_s))
    with _journal(settings) as journal:
        found = make_ledger(journal.evidence(agents), begin_s, end_s, now_s=now_s)
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(_ledger_text(found, language)))
    return 1 if any(hole.cause is Cause.UNKNOWN for hole in found.holes) else 0


def _ledger_text(found: Ledger, language: Language) -> Iterator[str]:
    for account in found.accounts:
        yield say("ledger.account", language, **account._asdict(), open_count=account.open_count)
    yield say("ledger.stored", language, stored=found.stored_count, unsure=found.unsure_count)
    for hole in found.holes:
        cause = say(f"ledger.cause.{hole.cause}", language) + (f" ({hole.reason})" if hole.reason else "")
        yield say("ledger.hole", language, begin=_stamp(hole.from_s), end=_stamp(hole.to_s), cause=cause)
    if not found.holes:
        yield say("ledger.no_hole", language)


def show_quarantine(arguments: argparse.Namespace) -> int:
    """The newest first: when, who, why."""
    settings = _settings(arguments)
    with _journal(settings) as journal:
        for one in journal.quarantined(arguments.limit):
            print(f"{_stamp(one.arrived_s)}\t{one.agent or one.topic}\t{one.why}\t{len(one.body)} bytes")
    return 0


def replay_files(arguments: argparse.Namespace) -> int:
    """Verdicts, incidents and notices by the readings' own clock; exit 1 when a line was none."""
    settings = _settings(arguments)
    language = _language(arguments)
    profiles = load_profiles(settings.profiles)
    if arguments.profile not in profiles:
        expected = Phrase("expect.one_of", {"choices": ", ".join(profiles)})
        facts = {"expected": expected, "got": repr(arguments.profile)}
        raise _WrongWordError(Problem("--profile", "settings.expected", facts))
    bad_count = 0

    def readings(name: str) -> Iterator[Played]:
        def on_bad(line: BadLine) -> None:
            nonlocal bad_count
            bad_count += 1
            print(f"{name}: line {line.number}: {line.why}", file=sys.stderr)

        return read_lines(_lines(name), on_bad)

    happenings = replay(
        itertools.chain.from_iterable(map(readings, arguments.files)),
        profiles,
        policy_of(settings.alerts),
        profile=arguments.profile,
        silent_after_s=settings.alerts.silent_after_s,
        view=_known_rooms(settings),
    )
    for happening in happenings:
        print(_happening_json(happening) if arguments.json else _happening_text(happening, language))
    return 1 if bad_count else 0


def _known_rooms(settings: CollectorSettings) -> RegistryView | None:
    """The registry, if there is one: to play something is no reason to make one."""
    if not settings.database and not (settings.folder / "collector.db").exists():
        return None
    with _registry(settings) as registry:
        return registry.view()


def _lines(name: str) -> Iterator[str]:
    try:
        if name == "-":
            yield from sys.stdin
        else:
            with Path(name).open(encoding="utf-8") as file:
                yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError.unreadable(Path(name), error) from error


def _happening_json(happening: Happening) -> str:
    kind = type(happening.what).__name__.lower()
    return msgspec.json.encode({"at": _stamp(happening.at_s), "kind": kind, kind: happening.what}).decode()


def _happening_text(happening: Happening, language: Language) -> str:
    at, what = _stamp(happening.at_s), happening.what
    match what:
        case Verdict():
            reasons = "; ".join(telling.sentence(finding, language) for finding in what.findings)
            return f"{at}  {what.room}  {what.level.name}" + (f"  {reasons}" if reasons else "")
        case Change():
            return f"{at}  {what.incident.room}  incident {what.kind} ({', '.join(what.incident.codes)})"
        case Notice():
            return f"{at}  {what.incident.room}  notice {what.reason} -> {what.recipient.address}"


def _stamp(at_s: float) -> str:
    whole_s = int(at_s)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_s)) + f".{int((at_s - whole_s) * 1000):03d}Z"
