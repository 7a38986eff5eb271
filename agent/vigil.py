"""Says when something must not wait for the next tick: the mains have failed or are back. Pure.

The router is often not on the UPS: what the room says in the first seconds of a power cut may be its last word.
"""

from collections.abc import Collection
from typing import Final

from agent.probe import Values

LOOK_EVERY_S: Final = 10.0
"""How often what is urgent is looked at between ticks."""
REPEAT_S: Final = 30.0
"""While it is so, it is told again so often: the latest word says how long the battery was still to last."""

Key = tuple[str, str]
"""A probe's name and its target."""


class Vigil:
    """Remembers what was last recorded of each urgent value. `now_mono_s` is the PC's monotonic time."""

    def __init__(self) -> None:
        self._told: dict[Key, tuple[Values, float]] = {}

    def recorded(self, key: Key, urgent: Collection[str], values: Values, now_mono_s: float) -> None:
        """A reading has been stored, by a tick or by the vigil."""
        self._told[key] = ({name: values[name] for name in urgent if name in values}, now_mono_s)

    def is_news(self, key: Key, urgent: Collection[str], values: Values, now_mono_s: float) -> bool:
        """Whether this look must be stored: something is another than it was, or is so and was long not told.

        What was not known before is no news, and neither is what cannot be known now: the next tick tells it.
        """
        if key not in self._told:
            return False
        known, told_mono_s = self._told[key]
        if any(name in values and name in known and values[name] != known[name] for name in urgent):
            return True
        return any(values.get(name) for name in urgent) and now_mono_s - told_mono_s >= REPEAT_S
