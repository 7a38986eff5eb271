"""How an SNMP device lets us in: the version and the credentials, as a plan writes them."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from contract.settings import Problem

_AUTH_RULE: Final = "md5, sha, sha224, sha256, sha384 or sha512"
_PRIV_RULE: Final = "des, 3des, aes, aes192, aes256 (net-snmp's kind), aes192c or aes256c (Cisco's kind)"

AuthName = Annotated[str, msgspec.Meta(pattern=r"(?i)^(md5|sha-?(1|224|256|384|512)?)$", description=_AUTH_RULE)]
PrivName = Annotated[str, msgspec.Meta(pattern=r"(?i)^(3?des|aes(-?128|-?(192|256)c?)?)$", description=_PRIV_RULE)]
Key = Annotated[str, msgspec.Meta(min_length=8, description="at least 8 characters (RFC 3414 11.2)")]


class SnmpLogin(msgspec.Struct, frozen=True, kw_only=True):
    """Versions 1 and 2c have a community; 3 has a user, with keys or without (RFC 3414), and seldom a context."""

    version: Literal["1", "2c", "3"] = "2c"
    community: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = "public"
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    auth: AuthName | None = None
    auth_key: Key | None = None
    priv: PrivName | None = None
    priv_key: Key | None = None
    context: Annotated[str, msgspec.Meta(max_length=32)] = ""

    def doubts(self) -> Iterator[Problem]:
        """What is missing, or says more than the version can carry."""
        if self.version == "3" and self.user is None:
            yield _needs("user", 'version = "3"', "user")
        if self.version != "3":
            for name in ("user", "auth", "priv"):
                if getattr(self, name) is not None:
                    yield _needs(name, name, 'version = "3"')
        for name in ("auth", "priv"):
            if (getattr(self, name) is None) != (getattr(self, f"{name}_key") is None):
                yield _needs(name, f"{name}, {name}_key", f"{name} + {name}_key")
        if self.priv is not None and self.auth is None:
            yield _needs("priv", "priv", "auth")

    @property
    def login(self) -> "SnmpLogin":
        """Only this of a probe's settings; devices with equal ones share what is kept of them."""
        return SnmpLogin(**{name: getattr(self, name) for name in SnmpLogin.__struct_fields__})

    @property
    def auth_name(self) -> str:
        """`md5`, `sha`, `sha256`, …; empty for none."""
        return (self.auth or "").lower().replace("-", "").replace("sha1", "sha")

    @property
    def priv_name(self) -> str:
        """`des`, `3des`, `aes`, `aes192`, `aes256c`, …; empty for none."""
        return (self.priv or "").lower().replace("-", "").replace("aes128", "aes")


def _needs(where: str, what: str, needed: str) -> Problem:
    return Problem(where, "settings.needs", {"what": what, "needed": needed})
