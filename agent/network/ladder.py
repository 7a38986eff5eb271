"""Decides from what was seen of each rung which one failed first; asks nobody.

A rung that does not answer has not failed while something behind it answers: routers filter pings, and one national
server may be down while the rest of the country is there.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from contract.reading import Reading
from contract.rung import Rung

OUTSIDE: Final = (Rung.NATIONAL, Rung.INTERNATIONAL, Rung.LESSON, Rung.COLLECTOR_TCP)
"""Rungs that answer from beyond the provider: any of them proves all that lies before it."""
_PROVEN_BY: Final[Mapping[Rung, tuple[Rung, ...]]] = {
    Rung.GATEWAY: (Rung.ISP, *OUTSIDE),
    Rung.ISP: OUTSIDE,
    Rung.NATIONAL: OUTSIDE,
}
"""International has no proof but its own: servers at home answer also when the sea cable is cut."""


_HIDDEN_BY_PORTAL: Final = (Rung.NATIONAL, Rung.INTERNATIONAL, Rung.DNS, Rung.DNS_LIES)


class Step(NamedTuple):
    """What was seen of one rung: whether it holds, None when that cannot be told; and the facts, for people.

    `answered` says that somebody there answered all the same, if only to refuse.
    """

    rung: Rung
    holds: bool | None
    detail: str = ""
    answered: bool = False


def first_failed(steps: Iterable[Step]) -> Step | None:
    """The failing step nearest to the PC that nothing behind it refutes; None when all holds that was asked.

    A foreign page outranks names that lie, and what else is not let through: who shows one mostly gives every name its
    own address, and lets nothing pass but pages. Where nothing outside answers, it is not known of the international
    rung that only it failed.
    """
    seen = {step.rung: step for step in steps}
    proven = {rung for rung, step in seen.items() if step.holds or step.answered}
    failed = [
        step
        for _, step in sorted(seen.items())
        if step.holds is False and proven.isdisjoint(_PROVEN_BY.get(step.rung, ()))
    ]
    if not failed:
        return None
    first = failed[0]
    if first.rung in _HIDDEN_BY_PORTAL and seen.get(Rung.PORTAL) in failed:
        return seen[Rung.PORTAL]
    if first.rung is Rung.INTERNATIONAL and proven.isdisjoint(OUTSIDE):
        return first._replace(rung=Rung.NATIONAL)
    return first


def is_cut(steps: Iterable[Step]) -> bool:
    """Whether the way ends before the names: what lies behind could only time out."""
    failed = first_failed(steps)
    return failed is not None and failed.rung <= Rung.NATIONAL


def completed(reading: Reading, lost_at: Rung) -> Reading:
    """A walk on which nothing failed, with what the agent's own connection failed at: only it knows whom to believe,
    and whether the broker takes it.
    """
    if not lost_at or reading.values.get("failed_rung_code") != Rung.NONE:
        return reading
    return msgspec.structs.replace(reading, values=reading.values | {"failed_rung_code": int(lost_at)})
