"""What a device is and how its parts are: camera, microphone, registration, lamp; by SNMP, or by what it speaks."""

import asyncio
import importlib
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec

from agent.devices import kind_names, load_kind
from agent.devices.asking import Seen, look
from agent.devices.floor import PORTS
from agent.devices.key import Key
from agent.devices.kind import Device as Asked
from agent.devices.kind import Kind
from agent.devices.login import Login
from agent.devices.memory import present_memory
from agent.devices.parts import figure_values, part_values
from agent.probe import ProbeFailed, Value, Values
from agent.snmp.login import SnmpLogin
from contract.outcome import Outcome
from contract.parts import STATUS, Admission, Recognition
from contract.settings import Phrase, Port, Problem, Seconds, Target

_SNMP_PORT: Final = 161
_USUAL: Final = ("auto", "ping", "snmp")
_MORE: Final = 4
"""A device answers several questions; those after the first may take so many times `timeout_s` together."""


Fingerprint = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(|[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31})$",
        description="a SHA-256: 64 hexadecimal digits, with : or not",
    ),
]


class Device(SnmpLogin, frozen=True, kw_only=True):
    """Asks a device what it is and how it is, and sets nothing (SNMPv2-MIB, IF-MIB, HOST-RESOURCES-MIB, makers' MIBs,
    PJLink, ONVIF, RTSP of RFC 2326, SIP of RFC 3261, H.323, UPnP Internet Gateway Device, and what makers' codecs and
    audio processors speak).

    Without `kind` it is recognised anew each time: by SNMP, else by what it speaks. `kind` names what it surely is and
    saves that; `by` limits how it is asked: `snmp`, `ping` (only whether it is there), or a kind's own protocol. A
    device that answers nothing but ping or TCP is there: `recognition_code` says that it was silent or unidentified,
    and no part is called failed. `port` is SNMP's where SNMP is asked, else that of the device's own protocol, and
    `path` is of a camera's stream. What a device does not say is absent. Off, asleep, disabled and not configured are
    states, and no failures.

    `login_name` and `password` are for a device's own protocol, so that they need `kind`: give a login that may only
    look. They are sent only to what shows without them that it is of that kind; by Digest (RFC 7616) or as a hash where
    the protocol has one; as they are only over TLS, to the certificate that the device had when it first accepted them
    (or whose SHA-256 is `certificate`), or with `cleartext = true`. A login that was refused is not sent again before
    it changes or a day has passed: wrong ones lock the accounts of many devices. The reading is then `denied`,
    `login_code` says why, and what the device tells anybody is measured all the same.
    """

    target: Target
    address: Annotated[str, msgspec.Meta(min_length=1)]
    kind: str | None = None
    by: str = "auto"
    port: Port | None = None
    login_name: str = ""
    password: str = ""
    cleartext: bool = False
    certificate: Fingerprint = ""
    path: str = ""
    ports: tuple[Port, ...] = PORTS
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 2.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=5)] = 1

    values: ClassVar[tuple[Value, ...]] = (
        Value(
            "recognition_code",
            "What is known of it: "
            + ", ".join(f"{one.value} {one.name.lower()}" for one in Recognition)
            + " (it is there, and does not answer SNMP, or what else it is asked by).",
        ),
        Value(
            "login_code",
            "What became of the login, where one is wanted: "
            + ", ".join(f"{one.value} {one.name.lower()}" for one in Admission)
            + " (refused: not sent again before it changes or a day has passed; unsent: kept back, since it would go "
            "in clear, or to another certificate, or was not answered before; wanted: the plan has none).",
        ),
        Value("response_ms", "From the first question to its answer."),
        *figure_values(),
        *part_values(),
    )
    rights: ClassVar[str] = "None for SNMP, TCP and UDP; for its last question, a ping, what the ping probe needs."
    example: ClassVar[dict[str, object]] = {"target": "codec", "address": "192.168.1.20", "community": "public"}

    def doubts(self) -> Iterator[Problem]:
        """Kinds and protocols that are none, and what is wrong with the login."""
        if self.kind is not None and self.kind not in kind_names():
            yield _one_of("kind", self.kind, kind_names())
        elif self.by not in _USUAL and self.by not in (ways := _ways()):  # only then are all kinds' files imported
            yield _one_of("by", self.by, sorted({*_USUAL, *ways}))
        elif self.kind is not None and self.by not in ("auto", load_kind(self.kind).way):
            yield Problem("by", "settings.one_of_two", {"first": "kind", "second": "by"})
        elif self.has_login:
            kinds = [load_kind(name) for name in kind_names()]
            named = [kind for kind in kinds if kind.logs_in and self.kind in (None, kind.name)]
            if not any(self.kind is not None or self.by == kind.way for kind in named):
                needed = "kind = " + ", ".join(kind.name for kind in kinds if kind.logs_in)
                yield Problem("kind", "settings.needs", {"what": "login_name, password", "needed": needed})
        yield from SnmpLogin.doubts(self)

    @property
    def has_login(self) -> bool:
        """Whether the plan has one for the device's own protocol."""
        return bool(self.login_name or self.password)

    @property
    def longest_s(self) -> float:
        """Resolving, SNMP's first question, all others, and at last whether it is there at all."""
        return self.timeout_s + self._limit_s

    @property
    def _limit_s(self) -> float:
        return (1 + self.retries + _MORE) * self.timeout_s

    async def measure(self) -> Values:
        """One look at the device. Raises ProbeFailed; DENIED, with what it tells anybody, where it lets us not in."""
        seen = await self.look()
        values: Values = {"recognition_code": int(seen.recognition)}
        if seen.admission is not None:
            values["login_code"] = int(seen.admission)
        if seen.response_s is not None:
            values["response_ms"] = seen.response_s * 1000
        values |= seen.told.figures
        values |= {f"{part}{STATUS}": int(state) for part, state in seen.told.parts.items()}
        if seen.refusal:
            raise ProbeFailed(Outcome.DENIED, seen.refusal, values)
        return values

    async def look(self, *, anew: bool = False) -> Seen:
        """What it is and how it is; `anew` recognises also what the plan names. Raises ProbeFailed."""
        what = f"device {self.address}"
        kinds = self._kinds()
        by_snmp = any(kind.way == "snmp" for kind in kinds)
        asked = Asked(
            host=self.address,
            what=what,
            timeout_s=self.timeout_s,
            key=self._key() if self.has_login else None,
            port=None if by_snmp else self.port,
            path=self.path,
        )
        if by_snmp:
            asked = msgspec.structs.replace(asked, snmp=await self._asker(what))
        try:
            async with asyncio.timeout(self._limit_s):
                return await look(
                    asked, kinds, time.perf_counter, is_known=self.kind is not None and not anew, ports=self.ports
                )
        except TimeoutError:
            detail = f"{what}: answers, but not to all within {self._limit_s:g} s"
            raise ProbeFailed(Outcome.BROKEN, detail) from None

    def _key(self) -> Key:
        certificate = self.certificate.replace(":", "").lower()
        login = Login(self.login_name, self.password)
        return Key(login, present_memory(), cleartext=self.cleartext, certificate=certificate)

    def _kinds(self) -> list[Kind]:
        if self.by == "ping":
            return []
        kinds = [load_kind(name) for name in ([self.kind] if self.kind is not None else kind_names())]
        return [kind for kind in kinds if self.by in ("auto", kind.way)]

    async def _asker(self, what: str) -> Any:  # noqa: ANN401 - its module is only imported now
        # Only here, and in a thread: an agent whose plan has no SNMP never pays for pysnmp's memory.
        snmp: Any = await asyncio.to_thread(importlib.import_module, "agent.snmp.client")
        by_snmp: Any = importlib.import_module("agent.devices.by_snmp")
        device = snmp.Device(self.address, self.port or _SNMP_PORT, self.login, self.timeout_s, self.retries, what)
        asker = by_snmp.Asker(device)
        await asker.warm()
        return asker


def _ways() -> set[str]:
    return {load_kind(name).way for name in kind_names()}


def _one_of(where: str, got: str, choices: Sequence[str]) -> Problem:
    expected = Phrase("expect.one_of", {"choices": ", ".join(choices)})
    return Problem(where, "settings.expected", {"expected": expected, "got": repr(got)})
