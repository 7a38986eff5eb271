"""Runs the collector or its reflector, checks what they would run by, and asks a running one."""

import argparse
import contextlib
import logging
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable

import msgspec

from collector.app import Collector, load_files
from collector.broker import BrokerError
from collector.commands.words import (
    EXIT_SETTINGS,
    Commands,
    WrongWordError,
    known_rooms,
    language_of,
    open_registry,
    settings_of,
)
from collector.mail.relay import MailFailed, is_address, no_address, send_test_mail
from collector.media.reflector import ReflectorError, ReflectorService, load_secret, secret_path
from collector.plans import remarks
from collector.rooms.registry import Room
from collector.storage.database import DatabaseRefused
from collector.web.server import WebServerError
from contract import names, service_manager
from contract.catalogue import say
from contract.settings import Phrase, Problem, SettingsError
from contract.stamp import derive_key

log = logging.getLogger(__name__)


def add_to(commands: Commands) -> None:
    """All commands of this file."""
    commands.add("run", run, "Keep, judge and tell until stopped.")
    reflect = commands.add("reflector", run_reflector, "Only answer test packets of agents, here, until stopped.")
    reflect.add_argument("--key-of", metavar="AGENT", help="print the key of an agent, or of a ssid-NUMBER, and end")
    commands.add("check-config", check_config, "Check settings, profiles and plans, and report all problems together.")
    commands.add("status", status, "Show how the running collector is.")
    mail = commands.add("test-mail", test_mail, "Send one test mail now.")
    mail.add_argument("to", help="the address to send it to")


def run(arguments: argparse.Namespace) -> int:
    """The service; 75 asks the service manager for a fresh start."""
    settings = settings_of(arguments)
    collector = Collector(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: collector.request_stop())
    try:
        collector.start()
    except (BrokerError, WebServerError, ReflectorError) as error:
        reason = error.text(language_of(arguments)) if isinstance(error, BrokerError) else str(error)
        print(say("operator.cannot_start", language_of(arguments), reason=reason), file=sys.stderr)
        collector.stop()
        return 1
    is_well = collector.wait()
    collector.stop()
    return 0 if is_well else 75


def run_reflector(arguments: argparse.Namespace) -> int:
    """The reflector alone: it needs its secret; where there is a registry, agents revoked there get no answer."""
    settings = settings_of(arguments)
    if arguments.key_of is not None and not names.is_id(arguments.key_of):
        facts = {"expected": Phrase(names.ID_RULE, {}), "got": repr(arguments.key_of)}
        raise WrongWordError(Problem("--key-of", "settings.expected", facts))
    secret = load_secret(secret_path(settings.reflector, settings.folder))
    if arguments.key_of is not None:
        print(derive_key(secret, arguments.key_of).hex())
        return 0
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        view = known_rooms(settings)
    except DatabaseRefused as error:
        log.warning("no registry, so nobody is known to be revoked: %s", error)
        view = None
    service = ReflectorService(
        settings.reflector, secret, is_revoked=lambda agent: view is not None and view.is_revoked(agent)
    )
    try:
        service.start()
    except ReflectorError as error:
        print(say("operator.cannot_start", language_of(arguments), reason=error), file=sys.stderr)
        return 1
    service_manager.notify("READY=1")
    with open_registry(settings) if view is not None else contextlib.nullcontext() as registry:
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
    settings = settings_of(arguments)
    language = language_of(arguments)
    refused: Exception | None = None
    rooms: Iterable[Room] | None = None
    try:
        view = known_rooms(settings)
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


def status(arguments: argparse.Namespace) -> int:
    """What the running program says of itself; exit 1 when it is not ready or not there."""
    settings = settings_of(arguments)
    url = f"http://{settings.web.host}:{settings.web.port}"
    try:
        with urllib.request.urlopen(f"{url}/rooms.json", timeout=5) as answer:  # noqa: S310 - our own pages
            document = msgspec.json.decode(answer.read())
    except (OSError, msgspec.DecodeError) as error:
        facts = {"url": url, "reason": error}
        print(say("operator.not_running", language_of(arguments), **facts), file=sys.stderr)
        return 1
    for room in document["rooms"]:
        print(f"{room['room']}\t{room['level']}\t{room['name']}")
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=5).close()  # noqa: S310 - our own pages
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"), file=sys.stderr)
        return 1
    return 0


def test_mail(arguments: argparse.Namespace) -> int:
    """One mail now, with the relay's own words when it refuses."""
    settings = settings_of(arguments)
    language = language_of(arguments)
    if settings.mail.mode == "none":
        print(say("operator.mail_none", language), file=sys.stderr)
        return 1
    if not is_address(arguments.to):
        raise WrongWordError(no_address("to", arguments.to))
    try:
        send_test_mail(settings.mail, arguments.to, language, arguments.now_s)
    except MailFailed as error:
        print(say("operator.mail_failed", language, reason=error.text(language)), file=sys.stderr)
        return 1
    print(say("operator.mail_sent", language, to=arguments.to))
    return 0
