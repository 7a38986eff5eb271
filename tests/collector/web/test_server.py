import logging
import signal
import socket
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from collector.web.letters import LetterView
from collector.web.server import WebServer, WebServerError
from collector.web.site import build_site
from tests.collector.web import demo


def _site() -> Starlette:
    return build_site(demo.snapshot, demo.Outbox(), ready=lambda: (), now=lambda: demo.NOW_S)


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(WebServerError) as caught:
            WebServer(_site(), "127.0.0.1", port).start()
    assert (
        str(caught.value)
        == f"127.0.0.1:{port} is taken by another program; choose another under [web] port in the settings"
    )


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(WebServerError, match=r"^192\.0\.2\.1:0: cannot listen there: "):
        WebServer(_site(), "192.0.2.1", 0).start()


def test_a_server_answers_once_start_returns_and_frees_its_port_when_stopped() -> None:
    server = WebServer(_site(), "127.0.0.1", 0)
    server.start()
    port = server.port
    assert port > 0
    assert httpx.get(f"{server.url}/healthz", trust_env=False).text == "ok\n"
    server.stop()
    server.stop()
    assert "web" not in {thread.name for thread in threading.enumerate()}
    again = WebServer(_site(), "127.0.0.1", port)
    again.start()
    assert again.port == port
    again.stop()


def test_two_servers_stand_side_by_side() -> None:
    one, other = WebServer(_site(), "127.0.0.1", 0), WebServer(_site(), "127.0.0.1", 0)
    one.start()
    other.start()
    assert one.port != other.port
    one.stop()
    other.stop()


def test_the_server_leaves_signals_and_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    with caplog.at_level(logging.INFO):
        server = WebServer(_site(), "127.0.0.1", 0)
        server.start()
        httpx.get(f"{server.url}/", trust_env=False)
        during = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
        server.stop()
    assert during == before
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_request_that_hangs_does_not_hold_up_the_stop() -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(_request: Request) -> PlainTextResponse:
        entered.set()
        release.wait(20)
        return PlainTextResponse("late")

    server = WebServer(Starlette(routes=[Route("/", hang)]), "127.0.0.1", 0)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(30)
        threading.Timer(3.0, release.set).start()
        begun_s = time.monotonic()
        server.stop()
        assert time.monotonic() - begun_s < 11


def test_a_fault_of_ours_is_a_page_in_words_and_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(demo.Outbox):
        def letters(self, limit: int) -> list[LetterView]:
            raise OSError(f"disk on fire after {limit} letters")

    site = build_site(demo.snapshot, Broken(), ready=lambda: (), now=lambda: demo.NOW_S)
    server = WebServer(site, "127.0.0.1", 0)
    server.start()
    answer = httpx.get(f"{server.url}/letters", trust_env=False)
    server.stop()
    assert answer.status_code == 500
    assert "Trang này gặp lỗi" in answer.text
    assert "fire" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "disk on fire after 200 letters" in caplog.text
