"""Records what a program asks of the disk, and makes of it the disks that a power cut could have left behind.

strace writes down each system call. Played back call by call, a disk is modelled that keeps its promises and no more:
what was written is sure once its file was synced; a name is sure once its folder was. Of all else any 512-byte sector,
any length and any name may be there in the new state, or in any of the states it was in since the last sync.
"""

import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

import pytest

from tests.support.debian import require

T = TypeVar("T")

STATES: Final = 150
LONG_STATES: Final = 5000
POWER_CUTS: Final = pytest.mark.bar(
    "power cuts",
    load="the power goes between any two system calls of spool and journal, which grow, fill, prune, are killed and "
    "closed; of what was not synced any sector, length or name survives at random",
)
HOW_MANY: Final = [STATES, pytest.param(LONG_STATES, marks=[pytest.mark.long, POWER_CUTS])]
"""How often a test cuts the power; what the short one sees is no row of the table."""
SECTOR_BYTES: Final = 512
_TRACED: Final = (
    "openat,close,dup,dup2,dup3,lseek,write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,ftruncate,truncate,"
    "fallocate,unlink,unlinkat,rename,renameat,renameat2,link,linkat,mkdir"
)
_CALL: Final = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_TEXT: Final = re.compile(r'"([^"]*)"(\.\.\.)?')  # all of a text is written in hexadecimal, quotes as well


class Call(NamedTuple):
    """One system call that succeeded: its name, its texts (paths and what was written), its numbers, its result."""

    name: str
    texts: tuple[bytes, ...]
    numbers: tuple[int, ...]
    flags: str
    result: int


def record(script: str, *arguments: str | Path, log: Path) -> list[Call]:
    """Run a Python script under strace to its end, and give what it asked of the disk."""
    command: list[str | Path] = [require("strace"), "-f", "-qq", "-xx", "-s", "4000000", "-e", f"trace={_TRACED}"]
    command += ["-e", "signal=none", "-o", log, sys.executable, "-c", script, *arguments]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    with log.open(encoding="ascii") as lines:
        return list(_calls(lines))


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    for line in lines:
        found = _CALL.match(line)
        if found is None:
            assert "<unfinished" not in line, "two threads at once: the order of their calls is not known"
            continue
        name, arguments, result = found.groups()
        if int(result) < 0:
            continue
        texts = []
        for text, cut in _TEXT.findall(arguments):
            assert not cut, "strace cut what was written"
            texts.append(bytes.fromhex(text.replace("\\x", "")))
        rest = _TEXT.sub("", arguments)
        yield Call(name, tuple(texts), tuple(map(int, re.findall(r"(?<![\w])-?\d+(?![\w])", rest))), rest, int(result))


class _File:
    """The bytes of one file as the program sees them, and what of them the disk may still lack."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._unsure: dict[int, list[bytes]] = {}  # by sector: what it held at the last sync, and all it held since
        self._lengths = [0]

    def write(self, at: int, text: bytes) -> None:
        end = at + len(text)
        first, last = at // SECTOR_BYTES, (end - 1) // SECTOR_BYTES
        for sector in range(first, last + 1):
            self._unsure.setdefault(sector, [self._sector(sector)])
        if end > len(self.data):
            self.data.extend(bytes(end - len(self.data)))
            self._lengths.append(end)
        self.data[at:end] = text
        for sector in range(first, last + 1):
            self._unsure[sector].append(self._sector(sector))

    def _sector(self, sector: int) -> bytes:
        return bytes(self.data[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")

    def resize(self, length: int) -> None:
        if length < len(self.data):
            for sector in range(length // SECTOR_BYTES, (len(self.data) - 1) // SECTOR_BYTES + 1):
                self._unsure.setdefault(sector, [self._sector(sector)])
            del self.data[length:]
        else:
            self.data.extend(bytes(length - len(self.data)))
        self._lengths.append(length)

    def sync(self) -> None:
        self._unsure.clear()
        self._lengths = [len(self.data)]

    def after_cut(self, chance: random.Random, survival_ratio: float) -> bytes:
        """What of it the cut leaves; `survival_ratio` is how likely each unsure thing is there in its latest state."""
        length = _survivor(self._lengths, chance, survival_ratio)
        text = bytearray(self.data)
        for sector, states in self._unsure.items():
            at = sector * SECTOR_BYTES
            if at >= length:
                continue
            if at > len(text):
                text.extend(bytes(at - len(text)))
            text[at : at + SECTOR_BYTES] = _survivor(states, chance, survival_ratio)
        return bytes(text[:length]).ljust(length, b"\0")


def _survivor(states: Sequence[T], chance: random.Random, survival_ratio: float) -> T:
    return states[-1] if chance.random() < survival_ratio else chance.choice(states)


class Disk:
    """One folder of a disk, to which calls are played; writes to the file `marks` are not on it, but remembered."""

    def __init__(self, folder: Path, marks: Path) -> None:
        self._folder = folder
        self._marks = str(marks).encode()
        self.marks: list[str] = []
        self._names: dict[str, _File] = {}
        self._unsure: dict[str, list[_File | None]] = {}
        self._open: dict[int, str | _File] = {}  # a name for the folder itself and for the marks
        self._at: dict[int, int] = {}

    def begin_program(self) -> None:
        """A new process begins: it has nothing open. What the last one did not sync is as unsure as before."""
        self._open.clear()

    def play(self, call: Call) -> bool:
        """Take one call into account; False when it has nothing to do with this disk."""
        match call.name:
            case "openat":
                return self._play_open(call)
            case "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2":
                return self._play_names(call)
            case _ if not call.numbers or call.numbers[0] not in self._open:
                return False
            case "close":
                del self._open[call.numbers[0]]
            case "write" | "pwrite64" | "lseek" | "ftruncate" | "fsync" | "fdatasync":
                self._play_file(call, self._open[call.numbers[0]])
            case _:
                raise NotImplementedError(call.name)
        return True

    def _name_of(self, path: bytes) -> str | None:
        found = Path(path.decode())
        return found.name if found.parent == self._folder else None

    def _play_open(self, call: Call) -> bool:
        (path,) = call.texts
        if path == self._marks:
            self._open[call.result] = "marks"
        elif Path(path.decode()) == self._folder:
            self._open[call.result] = "folder"
        elif (name := self._name_of(path)) is not None:
            if name not in self._names and "O_CREAT" in call.flags:
                self._rename(name, _File())
            if "O_TRUNC" in call.flags:
                self._names[name].resize(0)
            self._open[call.result] = self._names[name]
            self._at[call.result] = 0
        return call.result in self._open

    def _rename(self, name: str, file: _File | None) -> None:
        self._unsure.setdefault(name, [self._names.get(name)]).append(file)
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file

    def _play_names(self, call: Call) -> bool:
        names = [self._name_of(path) for path in call.texts]
        if names[0] is None:
            return False
        if call.name.startswith("rename"):
            assert names[1] is not None
            self._rename(names[1], self._names[names[0]])
        self._rename(names[0], None)
        return True

    def _play_file(self, call: Call, file: str | _File) -> None:
        handle = call.numbers[0]
        if file == "marks" and call.name == "write":
            self.marks += call.texts[0].decode().splitlines()
        elif file == "folder" and call.name in ("fsync", "fdatasync"):
            self._unsure.clear()
        elif isinstance(file, _File):
            match call.name:
                case "write":
                    file.write(self._at[handle], call.texts[0][: call.result])
                    self._at[handle] += call.result
                case "pwrite64":
                    file.write(call.numbers[-1], call.texts[0][: call.result])
                case "lseek":
                    self._at[handle] = call.result
                case "ftruncate":
                    file.resize(call.numbers[-1])
                case _:
                    file.sync()

    def after_cut(self, into: Path, chance: random.Random) -> None:
        """Write into an empty folder what a cut at this moment could leave of the files."""
        survival_ratio = chance.choice((0.0, 0.3, 0.6, 0.9, 0.99, 1.0))
        for name in sorted(self._names.keys() | self._unsure.keys()):
            file = self._names.get(name)
            if name in self._unsure:
                file = _survivor(self._unsure[name], chance, survival_ratio)
            if name.endswith("-shm"):
                if chance.random() < 0.5:  # shared memory, never written back on purpose: anything may be in it
                    (into / name).write_bytes(chance.randbytes(32768))
            elif file is not None:
                (into / name).write_bytes(file.after_cut(chance, survival_ratio))


class Recording:
    """What one or more programs, one after the other, asked of the files in one folder."""

    def __init__(self, folder: Path, marks: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._marks = marks
        self._programs: list[list[Call]] = []

    def add(self, script: str, *arguments: str | Path) -> None:
        """Run a Python script and append what it does. Its first two arguments are the folder and the marks."""
        self._marks.touch()
        log = self._marks.with_name("strace.log")
        calls = record(script, self._folder, self._marks, *arguments, log=log)
        log.unlink()
        disk = Disk(self._folder, self._marks)
        for program in self._programs:
            disk.begin_program()
            for call in program:
                disk.play(call)
        disk.begin_program()
        self._programs.append([call for call in calls if disk.play(call)])

    def cuts(self, count: int, chance: random.Random) -> Iterator[Disk]:
        """The disk at so many places, each between two calls."""
        total = sum(map(len, self._programs))
        places = sorted((chance.randrange(1, total + 1) for _ in range(count)), reverse=True)
        disk = Disk(self._folder, self._marks)
        played = 0
        for program in self._programs:
            disk.begin_program()
            for call in program:
                disk.play(call)
                played += 1
                while places and places[-1] == played:
                    places.pop()
                    yield disk


class TryCuts(Protocol):
    """Cuts the power so many times, and gives the first fault of each disk on which there is one."""

    def __call__(
        self, recording: Recording, faults_of: Callable[[Path, list[str]], Iterator[str]], states: int, /
    ) -> list[str]:
        """`faults_of` looks at the disk in a folder, and knows what the program had marked before the cut."""
        ...


@pytest.fixture
def try_cuts(tmp_path: Path) -> Iterator[TryCuts]:
    # Thousands of small disks, in memory where the machine can: a sync there costs nothing.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    states_folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path))

    def run(recording: Recording, faults_of: Callable[[Path, list[str]], Iterator[str]], states: int) -> list[str]:
        chance = random.Random(states)
        found = []
        for number, disk in enumerate(recording.cuts(states, chance)):
            state = states_folder / str(number)
            state.mkdir()
            disk.after_cut(state, chance)
            found += list(faults_of(state, disk.marks))[:1]
            shutil.rmtree(state)
        return found

    yield run
    shutil.rmtree(states_folder)


def told(what: str, states: int, faults: list[str]) -> str:
    """A phrase for the table: states, and how many show which fault."""
    kinds = Counter(fault.partition(":")[0] for fault in faults)
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) or "0 faults"
    return f"{what}: {found} in {states:,} states"
