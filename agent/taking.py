"""Takes one reading, whatever happens: the border at which a probe's failure becomes an outcome."""

import asyncio
import logging
import math
import traceback
from collections.abc import Coroutine, Iterable

import msgspec

from agent.probe import Probe, ProbeFailed, Values
from contract.moment import Clock
from contract.outcome import Outcome
from contract.reading import DETAIL_MAX_CHARS, Reading
from contract.secret import redact

log = logging.getLogger(__name__)

_GRACE_S = 1.0
_ENDS_WITHIN_S = 1.0
_LARGEST = 1e18
_WHOLE_FROM = 1000


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A reading and when its attempt began, on the monotonic clock."""

    reading: Reading
    began_mono_s: float

    def before(self, mono_s: float) -> Reading:
        """The reading as a record with the moment `mono_s` holds it."""
        return msgspec.structs.replace(self.reading, before_s=max(0.0, mono_s - self.began_mono_s))


async def take_reading(name: str, probe: Probe, clock: Clock) -> Taken:
    """Measure once. Never raises for anything that the probe does."""
    began_mono_s = clock.now().mono_s
    outcome, values, detail = Outcome.OK, {}, ""
    try:
        values = sound(await _within(probe.longest_s + _GRACE_S, probe.measure()))
    except _Hangs as hangs:
        # A probe keeps its own time limits: to pass them is a fault of ours or the PC's, and says nothing of a target.
        outcome, detail = Outcome.BROKEN, f"{name} {probe.target}: {hangs}"
    except ProbeFailed as failure:
        outcome, values, detail = failure.outcome, sound(failure.values), failure.detail
    except TimeoutError as error:
        outcome, detail = Outcome.TIMEOUT, f"{name} {probe.target}: {error or 'timed out'}"
    except Exception as error:  # noqa: BLE001 - the border of one probe: a fault of ours is a reading too, and stops no other
        broke = redact(traceback.format_exc(), probe)
        log.error("probe %s of %s broke:\n%s", name, probe.target, broke)  # noqa: TRY400 - log.exception would not redact
        outcome, detail = Outcome.BROKEN, f"{name} {probe.target}: {type(error).__name__}: {error}"
    reading = Reading(
        probe=name, target=probe.target, outcome=outcome, values=values, detail=_sendable(redact(detail, probe))
    )
    return Taken(reading=reading, began_mono_s=began_mono_s)


class _Hangs(Exception):
    """A measurement did not end in time."""


async def _within(limit_s: float, work: Coroutine[object, object, Values]) -> Values:
    """What the work brings. Raises _Hangs after `limit_s`, also when the work does not even end when told to.

    One that waits for ever while it tidies up is told twice; one that hangs still is left to itself.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if task.done():
            return task.result()
        for _ in range(2):
            task.cancel()
            await asyncio.wait({task}, timeout=_ENDS_WITHIN_S)
            if task.done():
                break
    finally:
        task.cancel()
        task.add_done_callback(_heard)
    raise _Hangs(f"no result within {limit_s:g} s" + ("" if task.done() else ", and it does not end"))


def _heard(task: asyncio.Task[Values]) -> None:
    """Nobody waits for it any more: what it raises is no news."""
    if not task.cancelled():
        task.exception()


def sound(values: Values) -> Values:
    """The values that are numbers, to four digits, and whole from 1000 on: more is noise, which a metered link pays."""
    sound: Values = {}
    for name, value in values.items():
        if isinstance(value, bool):
            sound[name] = int(value)
        elif isinstance(value, int) and abs(value) < _LARGEST:
            sound[name] = value
        elif isinstance(value, float) and math.isfinite(value) and abs(value) < _LARGEST:
            sound[name] = float(round(value)) if abs(value) >= _WHOLE_FROM else float(f"{value:.4g}")
    return sound


def each_once(taken: Iterable[Taken]) -> list[list[Taken]]:
    """The same in groups, in none of which a probe measures a target twice: a record cannot hold that.

    It happens when an answer came after its own record was closed, and the next in time.
    """
    groups: list[dict[tuple[str, str], Taken]] = []
    for one in taken:
        key = (one.reading.probe, one.reading.target)
        group = next((group for group in groups if key not in group), None)
        if group is None:
            group = {}
            groups.append(group)
        group[key] = one
    return [list(group.values()) for group in groups]


def _sendable(detail: str) -> str:
    """The sentence as a batch can carry it: an operating system's own words may hold halves of characters."""
    return detail[:DETAIL_MAX_CHARS].encode(errors="replace").decode()
