"""Resolves names without making anybody wait for a resolver that hangs: each question has a thread of its own."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from agent.probe import ProbeFailed
from contract.outcome import Outcome

_AT_ONCE: Final = 32
_LOOK_AGAIN_S: Final = 0.01
_free = threading.BoundedSemaphore(_AT_ONCE)
"""A resolver that is gone may hold a thread for half a minute; further questions wait for one to end, and time out."""


class Resolved(NamedTuple):
    """One address of a name, its family, and how long it took; `took_ms` None when nothing had to be asked."""

    address: str
    family: socket.AddressFamily
    took_ms: float | None


async def resolve(host: str, what: str, timeout_s: float) -> Resolved:
    """The first address of a host, IPv4 preferred as the classrooms have it. Raises ProbeFailed, naming `what`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        found = await resolve_all(host, what, timeout_s)
        return min(found, key=lambda one: one.family != socket.AF_INET)
    return Resolved(host, socket.AF_INET if address.version == 4 else socket.AF_INET6, None)  # noqa: PLR2004 - IPv4


async def resolve_all(
    host: str, what: str, timeout_s: float, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[Resolved]:
    """All addresses that this PC's resolver knows of a host, at least one. Raises ProbeFailed, naming `what`."""
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()  # the event loop's own clock ticks every 16 ms on Windows
    try:
        async with asyncio.timeout(timeout_s):
            found = await _ask(loop, host, family)
    except TimeoutError:
        detail = f"{what}: the resolver did not answer for {host} within {timeout_s:g} s"
        raise ProbeFailed(Outcome.TIMEOUT, detail) from None
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else error
        raise ProbeFailed(Outcome.NO_NAME, f"{what}: {host} does not resolve: {reason}") from None
    took_ms = (time.perf_counter() - began_s) * 1000
    return [Resolved(str(address[0]), kind, took_ms) for kind, _, _, _, address in found]


Answers = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]
"""As socket.getaddrinfo gives them."""


async def _ask(loop: asyncio.AbstractEventLoop, host: str, family: socket.AddressFamily) -> Answers:
    while not _free.acquire(blocking=False):  # noqa: ASYNC110 - freed by threads, for whichever loop: no event of asyncio's
        await asyncio.sleep(_LOOK_AGAIN_S)
    answer: asyncio.Future[Answers] = loop.create_future()

    def tell(found: Answers | None, error: OSError | UnicodeError | None) -> None:
        if answer.done():
            return  # nobody waits any more
        if error is not None:
            answer.set_exception(error)
        elif found is not None:
            answer.set_result(found)

    def ask() -> None:
        found: Answers | None = None
        failure: OSError | UnicodeError | None = None
        try:
            found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = error
        finally:
            _free.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            loop.call_soon_threadsafe(tell, found, failure)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return await answer
