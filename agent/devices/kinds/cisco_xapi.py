"""Cisco's xAPI: codecs with TC, CE or RoomOS software (SX, MX, C, Room Kit) by HTTPS, `GET /getxml` with a login.

The login is sent to what names itself Cisco or TANDBERG before, on its page or by SIP. Its certificate is of its own
making: the one that it had when it first accepted the login is remembered, and no other gets it. TC and CE spell the
same things differently; both are read. The spellings rest on Cisco's API guides, and on no recording.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

import msgspec

from agent.devices.key import denied, unshown
from agent.devices.kind import Device, Identity, Told
from agent.devices.markup import texts, tree
from agent.devices.parts import plausible
from agent.devices.table import worst
from agent.devices.talking import PATIENCE, TRIES, door_of, place
from agent.devices.web import Answer, Request, fetch
from agent.devices.witness import told_by, who_is_it
from agent.probe import ProbeFailed, Values
from contract.outcome import Outcome
from contract.parts import State, names_of

_PORT: Final = 443
_OK: Final = 200
_DENIED: Final = (401, 403)
_GET: Final = "/getxml?location=/Status"
_ALL: Final = "/status.xml"
"""What older software has in place of it."""
_REGISTRATION: Final = {
    "registered": State.OK,
    "failed": State.FAILED,
    "rejected": State.FAILED,
    "inactive": State.DISABLED,
    "deregister": State.DISABLED,
    "deregistered": State.DISABLED,
}
"""Of SIP and H.323; what is on its way (Registering, Discovering, …) is unknown."""
_SIGNAL: Final = {"ok": State.OK, "unsupported": State.DEGRADED}
_STANDBY: Final = {"off": State.OK, "standby": State.STANDBY, "on": State.STANDBY}
"""`Standby State` of CE, `Standby Active` of TC."""
_LEVEL: Final = {"critical": State.FAILED, "error": State.DEGRADED}
"""An error that is not critical may be a clock server that is away: the codec works on, and asks for attention."""
_MAKER: Final = re.compile(r"(?i)cisco|tandberg")
_NUMBER: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]+)?")


class CiscoXapi:
    """Reads the status; gives no command."""

    name = "cisco_xapi"
    way = "xapi"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By its SystemUnit, which few tell to everybody; by that it asks for a login, and names its maker."""
        answer = await fetch(device, "xapi", _PORT, Request(method="GET", path=f"{_GET}/SystemUnit"), is_tls=True)
        if (unit := _unit(answer)) is not None:
            return _identity(unit)
        if answer.status not in _DENIED:
            return None
        if not _MAKER.search(told_by(answer)) and not _MAKER.search(await who_is_it(device, device.port or _PORT)):
            raise unshown(door_of(device, "xapi", _PORT))
        return Identity(kind=self.name, family="codec", vendor="Cisco", by="xAPI")

    async def ask(self, device: Device) -> Told:
        """Cameras, microphones, inputs, registrations, calls, diagnostics. Raises ProbeFailed."""
        answer = await _get(device, _GET)
        if answer.status != _OK:
            answer = await _get(device, _ALL)
        status = tree(answer.body)
        if status is None or answer.status != _OK:
            _, what = place(device, "xapi", _PORT)
            raise ProbeFailed(Outcome.BROKEN, f"{what}: answered with HTTP {answer.status} and no status in XML")
        told, unit = told_of(status), _unit(answer)
        return told if unit is None else msgspec.structs.replace(told, identity=_identity(unit))


def _identity(unit: Element) -> Identity:
    model, version = texts(unit, "ProductId", "Version")
    return Identity(
        kind="cisco_xapi",
        family="codec",
        vendor="Cisco",
        model=model.removeprefix("Cisco ").strip(),
        firmware=version,
        by="xAPI",
    )


async def _get(device: Device, path: str) -> Answer:
    request = Request(method="GET", path=path)
    answer = await fetch(device, "xapi", _PORT, request, is_tls=True, logs_in=True, tries=TRIES, patience=PATIENCE)
    if answer.status in _DENIED:
        raise denied(device.key, door_of(device, "xapi", _PORT))
    return answer


def _unit(answer: Answer) -> Element | None:
    root = tree(answer.body) if answer.status == _OK else None
    return None if root is None else root.find(".//{*}SystemUnit")


def told_of(status: Element) -> Told:
    """What a codec's whole status says; what is not in it, or is spelt as we have never seen it, is left out."""
    parts: dict[str, State] = dict(_registrations(status))
    parts |= dict(_inputs(status))
    if (power := _power(status)) is not None:
        parts["power"] = power
    levels = [one.lower() for one in _said(status, "Diagnostics/Message", "Level")]
    if status.find("{*}Diagnostics") is not None or status.find(".//{*}SystemUnit/{*}State") is not None:
        parts["system"] = worst([State.OK, *(_LEVEL[level] for level in levels if level in _LEVEL)]) or State.OK
    return Told(parts=parts, figures=plausible({**_unit_figures(status), **_call_figures(status)}))


def _each(status: Element, path: str) -> list[Element]:
    """All elements at a path below the root, or below the one element that wraps the status."""
    full = "/".join(f"{{*}}{name}" for name in path.split("/"))
    return status.findall(full) or status.findall(f"{{*}}Status/{full}")


def _said(status: Element, path: str, name: str) -> list[str]:
    return [text for one in _each(status, path) if (text := texts(one, name)[0])]


def _registrations(status: Element) -> Iterator[tuple[str, State]]:
    sip = _said(status, "SIP/Registration", "Status") or _said(status, "SIP/Profile/Registration", "Status")
    h323 = [one for gatekeeper in _each(status, "H323/Gatekeeper") for one in _own(gatekeeper, "Status")]
    for part, said in (("sip_registration", sip), ("h323_registration", h323)):
        states = [_REGISTRATION.get(one.lower(), State.UNKNOWN) for one in said]
        if (state := worst(states)) is not None:
            yield part, state


def _own(element: Element, name: str) -> list[str]:
    """The text of a child, not of a child's child."""
    child = element.find(f"{{*}}{name}")
    return [child.text.strip()] if child is not None and child.text else []


def _inputs(status: Element) -> Iterator[tuple[str, State]]:
    cameras = _each(status, "Cameras/Camera") or _each(status, "Camera")
    fitted = {_number(one): _is_yes(one, "Connected") for one in cameras}
    # It lists a place for each camera that there could be. A codec with no camera at all has lost the one it had.
    has_any = any(fitted.values())
    for place_, (number, is_there) in enumerate(sorted(fitted.items())):
        if number <= len(names_of("camera")) and is_there is not None:
            lost = State.DISABLED if has_any or place_ else State.FAILED
            yield names_of("camera")[number - 1], State.OK if is_there else lost
    is_muted = any(one.lower() == "on" for one in _said(status, "Audio/Microphones", "Mute"))
    for one in _each(status, "Audio/Input/Connectors/Microphone"):
        said = texts(one, "ConnectionStatus")[0].lower()
        if said in ("connected", "notconnected") and _number(one) <= len(names_of("microphone")):
            there = State.MUTED if is_muted else State.OK
            yield names_of("microphone")[_number(one) - 1], there if said == "connected" else State.DISABLED
    for one in _each(status, "Video/Input/Connector"):
        is_there, signal = _is_yes(one, "Connected"), texts(one, "SignalState")[0].lower()
        if _number(one) <= len(names_of("video")) and is_there is not None:
            state = _SIGNAL.get(signal, State.DISABLED) if is_there else State.DISABLED
            yield names_of("video")[_number(one) - 1], state


def _number(element: Element) -> int:
    """Which one it is; one more than there can be for what says no number."""
    item = element.get("item", "")
    return int(item) if re.fullmatch(r"[1-9][0-9]?", item) else 100


def _is_yes(element: Element, name: str) -> bool | None:
    return {"true": True, "false": False}.get(texts(element, name)[0].lower())


def _power(status: Element) -> State | None:
    said = _said(status, "Standby", "State") or _said(status, "Standby", "Active")
    return _STANDBY.get(said[0].lower()) if said else None


def _unit_figures(status: Element) -> Values:
    figures: Values = {}
    for name, (path, field) in {
        "uptime_s": ("SystemUnit", "Uptime"),
        "temperature_celsius": ("SystemUnit/Hardware", "Temperature"),
    }.items():
        numbers = _numbers(status, path, field)
        figures |= {name: max(numbers)} if numbers else {}
    return figures


def _call_figures(status: Element) -> Values:
    calls = [one for one in _each(status, "Call") if texts(one, "Status")[0].lower() == "connected"]
    figures: Values = {"calls_count": len(calls), "call_active_bool": int(bool(calls))}
    if not calls:
        return figures
    for name, field in (("call_received_bps", "ReceiveCallRate"), ("call_sent_bps", "TransmitCallRate")):
        rates = [float(text) * 1000 for one in calls if _NUMBER.fullmatch(text := texts(one, field)[0])]
        figures |= {name: max(rates)} if rates else {}
    streams = [one for channels in _each(status, "MediaChannels") for one in channels.iter() if _is(one, "Netstat")]
    streams += [one for call in calls for one in call.iter() if _is(one, "Netstat")]
    jitters = [float(text) for one in streams if _NUMBER.fullmatch(text := texts(one, "Jitter")[0])]
    losses = [share for one in streams if (share := _loss(one)) is not None]
    figures |= {"call_jitter_ms": max(jitters)} if jitters else {}
    return figures | ({"call_loss_ratio": max(losses)} if losses else {})


def _is(element: Element, name: str) -> bool:
    return isinstance(element.tag, str) and element.tag.rpartition("}")[2] == name


def _loss(stream: Element) -> float | None:
    """Of the last interval, where it tells of one; else since the call began."""
    for lost, got in (("LastIntervalLost", "LastIntervalReceived"), ("Loss", "Packets")):
        said = texts(stream, lost, got)
        if all(_NUMBER.fullmatch(one) for one in said) and sum(map(float, said)) > 0:
            return float(said[0]) / (float(said[0]) + float(said[1]))
    return None


def _numbers(status: Element, path: str, field: str) -> list[float]:
    return [float(text) for text in _said(status, path, field) if _NUMBER.fullmatch(text)]


KIND: Final = CiscoXapi()
