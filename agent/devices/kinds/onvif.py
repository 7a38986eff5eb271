"""ONVIF device management (ONVIF Core, SOAP 1.2): a camera's name, firmware and clock, by HTTP.

The date is told to everybody, the rest to whom it knows. Who asks is told by HTTP Digest where the camera wants that,
else by WS-UsernameToken, whose time must be the camera's own: with the PC's a camera whose clock is wrong would let
nobody in.
"""

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from agent.devices.key import denied
from agent.devices.kind import Device, Identity, Told
from agent.devices.login import Login, best_of
from agent.devices.markup import texts, tree
from agent.devices.parts import plausible
from agent.devices.talking import TRIES, door_of, place
from agent.devices.web import Answer, Request, fetch
from agent.probe import ProbeFailed, Values
from contract.outcome import Outcome

_PORT: Final = 80
_PATH: Final = "/onvif/device_service"
_OK: Final = 200
_DENIED: Final = (400, 401, 403)
_NAMES: Final = "GetDeviceInformation"
_NOT_AUTHORIZED: Final = re.compile(rb"NotAuthorized|FailedAuthentication|InvalidSecurity")
"""Faults of ONVIF and WS-Security; some come with status 500."""
_HALF_A_SECOND_S: Final = 0.5
_ENVELOPE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl">{head}<s:Body><tds:{ask}/></s:Body></s:Envelope>'
)
_WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
_ENCODING: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
_HEADER: Final = (
    '<s:Header><o:Security xmlns:o="{wsse}" xmlns:u="{wsu}" s:mustUnderstand="1"><o:UsernameToken>'
    '<o:Username>{user}</o:Username><o:Password Type="{profile}">{digest}</o:Password>'
    '<o:Nonce EncodingType="{encoding}">{nonce}</o:Nonce><u:Created>{created}</u:Created>'
    "</o:UsernameToken></o:Security></s:Header>"
)


class Onvif:
    """Asks for the date, and with a login for the names. Neither way of logging in sends the password as it is."""

    name = "onvif"
    way = "onvif"
    is_generic = True
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By a SOAP answer, be it a fault: 401 and 405 of any other web server say nothing."""
        answer = await _ask(device, "GetSystemDateAndTime")
        return Identity(kind=self.name, family="camera", by="ONVIF") if _is_soap(answer) else None

    async def ask(self, device: Device) -> Told:
        """How wrong its clock is, which stamps what it records; with a login its names. Raises ProbeFailed."""
        began = datetime.now(UTC)
        answer = await _ask(device, "GetSystemDateAndTime", tries=TRIES)
        ended = datetime.now(UTC)
        _, what = place(device, self.name, _PORT)
        if not _is_soap(answer):
            raise ProbeFailed(Outcome.BROKEN, f"{what}: answered with HTTP {answer.status} and no SOAP")
        date = _date_in(answer)
        figures: Values = {}
        if date is not None:  # else it keeps it to itself, against the standard, or says one that is none
            # It tells whole seconds, so that on the average it is half a second later.
            ahead_s = (date - began).total_seconds() - (ended - began).total_seconds() / 2 + _HALF_A_SECOND_S
            figures = plausible({"device_clock_offset_s": ahead_s})
        identity = None if device.key is None else await _identity(device, date or datetime.now(UTC))
        return Told(figures=figures, identity=identity)


async def _identity(device: Device, now: datetime) -> Identity:
    """What it says of itself to whom it knows. `now` is its own time. Raises LoginFailed."""
    told = await _ask(device, _NAMES)  # few tell them to everybody; the others say how they want to be asked
    best = best_of(told.challenge)
    if best is not None and (best.scheme == "digest" or not _is_soap(told)):
        told = await _ask(device, _NAMES, logs_in=True)
    elif _refuses(told):
        told = await _ask(device, _NAMES, lambda login: _token(login, now))
        if _refuses(told):
            raise denied(device.key, door_of(device, "onvif", _PORT))
        if told.status == _OK and device.key is not None:
            device.key.accepted()
    names = texts(tree(told.body), "Manufacturer", "Model", "FirmwareVersion")
    return Identity(kind="onvif", family="camera", vendor=names[0], model=names[1], firmware=names[2], by="ONVIF")


async def _ask(
    device: Device, ask: str, token: Callable[[Login], str] | None = None, *, logs_in: bool = False, tries: int = 1
) -> Answer:
    action = f'"http://www.onvif.org/ver10/device/wsdl/{ask}"'

    def envelope(head: str) -> bytes:
        return _ENVELOPE.format(head=head, ask=ask).encode()

    request = Request(
        method="POST",
        path=_PATH,
        headers=(f"Content-Type: application/soap+xml; charset=utf-8; action={action}",),
        body=envelope(""),
        signed=None if token is None else lambda login: envelope(token(login)),
    )
    return await fetch(device, "onvif", _PORT, request, logs_in=logs_in, tries=tries)


def _token(login: Login, created: datetime) -> str:
    nonce, moment = secrets.token_bytes(16), created.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + moment.encode() + login.password.encode()).digest()  # noqa: S324 - WS-Security's own
    return _HEADER.format(
        wsse=_WSSE,
        wsu=_WSU,
        user=html.escape(login.user),
        profile=_PROFILE,
        digest=base64.b64encode(digest).decode(),
        encoding=_ENCODING,
        nonce=base64.b64encode(nonce).decode(),
        created=moment,
    )


def _refuses(answer: Answer) -> bool:
    """Whether it answers by SOAP that we may not ask this."""
    return _is_soap(answer) and (answer.status in _DENIED or _NOT_AUTHORIZED.search(answer.body) is not None)


def _is_soap(answer: Answer) -> bool:
    root = tree(answer.body)
    return root is not None and root.tag.rpartition("}")[2] == "Envelope"


def _date_in(answer: Answer) -> datetime | None:
    """The camera's time; None where it says none, or one that cannot be (the 0th of the 0th)."""
    root = tree(answer.body)
    said: Any = root.find(".//{*}UTCDateTime") if answer.status == _OK and root is not None else None
    numbers = texts(said, "Year", "Month", "Day", "Hour", "Minute", "Second")
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


KIND: Final = Onvif()
