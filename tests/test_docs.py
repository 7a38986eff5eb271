"""The documents tell of what is there: links lead somewhere, commands exist, what is generated is current."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dev

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "grafana/**/*.md", "bench/**/*.md")
    for path in dev.ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
GENERATE = dev.ROOT / "docs" / "generate.py"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python3? dev\.py +([a-z][a-z-]*)")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> set[str]:
    """The anchors that a reader's browser makes of a document's headings, as GitHub does."""
    titles = re.findall(r"^#+ +(.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def dead_links(document: Path) -> Iterator[str]:
    text = document.read_text(encoding="utf-8")
    for link in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue  # another site's business
        where, _, anchor = link.partition("#")
        target = (document.parent / where).resolve() if where else document
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and target.suffix == ".md" and anchor not in headings(target.read_text(encoding="utf-8")):
            yield f"{link}: there is no such heading"


def name_of(document: Path) -> str:
    return document.relative_to(dev.ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    assert list(dead_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_of_dev_that_a_document_names_exists(document: Path) -> None:
    assert set(COMMAND.findall(document.read_text(encoding="utf-8"))) <= dev.COMMANDS.keys()


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# One two\n[here](#one-two) [gone](gone.md) [lost](#three) [page](page.md#one-two) [far](https://example.org)\n"
        "```\n[code](not-a-link.md)\n```\n",
        encoding="utf-8",
    )
    assert list(dead_links(document)) == ["gone.md: there is no such file", "#three: there is no such heading"]


@pytest.mark.skipif(not GENERATE.exists(), reason="no document is generated yet")
def test_generated_documents_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(GENERATE), "--check"], cwd=dev.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run: python3 dev.py docs\n{done.stdout}{done.stderr}"
