"""Puts into words, or into JSON, what a device was found to be."""

from collections.abc import Iterator
from typing import Final

from agent.devices.asking import Seen
from agent.taking import sound
from contract.catalogue import Language, say
from contract.parts import STATUS, Recognition, State, names_of
from contract.quantity import quantity

_EXPECTED: Final = {
    "codec": ("camera", "microphone", "sip_registration", "h323_registration"),
    "camera": ("video",),
    "projector": ("power", "lamp"),
}
"""Parts that a device of the family has, and whose silence is worth a word."""


def _parts(seen: Seen) -> dict[str, State]:
    """All that was told of, and what should have been: unknown."""
    parts = dict(seen.told.parts)
    for part in _EXPECTED.get(seen.identity.family, ()) if seen.identity is not None and seen.identity.kind else ():
        first = names_of(part)[0]
        if not any(name in parts for name in names_of(part)):
            parts[first] = State.UNKNOWN
    return parts


def told(address: str, seen: Seen) -> dict[str, object]:
    """As one object of JSON. What is not known is an empty text or absent; a part's state is its word."""
    identity = seen.identity
    return {
        "target": address,
        "recognition": seen.recognition.name.lower(),
        "kind": identity.kind if identity is not None else "",
        "family": identity.family if identity is not None else "device",
        "vendor": identity.vendor if identity is not None else "",
        "model": identity.model if identity is not None else "",
        "firmware": identity.firmware if identity is not None else "",
        "by": identity.by if identity is not None else seen.alive_by,
        "login": seen.admission.name.lower() if seen.admission is not None else "",
        "detail": seen.refusal,
        "description": seen.description,
        "parts": {name: state.name.lower() for name, state in _parts(seen).items()},
        "values": sound(seen.told.figures),
    }


def sentences(address: str, seen: Seen, language: Language) -> Iterator[str]:
    """What it is, how it was recognised, then each part and figure."""
    identity = seen.identity
    if identity is None:
        code = "identify.silent" if seen.recognition is Recognition.SILENT else "identify.alive"
        # What was asked by everything is not told all that it might have spoken.
        ways = "SNMP" if "snmp" in seen.silent_to else ", ".join(seen.silent_to)
        yield say(code, language, address=address, by=seen.alive_by, ways=ways)
        yield from _login(seen, language)
        return
    if identity.kind:
        family = say(f"family.{identity.family}", language)
        yield say("identify.recognised", language, address=address, family=family, name=identity.name).strip()
        if identity.firmware:
            yield "  " + say("identify.firmware", language, firmware=identity.firmware)
        yield "  " + say("identify.kind", language, kind=identity.kind, by=identity.by)
    else:
        yield say("identify.unidentified", language, address=address)
        if identity.vendor:
            yield "  " + say("identify.vendor", language, vendor=identity.vendor)
    yield from _login(seen, language)
    if seen.description:
        yield "  " + say("identify.description", language, description=seen.description)
    for part, state in _parts(seen).items():
        named = say(f"page.value.{part}{STATUS}", language)
        yield "  " + say("identify.told", language, name=named, value=quantity(f"{part}{STATUS}", state, language))
    for value, number in sound(seen.told.figures).items():
        written = quantity(value, number, language)
        yield "  " + say("identify.told", language, name=say(f"page.value.{value}", language), value=written)
    if identity.family == "ups":
        yield "  " + say("identify.use_power", language, address=address)


def _login(seen: Seen, language: Language) -> Iterator[str]:
    if seen.admission is not None:
        yield "  " + say(f"identify.login_{seen.admission.name.lower()}", language, detail=seen.refusal)
