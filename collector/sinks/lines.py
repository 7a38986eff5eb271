"""Writes samples as InfluxDB line protocol, the head of each series ready made.

Nothing is escaped, for nothing needs it: a sample's texts are tag-safe (`contract.names.is_tag`), and escaping is
where labels get forged.
"""

from collections.abc import Sequence
from typing import Final

from collector.sample import Sample

_HEADS_MAX_COUNT: Final = 200_000
_Head = tuple[str, str, str, str, str, str, str]


class Lines:
    """Makes lines; remembers the head (measurement and tags) of every series that it has seen."""

    def __init__(self) -> None:
        self._heads: dict[_Head, str] = {}

    def line(self, sample: Sample) -> str:
        """One sample as a line without its end; the time in milliseconds, whole numbers with an `i`."""
        room, agent, province, measurement, target, role, reason, measured_ms, fields = sample
        key = (room, agent, province, measurement, target, role, reason)
        head = self._heads.get(key)
        if head is None:
            head = self._remember(key, sample)
        body = ",".join(
            [f"{name}={value}i" if type(value) is int else f"{name}={value!r}" for name, value in fields.items()]
        )
        return f"{head}{body} {measured_ms}"

    def encode(self, samples: Sequence[Sample]) -> bytes:
        """All samples, a line each."""
        return "\n".join(map(self.line, samples)).encode("ascii")

    def _remember(self, key: _Head, sample: Sample) -> str:
        if len(self._heads) >= _HEADS_MAX_COUNT:
            self._heads.clear()
        tags = (  # sorted by name, which spares InfluxDB the sorting
            ("agent", sample.agent),
            ("province", sample.province),
            ("reason", sample.reason),
            ("role", sample.role),
            ("room", sample.room),
            ("target", sample.target),
        )
        head = "".join([sample.measurement, *(f",{name}={text}" for name, text in tags if text), " "])
        self._heads[key] = head
        return head
