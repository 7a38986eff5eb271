"""A proxy before a real database that behaves as badly as networks and databases do, as the test says."""

import http.client
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Final, Literal, Protocol

import pytest

from tests.support.ports import LOOPBACK

Mood = Literal["good", "busy", "cut", "slow", "away"]
"""`busy` answers 503; `cut` lets the database store and loses the answer; `away` breaks every connection at once."""
MOODS: Final[tuple[Mood, ...]] = ("good", "busy", "cut", "slow", "away")
_PATIENCE_S: Final = 30.0


class HostileDatabase:
    """Passes requests on. Lines in which `refused` is found are never stored: their write is answered with 400, and the
    others of it are stored all the same, as InfluxDB does it.
    """

    def __init__(self, url: str, *, refused: str, slow_s: float) -> None:
        """`slow_s` is how long each answer takes in that mood."""
        address = urllib.parse.urlsplit(url)
        self._to = (str(address.hostname), int(address.port or 80))
        self.mood: Mood = "good"
        self.counts: dict[str, int] = dict.fromkeys((*MOODS, "refused"), 0)
        self._refused = refused.encode()
        self._slow_s = slow_s
        self._stopping = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                proxy.pass_on(self, b"")

            def do_POST(self) -> None:
                proxy.pass_on(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """One request, in the mood of the moment."""
        mood = self.mood
        self.counts[mood] += 1
        if mood == "slow":
            self._stopping.wait(self._slow_s)
        if mood == "away":
            request.close_connection = True
        elif mood == "busy":
            self._answer(request, 503, b"too busy")
        else:
            self._ask(request, body, is_cut=mood == "cut")

    def _ask(self, request: BaseHTTPRequestHandler, body: bytes, *, is_cut: bool) -> None:
        lines = body.split(b"\n")
        taken = [line for line in lines if self._refused not in line]
        try:
            status, answer = self._forward(request, b"\n".join(taken)) if taken else (204, b"")
        except (OSError, http.client.HTTPException):
            request.close_connection = True  # the database has gone: so does the connection
            return
        if len(taken) < len(lines) and status < http.HTTPStatus.BAD_REQUEST:
            self.counts["refused"] += 1
            status, answer = 400, b"partial write: field type conflict"
        if is_cut:
            request.close_connection = True
        else:
            self._answer(request, status, answer)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._to, timeout=_PATIENCE_S)
        try:
            connection.request(request.command, request.path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _answer(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        try:
            request.send_response(status)
            if status != http.HTTPStatus.NO_CONTENT:
                request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            if status != http.HTTPStatus.NO_CONTENT:
                request.wfile.write(body)
        except OSError:
            request.close_connection = True  # the client has lost its patience

    def close(self) -> None:
        """End it."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def moods(chance: Random, among: Sequence[Mood] = MOODS) -> Iterator[Mood]:
    """Without end, each of them once before any comes again."""
    while True:
        yield from chance.sample(among, len(among))


class StartHostileDatabase(Protocol):
    """Puts a proxy before a database; it ends with the test."""

    def __call__(self, url: str, *, refused: str, slow_s: float) -> HostileDatabase:
        """Start one."""
        ...


@pytest.fixture
def hostile_database() -> Iterator[StartHostileDatabase]:
    made: list[HostileDatabase] = []

    def start(url: str, *, refused: str, slow_s: float) -> HostileDatabase:
        made.append(HostileDatabase(url, refused=refused, slow_s=slow_s))
        return made[-1]

    yield start
    for proxy in made:
        proxy.close()
