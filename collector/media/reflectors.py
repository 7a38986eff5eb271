"""Remembers which reflector answered which rooms, so that a firewall is told from a reflector at rest. Pure."""

from typing import Final, NamedTuple

from contract.plan import Plan

_PORT: Final = 862
_ROOMS_KEPT: Final = 2
"""Whoever asks is one room; so many are enough to know another."""


class Reflector(NamedTuple):
    """Where a test of a plan sends its packets; no address stands for the collector's own reflector."""

    address: str
    port: int
    is_key_ours: bool
    """Whether the collector gave the agent its key: one written by hand may be wrong, and then nobody answers."""


def reflector_of(plan: Plan | None, probe: str, target: str) -> Reflector | None:
    """The reflector of one test; None where no plan of ours says."""
    for job in plan.jobs if plan is not None else ():
        if job.probe == probe and job.settings.get("target") == target:
            address, port = job.settings.get("address", ""), job.settings.get("port", _PORT)
            is_key_ours = not job.settings.keys() & {"key", "ssid"}
            return Reflector(str(address), port if isinstance(port, int) else _PORT, is_key_ours)
    return None


class Answered:
    """By reflector, the rooms that it answered last, and when (Unix seconds)."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, int], dict[str, float]] = {}

    def note(self, reflector: Reflector, room: str, at_s: float) -> None:
        """It answered a room."""
        rooms = self._rooms.setdefault(reflector[:2], {})
        rooms[room] = max(at_s, rooms.get(room, at_s))
        if len(rooms) > _ROOMS_KEPT:
            del rooms[min(rooms, key=lambda one: rooms[one])]

    def another_s(self, reflector: Reflector, room: str) -> float | None:
        """When it last answered another room; None when it never did."""
        rooms = self._rooms.get(reflector[:2], {})
        return max((at_s for one, at_s in rooms.items() if one != room), default=None)

    def clear(self) -> None:
        """Forget all: our clock was set."""
        self._rooms.clear()
