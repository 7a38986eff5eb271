import os
import struct
from pathlib import Path

import pytest

from agent.last_run import (
    CRASHED,
    CUT,
    HELD,
    SHUT_DOWN,
    UPDATED,
    kernel_had_last_words,
    read_events,
    read_wtmp,
    stop_in_events,
    stop_in_wtmp,
)

BOOT, RUN_LEVEL, USER = 2, 1, 7


def wtmp(*logins: tuple[int, str, int]) -> bytes:
    """As glibc writes it on 64-bit Linux: 384 bytes a record."""
    record = struct.Struct("<h2xi32s4s32s256shhiii16s20s")
    assert record.size == 384
    return b"".join(
        record.pack(kind, 1, b"~", b"~~", user.encode(), b"", 0, 0, 0, wall_s, 0, b"", b"")
        for kind, user, wall_s in logins
    )


def event(number: int, **data: object) -> str:
    fields = "".join(f"<Data Name='{name}'>{value}</Data>" for name, value in data.items())
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>"
        f"<System><Provider Name='x'/><EventID Qualifiers='0'>{number}</EventID></System>"
        f"<EventData>{fields}</EventData></Event>"
    )


@pytest.mark.parametrize(
    ("logins", "expected"),
    [
        pytest.param([(BOOT, "reboot", 100), (USER, "an", 110), (RUN_LEVEL, "shutdown", 150), (BOOT, "reboot", 200)],
                     (SHUT_DOWN, 200), id="orderly"),
        pytest.param([(BOOT, "reboot", 100), (USER, "an", 110), (BOOT, "reboot", 200)], (CUT, 200), id="cut"),
        pytest.param([(BOOT, "reboot", 100), (RUN_LEVEL, "shutdown", 150), (BOOT, "reboot", 200), (BOOT, "reboot", 7)],
                     (CUT, 7), id="orderly, then cut, and a clock that fell back"),
        pytest.param([(BOOT, "reboot", 100)], None, id="the first boot ever"),
        pytest.param([], None, id="nothing kept"),
    ],
)  # fmt: skip
def test_linux_login_records_tell_how_the_run_before_ended(
    logins: list[tuple[int, str, int]], expected: tuple[int, int] | None
) -> None:
    assert stop_in_wtmp(list(read_wtmp(wtmp(*logins)))) == expected


def test_a_record_cut_short_by_a_power_cut_is_left_out() -> None:
    content = wtmp((BOOT, "reboot", 100), (BOOT, "reboot", 200))
    assert len(list(read_wtmp(content[:-10]))) == 1


ORDERLY = event(6006)
BY_HAND = event(1074, param1=r"C:\Windows\system32\shutdown.exe (PC-1)", param5="power off", param7=r"PC-1\giaovien")
BY_UPDATE = event(1074, param1=r"C:\Windows\servicing\TrustedInstaller.exe (PC-1)", param5="restart")
STARTED = event(6005)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([STARTED, ORDERLY, BY_HAND, STARTED], SHUT_DOWN, id="switched off by somebody"),
        pytest.param([STARTED, ORDERLY, BY_UPDATE, STARTED], UPDATED, id="restarted by an update"),
        pytest.param([STARTED, ORDERLY, STARTED], SHUT_DOWN, id="in order, nobody said who"),
        pytest.param([STARTED, ORDERLY, STARTED, ORDERLY, BY_UPDATE], SHUT_DOWN, id="the update was a run earlier"),
        pytest.param([event(6008), STARTED, event(41, BugcheckCode=0, PowerButtonTimestamp=0), STARTED], CUT,
                     id="power lost"),
        pytest.param([event(6008), STARTED, STARTED], CUT, id="unexpected, without event 41"),
        pytest.param([STARTED, event(6008), BY_HAND, STARTED], CUT, id="unexpected, after a shutdown that was aborted"),
        pytest.param([STARTED, event(41, BugcheckCode=159, PowerButtonTimestamp=0), STARTED], CRASHED,
                     id="blue screen"),
        pytest.param([STARTED, event(41, BugcheckCode=0, PowerButtonTimestamp=132518), STARTED], HELD,
                     id="button held"),
        pytest.param([STARTED], None, id="the log begins here"),
        pytest.param([STARTED, STARTED, ORDERLY, BY_HAND], None, id="nothing was written of the run between"),
        pytest.param([], None, id="an empty log"),
    ],
)  # fmt: skip
def test_windows_events_tell_how_the_run_before_ended(events: list[str], expected: int | None) -> None:
    assert stop_in_events(read_events("\r\n".join(events))) == expected


@pytest.mark.parametrize(
    ("filed_s", "expected"),
    [
        pytest.param(1010.0, True, id="filed right after this boot"),
        pytest.param(900.0, True, id="written a minute and a half before it"),
        pytest.param(510.0, False, id="filed after the boot before: of an earlier crash"),
    ],
)
def test_the_kernels_last_words_count_for_the_boot_that_followed_them(
    tmp_path: Path, *, filed_s: float, expected: bool
) -> None:
    folder = tmp_path / "1700000000"
    folder.mkdir()
    (folder / "dmesg-efi-1").write_text("Oops", encoding="ascii")
    os.utime(folder / "dmesg-efi-1", (filed_s, filed_s))
    assert kernel_had_last_words([tmp_path / "nothing", tmp_path], 1000.0) is expected


@pytest.mark.parametrize("text", ["", "Access is denied.", "<Event>", "<!DOCTYPE x [<!ENTITY a 'b'>]><a>&a;</a>"])
def test_what_is_no_event_log_tells_nothing(text: str) -> None:
    assert stop_in_events(read_events(text)) is None
