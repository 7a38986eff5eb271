"""Runs the pages' web server in a thread of its own, beside the rest of the collector."""

import errno
import socket
import sys
import threading
import time

import uvicorn
from starlette.applications import Starlette

_START_WITHIN_S = 10.0
_FINISH_REQUESTS_WITHIN_S = 2
_STOP_WITHIN_S = 5.0


class WebServerError(Exception):
    """The pages cannot be served: the address that was tried, and why not."""


class WebServer:
    """Serves a site at one address. Port 0 takes any free one; `port` then tells which."""

    def __init__(self, site: Starlette, host: str, port: int) -> None:
        self._site = site
        self._host = host
        self._wanted_port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the one asked for until `start` has returned."""
        return self._wanted_port if self._socket is None else int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Where to point a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listens, and returns once requests are answered. Raises WebServerError."""
        # Bound here and not by uvicorn, which would log the reason and end the thread with SystemExit.
        listening = self._bind()
        config = uvicorn.Config(
            self._site,
            log_config=None,  # the program decides where log lines go
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=500,
            timeout_graceful_shutdown=_FINISH_REQUESTS_WITHIN_S,
        )
        self._socket = listening
        self._server = uvicorn.Server(config)
        # In a thread uvicorn leaves signals alone: they belong to the program.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="web", daemon=True
        )  # fmt: skip
        self._thread.start()
        deadline = time.monotonic() + _START_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                address = self._address()
                self.stop()
                raise WebServerError(f"{address}: the web server did not start; the log says why")
            time.sleep(0.005)

    def stop(self) -> None:
        """Closes the door, gives requests in progress two seconds, and returns. Harmless when not started."""
        server, thread, listening = self._server, self._thread, self._socket
        self._server = self._thread = self._socket = None
        if server is not None and thread is not None:
            server.should_exit = True
            thread.join(_STOP_WITHIN_S)
            if thread.is_alive():
                server.force_exit = True
                thread.join(_STOP_WITHIN_S)
        if listening is not None:
            listening.close()

    def _address(self) -> str:
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        # On Windows SO_REUSEADDR would let two programs share the port; its own default is what we want there.
        if sys.platform == "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self._wanted_port))
            listening.listen(128)
        except OSError as error:
            listening.close()
            raise WebServerError(self._why_not(error)) from error
        return listening

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return f"{self._address()} is taken by another program; choose another under [web] port in the settings"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{self._address()}: not allowed to listen there; set [web] port above 1023 in the settings"
        return f"{self._address()}: cannot listen there: {error.strerror or error}"
