"""Keeps count of what the agent uses of the school's line, on disk too, and says what may still be done today."""

import logging
import os
import threading
from pathlib import Path
from typing import Final

import msgspec

from agent.probe import Values
from agent.spending.budget import Budget, Spent, Use
from agent.spending.meter import TELLS_TCP, Wire
from contract.plan import Plan
from contract.reading import Reading

log = logging.getLogger(__name__)

CONNECTION_BYTES: Final = 6000
"""What a connection's beginning takes with TLS and certificates, where the system does not tell."""
_SAVE_EVERY_S: Final = 60.0


class Traffic:
    """The day's bytes. The agent's loop calls all but `weighed` and `save`, which its disk's thread may.

    `now_s` is the collector's time, None before it is known.

    What has been counted and not yet saved when the power fails is at most a minute's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.budget = Budget(_load(path))
        self._saved = self.budget.spent
        self._saved_s = float("-inf")
        self._linked = Wire()
        self._weighed_bytes = 0.0
        self._weighing = threading.Lock()
        self._given_up: frozenset[Use] = frozenset()

    def follow(self, plan: Plan) -> None:
        """A new plan, a new limit; what is spent is spent."""
        self.budget.limit_bytes, self.budget.zone = plan.daily_bytes, plan.time_zone

    def linked(self, wire: Wire, now_s: float | None) -> None:
        """What the connection to the broker has cost since the agent started; by weight where the system tells not."""
        with self._weighing:
            weighed_bytes, self._weighed_bytes = round(self._weighed_bytes), 0.0
        more_bytes = wire.total_bytes - self._linked.total_bytes if TELLS_TCP else weighed_bytes
        self._linked = wire
        if more_bytes > 0:
            self.budget.count(Use.TELEMETRY, more_bytes, now_s)

    def weighed(self, wire_bytes: float) -> None:
        """A message went out that takes about so much, its answers included."""
        with self._weighing:
            self._weighed_bytes += wire_bytes

    def given_up(self, now_s: float | None) -> frozenset[Use]:
        """What is not done any more today; a change is logged once."""
        given_up = frozenset(use for use in Use if not self.budget.allows(use, now_s))
        if given_up != self._given_up:
            names = ", ".join(use for use in Use if use in given_up) or "nothing"
            log.warning("%d bytes used today; given up: %s", self.budget.spent.total_bytes, names)
            self._given_up = given_up
        return given_up

    def completed(self, reading: Reading, now_s: float | None) -> Reading:
        """The reading of the traffic probe with what only the agent knows."""
        spent = self.budget.spent
        values: Values = {
            "telemetry_bytes": spent.telemetry_bytes,
            "probes_bytes": spent.probes_bytes,
            "tests_bytes": spent.tests_bytes,
        }
        if (used_ratio := self.budget.used_ratio(now_s)) is not None:
            values["budget_used_ratio"] = round(used_ratio, 4)
        return msgspec.structs.replace(reading, values=reading.values | values)

    def save(self, mono_s: float, *, at_once: bool = False) -> None:
        """Keep the count on disk, at most once a minute; a disk that refuses costs the count, and nothing else."""
        spent = self.budget.spent
        if spent == self._saved or not (at_once or mono_s - self._saved_s >= _SAVE_EVERY_S):
            return
        draft = self._path.with_suffix(".draft")
        try:
            draft.write_bytes(msgspec.json.encode(spent))
            os.replace(draft, self._path)  # noqa: PTH105 - in one step
        except OSError as error:
            log.warning("what was used of the line could not be kept: %s", error)
        self._saved, self._saved_s = spent, mono_s


def _load(path: Path) -> Spent:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Spent)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Spent()  # the first start, or a file that a power cut left half written
