"""Judges recorded readings by their own clock, and prints what comes of it."""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from collector.alerting.decide import Notice
from collector.alerting.incident import Change
from collector.app import load_profiles, policy_of
from collector.commands.words import (
    Commands,
    WrongWordError,
    known_rooms,
    language_of,
    rfc3339,
    settings_of,
)
from collector.replay import BadLine, Happening, Played, read_lines, replay
from collector.watch import DEFAULT_PROFILE
from contract.catalogue import Language
from contract.settings import Phrase, Problem, SettingsError
from readiness import telling
from readiness.verdict import Verdict


def add_to(commands: Commands) -> None:
    """The command of this file."""
    play = commands.add("replay", replay_files, "Judge readings from files by their own clock; print what comes of it.")
    play.add_argument("files", nargs="+", metavar="FILE", help="JSON lines, - for standard input")
    play.add_argument("--json", action="store_true", help="print JSON lines")
    play.add_argument("--profile", default=DEFAULT_PROFILE, help="for rooms that are not in the registry (%(default)s)")


def replay_files(arguments: argparse.Namespace) -> int:
    """Verdicts, incidents and notices by the readings' own clock; exit 1 when a line was none."""
    settings = settings_of(arguments)
    language = language_of(arguments)
    profiles = load_profiles(settings.profiles)
    if arguments.profile not in profiles:
        expected = Phrase("expect.one_of", {"choices": ", ".join(profiles)})
        facts = {"expected": expected, "got": repr(arguments.profile)}
        raise WrongWordError(Problem("--profile", "settings.expected", facts))
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
        view=known_rooms(settings),
    )
    for happening in happenings:
        print(_happening_json(happening) if arguments.json else _happening_text(happening, language))
    return 1 if bad_count else 0


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
    return msgspec.json.encode({"at": rfc3339(happening.at_s), "kind": kind, kind: happening.what}).decode()


def _happening_text(happening: Happening, language: Language) -> str:
    at, what = rfc3339(happening.at_s), happening.what
    match what:
        case Verdict():
            reasons = "; ".join(telling.sentence(finding, language) for finding in what.findings)
            return f"{at}  {what.room}  {what.level.name}" + (f"  {reasons}" if reasons else "")
        case Change():
            return f"{at}  {what.incident.room}  incident {what.kind} ({', '.join(what.incident.codes)})"
        case Notice():
            return f"{at}  {what.incident.room}  notice {what.reason} -> {what.recipient.address}"
