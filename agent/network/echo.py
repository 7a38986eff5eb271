"""What became of one echo request, the same from either system's way of sending it."""

from typing import NamedTuple

from contract.outcome import Outcome


class Echo(NamedTuple):
    """One request's fate.

    `rtt_s` is None when no answer came in time. `outcome` is OK with an answer and TIMEOUT with silence; UNREACHABLE,
    DENIED or BROKEN when somebody said why there is none, and `told` is who said what; `by` is the address of a router
    on the way who said it, empty when it was this PC itself.
    """

    rtt_s: float | None
    outcome: Outcome = Outcome.OK
    told: str = ""
    by: str = ""


class Manner(NamedTuple):
    """How requests travel: through how many routers at most, and whether these may cut them into fragments."""

    hops_max_count: int = 64
    may_split: bool = True


ORDINARY = Manner()

LOST = Echo(None, Outcome.TIMEOUT)
