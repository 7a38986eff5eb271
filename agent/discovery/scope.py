"""Decides which addresses a search may ask, and how fast: the PC's own network, or a named one of the school's."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from agent.discovery.sighting import Network
from agent.network.nic import choose_card, is_outside, is_usable, networks_of

HOSTS_PER_S: Final = 20.0
WIDE_HOSTS_PER_S: Final = 10.0
_USUAL_PREFIX: Final = 24
_WIDEST_PREFIX: Final = 20
ADDRESSES_MAX_COUNT: Final = 2 ** (32 - _WIDEST_PREFIX)


class ScopeRefused(Exception):
    """This may not, or cannot, be searched: the code of the sentence that says why, and its facts."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched. `own` is the PC's address on the card, `cable` are the networks that hang on it directly."""

    card: str
    own: str
    cable: tuple[Network, ...]
    swept: tuple[Network, ...]
    addresses: tuple[str, ...]
    hosts_per_s: float

    @property
    def sweep_s(self) -> float:
        """How long one question to each takes."""
        return len(self.addresses) / self.hosts_per_s


def scope_of(card: str, wanted: Sequence[str], *, is_wide: bool) -> Scope:
    """The scope on this PC as it is now; of the card named, else of the one of the way out. Raises ScopeRefused."""
    try:
        chosen = choose_card(card)
    except KeyError:
        raise ScopeRefused("discover.no_card", card=card) from None
    return choose_scope(chosen, networks_of(chosen), wanted, is_wide=is_wide)


def choose_scope(
    card: str, interfaces: Sequence[ipaddress.IPv4Interface], wanted: Sequence[str], *, is_wide: bool
) -> Scope:
    """The scope for a card with these addresses; `wanted` are networks in place of its own. Raises ScopeRefused.

    Of a larger network than a /24 only the PC's own /24 is searched, or with `is_wide` all, more slowly, up to a /20.
    """
    usable = [one for one in interfaces if is_usable(str(one.ip))]
    if not usable:
        raise ScopeRefused("discover.no_network", card=card or "-")
    own = usable[0]
    if wanted:
        swept = tuple(_named(text, is_wide=is_wide) for text in wanted)
    elif is_wide:
        swept = (_checked(own.network, is_wide=True),)
    else:
        prefix = max(own.network.prefixlen, _USUAL_PREFIX)
        swept = (_checked(ipaddress.IPv4Network((own.ip, prefix), strict=False), is_wide=False),)
    mine = {str(one.ip) for one in interfaces}
    addresses = tuple(dict.fromkeys(address for network in swept for address in _hosts(network) if address not in mine))
    is_small = len(addresses) <= 2 ** (32 - _USUAL_PREFIX)
    if len(addresses) > ADDRESSES_MAX_COUNT:
        raise ScopeRefused("discover.too_wide", network=", ".join(map(str, swept)), widest=_WIDEST_PREFIX)
    return Scope(
        card=card,
        own=str(own.ip),
        cable=tuple(one.network for one in usable),
        swept=swept,
        addresses=addresses,
        hosts_per_s=HOSTS_PER_S if is_small else WIDE_HOSTS_PER_S,
    )


def _named(text: str, *, is_wide: bool) -> Network:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise ScopeRefused("discover.no_subnet", got=text) from None
    return _checked(network, is_wide=is_wide)


def _checked(network: Network, *, is_wide: bool) -> Network:
    """The network, if it may be searched. Raises ScopeRefused."""
    if network.prefixlen < _WIDEST_PREFIX:
        raise ScopeRefused("discover.too_wide", network=network, widest=_WIDEST_PREFIX)
    if is_outside(str(network.network_address)) or is_outside(str(network.broadcast_address)):
        raise ScopeRefused("discover.outside", network=network)
    if network.prefixlen < _USUAL_PREFIX and not is_wide:
        raise ScopeRefused("discover.needs_wide", network=network)
    return network


def _hosts(network: Network) -> Iterator[str]:
    """All addresses of a network that a host can have: in a cable of two (RFC 3021), both."""
    return (str(address) for address in network.hosts())
