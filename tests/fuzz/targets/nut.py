"""What upsd says of a UPS, over a real connection."""

from typing import Final

from agent.probes.power import Power
from tests.fuzz.speaker import Loop, Speaker
from tests.support.ports import LOOPBACK

WORDS: Final = (
    *(b"VAR ups ups.status ", b'"OL CHRG"', b'"OB DISCHRG LB"', b"BEGIN LIST VAR ups\n", b"END LIST VAR ups\n"),
    *(b"ERR ", b"DATA-STALE\n", b"\\", b'\\"', b"1e999", b"-0", b"9" * 400, b"\xff", b"A" * 20_000, b"input.voltage"),
)
_ANSWER: Final = b"""BEGIN LIST VAR ups
VAR ups battery.charge "100"
VAR ups battery.runtime "1800"
VAR ups battery.voltage "13.6"
VAR ups input.voltage "230.4"
VAR ups input.frequency "50.0"
VAR ups output.voltage "230.1"
VAR ups ups.load "12"
VAR ups ups.alarm "Replace battery! No battery!"
VAR ups ups.model "Say \\"hello\\""
VAR ups ups.status "OL CHRG ALARM"
END LIST VAR ups
"""


FOUND: Final = (b"ERR \nVAR ups /\n", b"ERR\n")


def inputs() -> list[bytes]:
    return [_ANSWER, b"ERR UNKNOWN-UPS\n", b"ERR DATA-STALE\n", b"BEGIN LIST VAR ups\nEND LIST VAR ups\n", *FOUND]


class Asking:
    """Set up once for a process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.speaker = Speaker(self.loop)
        self.probe = Power(nut=f"{LOOPBACK}:{self.speaker.port}/ups", timeout_s=0.9)


_asking: Final[list[Asking]] = []


def take(data: bytes) -> bool:
    if not _asking:
        _asking.append(Asking())
    (asking,) = _asking
    asking.speaker.words = data
    return asking.loop.measure(asking.probe.measure())
