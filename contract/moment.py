"""One instant as a PC sees it: never by its wall clock alone."""

from typing import Protocol

import msgspec


class Moment(msgspec.Struct, frozen=True, kw_only=True, rename={"mono_s": "m", "wall_s": "w", "boot": "b"}):
    """The same instant on a PC's two clocks.

    `mono_s` counts seconds from an arbitrary point in this boot and never steps; `wall_s` is Unix time as the PC
    believes it, possibly years wrong. `boot` is random per boot: monotonic times compare only within one.
    """

    boot: str
    mono_s: float
    wall_s: float


class Clock(Protocol):
    """Tells the present moment; owned by the file that wires the program, handed to everything else."""

    def now(self) -> Moment:
        """The present instant."""
        ...
