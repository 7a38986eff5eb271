"""Every sentence for people, by code, Vietnamese first: one entry, two languages, in the `.toml` files beside this.

An entry is a table named by its code with a text for each language; `{name}` marks stand for facts:

    ["settings.unknown_key"]
    vi = "không có mục này; ý bạn là {nearest}?"
    en = "no such key; did you mean {nearest}?"
"""

import functools
import tomllib
from importlib import resources
from typing import Final, Literal, get_args

Language = Literal["vi", "en"]
LANGUAGES: Final = get_args(Language)


def say(code: str, language: Language, **facts: object) -> str:
    """The sentence for a code with its facts filled in; KeyError for a code or a fact that is missing."""
    return entries()[code][language].format(**facts)


def knows(code: str) -> bool:
    """Whether the catalogue has an entry for the code."""
    return code in entries()


@functools.cache
def entries() -> dict[str, dict[str, str]]:
    """All entries: code -> language -> text. ValueError when two files define one code."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".toml"):
            continue
        for code, texts in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if code in found:
                raise ValueError(f"{file.name}: {code} is defined twice")
            found[code] = texts
    return found
