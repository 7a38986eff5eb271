"""Answers a server that asks who is there: Digest (RFC 7616, and RFC 2617 as devices still speak it) and Basic."""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

_HASHES: Final = {"SHA-256": "sha256", "SHA-512-256": "sha512_256", "MD5": "md5"}
"""The strongest first: a server may offer several, and the weakest of them must not win."""
_UNNAMED: Final = "MD5"
_SESSION: Final = "-SESS"
_PARAMETER: Final = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Login(msgspec.Struct, frozen=True):
    """Who asks. Its password is shown nowhere."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user})"

    def basic(self) -> str:
        """A header that anybody can read on its way."""
        return "Authorization: Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Challenge(NamedTuple):
    """One way in which a server lets one say who one is. Names are in small letters, values as they were written."""

    scheme: str
    fields: Mapping[str, str]

    @property
    def is_stale(self) -> bool:
        """Whether only the nonce was too old, and the login not found wrong."""
        return self.fields.get("stale", "").lower() == "true"


def challenges_in(header: str) -> list[Challenge]:
    """What WWW-Authenticate offers (RFC 9110 11.6.1): several in one line, or a line each."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(header):
        if (parameter := _PARAMETER.match(header, at)) is not None:
            if found:
                name, quoted, bare = parameter.groups()
                found[-1][1].setdefault(name.lower(), bare if quoted is None else quoted)
            at = parameter.end()
        elif (scheme := _SCHEME.match(header, at)) is not None:
            found.append((scheme[0].lower(), {}))
            at = scheme.end()
        else:
            at += 1
    return [Challenge(scheme, fields) for scheme, fields in found]


def best_of(header: str) -> Challenge | None:
    """The strongest that we can answer: Digest before Basic, always; None for none."""
    offered = challenges_in(header)
    digests = [one for one in offered if one.scheme == "digest" and _strength(one) is not None]
    if digests:
        return min(digests, key=lambda one: _strength(one) or 0)
    return next((one for one in offered if one.scheme == "basic"), None)


def _strength(challenge: Challenge) -> int | None:
    """Place among the hashes, the strongest first; None for what we cannot answer."""
    fields = challenge.fields
    qops = _listed(fields.get("qop", ""))
    if "nonce" not in fields or (qops and "auth" not in qops):
        return None
    name = _algorithm(fields).removesuffix(_SESSION)
    is_known = _HASHES.get(name, "") in hashlib.algorithms_available
    return list(_HASHES).index(name) if is_known else None


def _algorithm(fields: Mapping[str, str]) -> str:
    return fields.get("algorithm", "").upper() or _UNNAMED


def _listed(text: str) -> list[str]:
    return [one.lower() for one in re.split(r"[\s,]+", text) if one]


class Digest:
    """Answers one challenge, as often as its nonce is good for: each time with a higher count (RFC 7616 3.4)."""

    def __init__(self, login: Login, challenge: Challenge, own_nonce: str = "") -> None:
        self.challenge = challenge
        self._login = login
        self._own = own_nonce or secrets.token_hex(16)
        self._count = 0

    @property
    def nonce(self) -> str:
        """Of the challenge."""
        return self.challenge.fields["nonce"]

    def answer(self, method: str, uri: str) -> str:
        """The header for the next request."""
        fields = self.challenge.fields
        self._count += 1
        realm, count = fields.get("realm", ""), f"{self._count:08x}"
        who = self._hashed(self._login.user, realm, self._login.password)
        if _algorithm(fields).endswith(_SESSION):
            who = self._hashed(who, self.nonce, self._own)
        what = self._hashed(method, uri)
        said = [self._username(realm), f'realm="{realm}"', f'nonce="{self.nonce}"', f'uri="{uri}"']
        if "qop" in fields:
            said += ["qop=auth", f"nc={count}", f'cnonce="{self._own}"']
            response = self._hashed(who, self.nonce, count, self._own, "auth", what)
        else:
            response = self._hashed(who, self.nonce, what)
            said += [f'cnonce="{self._own}"'] if _algorithm(fields).endswith(_SESSION) else []
        said.append(f'response="{response}"')
        said += [f'opaque="{fields["opaque"]}"'] if "opaque" in fields else []
        said += [f"algorithm={fields['algorithm']}"] if fields.get("algorithm") else []
        said += ["userhash=true"] if self._hashes_user else []
        return "Authorization: Digest " + ", ".join(said)

    @property
    def _hashes_user(self) -> bool:
        return self.challenge.fields.get("userhash", "").lower() == "true"

    def _username(self, realm: str) -> str:
        user = self._login.user
        if self._hashes_user:
            return f'username="{self._hashed(user, realm)}"'
        if user.isascii() and user.isprintable():
            return 'username="' + user.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"username*=UTF-8''{quote(user, safe='')}"  # RFC 8187, which has no other letters

    def _hashed(self, *texts: str) -> str:
        name = _HASHES[_algorithm(self.challenge.fields).removesuffix(_SESSION)]
        return hashlib.new(name, ":".join(texts).encode()).hexdigest()
