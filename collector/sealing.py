"""Sends secrets along with a plan: each one that the plan names and the centre has, sealed for the plan's agent."""

import base64
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contract.secret import KEY_BYTES, Reference, Secret, context_of


class _Sealed(NamedTuple):
    """What was made of what, to be made once."""

    plan: bytes
    secrets: Mapping[str, Secret]
    token_sha256: str
    payload: bytes


class Sealing:
    """Keeps what it sealed for each agent: it is asked every few seconds, and nearly always for the same."""

    def __init__(self) -> None:
        self._known: dict[str, _Sealed] = {}

    def payload(self, plan: bytes, secrets: Mapping[str, Secret], agent: str, token_sha256: str) -> bytes:
        """The plan's text with what it names sealed for the agent; the same bytes for the same plan, secrets and token.

        A name that the centre does not have stays as it is, for the agent to look up in its PC's own file; so do all
        names for an agent without a token.
        """
        known = self._known.get(agent)
        if known is None or (known.plan, known.token_sha256) != (plan, token_sha256) or known.secrets is not secrets:
            known = _Sealed(plan, secrets, token_sha256, _sealed(plan, secrets, agent, token_sha256))
            self._known[agent] = known
        return known.payload


def _sealed(plan: bytes, secrets: Mapping[str, Secret], agent: str, token_sha256: str) -> bytes:
    if b'"secret":' not in plan or not token_sha256:
        return plan
    raw = msgspec.json.decode(plan, type=dict[str, object])
    tables = msgspec.convert(raw.get("probe", []), list[dict[str, object]])
    cipher = cipher_for(agent, token_sha256)

    def sealed(setting: object) -> object:
        found = Reference.of(setting)
        if found is None or found.name not in secrets:
            return setting
        octets = cipher.encrypt(secrets[found.name].encode(), [found.name.encode()])
        return {"secret": found.name, "sealed": base64.urlsafe_b64encode(octets).decode()}

    raw["probe"] = [{name: sealed(setting) for name, setting in table.items()} for table in tables]
    return msgspec.json.encode(raw, order="sorted")


def cipher_for(agent: str, token_sha256: str) -> AESSIV:
    """What only the agent with that token can open."""
    key = HKDF(SHA256(), KEY_BYTES, salt=None, info=context_of(agent)).derive(bytes.fromhex(token_sha256))
    return AESSIV(key)
