"""What apcupsd says of its UPS, over a real connection."""

from typing import Final

from agent.probes.power import Power
from tests.fuzz.speaker import Loop, Speaker
from tests.support.ports import LOOPBACK

WORDS: Final = (
    *(b"STATUS   : ", b"ONLINE ", b"ONBATT LOWBATT", b"COMMLOST", b"SHUTTING DOWN", b"TIMELEFT : ", b"\x00\x00"),
    *(b"\xff\xff", b"\x00\x01", b":", b"1e999", b"9" * 400, b"\xfe", b"Volts", b"SELFTEST : IP"),
)


def inputs() -> list[bytes]:
    return [
        _answer(
            "APC : 001,036", "STATUS : ONLINE", "LINEV : 230.0 Volts", "BCHARGE : 100.0 Percent", "TIMELEFT : 41.5"
        ),
        _answer("STATUS : ONBATT LOWBATT", "TONBATT : 12 Seconds", "BATTV : 24.1 Volts", "LOADPCT : 9.0 Percent"),
        _answer("STATUS : COMMLOST"),
        b"\x00\x00",
    ]


def _answer(*lines: str) -> bytes:
    return b"".join(len(line).to_bytes(2, "big") + line.encode() for line in lines) + b"\x00\x00"


class Asking:
    """Set up once for a process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.speaker = Speaker(self.loop)
        self.probe = Power(apcupsd=f"{LOOPBACK}:{self.speaker.port}", timeout_s=0.9)


_asking: Final[list[Asking]] = []


def take(data: bytes) -> bool:
    if not _asking:
        _asking.append(Asking())
    (asking,) = _asking
    asking.speaker.words = data
    return asking.loop.measure(asking.probe.measure())
