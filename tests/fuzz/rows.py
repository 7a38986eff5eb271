"""An epoch of a spool in memory, to put behind a Forwarder."""

from collections.abc import Sequence

from contract.reading import Record


class MemoryRows:
    """What a Forwarder asks of an epoch (agent/forward.py, `Rows`), of records that are all there."""

    low = 1
    dropped_count = 0

    def __init__(self, epoch: str, records: Sequence[Record]) -> None:
        self.epoch = epoch
        self.acked_upto = 0
        self._records = records

    @property
    def next_seq(self) -> int:
        return len(self._records) + 1

    @property
    def made_count(self) -> int:
        return sum(len(record.readings) for record in self._records)

    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        assert max_bytes > 0
        return list(enumerate(self._records, 1))[first - 1 : first - 1 + max_count]

    def acknowledge(self, upto: int, *, mono_s: float) -> None:
        assert mono_s >= 0
        self.acked_upto = upto
