"""Finds the words on the dashboards: their own in texts.toml, reasons and roles in the project's catalogue."""

import functools
import tomllib
from pathlib import Path
from typing import Final

from contract import catalogue
from contract.catalogue import Language

FILE: Final = Path(__file__).with_name("texts.toml")


@functools.cache
def entries() -> dict[str, dict[str, str]]:
    """The dashboards' own texts: code -> language -> text. ValueError for a code that the catalogue has already."""
    own: dict[str, dict[str, str]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    if twice := own.keys() & catalogue.entries().keys():
        raise ValueError(f"{FILE.name}: the catalogue has {', '.join(sorted(twice))} already")
    return own


def say(code: str, language: Language, **facts: object) -> str:
    """The text for a code with its facts filled in; KeyError for a code or a fact that is missing."""
    if code in entries():
        return entries()[code][language].format(**facts)
    return catalogue.say(code, language, **facts)
