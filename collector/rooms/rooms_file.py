"""Reads a CSV file of rooms: its rows, or everything that is wrong with it, line by line. Opens no file."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from collector.rooms.spelling import tag_of, tidy
from contract.catalogue import LANGUAGES, Language, say
from contract.names import is_id

DEFAULT_LANGUAGE: Final[Language] = "vi"

PlaceKind = Literal["province", "district", "commune", "school"]

_NEEDED: Final = ("room", "name", "province", "school")
_OPTIONAL: Final = ("district", "commune", "contact_name", "contact_mail", "language", "profile")
_COLUMNS: Final = (
    "room", "name", "province", "district", "commune", "school", "contact_name", "contact_mail", "language", "profile",
)  # fmt: skip
LONGEST_NAME_CHARS: Final = 200
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


class BadLine(NamedTuple):
    """One thing wrong in a file of rooms, at a line of it (counted from 1, the header)."""

    line: int
    code: str
    facts: Mapping[str, object]

    def sentence(self, language: Language) -> str:
        """`line 3: what is wrong`, in one language."""
        return say("registry.line", language, line=self.line, problem=say(self.code, language, **self.facts))


class ContactRow(NamedTuple):
    """Who answers for a room; an empty address means nobody."""

    name: str
    address: str
    language: str


class RoomRow(NamedTuple):
    """A line of the file; `profile` and `contact` are None where the file has no such column."""

    room: str
    name: str
    place: list[tuple[PlaceKind, str]]
    profile: str | None
    contact: ContactRow | None


def read_rooms(text: str, profiles: Collection[str] | None) -> tuple[list[RoomRow], list[BadLine]]:
    """All good rows and all bad lines, in the file's order; `profiles` are the names that a row may bear, None: any."""
    head = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    rows: list[RoomRow] = []
    bad: list[BadLine] = []
    columns: list[str] | None = None
    seen: dict[str, int] = {}
    line = 1
    try:
        for cells in lines:
            here, line = line, lines.line_num + 1
            values = [tidy(cell) for cell in cells]
            if not any(values):
                continue
            if columns is None:
                columns = [value.lower() for value in values]
                bad += _doubts_of_header(here, columns)
                if bad:
                    break
                continue
            if len(values) != len(columns):
                bad.append(BadLine(here, "registry.cells", {"found": len(values), "expected": len(columns)}))
                continue
            cell = dict(zip(columns, values, strict=True))
            doubts = _doubts_of_row(here, cell, seen, profiles)
            seen.setdefault(cell["room"], here)
            bad += doubts
            if not doubts:
                rows.append(_row_of(cell))
    except csv.Error as error:
        bad.append(BadLine(lines.line_num, "registry.not_csv", {"reason": error}))
    if columns is None and not bad:
        bad.append(BadLine(1, "registry.no_header", {"expected": ", ".join(_COLUMNS)}))
    return rows, bad


def _doubts_of_header(line: int, columns: Sequence[str]) -> Iterator[BadLine]:
    missing = [name for name in _NEEDED if name not in columns]
    if len(missing) == len(_NEEDED):
        yield BadLine(line, "registry.no_header", {"expected": ", ".join(_COLUMNS)})
        return
    for name in missing:
        yield BadLine(line, "registry.missing_column", {"column": name})
    for position, name in enumerate(columns):
        if name not in _COLUMNS:
            yield BadLine(line, "registry.unknown_column", {"column": name, "expected": ", ".join(_COLUMNS)})
        elif name in columns[:position]:
            yield BadLine(line, "registry.column_twice", {"column": name})


def _doubts_of_row(
    line: int, cell: Mapping[str, str], seen: Mapping[str, int], profiles: Collection[str] | None
) -> list[BadLine]:
    doubts: list[tuple[str, dict[str, object]]] = []
    room = cell["room"]
    doubts += [("registry.empty", {"column": name}) for name in _NEEDED if not cell[name]]
    if room and not is_id(room):
        doubts.append(("registry.bad_id", {"id": room}))
    if room in seen:
        doubts.append(("registry.room_twice", {"room": room, "line": seen[room]}))
    if cell["province"] and not tag_of(cell["province"]):
        doubts.append(("registry.bad_province", {"province": cell["province"]}))
    for name, value in cell.items():
        if len(value) > LONGEST_NAME_CHARS:
            doubts.append(("registry.long", {"column": name, "longest": LONGEST_NAME_CHARS}))
        elif not value.isprintable():
            doubts.append(("registry.unprintable", {"text": repr(value)}))
    address = cell.get("contact_mail", "")
    if address and not is_address(address):
        doubts.append(("registry.bad_mail", {"address": address}))
    if cell.get("contact_name") and not address:
        doubts.append(("registry.contact_without_mail", {"name": cell["contact_name"]}))
    if cell.get("language") and cell["language"].lower() not in LANGUAGES:
        doubts.append(("registry.bad_language", {"chosen": cell["language"], "choices": ", ".join(LANGUAGES)}))
    if profiles is not None and cell.get("profile") and cell["profile"] not in profiles:
        doubts.append(("registry.bad_profile", {"profile": cell["profile"], "choices": ", ".join(sorted(profiles))}))
    return [BadLine(line, code, facts) for code, facts in doubts]


def _row_of(cell: Mapping[str, str]) -> RoomRow:
    kinds: tuple[PlaceKind, ...] = ("province", "district", "commune", "school")
    contact = None
    if "contact_mail" in cell:
        address = cell["contact_mail"]
        language = cell.get("language", "").lower() or DEFAULT_LANGUAGE
        contact = ContactRow(cell.get("contact_name", "") or address, address, language)
    return RoomRow(
        room=cell["room"],
        name=cell["name"],
        place=[(kind, cell[kind]) for kind in kinds if cell.get(kind)],
        profile=cell.get("profile"),
        contact=contact,
    )


def is_address(text: str) -> bool:
    """Whether it can be the mail address of a contact."""
    return _ADDRESS.fullmatch(text) is not None
