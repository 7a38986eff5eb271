"""The tcp probe against ports that listen, refuse, stay silent, and cannot be reached."""

import asyncio
import errno
import socket

import pytest

from agent.probe import ProbeFailed, Values
from agent.probes.tcp import Tcp, failure_of
from contract.outcome import Outcome
from tests.support.network import FORBIDDEN, NO_ROUTE, REFUSED_BY_ROUTER, SERVER, Network
from tests.support.ports import LOOPBACK


def measure(address: str, port: int, timeout_s: float = 2.0) -> Values:
    return asyncio.run(Tcp(target="codec", address=address, port=port, timeout_s=timeout_s).measure())


def failing(address: str, port: int, timeout_s: float = 2.0) -> tuple[Outcome, str, Values]:
    with pytest.raises(ProbeFailed) as caught:
        measure(address, port, timeout_s)
    return caught.value.outcome, caught.value.detail, caught.value.values


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, LOOPBACK), (socket.AF_INET6, "::1")])
def test_a_port_that_listens_brings_the_time_of_connecting(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        values = measure(address, server.getsockname()[1])
    assert set(values) == {"connect_ms"}  # no name was resolved
    assert 0 < values["connect_ms"] < 1000


def test_a_name_is_resolved_first_and_that_time_is_told_by_itself() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        values = measure("localhost", server.getsockname()[1])
    assert set(values) == {"connect_ms", "resolve_ms"}


def test_it_sends_nothing_and_closes() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        measure(LOOPBACK, server.getsockname()[1])
        taken, _ = server.accept()
        with taken:
            taken.settimeout(2.0)
            assert taken.recv(10) == b""


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))  # and does not listen
        port = held.getsockname()[1]
        found = failing(LOOPBACK, port)
    assert found == (Outcome.REFUSED, f"tcp {LOOPBACK}:{port}: connection refused; the host is alive", {})


@pytest.mark.parametrize(
    ("address", "outcome", "said"),
    [
        (NO_ROUTE, Outcome.UNREACHABLE, "Network is unreachable"),
        (REFUSED_BY_ROUTER, Outcome.UNREACHABLE, "No route to host"),
        (FORBIDDEN, Outcome.DENIED, "Permission denied"),
        (SERVER, Outcome.TIMEOUT, "no answer within 0.3 s"),
    ],
)
def test_a_host_that_cannot_be_reached_says_why(network: Network, address: str, outcome: Outcome, said: str) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through tcp dport 1720 drop
    """)
    timeout_s = 0.3 if outcome is Outcome.TIMEOUT else 10.0
    found, detail, values = network.pc.do(lambda: failing(address, 1720, timeout_s))
    assert (found, detail, values) == (outcome, f"tcp {address}:1720: {said}", {})


def test_a_filter_that_resets_is_refused(network: Network) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through tcp dport 1720 reject with tcp reset
    """)
    found, _, _ = network.pc.do(lambda: failing(SERVER, 1720))
    assert found is Outcome.REFUSED


def test_a_name_that_does_not_resolve_is_no_name(network: Network) -> None:
    found, detail, values = network.pc.do(lambda: failing("lesson.invalid", 443))
    assert (found, values) == (Outcome.NO_NAME, {})
    assert detail.startswith("tcp lesson.invalid:443: lesson.invalid does not resolve: ")


class Win32Error(OSError):
    """As Windows' event loop raises them: the system's number in `winerror`, EINVAL in `errno`."""

    def __init__(self, winerror: int, text: str) -> None:
        super().__init__(errno.EINVAL, text)
        self.winerror = winerror

    def __str__(self) -> str:
        return f"[WinError {self.winerror}] {self.strerror}"


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (Win32Error(121, "The semaphore timeout period has expired"), Outcome.TIMEOUT, "no answer within 3 s"),
        (Win32Error(1225, "refused"), Outcome.REFUSED, "connection refused; the host is alive"),
        (Win32Error(64, "gone"), Outcome.REFUSED, "connection refused; the host is alive"),
        (ConnectionResetError(errno.ECONNRESET, "x"), Outcome.REFUSED, "connection refused; the host is alive"),
        (
            Win32Error(1231, "The network location cannot be reached"),
            Outcome.UNREACHABLE,
            "[WinError 1231] The network location cannot be reached",
        ),
        (Win32Error(1450, "Insufficient"), Outcome.BROKEN, "[WinError 1450] Insufficient"),
        (OSError(errno.ENETUNREACH, "x"), Outcome.UNREACHABLE, "Network is unreachable"),
        (OSError(errno.EMFILE, "x"), Outcome.BROKEN, "Too many open files"),
        (OSError("no number"), Outcome.BROKEN, "no number"),
    ],
)
def test_each_systems_errors_have_their_meaning(error: OSError, outcome: Outcome, said: str) -> None:
    failure = failure_of(error, "tcp h:1", 3.0, {"resolve_ms": 1.5})
    assert (failure.outcome, failure.detail, failure.values) == (outcome, f"tcp h:1: {said}", {"resolve_ms": 1.5})
