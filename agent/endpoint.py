"""`HOST[:PORT]` as a plan writes it: a name, an IPv4 address, or an IPv6 address in brackets."""

import re
from typing import Final, NamedTuple

ENDPOINT_PATTERN: Final = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*))(?::[0-9]{1,5})?"
ENDPOINT_RULE: Final = "HOST or HOST:PORT, an IPv6 address in brackets"
_PARTS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]+))?")
_PORT_MAX: Final = 65535


class Endpoint(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int


def parse_endpoint(text: str, default_port: int) -> Endpoint | None:
    """The endpoint that a text names; None when its port is none.

    >>> parse_endpoint("ups.local", 161), parse_endpoint("[::1]:3493", 161), parse_endpoint("ups:0", 161)
    (Endpoint(host='ups.local', port=161), Endpoint(host='::1', port=3493), None)
    """
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return None
    port = default_port if parts["port"] is None else int(parts["port"])
    return Endpoint(parts["v6"] or parts["host"], port) if 1 <= port <= _PORT_MAX else None
