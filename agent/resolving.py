"""Resolves names without making anybody wait for a resolver that hangs: each question has a thread of its own."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from agent.probe import ProbeFailed
from contract.outcome import Outcome

_AT_ONCE: Final = 32
_free = threading.BoundedSemaphore(_AT_ONCE)
"""A resolver that is gone may hold threads for half a minute; beyond this many, further questions fail at once."""


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
        pass
    else:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
        return Resolved(host, family, None)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            found = await _ask(loop, host)
    except TimeoutError:
        raise ProbeFailed(
            Outcome.TIMEOUT, f"{what}: the resolver did not answer for {host} within {timeout_s:g} s"
        ) from None
    except socket.gaierror as error:
        raise ProbeFailed(Outcome.NO_NAME, f"{what}: {host} does not resolve: {error.strerror}") from None
    except (OSError, UnicodeError) as error:
        raise ProbeFailed(Outcome.NO_NAME, f"{what}: {host} does not resolve: {error}") from None
    family, _, _, _, address_tuple = min(found, key=lambda one: one[0] != socket.AF_INET)
    return Resolved(str(address_tuple[0]), family, (loop.time() - began_s) * 1000)


Answers = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]
"""As socket.getaddrinfo gives them."""


async def _ask(loop: asyncio.AbstractEventLoop, host: str) -> Answers:
    answer: asyncio.Future[Answers] = loop.create_future()
    if not _free.acquire(blocking=False):
        raise OSError(f"{_AT_ONCE} questions wait for the resolver already")

    def tell(found: Answers | None, error: OSError | UnicodeError | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif found is not None:
            answer.set_result(found)

    def ask() -> None:
        found: Answers | None = None
        failure: OSError | UnicodeError | None = None
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = error
        finally:
            _free.release()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, found, failure)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return await answer
