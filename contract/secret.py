"""Secrets of devices: a plan names them, a file holds them, and they travel sealed to the one agent that needs them.

Where a plan has a text it may have `{ secret = "codec" }` instead. What the centre holds is sealed by AES-SIV (RFC
5297), the name with it, under a key made by HKDF (RFC 5869, SHA-256) of the digest of the agent's token, which both
ends have since enrolment: 16 octets of authentication, then the secret's own, in URL-safe base64. The same secret for
the same agent gives the same text each time, so that a plan keeps its fingerprint.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from contract.plan import Job
from contract.settings import Phrase, Problem, SettingsError, look_at_secret, read_toml

NAME_RULE: Final = "rule.secret"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SECRET_SETTINGS: Final = frozenset({"community", "auth_key", "priv_key", "password", "key"})
"""Settings of probes that are secrets by what they are."""
HIDDEN: Final = "***"
_KNOWN_TO_ALL: Final = frozenset({"", "public"})
_SHOWS_LESS_THAN_IT_HIDES: Final = 4
"""A secret as short as this is no secret, and its stars would tell where it stood."""
KEY_BYTES: Final = 64
"""Of AES-SIV: two of AES-256."""


class Secret(str):
    """A text that is used as any other, and is not shown by `repr`: neither its own nor that of what holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN


class Reference(NamedTuple):
    """What a plan has in place of a secret. `sealed` is empty where the centre did not send it."""

    name: str
    sealed: str = ""

    @classmethod
    def of(cls, setting: object) -> "Reference | None":
        """The reference in a setting; None when it is an ordinary one."""
        if not isinstance(setting, Mapping) or not setting.keys() <= {"secret", "sealed"}:
            return None
        name, sealed = setting.get("secret"), setting.get("sealed", "")
        return cls(name, sealed) if isinstance(name, str) and isinstance(sealed, str) else None


def references(job: Job) -> Iterator[tuple[str, Reference]]:
    """All references of a job, and the names of the settings where they stand."""
    for setting, written in job.settings.items():
        if (found := Reference.of(written)) is not None:
            yield setting, found


def look_at_references(jobs: Iterable[Job]) -> Iterator[Problem]:
    """Names that no secret can have."""
    for job in jobs:
        for setting, found in references(job):
            if _NAME.fullmatch(found.name) is None:
                yield _misnamed(f"probe[{job.place}].{setting}.secret", found.name)


def _misnamed(where: str, name: str) -> Problem:
    expected = Phrase("expect.text_rule", {"rule": Phrase(NAME_RULE, {})})
    return Problem(where, "settings.expected", {"expected": expected, "got": repr(name[:64])})


def clear_secrets(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Where secrets stand in a plan as they are: `probe[2].password`."""
    return tuple(
        f"probe[{job.place}].{setting}"
        for job in jobs
        for setting, written in job.settings.items()
        if setting in SECRET_SETTINGS and isinstance(written, str) and written not in _KNOWN_TO_ALL
    )


def read_secrets(path: Path) -> dict[str, Secret]:
    """The secrets in a file of `name = "secret"` lines, by name. Raises SettingsError, which shows none of them.

    The file must not be open to other users of the machine.
    """
    problems = list(look_at_secret(path, ""))
    if problems:
        raise SettingsError(str(path), problems)
    found: dict[str, Secret] = {}
    for name, secret in read_toml(path).items():
        if _NAME.fullmatch(name) is None:
            problems.append(_misnamed(name[:64], name))
        elif not isinstance(secret, str) or not secret:
            problems.append(Problem(name, "settings.bad_secret", {}))
        else:
            found[name] = Secret(secret)
    if problems:
        raise SettingsError(str(path), problems)
    return found


def hide(settings: Mapping[str, object]) -> dict[str, object]:
    """A probe's settings with what is secret by its name made a Secret."""
    return {
        name: Secret(written) if name in SECRET_SETTINGS and isinstance(written, str) else written
        for name, written in settings.items()
    }


def hushed(problem: Problem) -> Problem:
    """The problem without what was got, where that is secret: a password written as a number, say."""
    if "got" in problem.facts and problem.where.partition(".")[0] in SECRET_SETTINGS:
        return problem._replace(facts={**problem.facts, "got": HIDDEN})
    return problem


def redact(text: str, owner: object) -> str:
    """A text without the secrets among the owner's fields: devices repeat what they were sent, and we what they say."""
    fields = msgspec.structs.astuple(owner) if text and isinstance(owner, msgspec.Struct) else ()
    texts = [field for field in fields if isinstance(field, str)]
    for secret in (one for one in texts if isinstance(one, Secret) and len(one) >= _SHOWS_LESS_THAN_IT_HIDES):
        plain = str(secret)
        as_basic = [base64.b64encode(f"{user}:{plain}".encode()).decode() for user in texts]  # RFC 7617
        for shown in (plain, repr(plain)[1:-1], repr(plain.encode())[2:-1], *as_basic):
            text = text.replace(shown, HIDDEN)
    return text


def context_of(agent: str) -> bytes:
    """HKDF's `info` for an agent: keys made of its token for anything else are others."""
    return b"sansang secret 1\0" + agent.encode()
