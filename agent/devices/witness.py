"""What a device shows to anybody beside the door that its kind knocks at: its front page, and its SIP software."""

import asyncio
import re
from typing import Final

import msgspec

from agent.devices.kind import Device
from agent.devices.kinds import sip
from agent.devices.talking import shown
from agent.devices.web import Answer, Request, fetch
from agent.probe import ProbeFailed

_HTTPS: Final = 443
_FRONT: Final = Request(method="GET", path="/")
_TOLD: Final = ("server", "www-authenticate", "location")
_BODY_BYTES: Final = 4096
_TITLE: Final = re.compile(r"(?is)<title>\s*([^<]{1,200})")


async def who_is_it(device: Device, port: int = _HTTPS) -> str:
    """Lines in which a maker may name himself; empty where nothing is shown. Sends no login, and never raises."""
    device = msgspec.structs.replace(device, key=None, timeout_s=device.timeout_s / 2)
    found = await asyncio.gather(_front_page(device, port), _sip_software(device))
    return "\n".join(one for one in found if one)


def told_by(answer: Answer) -> str:
    """What a web server says of itself in its headers, and in the title of a page."""
    title = _TITLE.search(shown(answer.body[:_BODY_BYTES]))
    return "\n".join([*(answer.headers.get(name, "") for name in _TOLD), title[1] if title is not None else ""]).strip()


async def _front_page(device: Device, port: int) -> str:
    try:
        return told_by(await fetch(msgspec.structs.replace(device, port=port), "https", port, _FRONT, is_tls=True))
    except ProbeFailed:
        return ""


async def _sip_software(device: Device) -> str:
    try:
        found = await sip.KIND.recognise(msgspec.structs.replace(device, port=None))
    except ProbeFailed:
        return ""
    return found.model if found is not None else ""
