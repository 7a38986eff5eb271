"""Puts a finding into words: what is wrong, what to do, and in few words. Times are left to whoever shows them."""

from contract.catalogue import Language, knows, say
from contract.names import role_of
from contract.parts import part_of
from contract.quantity import quantity
from readiness.verdict import Finding


def sentence(finding: Finding, language: Language) -> str:
    """What is wrong, as one or two sentences."""
    return _tell("finding", finding, language)


def action(finding: Finding, language: Language) -> str:
    """What should who do now."""
    return _tell("action", finding, language)


def short(code: str, language: Language) -> str:
    """A finding's code in few words, for a subject line or a table; the code itself when it is none of ours."""
    return say(f"cause.{code}", language) if knows(f"cause.{code}") else code


def name_of(target: str, language: Language) -> str:
    """What people call a target, standing alone: `Camera 2`, `Nền tảng học trực tuyến (zoom)`.

    A device without a role of ours is called by its own name.
    """
    return _name("role", target, language)


def _name(kind: str, target: str, language: Language) -> str:
    role = role_of(target)
    if role == "device" and not target.startswith("device"):
        return target
    rest = target[len(role) :].strip("-_.:")
    named = say(f"{kind}.{role}", language)
    return f"{named} {rest}" if rest.isdigit() else f"{named} ({rest})" if rest else named


def _tell(kind: str, finding: Finding, language: Language) -> str:
    code = f"{kind}.{finding.code}"
    # What was measured may change what there is to say: who it was that filled the line.
    code = special if knows(special := f"{code}.{finding.value}") else code
    # A finding may come from the memory of a newer version; a letter that says little is better than none.
    code = code if knows(code) else f"{kind}.OTHER"
    text = say(
        code,
        language,
        mark=finding.code,
        target=_name("target", finding.target, language),
        part=_part(finding.value, language),
        measured=_number(finding, finding.measured, language),
        needed=_number(finding, finding.needed, language),
        note=finding.note,
    )
    return text[:1].upper() + text[1:]


def _part(value: str, language: Language) -> str:
    """`camera 2`, `đăng ký SIP`: the part whose state a finding is about; empty for any other finding."""
    named = part_of(value)
    if named is None:
        return ""
    part, number = named
    return f"{say(f'part.{part}', language)} {number or ''}".strip()


def _number(finding: Finding, number: float | None, language: Language) -> str:
    return say("figure.unknown", language) if number is None else quantity(finding.value, number, language)
