"""A TCP conversation with a limit on its time, its lines and its size; what goes wrong becomes a ProbeFailed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from agent.endpoint import Endpoint
from agent.network.resolving import resolve
from agent.probe import ProbeFailed
from contract.outcome import Outcome

_LINE_MAX_BYTES: Final = 16384


@contextlib.asynccontextmanager
async def converse(
    endpoint: Endpoint, what: str, timeout_s: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, lend reader and writer, close. All of it together may take `timeout_s`, after the name is resolved.

    Raises ProbeFailed: REFUSED, UNREACHABLE, TIMEOUT, NO_NAME; BROKEN when the other side stops amid a sentence.
    """
    found = await resolve(endpoint.host, what, timeout_s)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                found.address, endpoint.port, family=found.family, limit=_LINE_MAX_BYTES
            )
            yield reader, writer
    except TimeoutError:
        doing = "no connection" if writer is None else "connected, but no full answer"
        raise ProbeFailed(Outcome.TIMEOUT, f"{what}: {doing} within {timeout_s:g} s") from None
    except ConnectionRefusedError:
        raise ProbeFailed(Outcome.REFUSED, f"{what}: connection refused; the host is alive") from None
    except (asyncio.IncompleteReadError, ConnectionError):
        raise ProbeFailed(Outcome.BROKEN, f"{what}: closed the connection before it had answered") from None
    except asyncio.LimitOverrunError:
        raise ProbeFailed(Outcome.BROKEN, f"{what}: sent a line of more than {_LINE_MAX_BYTES} bytes") from None
    except OSError as error:
        raise ProbeFailed(Outcome.UNREACHABLE, f"{what}: {error.strerror or error}") from None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()
