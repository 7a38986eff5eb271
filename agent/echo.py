"""What became of one echo request, the same from either system's way of sending it."""

from typing import NamedTuple

from contract.outcome import Outcome


class Echo(NamedTuple):
    """One request's fate.

    `rtt_s` is None when no answer came in time. `outcome` is OK with an answer and TIMEOUT with silence; UNREACHABLE,
    DENIED or BROKEN when somebody said why there is none, and `told` is who said what.
    """

    rtt_s: float | None
    outcome: Outcome = Outcome.OK
    told: str = ""


LOST = Echo(None, Outcome.TIMEOUT)
