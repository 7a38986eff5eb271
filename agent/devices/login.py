"""Answers a server that asks who is there: Digest (RFC 7616, and RFC 2617 as devices still speak it) and Basic."""

import base64
import hashlib
import re
import secrets
from typing import Final

import msgspec

_HASHES: Final = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}
_FIELD: Final = re.compile(r'([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


class Login(msgspec.Struct, frozen=True):
    """Who asks. Its password is shown nowhere."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user})"

    def basic(self) -> str:
        """A header that anybody can read: only over TLS, or where nothing better is offered."""
        return "Authorization: Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def answer_to(self, challenges: str, method: str, uri: str) -> str | None:
        """The header that answers WWW-Authenticate, a challenge a line; Digest before Basic, None for neither."""
        lines = challenges.splitlines()
        for line in lines:
            scheme, _, rest = line.partition(" ")
            fields = {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(rest)}
            if scheme.lower() == "digest" and fields.get("algorithm", "").upper() in _HASHES and "nonce" in fields:
                return self._digest(fields, method, uri)
        return self.basic() if any(line.lower().startswith("basic") for line in lines) else None

    def _digest(self, fields: dict[str, str], method: str, uri: str) -> str:
        algorithm, realm, nonce = fields.get("algorithm", ""), fields.get("realm", ""), fields["nonce"]

        def hashed(*texts: str) -> str:
            return hashlib.new(_HASHES[algorithm.upper()], ":".join(texts).encode()).hexdigest()

        who, what = hashed(self.user, realm, self.password), hashed(method, uri)
        said = [f'username="{self.user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        if "auth" in re.split(r"[\s,]+", fields.get("qop", "")):
            count, own = "00000001", secrets.token_hex(8)
            said += ["qop=auth", f"nc={count}", f'cnonce="{own}"']
            response = hashed(who, nonce, count, own, "auth", what)
        else:
            response = hashed(who, nonce, what)
        said.append(f'response="{response}"')
        said += [f'opaque="{fields["opaque"]}"'] if "opaque" in fields else []
        said += [f"algorithm={algorithm}"] if algorithm else []
        return "Authorization: Digest " + ", ".join(said)
