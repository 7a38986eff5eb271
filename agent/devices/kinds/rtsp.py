"""RTSP (RFC 2326): cameras, encoders and recorders with a stream; with a path or a login also what is in it."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.devices.key import Turns
from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import PATIENCE, TRIES, Wire, talk
from agent.devices.web import headers_of
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import State, names_of

_PORT: Final = 554
_OK: Final = 200
_DENIED: Final = (401, 403)
_NOT_THERE: Final = 404
_OVERLOADED: Final = (453, 503)
_BODY_MAX_BYTES: Final = 65536
_STREAMS: Final = {"video": "video", "audio": "audio"}


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class _Talk:
    """Requests on one connection, numbered."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        device = wire.device
        host = f"[{device.host}]" if ":" in device.host else device.host
        self.url = f"rtsp://{host}:{device.port or _PORT}/{device.path.lstrip('/')}"
        self._number = 0

    async def ask(self, method: str, *headers: str) -> _Answer:
        self._number += 1
        lines = [f"{method} {self.url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: sansang-agent", *headers]
        self.wire.write("\r\n".join([*lines, "", ""]).encode())
        first = await self.wire.read()
        found = re.fullmatch(r"RTSP/[12]\.[0-9] ([1-9][0-9]{2})(?: .*)?", first)
        if found is None:
            raise self.wire.nonsense("RTSP", first)
        answered = await headers_of(self.wire)
        if answered.get("cseq", str(self._number)) != str(self._number):
            raise self.wire.nonsense(f"CSeq {self._number}", answered["cseq"])
        length = answered.get("content-length", "0")
        if not re.fullmatch(r"[0-9]{1,5}", length) or int(length) > _BODY_MAX_BYTES:
            raise self.wire.nonsense("the length of a description", length)
        body = await self.wire.reader.readexactly(int(length))
        return _Answer(int(found[1]), answered, body.decode("utf-8", "replace"))

    async def describe(self, turns: Turns) -> _Answer:
        """What is in the stream; with the login, once the device has asked for it."""
        login = turns.headers(self.wire.door, "DESCRIBE", self.url)
        return await self.ask("DESCRIBE", "Accept: application/sdp", *login)


class Rtsp:
    """OPTIONS, to which everybody is answered; DESCRIBE when the plan has a path or a login. Nothing is played."""

    name = "rtsp"
    way = "rtsp"
    is_generic = True
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By any RTSP answer: 401 and 404 are a camera's too."""

        async def exchange(wire: Wire) -> _Answer:
            return await _Talk(wire).ask("OPTIONS")

        answer = await talk(device, self.name, _PORT, exchange)
        return Identity(kind=self.name, family="camera", model=answer.headers.get("server", "")[:64], by="RTSP")

    async def ask(self, device: Device) -> Told:
        """Whether the stream is there, and has video and audio. Raises ProbeFailed."""
        turns = Turns(device.key)

        async def exchange(wire: Wire) -> Told:
            asking = _Talk(wire)
            if not device.path and device.key is None:
                return _told(await asking.ask("OPTIONS"), device, wire)
            while True:
                answer = await asking.describe(turns)
                if not turns.goes_on(wire.door, answer.status, answer.headers.get("www-authenticate", "")):
                    return _told(answer, device, wire)
                if await wire.is_hung_up():
                    # Some do after they have asked who is there: the second try answers at once.
                    raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: hung up after it had asked for the login")

        return await talk(device, self.name, _PORT, exchange, tries=TRIES, patience=PATIENCE)


def _told(answer: _Answer, device: Device, wire: Wire) -> Told:
    is_asked_for = bool(device.path or device.key is not None)
    if answer.status in _OVERLOADED:
        return Told(parts={"system": State.DEGRADED})
    if answer.status in _DENIED and is_asked_for:
        raise wire.denied()
    if answer.status == _NOT_THERE and device.path:
        raise ProbeFailed(Outcome.ABSENT, f"{wire.what}: has no stream at the plan's path (404)")
    # To strangers it may tell nothing, and is there all the same.
    return Told(parts=_streams(answer.body) if answer.status == _OK and is_asked_for else {})


def _streams(description: str) -> dict[str, State]:
    """A part for each stream of an SDP (RFC 8866): `m=video` is one that can be watched."""
    parts: dict[str, State] = {}
    for line in description.splitlines():
        part = _STREAMS.get(line.strip().removeprefix("m=").partition(" ")[0]) if line.startswith("m=") else None
        free = [name for name in names_of(part) if name not in parts] if part is not None else []
        parts |= dict.fromkeys(free[:1], State.OK)
    return parts


KIND: Final = Rtsp()
