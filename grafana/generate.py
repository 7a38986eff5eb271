"""Writes dashboards/ and provisioning/ beside this file; `python3 dev.py grafana` runs it.

With `--check` it only says which files are not current, and exits 1. With `--collector URL` the links to the
collector's pages lead to that address, and the files go to the folder given by `--into`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from grafana.board import COLLECTOR_URL, render
from grafana.boards import BOARDS
from grafana.edition import EDITIONS
from grafana.provisioning import files

HERE: Final = Path(__file__).resolve().parent
_MADE: Final = ("dashboards", "provisioning")


def documents() -> Iterator[tuple[PurePosixPath, str]]:
    """Every generated file: its path below this folder, and what should be in it."""
    for edition in EDITIONS:
        for number, make in enumerate(BOARDS, start=1):
            board = make(edition)
            text = json.dumps(render(board, edition), ensure_ascii=False, indent=1) + "\n"
            yield PurePosixPath("dashboards", edition.language, edition.dialect, f"{number}-{board.name}.json"), text
    yield from files()


def stale(folder: Path, wanted: dict[Path, str]) -> list[Path]:
    """Files that are not what they should be, and files that should not be at all."""
    wrong = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    there = [path for name in _MADE for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return wrong + [path for path in there if path not in wanted]


def main(arguments: Sequence[str]) -> int:
    """Write, or only compare; 1 when something was not current."""
    parser = argparse.ArgumentParser(prog="dev.py grafana", description="Regenerate Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="only say which files are not current")
    parser.add_argument("--collector", default=COLLECTOR_URL, help="address of the collector's pages (%(default)s)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder to write to (where they are kept)")
    asked = parser.parse_args(arguments)
    folder = asked.into.resolve()
    wanted = {folder / path: text.replace(COLLECTOR_URL, asked.collector.rstrip("/")) for path, text in documents()}
    found = stale(folder, wanted)
    for path in found:
        if not asked.check:
            if path in wanted:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(wanted[path], encoding="utf-8")
            else:
                path.unlink()
        print(f"{path.relative_to(folder)}: {'not current' if asked.check else 'written'}")
    return 1 if found and asked.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
