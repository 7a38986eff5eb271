"""Whether the room's network holds devices that nobody has accepted, or lacks some that were; shown, not alerted."""

import asyncio
import ipaddress
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec

from agent.discovery.scope import ADDRESSES_MAX_COUNT, WIDE_HOSTS_PER_S, Scope, ScopeRefused, scope_of
from agent.discovery.search import who_is_there
from agent.discovery.sighting import Network
from agent.probe import ProbeFailed, Value, Values
from contract.catalogue import say
from contract.outcome import Outcome
from contract.settings import Phrase, Problem, Target

_AFTER_THE_SWEEP_S: Final = 15.0
"""The last ping's patience, and ARP's for those that answer none."""
_KNOWN_MAX_COUNT: Final = 1000


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """Looks once through the PC's own network: a ping a host, 20 a second, ARP (RFC 826) for those that answer none,
    and the multicast questions of ONVIF's WS-Discovery, SSDP and mDNS (RFC 6762).

    `known` are the addresses that have been accepted: `sansang-agent discover --toml` writes them, and says what each
    device is. Made for once a day: `every_s = 86400`. `interface` and `subnet` stand for the card of the way out and
    its network, of which at most the PC's own /24 is looked through; `wide` allows more, to a /20, at 10 a second.
    Networks that are not private (RFC 1918) are left alone.
    """

    target: Target = "pc"
    known: Annotated[tuple[str, ...], msgspec.Meta(max_length=_KNOWN_MAX_COUNT)] = ()
    interface: str = ""
    subnet: tuple[str, ...] = ()
    wide: bool = False

    values: ClassVar[tuple[Value, ...]] = (
        Value("devices_count", "Hosts that answered, the PC itself left out."),
        Value("new_count", "Those of them that are not among `known`."),
        Value("vanished_count", "Addresses of `known` within the network that did not answer this time."),
    )
    rights: ClassVar[str] = (
        "Linux: as ping; without it only ARP sees who is there. Windows: none; its firewall must let answers to "
        "multicast in, or cameras are seen by ping alone."
    )
    example: ClassVar[dict[str, object]] = {"known": ["192.168.1.1", "192.168.1.20"]}

    def doubts(self) -> Iterator[Problem]:
        """Addresses and networks that are none."""
        for place, text in enumerate(self.known):
            if not _is(ipaddress.IPv4Address, text):
                expected = Phrase("expect.text_rule", {"rule": "an IPv4 address"})
                yield Problem(f"known[{place}]", "settings.expected", {"expected": expected, "got": repr(text)})
        for place, text in enumerate(self.subnet):
            if not _is(ipaddress.IPv4Interface, text):
                expected = Phrase("expect.text_rule", {"rule": "an IPv4 network, such as 192.168.1.0/24"})
                yield Problem(f"subnet[{place}]", "settings.expected", {"expected": expected, "got": repr(text)})

    @property
    def longest_s(self) -> float:
        """The slowest sweep of the largest network that the settings allow."""
        largest = ADDRESSES_MAX_COUNT if self.wide or len(self.subnet) > 1 else 256
        return largest / WIDE_HOSTS_PER_S + _AFTER_THE_SWEEP_S

    async def measure(self) -> Values:
        """One look. Raises ProbeFailed: ABSENT without a network, DENIED for one that is not the school's to search."""
        try:
            scope: Scope = await asyncio.to_thread(scope_of, self.interface, self.subnet, is_wide=self.wide)
        except ScopeRefused as refused:
            outcome = Outcome.ABSENT if refused.code in _NOT_THERE else Outcome.DENIED
            raise ProbeFailed(outcome, f"discovery: {say(refused.code, 'en', **refused.facts)}") from None
        return self.counted({one.address for one in await who_is_there(scope)}, scope.swept)

    def counted(self, there: set[str], swept: tuple[Network, ...]) -> Values:
        """The values of who is there."""
        known = {str(ipaddress.IPv4Address(one)) for one in self.known}
        inside = {one for one in known if any(ipaddress.IPv4Address(one) in network for network in swept)}
        return {
            "devices_count": len(there),
            "new_count": len(there - known),
            "vanished_count": len(inside - there),
        }


_NOT_THERE: Final = ("discover.no_network", "discover.no_card")


def _is(kind: type[ipaddress.IPv4Address | ipaddress.IPv4Interface], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
