"""One test of the line with a reflector of ours, as a probe asks for it: with its time limits, failures as outcomes."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from agent.media.packets import MEDIA_THREADS, Refusal, Wire
from agent.media.streaming import LineTest, Refused, Result, Silent, StreamTest
from agent.network.resolving import resolve
from agent.probe import ProbeFailed
from agent.threads import in_thread
from contract.outcome import Outcome

T = TypeVar("T")
Run = Callable[[StreamTest], Result]
"""Runs one test to its end. Raises Refused, Silent, Refusal, OSError."""

RESOLVES_WITHIN_S: Final = 5.0
ASKING_S: Final = 8.0
"""A test's questions before its streams, and its farewell."""
OVERHEAD: Final = 1.05
"""What a test takes beside its streams."""


async def with_reflector(what: str, address: str, port: int, work: Callable[[Run], T]) -> T:
    """What `work` makes of the tests that it runs, one after the other. Raises ProbeFailed: DENIED when the reflector
    has no test to give now, TIMEOUT, REFUSED, UNREACHABLE or NO_NAME.
    """
    found = await resolve(address, what, RESOLVES_WITHIN_S)

    def run(abandoned: threading.Event) -> T:
        def one(test: StreamTest) -> Result:
            with Wire(found.address, found.family, port) as wire:
                return LineTest(wire, test, abandoned).run()

        return work(one)

    try:
        return await in_thread("media", run, at_most=MEDIA_THREADS)
    except Refused as refused:
        raise ProbeFailed(Outcome.DENIED, f"{what}: no test now: {refused}") from None
    except Silent as silent:
        raise ProbeFailed(Outcome.TIMEOUT, f"{what}: {silent}") from None
    except Refusal as refusal:
        raise ProbeFailed(refusal.outcome, f"{what}: {refusal}") from None
    except OSError as error:
        raise ProbeFailed(Outcome.UNREACHABLE, f"{what}: {error.strerror or error}") from None
