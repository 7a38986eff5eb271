"""What is kept at the centre: copies of it, whether it is whole, and what was put aside."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from collector.commands.words import (
    Commands,
    WrongWordError,
    a_count,
    a_moment,
    demand_writable,
    language_of,
    open_journal,
    open_registry,
    rfc3339,
    settings_of,
)
from collector.ledger import Cause, Ledger, make_ledger
from collector.media.reflector import secret_path
from collector.storage.backup import BackupError, back_up, restore
from contract.catalogue import Language, say
from contract.settings import Problem


def add_to(commands: Commands) -> None:
    """All commands of this file."""
    backup = commands.add(
        "backup", make_backup, "Copy journal, registry, series, authority and the reflector's secret into one file."
    )
    backup.add_argument("file", type=Path)
    back = commands.add("restore", restore_backup, "Put a backup into an empty data folder.")
    back.add_argument("file", type=Path)
    ledger = commands.add("ledger", show_ledger, "Hold what a room's agents measured against what is stored.")
    ledger.add_argument("--room", required=True)
    ledger.add_argument("--from", dest="begin", type=a_moment, help="RFC 3339 time with an offset (a day ago)")
    ledger.add_argument("--to", dest="end", type=a_moment, help="RFC 3339 time with an offset (now)")
    ledger.add_argument("--json", action="store_true", help="print JSON")
    aside = commands.add("quarantine", show_quarantine, "Show the messages that were put aside.")
    aside.add_argument("--limit", type=a_count, default=20)


def make_backup(arguments: argparse.Namespace) -> int:
    """Consistent while the program runs."""
    settings = settings_of(arguments)
    language = language_of(arguments)
    demand_writable("file", arguments.file)
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
    settings = settings_of(arguments)
    language = language_of(arguments)
    try:
        restore(arguments.file, settings.folder)
    except BackupError as error:
        print(say(error.code, language, **error.facts), file=sys.stderr)
        return 1
    print(say("operator.restored", language, file=arguments.file, folder=settings.folder))
    return 0


def show_ledger(arguments: argparse.Namespace) -> int:
    """Every account and every hole; exit 1 when something is missing without a cause."""
    settings = settings_of(arguments)
    language = language_of(arguments)
    now_s = arguments.now_s
    end_s = now_s if arguments.end is None else arguments.end
    begin_s = end_s - 86400.0 if arguments.begin is None else arguments.begin
    if begin_s >= end_s:
        raise WrongWordError(Problem("--from", "operator.no_span", {"begin": rfc3339(begin_s), "end": rfc3339(end_s)}))
    with open_registry(settings) as registry:
        registry.room(arguments.room)
        standings = [one for agent in registry.agents() for one in agent.standings if one.room == arguments.room]
    agents = list(dict.fromkeys(one.agent for one in standings))
    # Before its first agent stood there nothing was to come from a room.
    begin_s = max(begin_s, min((one.from_s for one in standings), default=begin_s))
    with open_journal(settings) as journal:
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
        yield say("ledger.hole", language, begin=rfc3339(hole.from_s), end=rfc3339(hole.to_s), cause=cause)
    if not found.holes:
        yield say("ledger.no_hole", language)


def show_quarantine(arguments: argparse.Namespace) -> int:
    """The newest first: when, who, why."""
    settings = settings_of(arguments)
    with open_journal(settings) as journal:
        for one in journal.quarantined(arguments.limit):
            print(f"{rfc3339(one.arrived_s)}\t{one.agent or one.topic}\t{one.why}\t{len(one.body)} bytes")
    return 0
