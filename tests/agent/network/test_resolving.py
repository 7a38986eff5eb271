"""Resolving by the PC's own resolver, in threads that a hanging resolver may keep."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from agent.network import resolving
from agent.network.resolving import resolve, resolve_all
from agent.probe import ProbeFailed
from contract.outcome import Outcome


@contextlib.contextmanager
def all_threads_held() -> Iterator[None]:
    """As after as many questions to a resolver that is gone."""
    for _ in range(resolving._AT_ONCE):
        assert resolving._free.acquire(timeout=5)
    try:
        yield
    finally:
        for _ in range(resolving._AT_ONCE):
            resolving._free.release()


@pytest.mark.parametrize(
    ("address", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("fe80::1%lo", socket.AF_INET6)],
)
def test_an_address_is_asked_of_nobody(address: str, family: socket.AddressFamily) -> None:
    with all_threads_held():
        assert asyncio.run(resolve(address, "ping x", 0.1)) == (address, family, None)


def test_of_a_names_addresses_the_ipv4_one_is_taken() -> None:
    found = asyncio.run(resolve("localhost", "ping x", 5.0))
    assert (found.address, found.family) == ("127.0.0.1", socket.AF_INET)
    assert found.took_ms is not None
    assert found.took_ms > 0


def test_all_addresses_of_a_family_can_be_had() -> None:
    found = asyncio.run(resolve_all("localhost", "dns x", 5.0, socket.AF_INET))
    assert {one.family for one in found} == {socket.AF_INET}


def test_a_name_that_can_be_none_is_no_name() -> None:
    with pytest.raises(ProbeFailed, match=r"^tcp x: a\.\.b does not resolve: ") as caught:
        asyncio.run(resolve("a..b", "tcp x", 5.0))
    assert caught.value.outcome is Outcome.NO_NAME


def test_a_resolver_that_hangs_is_a_timeout_for_those_who_wait_behind_it() -> None:
    detail = r"^tcp x: the resolver did not answer for localhost within 0\.1 s$"
    with all_threads_held(), pytest.raises(ProbeFailed, match=detail) as caught:
        asyncio.run(resolve("localhost", "tcp x", 0.1))
    assert caught.value.outcome is Outcome.TIMEOUT


def test_more_questions_at_once_than_threads_are_all_answered() -> None:
    async def ask() -> int:
        return len(await asyncio.gather(*(resolve("localhost", "tcp x", 30.0) for _ in range(200))))

    assert asyncio.run(ask()) == 200


def test_a_question_given_up_frees_its_thread() -> None:
    async def give_up() -> None:
        asking = asyncio.create_task(resolve("localhost", "tcp x", 5.0))
        await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking

    asyncio.run(give_up())
    with all_threads_held():
        pass
