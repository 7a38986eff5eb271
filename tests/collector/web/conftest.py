"""A site on a real server, and the rooms that it shows."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from collector.snapshot import Snapshot
from collector.web.server import WebServer
from collector.web.site import build_site
from tests.collector.web import demo

Serve = Callable[..., httpx.Client]


class Stage:
    """What the site is shown at this moment; tests change it, the server stays."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.problems: tuple[str, ...] = ()
        self.now_s = demo.NOW_S
        site = build_site(
            lambda: self.snapshot,
            demo.Outbox(),
            ready=lambda: self.problems,
            now=lambda: self.now_s,
            title=demo.HOSTILE,
        )
        self.server = WebServer(site, "127.0.0.1", 0)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """One server for all tests of the pages."""
    stage = Stage()
    stage.server.start()
    yield stage
    stage.server.stop()


@pytest.fixture
def serve(stage: Stage) -> Iterator[Serve]:
    """Shows a snapshot and returns a client without cookies."""
    clients: list[httpx.Client] = []

    def show(snapshot: Snapshot | None, *, problems: tuple[str, ...] = (), now_s: float = demo.NOW_S) -> httpx.Client:
        stage.snapshot, stage.problems, stage.now_s = snapshot, problems, now_s
        clients.append(httpx.Client(base_url=stage.server.url, trust_env=False))
        return clients[-1]

    yield show
    for client in clients:
        client.close()


@pytest.fixture
def site(serve: Serve) -> httpx.Client:
    """The demo's 86 rooms."""
    return serve(demo.snapshot())
