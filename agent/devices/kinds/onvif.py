"""ONVIF device management (ONVIF Core, SOAP 1.2): a camera's name, firmware and clock, by HTTP.

The date is told to everybody, the rest to whom it knows. Who asks is told by WS-UsernameToken, whose time must be the
camera's own: with the PC's a camera whose clock is wrong would let nobody in.
"""

import base64
import hashlib
import html
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.markup import texts, tree
from agent.devices.parts import plausible
from agent.devices.talking import TRIES, denied, place
from agent.devices.web import Answer, Request, fetch
from agent.probe import ProbeFailed
from contract.outcome import Outcome

_PORT: Final = 80
_PATH: Final = "/onvif/device_service"
_OK: Final = 200
_DENIED: Final = (400, 401, 403)
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
    """Asks for the date, and with a login for the names."""

    name = "onvif"
    way = "onvif"
    is_generic = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By a SOAP answer, be it a fault: 401 and 405 of any other web server say nothing. DENIED for a login that
        the camera refuses.
        """
        answer = await _ask(device, "GetSystemDateAndTime")
        if not _is_soap(answer):
            return None
        if not device.user:
            return Identity(kind=self.name, family="camera", by="ONVIF")
        told = await _ask(device, "GetDeviceInformation", _token(device, _date_in(answer) or datetime.now(UTC)))
        if told.status in _DENIED and _is_soap(told):
            _, what = place(device, self.name, _PORT)
            raise denied(device, what)
        names = texts(tree(told.body), "Manufacturer", "Model", "FirmwareVersion")
        return Identity(kind=self.name, family="camera", vendor=names[0], model=names[1], firmware=names[2], by="ONVIF")

    async def ask(self, device: Device) -> Told:
        """How wrong its clock is, which stamps what it records. Raises ProbeFailed."""
        began = datetime.now(UTC)
        answer = await _ask(device, "GetSystemDateAndTime", tries=TRIES)
        ended = datetime.now(UTC)
        _, what = place(device, self.name, _PORT)
        if not _is_soap(answer):
            raise ProbeFailed(Outcome.BROKEN, f"{what}: answered with HTTP {answer.status} and no SOAP")
        date = _date_in(answer)
        if date is None:
            return Told()  # it keeps the date to itself, against the standard, or says one that is none
        # It tells whole seconds, so that on the average it is half a second later.
        ahead_s = (date - began).total_seconds() - (ended - began).total_seconds() / 2 + _HALF_A_SECOND_S
        return Told(figures=plausible({"device_clock_offset_s": ahead_s}))


async def _ask(device: Device, ask: str, head: str = "", *, tries: int = 1) -> Answer:
    action = f'"http://www.onvif.org/ver10/device/wsdl/{ask}"'
    request = Request(
        method="POST",
        path=_PATH,
        headers=(f"Content-Type: application/soap+xml; charset=utf-8; action={action}",),
        body=_ENVELOPE.format(head=head, ask=ask).encode(),
    )
    return await fetch(device, "onvif", _PORT, request, tries=tries)


def _token(device: Device, created: datetime) -> str:
    nonce, moment = secrets.token_bytes(16), created.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + moment.encode() + device.password.encode()).digest()  # noqa: S324 - WS-Security's own
    return _HEADER.format(
        wsse=_WSSE,
        wsu=_WSU,
        user=html.escape(device.user),
        profile=_PROFILE,
        digest=base64.b64encode(digest).decode(),
        encoding=_ENCODING,
        nonce=base64.b64encode(nonce).decode(),
        created=moment,
    )


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
