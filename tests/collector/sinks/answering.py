"""A small HTTP server on loopback that answers writes as a test tells it to, and remembers what it took."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest


class Answer(NamedTuple):
    """Status and body; `stall` is waited for before it is sent."""

    status: int
    body: str = ""
    stall: threading.Event | None = None


class Server:
    """Answers 204 until `answer` is replaced; `lines` are those of writes that it answered with 204."""

    def __init__(self) -> None:
        self.answer: Callable[[list[str]], Answer] = lambda _: Answer(204)
        self.metrics = Answer(404)
        self.lines: list[str] = []
        self.writes_count = 0
        self.last_path = self.last_authorization = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
                server.writes_count += 1
                server.last_path, server.last_authorization = self.path, self.headers.get("Authorization", "")
                answer = server.answer(lines)
                if answer.status == 204:
                    server.lines += lines
                self._send(answer)

            def do_GET(self) -> None:
                self._send(server.metrics)

            def _send(self, answer: Answer) -> None:
                if answer.stall is not None:
                    answer.stall.wait(10)
                try:
                    self.send_response(answer.status)
                    body = answer.body.encode() if answer.status != 204 else b""
                    if answer.status != 204:
                        self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the client has lost its patience

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()
