"""Checks settings whole before anything starts, and reports all problems together.

Settings are frozen `msgspec.Struct` classes; `load_toml` walks a file against one and builds it. A class may add
checks across its fields in a method `doubts()`, called once the fields are right by themselves.
"""

import difflib
import enum
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from contract import names
from contract.catalogue import Language, knows, say

T = TypeVar("T")


class Problem(NamedTuple):
    """One thing wrong: where in the file (`broker.port`), and the catalogue's code and facts for the sentence.

    A fact may itself be a `Phrase`, put into words with the same language.
    """

    where: str
    code: str
    facts: Mapping[str, object]

    def sentence(self, language: Language) -> str:
        """`where: what is wrong`, in one language."""
        facts = {name: fact.say(language) if isinstance(fact, Phrase) else fact for name, fact in self.facts.items()}
        text = say(self.code, language, **facts)
        return f"{self.where}: {text}" if self.where else text


class Phrase(NamedTuple):
    """Part of a sentence, by catalogue code."""

    code: str
    facts: Mapping[str, object]

    def say(self, language: Language) -> str:
        """The phrase in one language, its own phrases too."""
        facts = {name: fact.say(language) if isinstance(fact, Phrase) else fact for name, fact in self.facts.items()}
        return say(self.code, language, **facts)


class SettingsError(Exception):
    """A settings file cannot be used: all its problems, in the order in which they stand in the class."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(self.text("en"))

    @classmethod
    def unreadable(cls, path: Path, error: OSError | UnicodeDecodeError) -> "SettingsError":
        """A file that cannot even be read."""
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return cls(str(path), [Problem("", "settings.unreadable", {"reason": reason})])

    @classmethod
    def not_toml(cls, path: Path, error: ValueError | RecursionError) -> "SettingsError":
        """A file that is no TOML."""
        return cls(str(path), [Problem("", "settings.not_toml", {"reason": error})])

    def text(self, language: Language) -> str:
        """A line for each problem: `file: where: what is wrong`."""
        return "\n".join(f"{self.source}: {problem.sentence(language)}" for problem in self.problems)


class SeveralFilesWrong(SettingsError):
    """Several settings files cannot be used: all problems of each."""

    def __init__(self, errors: Iterable[SettingsError]) -> None:
        self.errors = tuple(errors)
        super().__init__("", [problem for error in self.errors for problem in error.problems])

    def text(self, language: Language) -> str:
        """A line for each problem, as in each error by itself."""
        return "\n".join(error.text(language) for error in self.errors)

    @classmethod
    def raise_any(cls, errors: Sequence[SettingsError]) -> None:
        """Raise what there is: nothing, the one error, or all of them as one."""
        if errors:
            raise errors[0] if len(errors) == 1 else cls(errors)


class Kind(enum.Enum):
    """How a number or text is written in a file, where its plain type does not say."""

    DURATION = "duration"
    SIZE = "size"
    SECRET_FILE = "secret file"  # noqa: S105 - names a kind of file


Seconds = Annotated[float, Kind.DURATION]
"""Written as a number of seconds, or "30s", "5m", "2h", "45d"."""
Size = Annotated[int, Kind.SIZE]
"""Bytes, written as a number, or "64MB", "1GB" (powers of 1024)."""
SecretFile = Annotated[Path, Kind.SECRET_FILE]
"""Path of a file that exists, is not empty, and that other users cannot read."""
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{2,31}\Z", description=names.ID_RULE)]
Target = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}\Z", description=names.TARGET_RULE)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

_DURATION_S: Final = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_BYTES: Final = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def load_toml(path: Path, into: type[T]) -> T:
    """The settings in a TOML file. Relative paths in it are taken from the file's folder.

    Raises SettingsError with every problem of the file.
    """
    return build(read_toml(path), into, source=str(path), folder=path.parent)


def read_toml(path: Path) -> dict[str, object]:
    """The table in a TOML file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad begins a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError.unreadable(path, error) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # beside its own: a number of 5000 digits, a thousand brackets
        raise SettingsError.not_toml(path, error) from error


def look_for(path: Path, where: str, *, is_folder: bool = False) -> Iterator[Problem]:
    """What is wrong with a path that should be there."""
    try:
        is_there = path.is_dir() if is_folder else path.is_file()
    except OSError as error:  # a folder that we may not enter, a name that no disk takes
        yield Problem(where, "settings.unreadable_path", {"path": path, "reason": error.strerror})
        return
    if not is_there:
        yield Problem(where, "settings.no_folder" if is_folder else "settings.no_file", {"path": path})


def look_at_secret(path: Path, where: str) -> Iterator[Problem]:
    """What is wrong with a file that should hold a secret: not there, empty, or open to every user of the machine."""
    missing = list(look_for(path, where))
    if missing:
        yield from missing
        return
    status = path.stat()
    if status.st_size == 0:
        yield Problem(where, "settings.empty_file", {"path": path})
    elif status.st_mode & 0o004 and hasattr(status, "st_uid") and path.drive == "":
        # Windows has no such bits (every file reads 0o666 there), hence the look at the drive letter.
        yield Problem(where, "settings.open_secret", {"path": path})


def build(raw: Mapping[str, object], into: type[T], *, source: str, folder: Path | None = None) -> T:
    """The settings in an already parsed table; `source` names it in the problems. Raises SettingsError."""
    walk = _Walk(folder or Path())
    value = walk.take(raw, into, "")
    if walk.problems:
        raise SettingsError(source, walk.problems)
    assert isinstance(value, into)  # noqa: S101 - for mypy: the walk built it by this very type
    return value


class _Refused(Exception):
    """This value cannot be used; its problem is noted already."""


class _Walk:
    """One pass over one file, gathering problems."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []

    def take(self, raw: object, into: Any, where: str) -> object:  # noqa: ANN401 - `into` is any annotation
        """The value of `raw` as annotation `into`, or None with the problem noted."""
        try:
            return self._take(raw, into, where, ())
        except _Refused:
            return None

    def _refuse(self, where: str, code: str, **facts: object) -> _Refused:
        self.problems.append(Problem(where, code, facts))
        return _Refused()

    def _expected(self, where: str, phrase: Phrase, raw: object) -> _Refused:
        return self._refuse(where, "settings.expected", expected=phrase, got=_shown(raw))

    def _take(self, raw: object, into: Any, where: str, marks: tuple[object, ...]) -> object:  # noqa: ANN401 - any annotation
        origin = get_origin(into)
        if origin is Annotated:
            inner, *more = get_args(into)
            return self._take(raw, inner, where, (*marks, *more))
        if origin in (Union, types.UnionType):
            inner = next(arm for arm in get_args(into) if arm is not type(None))
            return self._take(raw, inner, where, marks)
        if origin in (list, tuple, frozenset):
            return self._take_list(raw, into, where)
        if origin is dict:
            return self._take_dict(raw, into, where)
        if isinstance(into, type) and issubclass(into, msgspec.Struct):
            return self._take_struct(raw, into, where)
        phrase = expectation(into, marks)
        if origin is Literal:
            choices: tuple[object, ...] = get_args(into)
        elif isinstance(into, type) and issubclass(into, enum.Enum):
            choices = tuple(member.value for member in into)
        else:
            return self._take_plain(raw, into, where, marks, phrase)
        if raw not in choices or isinstance(raw, bool):
            raise self._expected(where, phrase, raw)
        return raw if origin is Literal else into(raw)

    def _take_plain(self, raw: object, into: Any, where: str, marks: tuple[object, ...], phrase: Phrase) -> object:  # noqa: ANN401 - any annotation
        value: object = raw
        if Kind.DURATION in marks:
            value = parse_written(raw, _DURATION_S)
        elif Kind.SIZE in marks:
            size = parse_written(raw, _SIZE_BYTES)
            value = None if size is None else round(size)
        elif into is float:
            value = _number(raw)
        elif into is Path and isinstance(raw, str) and raw:
            value = self.folder / raw
        elif into is object:
            return raw
        if not isinstance(value, into) or (isinstance(value, bool) and into is not bool):
            raise self._expected(where, phrase, raw)
        if not _within(value, marks):
            raise self._expected(where, phrase, raw)
        if Kind.SECRET_FILE in marks and isinstance(value, Path):
            found = list(look_at_secret(value, where))
            self.problems += found
            if found:
                raise _Refused
        return value

    def _take_list(self, raw: object, into: Any, where: str) -> object:  # noqa: ANN401 - any annotation
        if not isinstance(raw, list | tuple):
            raise self._expected(where, Phrase("expect.list", {}), raw)
        item = get_args(into)[0]
        taken = [self.take(one, item, f"{where}[{place}]") for place, one in enumerate(raw)]
        origin: Any = get_origin(into)
        return origin(taken)

    def _take_dict(self, raw: object, into: Any, where: str) -> object:  # noqa: ANN401 - any annotation
        if not isinstance(raw, Mapping):
            raise self._expected(where, Phrase("expect.table", {}), raw)
        key_type, item = get_args(into)
        taken = {}
        for key, one in raw.items():
            below = f"{where}.{key}" if where else str(key)
            if self.take(key, key_type, below) is not None:
                taken[key] = self.take(one, item, below)
        return taken

    def _take_struct(self, raw: object, into: type[msgspec.Struct], where: str) -> object:
        if not isinstance(raw, Mapping):
            raise self._expected(where, Phrase("expect.table", {}), raw)
        before = len(self.problems)
        hints = get_type_hints(into, include_extras=True)
        fields = {field.name: field for field in msgspec.structs.fields(into)}
        taken: dict[str, object] = {}
        for name, field in fields.items():
            below = f"{where}.{name}" if where else name
            if name in raw:
                taken[name] = self.take(raw[name], hints[name], below)
            elif field.required:
                self._refuse(below, "settings.missing", expected=expectation(hints[name]))
        for name in raw:
            if name not in fields:
                self._unknown(str(name), list(fields), f"{where}.{name}" if where else str(name))
        if len(self.problems) > before:
            raise _Refused
        made = into(**taken)
        doubts = getattr(made, "doubts", None)
        if doubts is not None:
            for doubt in doubts():
                self.problems.append(doubt._replace(where=".".join(part for part in (where, doubt.where) if part)))
        return made

    def _unknown(self, name: str, known: list[str], where: str) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        if near:
            self._refuse(where, "settings.unknown_key_near", nearest=near[0])
        else:
            self._refuse(where, "settings.unknown_key", known=", ".join(known))


def expectation(into: Any, marks: tuple[object, ...] = ()) -> Phrase:  # noqa: ANN401 - any annotation
    """What a file must hold for an annotation, as a phrase for people."""
    origin = get_origin(into)
    if origin is Annotated:
        inner, *more = get_args(into)
        return expectation(inner, (*marks, *more))
    if origin in (Union, types.UnionType):
        return expectation(next(arm for arm in get_args(into) if arm is not type(None)), marks)
    if origin is Literal:
        return Phrase("expect.one_of", {"choices": ", ".join(map(str, get_args(into)))})
    if origin in (list, tuple, frozenset):
        return Phrase("expect.list", {})
    if origin is dict or not isinstance(into, type):
        return Phrase("expect.table", {})
    if issubclass(into, enum.Enum):
        return Phrase("expect.one_of", {"choices": ", ".join(str(member.value) for member in into)})
    if issubclass(into, msgspec.Struct):
        return Phrase("expect.table", {})
    if Kind.DURATION in marks:
        return Phrase("expect.duration", {"bounds": _bounds(marks)})
    if Kind.SIZE in marks:
        return Phrase("expect.size", {"bounds": _bounds(marks)})
    if into is bool:
        return Phrase("expect.bool", {})
    if into is int:
        return Phrase("expect.whole", {"bounds": _bounds(marks)})
    if into is float:
        return Phrase("expect.number", {"bounds": _bounds(marks)})
    rule = next((meta.description for meta in _metas(marks) if meta.description), None)
    return Phrase("expect.text_rule", {"rule": _said(rule)}) if rule else Phrase("expect.text", {})


def _said(rule: str) -> Phrase | str:
    """A rule by its catalogue code; what one probe alone demands stands in its own file, in English."""
    return Phrase(rule, {}) if knows(rule) else rule


def parse_written(raw: object, units: Mapping[str, float]) -> float | None:
    """A number, or a text of a number and a unit, in the smallest unit; None when it is neither."""
    if isinstance(raw, int | float):
        return _number(raw)
    match = _WRITTEN.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None or match[2] not in units:
        return None
    return _number(float(match[1]) * units[match[2]])


def _number(raw: object) -> float | None:
    """A finite number, or None for anything else."""
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        return None
    try:
        number = float(raw)
    except OverflowError:  # TOML's whole numbers have no end
        return None
    return number if math.isfinite(number) else None


def _metas(marks: tuple[object, ...]) -> list[msgspec.Meta]:
    return [mark for mark in marks if isinstance(mark, msgspec.Meta)]


def _within(value: object, marks: tuple[object, ...]) -> bool:
    for meta in _metas(marks):
        if isinstance(value, int | float) and not (
            (meta.ge is None or value >= meta.ge)
            and (meta.le is None or value <= meta.le)
            and (meta.gt is None or value > meta.gt)
            and (meta.lt is None or value < meta.lt)
        ):
            return False
        if isinstance(value, str) and (
            (meta.pattern is not None and re.search(meta.pattern, value) is None)
            or (meta.min_length is not None and len(value) < meta.min_length)
            or (meta.max_length is not None and len(value) > meta.max_length)
        ):
            return False
    return True


def _bounds(marks: tuple[object, ...]) -> str | Phrase:
    for meta in _metas(marks):
        if meta.ge is not None and meta.le is not None:
            return Phrase("expect.between", {"low": _plain(meta.ge), "high": _plain(meta.le)})
        if meta.ge is not None:
            return Phrase("expect.at_least", {"low": _plain(meta.ge)})
        if meta.gt is not None:
            return Phrase("expect.above", {"low": _plain(meta.gt)})
        if meta.le is not None:
            return Phrase("expect.at_most", {"high": _plain(meta.le)})
    return ""


def _plain(number: float) -> str:
    return f"{number:g}" if number < 1e6 else str(int(number))  # noqa: PLR2004 - %g turns longer ones into 1e+06


def _shown(raw: object) -> str:
    text = {True: "true", False: "false"}[raw] if isinstance(raw, bool) else repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - one line on a terminal


def is_loopback(host: str) -> bool:
    """Whether an address stays on this machine; a name other than localhost is taken not to."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
