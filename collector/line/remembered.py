"""Remembers the last few things of each agent, so that memory is bounded, whoever sends what."""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

_REMEMBERED_MAX_COUNT: Final = 16

T = TypeVar("T")


class Remembered(Generic[T]):
    """By agent and name, the last few of each agent; the rest is in the journal."""

    def __init__(self) -> None:
        self._by_agent: dict[str, dict[str, T]] = {}

    def get(self, agent: str, name: str) -> T | None:
        """One, or None."""
        return self._by_agent.get(agent, {}).get(name)

    def put(self, agent: str, name: str, one: T) -> None:
        """Remember one, as the last of its agent."""
        mine = self._by_agent.setdefault(agent, {})
        mine[name] = one
        if len(mine) > _REMEMBERED_MAX_COUNT:
            del mine[next(iter(mine))]

    def of(self, agent: str) -> Iterable[T]:
        """Those of one agent."""
        return self._by_agent.get(agent, {}).values()

    def all(self) -> Iterator[T]:
        """Those of all agents."""
        for mine in self._by_agent.values():
            yield from mine.values()

    def clear(self) -> None:
        """Forget all: the journal knows."""
        self._by_agent.clear()
