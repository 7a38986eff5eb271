"""A wire that counts: relays TCP on loopback and knows the bytes and the segments that each way carried."""

import contextlib
import socket
import struct
import threading
from typing import Final, NamedTuple

from tests.support.ports import LOOPBACK

HEADER_BYTES: Final = 20 + 32
"""IPv4 without options, and TCP with the timestamp option that every present system uses."""
_MSS_BYTES: Final = 1460
_TCP_INFO: Final = 11
# struct tcp_info of linux/tcp.h: where tcpi_segs_out and tcpi_segs_in stand.
_SEGMENTS: Final = struct.Struct("=136xII")


class Carried(NamedTuple):
    """What went over the wire so far, both ways together: payload of TCP, and TCP segments with bare ACKs."""

    payload_bytes: int
    segments_count: int

    def __sub__(self, earlier: "Carried") -> "Carried":
        return Carried(self.payload_bytes - earlier.payload_bytes, self.segments_count - earlier.segments_count)

    @property
    def wire_bytes(self) -> int:
        """With the headers of IP and TCP."""
        return self.payload_bytes + self.segments_count * HEADER_BYTES


class Relay:
    """Carries one client's connection to a port. The client's side has segments as on Ethernet, not loopback's 64 KiB.

    Both ways are counted on the client's side, from the connection's handshake on.
    """

    def __init__(self, until: contextlib.ExitStack, to_port: int) -> None:
        self._to_port = to_port
        self._payload_bytes = 0
        self._counting = threading.Lock()
        self._client: socket.socket | None = None
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _MSS_BYTES)
        self._server.bind((LOOPBACK, 0))
        self._server.listen()
        self.port: int = self._server.getsockname()[1]
        until.callback(self._close)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def carried(self) -> Carried:
        """What went over the wire until now; nothing before a client has come."""
        if self._client is None:
            return Carried(0, 0)
        segments = _SEGMENTS.unpack_from(self._client.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256))
        with self._counting:
            return Carried(self._payload_bytes, sum(segments))

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            self._client, _ = self._server.accept()
            with socket.create_connection((LOOPBACK, self._to_port)) as broker:
                for one in (self._client, broker):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self._pour, args=(broker, self._client), daemon=True)
                back.start()
                self._pour(self._client, broker)
                back.join()

    def _pour(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while chunk := source.recv(65536):
                with self._counting:
                    self._payload_bytes += len(chunk)
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        for one in (self._server, self._client):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        self._thread.join()
