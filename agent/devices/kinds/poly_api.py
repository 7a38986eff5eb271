"""Polycom's command line (HDX, RealPresence Group) by telnet at TCP 24, where its SNMP is off.

Rests on Polycom's integrator's guides, and on no recording.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.devices.key import unshown
from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, door_of, talk
from agent.devices.witness import who_is_it
from agent.probe import Values
from contract.parts import State

_PORT: Final = 24
_PROMPT: Final = re.compile(r"-> ?$|(?i:password): ?$")
_REFUSED: Final = re.compile(r"(?i)incorrect|invalid|failed|denied")
_SAID: Final = re.compile(r"(?im)^\s*(model|software version)\s*:\s*(\S.*?)\s*$")
_GREETS: Final = re.compile(r"(?i)polycom|hi, my name is|-> ?$")
_MAKER: Final = re.compile(r"(?i)polycom|realpresence")
_ONLINE: Final = {
    "microphones": ("microphone1", State.DEGRADED),
    "gatekeeper": ("h323_registration", State.DISABLED),
    "sipserver": ("sip_registration", State.DISABLED),
    "ipnetwork": ("network", State.FAILED),
}
"""Parts that are online, and what they are otherwise: it does not tell what is off from what has failed."""


class PolyApi:
    """Reads its greeting and `status`; gives no other command."""

    name = "poly_api"
    way = "poly_api"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By what it says of itself when connected to, or on its page or by SIP where it first wants a password."""

        async def exchange(wire: Wire) -> str:
            return await wire.until(_PROMPT)

        greeting = await talk(device, self.way, _PORT, exchange)
        if _GREETS.search(greeting):
            return _identity(greeting)
        if _MAKER.search(await who_is_it(device)):
            return _identity("")
        raise unshown(door_of(device, self.way, _PORT))

    async def ask(self, device: Device) -> Told:
        """Microphones, registrations, network, and whether it is in a call. Raises ProbeFailed."""
        greeting = ""

        async def exchange(wire: Wire) -> dict[str, str]:
            nonlocal greeting
            greeting = await _enter(wire)
            wire.write(b"status\r")
            said: dict[str, str] = {}
            line = ""
            for _ in range(ANSWER_MAX_LINES):
                line = await wire.read()
                if line.endswith("status end"):
                    return said
                words = line.split()
                if len(words) == 2 and words[1] in ("online", "offline"):  # noqa: PLR2004 - a name and its state
                    said[words[0]] = words[1]
            raise wire.nonsense("status end", line)

        said = await talk(device, self.way, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        parts = {
            part: State.OK if said[name] == "online" else otherwise
            for name, (part, otherwise) in _ONLINE.items()
            if name in said
        }
        figures: Values = {"call_active_bool": int(said["inacall"] == "online")} if "inacall" in said else {}
        return Told(parts=parts, figures=figures, identity=_identity(greeting))


def _identity(greeting: str) -> Identity:
    said = {name.lower(): text for name, text in _SAID.findall(greeting)}
    return Identity(
        kind="poly_api",
        family="codec",
        vendor="Poly",
        model=said.get("model", ""),
        firmware=said.get("software version", ""),
        by="Polycom API",
    )


async def _enter(wire: Wire) -> str:
    """What it says until its prompt. DENIED when it wants another password."""
    said = await wire.until(_PROMPT)
    if not re.search(r"(?i)password: ?$", said):
        return said
    wire.write(wire.login(in_clear=True).password.encode() + b"\r")
    more = await wire.until(re.compile(_PROMPT.pattern + "|" + r"(?i:incorrect|invalid|denied)"))
    if _REFUSED.search(more) or re.search(r"(?i)password: ?$", more):
        raise wire.denied()
    wire.accepted()
    return said + more


KIND: Final = PolyApi()
