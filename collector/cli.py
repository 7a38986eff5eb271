"""`sansang-collector`: finds the command that is meant, and turns what goes wrong into a sentence and an exit code."""

import argparse
import logging
import os
import sqlite3
import sys
import time
from typing import Final

from collector.app import program_version
from collector.authority import AuthorityError
from collector.commands import kept, playing, rooms, service
from collector.commands.words import EXIT_SETTINGS, EXIT_WRONG, Commands, WrongWordError, language_of
from collector.rooms.registry import RegistryError
from collector.storage.database import DatabaseRefused
from contract.catalogue import say
from contract.settings import SettingsError

log = logging.getLogger(__name__)

_FAMILIES: Final = (service, rooms, kept, playing)
"""In the order of `--help`."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments.now_s = time.time()
    try:
        return int(arguments.command(arguments))
    except SettingsError as error:
        print(error.text(language_of(arguments)), file=sys.stderr)
        return EXIT_SETTINGS
    except (RegistryError, WrongWordError) as error:
        print(error.text(language_of(arguments)), file=sys.stderr)
        return EXIT_WRONG
    except AuthorityError as error:
        print(error.text(language_of(arguments)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `… | head` is no error
        return 0
    except (OSError, sqlite3.Error, DatabaseRefused) as error:  # a folder or a database that cannot be used
        log.debug("where it happened", exc_info=True)
        code = (
            "operator.cannot_start" if arguments.command in (service.run, service.run_reflector) else "operator.failed"
        )
        print(say(code, language_of(arguments), reason=error), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sansang-collector", description="Keeps, judges, and tells people.")
    parser.add_argument("--version", action="version", version=program_version())
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    commands = Commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    for family in _FAMILIES:
        family.add_to(commands)
    return parser
