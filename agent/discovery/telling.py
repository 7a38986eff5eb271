"""Puts into words, JSON or tables for a plan what was found and how it differs from the plan."""

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from agent.devices.kind import named
from agent.discovery.sighting import Difference, Found, Proposed, plain
from agent.peripherals.fitted import Fitted
from contract.catalogue import Language, say


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in these networks, what hangs on the PC, and which probes the plan has that look again."""

    networks: tuple[str, ...]
    difference: Difference
    is_complete: bool
    fitted: tuple[Fitted, ...] = ()
    planned_probes: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """The networks in words."""
        return ", ".join(self.networks)


def told(report: Report) -> dict[str, object]:
    """As one object of JSON. What is not known is an empty text; passwords and communities stay out."""
    difference = report.difference
    return {
        "networks": list(report.networks),
        "is_complete": report.is_complete,
        "devices": [
            *(_device(one, "new") for one in difference.new),
            *(_device(one, "known") for one in difference.known),
        ],
        "vanished": [{"target": one.target, "host": one.host} for one in difference.vanished],
        "fitted": [
            {"kind": one.kind, "name": plain(one.name), "state": one.state.name.lower()} for one in report.fitted
        ],
    }


def _device(one: Proposed, status: str) -> dict[str, object]:
    found = one.found
    return {
        "target": one.target,
        "address": found.address,
        "status": status,
        "role": found.role,
        "kind": found.kind,
        "vendor": found.vendor,
        "model": found.model,
        "name": found.name,
        "by": list(found.by),
    }


def sentences(report: Report, language: Language) -> Iterator[str]:
    """What is new, what is known, what did not answer, what hangs on the PC, and what to do with it."""
    difference = report.difference
    count = len(difference.new) + len(difference.known)
    yield say("discover.count", language, networks=report.where, count=count)
    if difference.new:
        yield say("discover.new", language)
        yield from (_line(one, language) for one in difference.new)
    if difference.known:
        yield say("discover.known", language)
        yield from (_line(one, language) for one in difference.known)
    if difference.vanished:
        yield say("discover.vanished", language)
        yield from (f"  {one.target}  {one.host}" for one in difference.vanished)
    if report.fitted:
        yield say("discover.fitted", language)
        for part in report.fitted:
            state = say(f"part_state.{part.state.name.lower()}", language)
            yield f"  {say(f'part.{part.kind}', language)}  {plain(part.name)}  ({state})"
    if not report.is_complete:
        yield say("discover.incomplete", language)
    if difference.new:
        yield say("discover.use_toml", language)


def _line(one: Proposed, language: Language) -> str:
    return f"  {one.target}  {one.found.address}  {_what(one.found, language)}"


def _what(found: Found, language: Language) -> str:
    """`Axis P1455 (onvif, ping)`: as much as is known, without repeating itself."""
    recognised = named(found.vendor, found.model)
    words = [recognised or (found.kind and say("discover.kind", language, kind=found.kind)), found.name]
    said = ", ".join(dict.fromkeys(word for word in words if word)) or say("discover.unidentified", language)
    return f"{said} ({', '.join(found.by)})"


def tables(report: Report, language: Language) -> Iterator[str]:
    """Ready `[[probe]]` tables for what is new; the rest as comments. It reads as a part of a plan's file.

    Unless the plan has them, two more follow: one that looks again each day and takes all that was found for known,
    and one that expects on the PC what hangs there now.
    """
    difference = report.difference
    yield f"# {say('discover.toml_head', language, networks=report.where)}"
    if not report.is_complete:
        yield f"# {say('discover.incomplete', language)}"
    for one in difference.known:
        yield f"# {say('discover.toml_known', language, target=one.target, address=one.found.address)}"
    for gone in difference.vanished:
        yield f"# {say('discover.toml_vanished', language, target=gone.target, host=gone.host)}"
    for one in difference.new:
        what = f"{one.found.address}: {_what(one.found, language)}"
        if not is_worth_a_table(one.found):
            yield f"# {say('discover.toml_other', language, what=what)}"
            continue
        yield ""
        yield f"# {what}"
        for probe in probes_for(one):
            yield "[[probe]]"
            yield from (f"{key} = {_quoted(value)}" for key, value in probe.items())
    everybody = [one.found.address for one in (*difference.known, *difference.new)]
    if everybody and "discovery" not in report.planned_probes:
        yield ""
        yield f"# {say('discover.toml_daily', language)}"
        yield from ("[[probe]]", 'name = "discovery"', "every_s = 86400")
        yield f"known = {_list(sorted(everybody, key=ipaddress.ip_address))}"
    if report.fitted and "peripherals" not in report.planned_probes:
        yield ""
        yield f"# {say('discover.toml_fitted', language)}"
        yield from ("[[probe]]", 'name = "peripherals"')
        yield f"expect = {_list(f'{one.kind} {plain(one.name)}'.strip() for one in report.fitted)}"


def is_worth_a_table(found: Found) -> bool:
    """Whether a room is likely to depend on it: not on a PC or telephone that only answers, nor on what no probe of
    ours could reach again.
    """
    return found.role != "device" and found.by != ("arp",)


def probes_for(one: Proposed) -> Iterator[dict[str, str]]:
    """The names and settings of the probes that fit it: a gateway is pinged, and asked as well if it is of a kind."""
    found = one.found
    login = {"community": found.community} if found.community not in ("", "public") else {}
    if found.role == "gateway":
        yield {"name": "ping", "target": one.target, "address": found.address}
    if found.role == "ups" and found.way == "snmp":
        yield {"name": "power", "target": one.target, "snmp": found.address, **login}
    elif found.kind:
        yield {"name": "device", "target": one.target, "address": found.address, "kind": found.kind, **login}
    elif found.role != "gateway":
        yield {"name": "device", "target": one.target, "address": found.address, "by": "ping"}


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """A text as TOML has it, whose basic strings take JSON's escapes."""
    return msgspec.json.encode(text).decode()
