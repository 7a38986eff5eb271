"""What is remembered of refused logins and of certificates: through restarts, clocks that step, and damaged files."""

import itertools
import stat
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from agent.devices.login import Login
from agent.devices.memory import DAY_S, Memory, Refusal, waited_s
from contract.moment import Moment
from contract.secret import Secret

ROOM: Final = Login("room", Secret("a wrong password"))
PLACE: Final = "onvif 192.168.1.20:80"
MONDAY: Final = 1_790_000_000.0


class Hand:
    """A PC whose clocks are set by hand."""

    def __init__(self) -> None:
        self.now = Moment(boot="one", mono_s=100.0, wall_s=MONDAY)

    def __call__(self) -> Moment:
        return self.now

    def goes_on(self, by_s: float) -> None:
        self.now = msgspec.structs.replace(self.now, mono_s=self.now.mono_s + by_s, wall_s=self.now.wall_s + by_s)

    def restarts(self, boot: str, wall_s: float) -> None:
        self.now = Moment(boot=boot, mono_s=10.0, wall_s=wall_s)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "devices.json"


def left_s(memory: Memory, login: Login = ROOM) -> float | None:
    found = memory.refusal_of(PLACE, login)
    return None if found is None else found[1]


def refused(file: Path, hand: Hand) -> None:
    memory = Memory(file, hand)
    memory.refused(PLACE, ROOM, is_answered=True)
    memory.save()


def test_a_refused_login_is_kept_back_for_a_day_and_any_other_is_not(hand: Hand) -> None:
    memory = Memory(None, hand)
    memory.refused(PLACE, ROOM, is_answered=True)
    assert left_s(memory) == DAY_S
    assert left_s(memory, Login("room", Secret("another password"))) is None
    assert left_s(memory, Login("other", ROOM.password)) is None
    assert memory.refusal_of("rtsp 192.168.1.20:554", ROOM) is None
    hand.goes_on(DAY_S - 1)
    assert left_s(memory) == 1
    hand.goes_on(1)
    assert left_s(memory) is None


def test_a_restart_of_the_agent_or_the_pc_forgets_no_refusal(file: Path, hand: Hand) -> None:
    refused(file, hand)
    hand.goes_on(3600)
    assert left_s(Memory(file, hand)) == DAY_S - 3600
    hand.restarts("two", MONDAY + 7200)
    assert left_s(Memory(file, hand)) == DAY_S - 7200


def test_a_clock_that_was_set_back_ends_no_pause_and_makes_none_endless(file: Path, hand: Hand) -> None:
    refused(file, hand)
    hand.restarts("two", 1_300_000_000.0)  # an empty battery on the board: 2011
    memory = Memory(file, hand)
    assert left_s(memory) == DAY_S
    hand.goes_on(DAY_S / 2)
    assert left_s(memory) == DAY_S / 2, "counted by this boot"
    memory.save()
    hand.restarts("three", MONDAY + 600)
    assert left_s(Memory(file, hand)) == DAY_S - 600, "right again: as long as it was in truth"


def test_a_clock_that_steps_while_the_pc_runs_changes_nothing(hand: Hand) -> None:
    memory = Memory(None, hand)
    memory.refused(PLACE, ROOM, is_answered=True)
    hand.now = msgspec.structs.replace(hand.now, wall_s=MONDAY + 900 * DAY_S)
    assert left_s(memory) == DAY_S


def test_a_device_that_hangs_up_on_a_login_is_tried_ever_more_rarely(hand: Hand) -> None:
    memory = Memory(None, hand)
    tries_s = []
    for _ in range(10):
        tries_s.append(hand.now.mono_s)
        memory.refused(PLACE, ROOM, is_answered=False)
        hand.goes_on(left_s(memory) or 0)
    pauses_s = [round(after - before) for before, after in itertools.pairwise(tries_s)]
    assert pauses_s[:4] == [60, 240, 960, 3840]
    assert pauses_s[-2:] == [DAY_S, DAY_S]
    within_half_an_hour = [one for one in tries_s if one - tries_s[0] <= 1800]
    assert len(within_half_an_hour) == 4, "devices lock after five"


def test_an_accepted_login_makes_good_what_was_before(hand: Hand) -> None:
    memory = Memory(None, hand)
    for _ in range(3):
        memory.refused(PLACE, ROOM, is_answered=False)
    memory.accepted(PLACE, "ab" * 32)
    assert left_s(memory) is None
    memory.refused(PLACE, ROOM, is_answered=False)
    assert left_s(memory) == 60
    assert memory.certificate_of(PLACE) == "ab" * 32, "a refusal does not forget the certificate"


def test_the_file_is_private_and_has_no_password(file: Path, hand: Hand) -> None:
    refused(file, hand)
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"wrong password" not in file.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"salt":1}', b"\xff\xfe", b'{"salt":"x","doors":{"a":7}}'])
def test_a_damaged_file_is_begun_anew(file: Path, hand: Hand, damage: bytes) -> None:
    file.write_bytes(damage)
    assert left_s(Memory(file, hand)) is None
    refused(file, hand)
    assert left_s(Memory(file, hand)) == DAY_S


def test_a_disk_that_refuses_costs_only_what_was_new(
    tmp_path: Path, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(tmp_path / "no" / "such" / "folder" / "devices.json", hand)
    memory.refused(PLACE, ROOM, is_answered=True)
    memory.save()
    assert "could not be kept" in caplog.text
    assert left_s(memory) == DAY_S


def test_what_only_reads_writes_nothing(file: Path, hand: Hand) -> None:
    refused(file, hand)
    before = file.read_bytes()
    memory = Memory(file, hand, saves=False)
    memory.accepted(PLACE, "")
    memory.save()
    assert file.read_bytes() == before


def test_the_memory_is_bounded(hand: Hand) -> None:
    memory = Memory(None, hand)
    for number in range(600):
        memory.accepted(f"xapi 10.0.0.1:{number}", "ab" * 32)
    assert memory.certificate_of("xapi 10.0.0.1:0") == ""
    assert memory.certificate_of("xapi 10.0.0.1:599") == "ab" * 32


def test_time_never_runs_backwards() -> None:
    before, after = Moment(boot="a", mono_s=5, wall_s=500), Moment(boot="b", mono_s=1, wall_s=100)
    assert waited_s(before, after) == 0
    assert Refusal(login="", at=before, count=100, is_answered=False).pause_s == DAY_S
