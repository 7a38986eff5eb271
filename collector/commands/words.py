"""What all commands share: their settings, their language, and words of theirs that cannot be meant."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from collector.app import open_settings_database
from collector.rooms.registry import Registry, RegistryView
from collector.settings import CollectorSettings, load_settings
from collector.storage.journal import JournalReader
from contract.catalogue import LANGUAGES, Language
from contract.settings import Problem, SettingsError

EXIT_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h: starting again will not help until somebody edits the file."""
EXIT_WRONG: Final = 2
"""As argparse ends: something on the command line cannot be meant, and nothing was done."""
DEFAULT_CONFIG: Final = Path("/etc/sansang/collector.toml")


class WrongWordError(Exception):
    """What stands on the command line cannot be meant: at which word, and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence("en"))
        self._problem = problem

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return self._problem.sentence(language)


def demand_writable(where: str, path: Path) -> None:
    """Before anything is made that would be lost without its file."""
    if path.is_dir():
        raise WrongWordError(Problem(where, "operator.is_folder", {"path": path}))
    if not path.parent.is_dir():
        raise WrongWordError(Problem(where, "settings.no_folder", {"path": path.parent}))
    if not os.access(path.parent, os.W_OK):
        raise WrongWordError(Problem(where, "operator.not_writable", {"path": path.parent}))


class Commands:
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

    def below(self, name: str, text: str) -> "Commands":
        """A command that has commands of its own."""
        return Commands(self._group.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT"))


def settings_of(arguments: argparse.Namespace) -> CollectorSettings:
    """The settings, whose language all that follows is told in unless another was asked for."""
    settings = load_settings(arguments.config)
    arguments.lang = arguments.lang or settings.language
    return settings


def language_of(arguments: argparse.Namespace) -> Language:
    """The one that was asked for, else the settings' own, else what the terminal is in."""
    fallback: Language = "en" if os.environ.get("LANG", "").startswith("en") else "vi"
    asked: Language | None = arguments.lang
    return asked or fallback


@contextlib.contextmanager
def open_registry(settings: CollectorSettings) -> Iterator[Registry]:
    """The registry, made where there is none; closed afterwards. Raises DatabaseRefused."""
    engine = open_settings_database(settings)
    try:
        yield Registry(engine)
    finally:
        engine.dispose()


def known_rooms(settings: CollectorSettings) -> RegistryView | None:
    """The registry, if there is one: to play something is no reason to make one."""
    if not settings.database and not (settings.folder / "collector.db").exists():
        return None
    with open_registry(settings) as registry:
        return registry.view()


@contextlib.contextmanager
def open_journal(settings: CollectorSettings) -> Iterator[JournalReader]:
    """The journal, only to be read: it is the running collector's. Raises SettingsError where there is none."""
    path = settings.folder / "journal.db"
    if not path.exists():
        raise SettingsError(str(settings.folder), [Problem("", "settings.no_file", {"path": path})])
    with contextlib.closing(JournalReader(path)) as journal:
        journal.stand_still()  # else what was made and what is stored would be of two moments, and not add up
        yield journal


def a_count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def a_moment(text: str) -> float:
    """Unix seconds of an RFC 3339 time with its offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-24T07:00:00+07:00") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset from UTC, such as +07:00 or Z")
    return moment.timestamp()


def rfc3339(at_s: float) -> str:
    """Unix seconds as a time of RFC 3339, in UTC, to the millisecond."""
    whole_s = int(at_s)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_s)) + f".{int((at_s - whole_s) * 1000):03d}Z"
