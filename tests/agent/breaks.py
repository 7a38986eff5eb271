"""Ways to break the way of a room, each for as long as its context lasts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from tests.support.way import COLLECTOR_NAME, Way

Break = Callable[[Way], AbstractContextManager[None]]


def silenced(way: Way) -> AbstractContextManager[None]:
    """The gateway hangs: it answers nothing, ARP neither."""
    broken = ("link set dev lan arp off", "address delete 192.168.7.1/24 dev lan")
    healed = ("link set dev lan arp on", "address add 192.168.7.1/24 dev lan")
    return way.lines(way.gateway, broken, healed)


def both(*breaks: Break) -> Break:
    @contextmanager
    def broken(way: Way) -> Iterator[None]:
        with ExitStack() as stack:
            for one in breaks:
                stack.enter_context(one(way))
            yield

    return broken


def drops(host: str, rule: str, hook: str = "forward") -> Break:
    return lambda way: way.filtering(getattr(way, host), rule, hook=hook)


def lines(host: str, broken: tuple[str, ...], healed: tuple[str, ...]) -> Break:
    return lambda way: way.lines(getattr(way, host), broken, healed)


def lying(**names: str) -> Break:
    """The PC's own resolver knows these names; `every` stands for all others."""

    @contextmanager
    def broken(way: Way) -> Iterator[None]:
        known = {name.replace("_", "-").replace("0", "."): address for name, address in names.items()}
        way.own_names = way.names | {name if name != "every" else "": one for name, one in known.items()}
        try:
            yield
        finally:
            way.own_names = way.names

    return broken


def collector_forgotten(way: Way) -> AbstractContextManager[None]:
    @contextmanager
    def broken() -> Iterator[None]:
        way.own_names = {name: address for name, address in way.names.items() if name != COLLECTOR_NAME}
        try:
            yield
        finally:
            way.own_names = way.names

    return broken()


NO_PINGS: Final = drops("gateway", "icmp type echo-request drop", "input")
HOLE: Final = drops("provider", "ip length > 1400 drop")
LINE_OUT: Final = drops("provider", "iifname wan drop", "prerouting")
"""The provider's first router is gone: what comes to it vanishes."""
