"""What a kind of device is to us: something that can be recognised, and asked how it is."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from agent.devices.key import Key
from agent.probe import Values
from contract.parts import State

Family = Literal["codec", "camera", "dsp", "screen", "projector", "router", "switch", "host", "ups", "device"]
"""What sort of thing it is; a role of `contract.names` where one fits."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is. A text that it does not say is empty; `by` says how it was recognised.

    `kind` is the name of the kind's file; empty for a device that answers and that no kind knows.
    """

    kind: str
    family: Family = "device"
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    by: str = ""

    @property
    def name(self) -> str:
        """Vendor and model, each once: many devices say their maker in either.

        >>> Identity(kind="ups", vendor="Dell", model="Dell UPS Tower").name
        'Dell UPS Tower'
        """
        return named(self.vendor, self.model)


def named(vendor: str, model: str) -> str:
    """A device as people call it; empty where nothing is known."""
    if vendor and model.casefold().startswith(vendor.casefold()):
        return model
    return f"{vendor} {model}".strip()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of its parts, by their published names, and of its figures. Nothing is guessed.

    `identity` is what it says of itself only to whom it has let in; else None.
    """

    parts: dict[str, State] = {}
    figures: Values = {}
    identity: Identity | None = None


class Snmp(Protocol):
    """The SNMP agent of the device asked. Numbers are int, texts bytes, object ids str; what is not there is absent.

    Both raise ProbeFailed when the device is silent or denies access.
    """

    async def get(self, oids: Sequence[str]) -> Mapping[str, int | str | bytes]:
        """The values of these objects."""
        ...

    async def rows(self, columns: Sequence[str], max_count: int) -> Mapping[str, Mapping[str, int | str | bytes]]:
        """The first rows of a table: index -> column -> value."""
        ...


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, with what, and how patiently.

    `system` is what SNMP said when it was first asked (the system group, then each table's signs), by OID. `snmp` is
    None where SNMP was not asked, or was silent. `key` has the login for conversations, and is None while the device is
    not yet recognised, or where the plan has no login. `port` is None for a protocol's usual one.
    """

    host: str
    what: str
    """Begins every error: `device 192.168.1.20`."""
    timeout_s: float
    """How long one question may take."""
    key: Key | None = None
    port: int | None = None
    path: str = ""
    """Of a camera's stream."""
    snmp: Snmp | None = None
    system: Mapping[str, int | str | bytes] = {}

    def __repr__(self) -> str:  # a traceback must not tell the path, which may hold a password
        return f"Device({self.what})"


class Kind(Protocol):
    """One kind of device."""

    @property
    def name(self) -> str:
        """Its file's name."""
        ...

    @property
    def way(self) -> str:
        """The protocol that it is asked by, as `by` in a plan names it: `snmp`, `pjlink`, `onvif`, …"""
        ...

    @property
    def is_generic(self) -> bool:
        """Whether it is one of several makers' things: what no other kind recognises."""
        ...

    @property
    def logs_in(self) -> bool:
        """Whether it has a use for a login."""
        ...

    @property
    def signs(self) -> Sequence[str]:
        """Objects to ask for by SNMP where the system group says nothing; their answers come in `device.system`."""
        ...

    async def recognise(self, device: Device) -> Identity | None:
        """What the device is if it is of this kind, by what it shows to anybody: it has no key yet.

        May ask one short question, or several at once.
        """
        ...

    async def ask(self, device: Device) -> Told:
        """How the device is; without a key what it tells anybody. Raises ProbeFailed, LoginFailed when not let in."""
        ...
