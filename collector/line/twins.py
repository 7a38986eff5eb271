"""Notices that one identity speaks from two PCs, as when a disk was copied with the agent on it. Sans-IO.

A boot's name is random, so a boot that was followed by another never speaks again: when it does, and does so twice
within a while, two PCs are speaking. (Once may be a virtual machine that was set back.) From then on neither is
believed, and nothing of either is acknowledged: each keeps what it measures, until a person has told them apart by
enrolling the agent anew.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

WITHIN_S: Final = 900.0
_RETURNS: Final = 2
_BOOTS_KEPT: Final = 32
_AGENTS_MAX_COUNT: Final = 100_000


class Twin(NamedTuple):
    """An identity in doubt: since when, which two boots spoke by turns, and the credential that both of them have."""

    agent: str
    credential: str
    noticed_s: float
    boots: tuple[str, str]


class _Past:
    """The boots of one agent: the one that speaks, those before it, and when one of those spoke again."""

    __slots__ = ("earlier", "present", "returned_s")

    def __init__(self, present: str) -> None:
        self.present = present
        self.earlier: list[str] = []
        self.returned_s: list[float] = []


class Twins:
    """All identities. `known` are the doubts of an earlier run."""

    def __init__(self, known: Iterable[Twin] = ()) -> None:
        self._past: dict[str, _Past] = {}
        self._doubted = {twin.agent: twin for twin in known}

    @property
    def doubted(self) -> tuple[Twin, ...]:
        """The identities in doubt."""
        return tuple(self._doubted.values())

    def set_back(self, now: float, within_s: float) -> frozenset[str]:
        """Agents of which a boot that had been followed by another spoke again lately, and long enough ago for two PCs
        to have been noticed: a machine was set back to an earlier state of itself.
        """
        return frozenset(
            agent
            for agent, past in self._past.items()
            if agent not in self._doubted and any(WITHIN_S < abs(now - at_s) <= within_s for at_s in past.returned_s)
        )

    def heard(self, agent: str, boot: str, credential: str, at_s: float) -> Twin | None:
        """A batch of this boot has come. The doubt, if it shows just now."""
        past = self._past.get(agent)
        if past is None:
            if len(self._past) >= _AGENTS_MAX_COUNT:
                self._past.clear()
            self._past[agent] = _Past(boot)
            return None
        if boot == past.present:
            return None
        before, past.present = past.present, boot
        if boot in past.earlier:
            past.earlier.remove(boot)
            past.returned_s = [one_s for one_s in past.returned_s if abs(at_s - one_s) <= WITHIN_S] + [at_s]
        past.earlier = [*past.earlier, before][-_BOOTS_KEPT:]
        if len(past.returned_s) < _RETURNS or agent in self._doubted:
            return None
        twin = Twin(agent, credential, at_s, (before, boot))
        self._doubted[agent] = twin
        return twin

    def is_doubted(self, agent: str, credential: str) -> bool:
        """Whether the agent may be either of two. A new credential settles it: only one PC got that."""
        twin = self._doubted.get(agent)
        return twin is not None and twin.credential == credential

    def settle(self, agent: str) -> None:
        """Forget the doubt, and the past that gave rise to it."""
        self._doubted.pop(agent, None)
        self._past.pop(agent, None)
