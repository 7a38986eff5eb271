"""Puts in the secrets that a plan only names: opened where the centre sent them, else from the PC's own file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from agent.settings import AgentSettings
from contract.plan import Job
from contract.secret import KEY_BYTES, Reference, Secret, context_of, read_secrets, references
from contract.settings import Problem, SettingsError

_TAG_BYTES: Final = 16


class Keyring(NamedTuple):
    """Whose secrets are sealed for us, and the file with the PC's own."""

    agent: str = ""
    token: str = ""
    file: Path | None = None

    def reveal(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Problem]]:
        """The jobs with their secrets in place, and what is wrong; a secret that is not to be had stays a reference."""
        needs_own = any(not reference.sealed for job in jobs for _, reference in references(job))
        own, problems = self._own() if needs_own else ({}, [])
        is_own_wrong = bool(problems)  # then that is the one thing to say
        revealed: list[Job] = []
        for job in jobs:
            settings = dict(job.settings)
            for setting, reference in references(job):
                secret = self._find(reference, own)
                if secret is not None:
                    settings[setting] = secret
                elif reference.sealed or not is_own_wrong:
                    problems.append(self._missing(reference, f"probe[{job.place}].{setting}"))
            revealed.append(msgspec.structs.replace(job, settings=settings))
        return revealed, problems

    def _find(self, reference: Reference, own: Mapping[str, Secret]) -> Secret | None:
        if not reference.sealed:
            return own.get(reference.name)
        try:
            return unseal(reference, self.agent, self.token)
        except ValueError:
            return None

    def _missing(self, reference: Reference, where: str) -> Problem:
        name = reference.name[:64]  # anything may stand in a plan
        if reference.sealed:
            return Problem(where, "settings.foreign_secret", {"name": name})
        return Problem(where, "settings.unknown_secret", {"name": name, "path": self.file or "secrets.toml"})

    def _own(self) -> tuple[dict[str, Secret], list[Problem]]:
        """The PC's own secrets; none where there is no file."""
        if self.file is None:
            return {}, []
        try:
            return read_secrets(self.file), []
        except SettingsError as error:
            wrong = [one for one in error.problems if one.code != "settings.no_file"]
            return {}, [one._replace(where=f"{self.file.name} {one.where}".strip()) for one in wrong]


def unseal(reference: Reference, agent: str, token: str) -> Secret:
    """The secret in a reference. Raises ValueError when it is not for this agent, token and name, or was changed."""
    # Only here: an agent whose plan has nothing sealed does not pay for the memory.
    from Cryptodome.Cipher import AES  # noqa: PLC0415 - as above
    from Cryptodome.Hash import SHA256  # noqa: PLC0415 - as above
    from Cryptodome.Protocol.KDF import HKDF  # noqa: PLC0415 - as above

    digest = hashlib.sha256(token.encode()).digest()  # all that the centre has of the token
    key = HKDF(digest, KEY_BYTES, b"", SHA256, context=context_of(agent))
    assert isinstance(key, bytes)  # noqa: S101 - for mypy: one key was asked for
    octets = base64.b64decode(reference.sealed, altchars=b"-_", validate=True)
    cipher = AES.new(key, AES.MODE_SIV)
    cipher.update(reference.name.encode())
    return Secret(cipher.decrypt_and_verify(octets[_TAG_BYTES:], octets[:_TAG_BYTES]).decode())


def keyring_of(settings: AgentSettings) -> Keyring:
    """The keys of this PC."""
    return Keyring(settings.agent, settings.broker.token, settings.secrets)
