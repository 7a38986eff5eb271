"""Looks through the room's network in order and within bounds: sweeps, asks by multicast, greets, then identifies."""

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from agent.devices.asking import Seen
from agent.discovery.scope import Scope
from agent.discovery.search import greeted, who_is_there
from agent.discovery.sighting import Found, Identified, Planned, merge
from agent.endpoint import parse_endpoint
from agent.network.nic import default_route
from agent.network.resolving import resolve_all
from agent.probe import Probe, ProbeFailed
from agent.probes.device import Device

IDENTIFYING_LIMIT_S: Final = 180.0
"""All hosts together; those that are not asked by then are listed without what they are."""
_AT_ONCE: Final = 8
_TIMEOUT_S: Final = 1.5
_RESOLVING_S: Final = 3.0


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts that were found; `is_complete` is False when time ran out before all were asked what they are."""

    found: tuple[Found, ...]
    is_complete: bool


async def scan(scope: Scope, communities: Sequence[str], limit_s: float = IDENTIFYING_LIMIT_S) -> Scanned:
    """Who is there, and what each is."""
    sightings = await who_is_there(scope)
    addresses = sorted({one.address for one in sightings}, key=ipaddress.ip_address)
    sightings += await greeted(addresses)
    identified, is_complete = await _identify_all(addresses, communities, limit_s)
    route = default_route()
    gateway = route.gateway if route is not None and route.card == scope.card else ""
    return Scanned(found=tuple(merge(sightings, identified, gateway)), is_complete=is_complete)


async def _identify_all(
    addresses: Sequence[str], communities: Sequence[str], limit_s: float
) -> tuple[dict[str, Identified], bool]:
    known: dict[str, Identified] = {}
    few = asyncio.Semaphore(_AT_ONCE)

    async def identify(address: str) -> None:
        async with few:
            found = await _identify(address, communities)
        if found is not None:
            known[address] = found

    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for address in addresses:
                group.create_task(identify(address))
    except TimeoutError:
        return known, False
    return known, True


async def _identify(address: str, communities: Sequence[str]) -> Identified | None:
    """What a host says that it is, to the first community that it answers to; None when it says nothing."""
    for community in communities:
        probe = Device(target="device", address=address, community=community, timeout_s=_TIMEOUT_S, retries=0)
        try:
            seen: Seen = await probe.look(anew=True)
        except ProbeFailed:
            continue
        if seen.identity is not None:
            by_snmp = seen.alive_by == "snmp"
            return Identified(
                identity=seen.identity,
                way=seen.alive_by,
                community=community if by_snmp else "",
                description=seen.description,
            )
    return None


_WHERE: Final = ("address", "snmp", "nut", "apcupsd", "url", "server")
"""Settings of probes that name a host. `server` is last: a router that also answers for names is a router."""


async def planned_of(probes: Sequence[Probe]) -> list[Planned]:
    """The targets of a plan, with their addresses; a name that does not resolve has none."""
    pairs = [
        (probe.target, host)
        for setting in _WHERE
        for probe in probes
        for host in hosts_in(getattr(probe, setting, None))
    ]
    unique = list(dict.fromkeys(pairs))
    found = await asyncio.gather(*(_addresses(host) for _, host in unique))
    return [
        Planned(target=target, host=host, addresses=addresses)
        for (target, host), addresses in zip(unique, found, strict=True)
    ]


def hosts_in(written: object) -> Iterator[str]:
    """The host that a setting names: an address, HOST:PORT, HOST:PORT/UPS or a URL.

    >>> [*hosts_in("10.0.0.7:161"), *hosts_in("nut.local/ups"), *hosts_in("http://10.0.0.8:80/x"), *hosts_in(None)]
    ['10.0.0.7', 'nut.local', '10.0.0.8']
    """
    if not isinstance(written, str) or not written:
        return
    if "://" in written:
        host = urlsplit(written).hostname
        if host:
            yield host
        return
    try:
        yield str(ipaddress.ip_address(written))
    except ValueError:
        endpoint = parse_endpoint(written.partition("/")[0], 1)
        if endpoint is not None:
            yield endpoint.host


async def _addresses(host: str) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        pass
    try:
        return tuple(one.address for one in await resolve_all(host, "discover", _RESOLVING_S))
    except ProbeFailed:
        return ()
