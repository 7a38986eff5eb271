"""Finds free ports on the loopback address."""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_handed_out: set[int] = set()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on, and that this run has not handed out before.

    Somebody else may take it before it is used: servers that can listen on port 0 should.
    """
    for _ in range(100):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind((LOOPBACK, 0))
            port = int(sock.getsockname()[1])
        if port not in _handed_out:
            _handed_out.add(port)
            return port
    raise RuntimeError("no free port in 100 tries")


def is_listening(port: int) -> bool:
    """Whether a TCP connection to the loopback port is accepted."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        return sock.connect_ex((LOOPBACK, port)) == 0
