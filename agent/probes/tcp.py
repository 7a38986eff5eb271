"""Whether a TCP port takes connections, and how fast (RFC 9293, the three-way handshake)."""

import asyncio
import errno
import os
import socket
import time
from typing import Annotated, ClassVar, Final

import msgspec

from agent.network.resolving import resolve
from agent.probe import ProbeFailed, Value, Values
from agent.spending.meter import Farewell, spent_tcp
from contract.outcome import Outcome
from contract.settings import Port, Seconds, Target

_UNREACHABLE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
# Windows' event loop hands on errors of Win32, whose errno is no more than EINVAL.
_WIN32_TIMEOUT: Final = 121
_WIN32_REFUSED: Final = frozenset({64, 1225, 1234, 1236})
_WIN32_UNREACHABLE: Final = frozenset({1231, 1232})
_CONNECTION_BYTES: Final = 440


class Tcp(msgspec.Struct, frozen=True, kw_only=True):
    """Connects and closes at once; sends nothing (RFC 9293). A reset is REFUSED: the host is alive, nobody listens."""

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=60)] = 3.0

    values: ClassVar[tuple[Value, ...]] = (
        Value("connect_ms", "From the first SYN until the connection stood; the name is resolved before."),
        Value("resolve_ms", "Resolving the name; absent when an address was given."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "codec", "address": "192.168.1.20", "port": 1720}

    @property
    def cost_bytes(self) -> int:
        """A handshake and a farewell."""
        return _CONNECTION_BYTES

    @property
    def longest_s(self) -> float:
        """Resolving and connecting, each at most `timeout_s`."""
        return 2 * self.timeout_s

    async def measure(self) -> Values:
        """Connect once. Raises ProbeFailed with REFUSED, TIMEOUT, UNREACHABLE, DENIED or NO_NAME."""
        what = f"tcp {self.address}:{self.port}"
        found = await resolve(self.address, what, self.timeout_s)
        values: Values = {} if found.took_ms is None else {"resolve_ms": found.took_ms}
        with socket.socket(found.family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            began_s = time.perf_counter()
            try:
                async with asyncio.timeout(self.timeout_s):
                    await asyncio.get_running_loop().sock_connect(sock, (found.address, self.port))
            except OSError as error:
                spent_tcp(sock, Farewell.NONE)
                raise failure_of(error, what, self.timeout_s, values) from None
            values["connect_ms"] = (time.perf_counter() - began_s) * 1000
            spent_tcp(sock)
            return values


def failure_of(error: OSError, what: str, timeout_s: float, values: Values) -> ProbeFailed:
    """What an error of talking to a host means."""
    by_windows = getattr(error, "winerror", None)
    # The event loop puts words of its own where the system's stood.
    reason = str(error) if by_windows or error.errno is None else os.strerror(error.errno)
    if isinstance(error, TimeoutError) or by_windows == _WIN32_TIMEOUT:
        return ProbeFailed(Outcome.TIMEOUT, f"{what}: no answer within {timeout_s:g} s", values)
    if isinstance(error, ConnectionError) or by_windows in _WIN32_REFUSED:
        return ProbeFailed(Outcome.REFUSED, f"{what}: connection refused; the host is alive", values)
    if isinstance(error, PermissionError):
        return ProbeFailed(Outcome.DENIED, f"{what}: {reason}", values)
    if error.errno in _UNREACHABLE or by_windows in _WIN32_UNREACHABLE:
        return ProbeFailed(Outcome.UNREACHABLE, f"{what}: {reason}", values)
    return ProbeFailed(Outcome.BROKEN, f"{what}: {reason}", values)
