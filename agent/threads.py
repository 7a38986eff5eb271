"""Runs blocking work in a thread of its own: one that hangs delays no other work, and not the program's end.

A pool would not do: a few threads that hang in a driver, and all who share it wait for ever.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from agent.probe import ProbeFailed
from contract.outcome import Outcome

T = TypeVar("T")

HANGING_MAX_COUNT: Final = 3
"""So often what hangs is tried anew; then not until one of the attempts has ended."""


async def in_thread(name: str, work: Callable[[threading.Event], T], *, at_most: int = HANGING_MAX_COUNT) -> T:
    """What a blocking piece of work brings. Its event is set when nobody waits any more; then it should end.

    Raises ProbeFailed with BROKEN while `at_most` of this name go on already.
    """
    if sum(thread.name == name for thread in threading.enumerate()) >= at_most:
        raise ProbeFailed(Outcome.BROKEN, f"{name}: hangs, and {at_most} attempts have not ended yet")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    abandoned = threading.Event()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only beside an error, or where T is None

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work(abandoned)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            loop.call_soon_threadsafe(tell, result, failure)

    # In the caller's context, in which what is spent is counted.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True).start()
    try:
        return await done
    finally:
        abandoned.set()
