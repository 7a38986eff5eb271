"""What a web server answers, over a real connection."""

from typing import Final

from agent.probes.http import Http
from tests.fuzz.speaker import Loop, Speaker
from tests.support.ports import LOOPBACK

WORDS: Final = (
    *(b"HTTP/1.1 ", b"200 OK\r\n", b"100 Continue\r\n\r\n", b"304 \r\n", b"Content-Length: ", b"Transfer-Encoding: "),
    *(b"chunked\r\n", b"0\r\n\r\n", b"fffffffffffffff", b"-1", b"\r\n\r\n", b"\n", b"\0", b"\xff", b"A" * 40_000),
)


def inputs() -> list[bytes]:
    return [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nLocation: /login\r\n\r\nelsewhere",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ]


class Asking:
    """Set up once for a process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.speaker = Speaker(self.loop)
        self.probe = Http(target="lesson", url=f"http://{LOOPBACK}:{self.speaker.port}/", timeout_s=0.9)


_asking: Final[list[Asking]] = []


def take(data: bytes) -> bool:
    if not _asking:
        _asking.append(Asking())
    (asking,) = _asking
    asking.speaker.words = data
    return asking.loop.measure(asking.probe.measure())
