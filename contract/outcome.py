"""How one attempt to measure ended."""

import enum


class Outcome(enum.StrEnum):
    """Closed set, in the order of its published codes (`outcome_code` in the time series).

    A dead host pinged is not a failed attempt: that is `OK` with `loss_ratio = 1.0`.
    """

    OK = "ok"
    TIMEOUT = "timeout"  # nothing came back in time
    REFUSED = "refused"  # the host answered that nobody listens (RST, ICMP port unreachable)
    UNREACHABLE = "unreachable"  # no route, network down, ICMP host unreachable
    NO_NAME = "no_name"  # the name did not resolve
    DENIED = "denied"  # credentials, rights or policy: somebody said no
    ABSENT = "absent"  # the thing asked for is not there (no battery, no such object, no such NIC)
    BROKEN = "broken"  # an answer that makes no sense, or a fault of our own

    @property
    def code(self) -> int:
        """Integer that the time series carry; published in docs/series.md, never renumbered."""
        return _CODES[self]


_CODES = {outcome: code for code, outcome in enumerate(Outcome)}
