import re
from pathlib import Path
from typing import get_args

import pytest

import collector.web
from agent.probes import probe_class, probe_names
from collector.derived import DERIVED
from contract.catalogue import LANGUAGES, entries, knows
from contract.messages import Goodbye
from contract.outcome import Outcome
from contract.units import unit_of
from readiness.verdict import Level

PAGES = {code: texts for code, texts in entries().items() if code.startswith("page.")}


@pytest.mark.parametrize("code", PAGES)
def test_an_entry_has_both_languages_with_the_same_facts(code: str) -> None:
    texts = PAGES[code]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    facts = [set(re.findall(r"{(\w+)}", text)) for text in texts.values()]
    assert facts[0] == facts[1]


def test_every_level_and_outcome_has_its_words() -> None:
    wanted = {f"page.outcome.{outcome.value}" for outcome in Outcome}
    wanted |= {f"page.level.{level.name.lower()}{end}" for level in Level for end in ("", ".meaning")}
    assert wanted - set(PAGES) == set()


def test_every_goodbye_has_its_words() -> None:
    assert [word for word in get_args(Goodbye) if not knows(f"goodbye.{word}")] == []


def test_a_named_value_ends_in_a_published_unit() -> None:
    names = [code.removeprefix("page.value.") for code in PAGES if code.startswith("page.value.")]
    assert [name for name in names if unit_of(name) is None] == []


def test_every_code_that_a_template_names_is_in_the_catalogue() -> None:
    folder = Path(collector.web.__file__).parent
    named = {
        code
        for file in [*folder.glob("templates/*.html"), *folder.glob("*.py")]
        for code in re.findall(r'\bsay\("([a-z_.]+)"[,)]', file.read_text(encoding="utf-8"))
    }
    assert len(named) > 60
    assert {"page." + code.removeprefix("page.") for code in named} - set(PAGES) == set()


def test_every_value_that_a_probe_or_the_collector_brings_has_a_name_for_people() -> None:
    names = {one.name for derived in DERIVED for one in derived.values}
    for probe in probe_names():
        names |= {one.name for one in vars(probe_class(probe))["values"]}
    assert sorted(name for name in names if not knows(f"page.value.{name}")) == []
