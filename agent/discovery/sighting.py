"""Merges what was seen of each host, names it, and holds it against the plan; asks nobody."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from agent.devices.kind import Identity
from contract.names import ROLES

Network = ipaddress.IPv4Network

_TEXT_MAX_CHARS: Final = 64
_AS_SURE_AS: Final = ("pjlink", "onvif", "mdns", "ssdp", "ping", "arp")
"""Ways by which a host was seen, the one whose word on its role is believed first, first."""
_NO_ROLES: Final = frozenset({"host", "device", ""})


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A host was seen, in one way: `ping`, `arp`, `onvif`, `ssdp`, `mdns` or `pjlink`.

    `role` is what that way of answering makes it, empty for nothing known; `name` what it calls itself.
    """

    address: str
    by: str
    role: str = ""
    name: str = ""


class Identified(msgspec.Struct, frozen=True, kw_only=True):
    """What a host said when it was asked what it is; `community` is the one that it answered to, if it did by SNMP."""

    identity: Identity
    way: str
    community: str = ""
    description: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One host, all ways together. `role` is one of `contract.names.ROLES`; `name` what it calls itself."""

    address: str
    by: tuple[str, ...]
    role: str
    kind: str = ""
    vendor: str = ""
    model: str = ""
    name: str = ""
    way: str = ""
    """The protocol that it was recognised by; empty for none."""
    community: str = ""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A target of the plan, and the addresses that its host has; none where its name does not resolve."""

    target: str
    host: str
    addresses: tuple[str, ...]


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """A host and its target's name: the plan's own for one that it knows, else a free one."""

    target: str
    found: Found


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the network and not in the plan, in both, and in the plan but not, or not now, in the network."""

    new: tuple[Proposed, ...]
    known: tuple[Proposed, ...]
    vanished: tuple[Planned, ...]


def plain(text: str) -> str:
    """A device's own words on one line, without what a terminal or a settings file would take for more than words."""
    kept = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(kept.split())[:_TEXT_MAX_CHARS]


def merge(sightings: Iterable[Sighting], identified: Mapping[str, Identified], gateway: str = "") -> list[Found]:
    """Each host once, in order of addresses."""
    seen: dict[str, list[Sighting]] = {}
    for one in sightings:
        seen.setdefault(one.address, []).append(one)
    return [
        _merged(address, sorted(seen[address], key=_doubt), identified.get(address), is_gateway=address == gateway)
        for address in sorted(seen, key=ipaddress.ip_address)
    ]


def _doubt(sighting: Sighting) -> int:
    return _AS_SURE_AS.index(sighting.by)


def _merged(address: str, seen: Sequence[Sighting], known: Identified | None, *, is_gateway: bool) -> Found:
    identity = known.identity if known is not None else Identity(kind="")
    hint = next((one.role for one in seen if one.role), "")
    family = identity.family if identity.kind else ""
    role = "gateway" if is_gateway else family if family not in _NO_ROLES and family in ROLES else hint or "device"
    names = [one.name for one in seen if one.name]
    ways = [one.by for one in seen] + ([known.way] if known is not None and known.way else [])
    return Found(
        address=address,
        by=tuple(dict.fromkeys(ways)),
        role=role,
        kind=identity.kind,
        vendor=plain(identity.vendor),
        model=plain(identity.model),
        name=names[0] if names else plain(known.description if known is not None else ""),
        way=known.way if known is not None and identity.kind else "",
        community=known.community if known is not None else "",
    )


def compare(found: Iterable[Found], plan: Sequence[Planned], swept: Collection[Network]) -> Difference:
    """What differs. Of the plan only that is missed whose address lies in a network that was swept."""
    by_address: dict[str, Planned] = {}
    for one in plan:
        for address in one.addresses:
            by_address.setdefault(address, one)
    taken = {one.target for one in plan}
    new: list[Proposed] = []
    known: list[Proposed] = []
    here: set[str] = set()
    for host in found:
        here.add(host.address)
        planned = by_address.get(host.address)
        if planned is not None:
            known.append(Proposed(target=planned.target, found=host))
        else:
            target = free_name(host.role, taken)
            taken.add(target)
            new.append(Proposed(target=target, found=host))
    vanished = {one.target: one for one in plan if _is_missed(one, here, swept)}
    return Difference(new=tuple(new), known=tuple(known), vanished=tuple(vanished.values()))


def _is_missed(planned: Planned, here: Collection[str], swept: Collection[Network]) -> bool:
    inside = [address for address in planned.addresses if any(_lies_in(address, network) for network in swept)]
    return bool(inside) and not any(address in here for address in planned.addresses)


def _lies_in(address: str, network: Network) -> bool:
    return ipaddress.ip_address(address) in network


def free_name(role: str, taken: Collection[str]) -> str:
    """`camera`, else `camera-2`, `camera-3`, …

    >>> free_name("camera", {"camera", "camera-2"})
    'camera-3'
    """
    return next(name for name in _names(role) if name not in taken)


def _names(role: str) -> Iterator[str]:
    yield role
    number = 2
    while True:
        yield f"{role}-{number}"
        number += 1
