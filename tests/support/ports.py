"""Finds free ports on the loopback address."""

import contextlib
import random
import socket
import sys
from collections.abc import Iterator
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_BLOCK_PORTS: Final = 100
_BLOCKS: Final = range(10_000, 32_700, _BLOCK_PORTS)
"""Below the ports that Linux gives to whoever connects (32768 and up), which it may do at any moment."""


def _numbers() -> Iterator[int]:
    """Ports of blocks that are ours alone: of this run, and of this worker of it."""
    for block in random.sample(_BLOCKS, len(_BLOCKS)):
        if _claim(block):
            yield from range(block, block + _BLOCK_PORTS)


def _claim(block: int) -> bool:
    """Whether no other process has it; it is ours until we end."""
    if sys.platform != "linux":
        return True  # only Linux has names that end with their process; elsewhere chance must do
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0sansang-ports-{block}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # open until we end
    return True


_ours: Final = _numbers()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on, and that no run on this machine hands out again while this one lasts."""
    for port in _ours:
        with socket.socket(socket.AF_INET, kind) as sock, contextlib.suppress(OSError):
            sock.bind((LOOPBACK, port))
            return port
    raise RuntimeError("no port is free")


def is_listening(port: int) -> bool:
    """Whether a TCP connection to the loopback port is accepted."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        return sock.connect_ex((LOOPBACK, port)) == 0
