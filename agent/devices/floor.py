"""The least that can be said of a device: whether anything answers at all, by ping or by TCP."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from agent.network.resolving import Resolved, resolve
from agent.probe import ProbeFailed
from agent.probes.tcp import failure_of
from contract.outcome import Outcome

if sys.platform == "win32":
    from agent.network.icmp_windows import echo_all
else:
    from agent.network.icmp import echo_all

PORTS: Final = (80, 443, 554, 4352, 5060)
"""HTTP, HTTPS, RTSP, PJLink, SIP. Not H.323's 1720, which firewalls that help it along take for dead hosts too."""
_ECHOES: Final = 2
_SPACING_S: Final = 0.2
_SIZE_BYTES: Final = 56


async def find_alive(host: str, what: str, timeout_s: float, ports: Sequence[int] = PORTS) -> str:
    """How the device showed that it is there: `ping`, or the TCP port that took or refused a connection.

    Raises ProbeFailed: NO_NAME, UNREACHABLE, or TIMEOUT when nothing came back at all.
    """
    found = await resolve(host, what, timeout_s)
    trying = [asyncio.ensure_future(_ping(found, timeout_s))]
    trying += [asyncio.ensure_future(_connect(found, port, timeout_s)) for port in ports]
    failures: list[ProbeFailed] = []
    try:
        for done in asyncio.as_completed(trying):
            try:
                return await done
            except ProbeFailed as failure:
                failures.append(failure)
    finally:
        for one in trying:
            one.cancel()
        await asyncio.gather(*trying, return_exceptions=True)
    outcomes = [failure.outcome for failure in failures]
    # Only where all say that no way leads there: a single "no route" may be a firewall's.
    outcome = Outcome.UNREACHABLE if set(outcomes) <= {Outcome.UNREACHABLE, Outcome.DENIED} else Outcome.TIMEOUT
    raise ProbeFailed(outcome, f"{what}: nothing answers, neither ping nor TCP {', '.join(map(str, ports))}")


async def _ping(found: Resolved, timeout_s: float) -> str:
    for echo in await echo_all(found.address, _ECHOES, _SPACING_S, timeout_s, _SIZE_BYTES):
        if echo.rtt_s is not None:
            return "ping"
        if echo.told:
            raise ProbeFailed(echo.outcome, echo.told)
    raise ProbeFailed(Outcome.TIMEOUT, "no echo")


async def _connect(found: Resolved, port: int, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(found.address, port, family=found.family)
    except OSError as error:
        failure = failure_of(error, f"tcp {port}", timeout_s, {})
        if failure.outcome is Outcome.REFUSED:
            return f"tcp {port} refused"  # by the host itself, which therefore lives
        raise failure from None
    writer.close()
    return f"tcp {port}"
