"""Asks Windows which cameras, microphones, speakers and screens are there: Plug and Play, the sound system's registry.

Nothing is opened: no picture is taken, no lamp lights. The rules are pure, and tried on any system; the calls are not.
"""

import ctypes
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agent.peripherals.fitted import Fitted, PartKind
from contract.parts import State

_CLASSES: Final[tuple[tuple[str, PartKind], ...]] = (
    ("ca3e7ab9-b4c3-4ae6-8251-579ef933890f", "camera"),  # Camera
    ("6bdd1fc6-810f-11d0-bec7-08002be2092f", "camera"),  # Image
    ("4d36e96e-e325-11ce-bfc1-08002be10318", "screen"),  # Monitor
)
_SCANNERS: Final = frozenset({"usbscan", "scsiscan", "serscan", "wsdscan"})
"""Drivers of the class Image that make no camera."""
_MADE_UP: Final = ("ROOT\\", "SWD\\")
"""Devices that are only software."""

_PRESENT: Final = 0x2  # DIGCF_PRESENT
_DESCRIPTION: Final = 0x0  # SPDRP_DEVICEDESC
_SERVICE: Final = 0x4  # SPDRP_SERVICE
_FRIENDLY_NAME: Final = 0xC  # SPDRP_FRIENDLYNAME
_INVALID: Final = ctypes.c_void_p(-1).value
_TEXT_MAX_CHARS: Final = 512
_DEVICES_MAX_COUNT: Final = 100

_RESTART_NEEDED: Final = frozenset({14, 18})
_SWITCHED_OFF: Final = frozenset({22, 29})
_GONE: Final = frozenset({24, 45})

_AUDIO: Final = r"SOFTWARE\Microsoft\Windows\CurrentVersion\MMDevices\Audio"
_FLOWS: Final[tuple[tuple[str, PartKind], ...]] = (("Capture", "microphone"), ("Render", "speaker"))
_ENDPOINT_NAMES: Final = ("{b3f8fa53-0004-438e-9003-51a46e139bfc},6", "{a45c254e-df1c-4efd-8020-67d146a850e0},2")
"""What the device behind an endpoint is called, and the endpoint itself."""
_ENDPOINT_STATES: Final = {1: State.OK, 2: State.DISABLED}
"""DEVICE_STATE_ACTIVE and _DISABLED; one that is not present (4) or unplugged (8) is not there."""
_ENDPOINT_STATE_BITS: Final = 0xF

_CONSENT: Final = r"SOFTWARE\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore"
_CAPABILITIES: Final[tuple[tuple[str, PartKind], ...]] = (("webcam", "camera"), ("microphone", "microphone"))


class DevInfo(ctypes.Structure):
    """SP_DEVINFO_DATA."""

    _fields_ = (
        ("cbSize", ctypes.c_uint32),
        ("ClassGuid", ctypes.c_byte * 16),
        ("DevInst", ctypes.c_uint32),
        ("Reserved", ctypes.c_void_p),
    )


class Node(NamedTuple):
    """A present device as Plug and Play knows it; `problem` is its ConfigManagerErrorCode, 0 for none."""

    kind: PartKind
    instance: str
    name: str
    service: str
    problem: int


class Endpoint(NamedTuple):
    """A way for sound, in or out, as the registry has it."""

    kind: PartKind
    name: str
    state: int


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What the privacy switches of one part say, each `Allow`, `Deny` or empty: the PC's, and per person who is logged
    on the one for all programs and the one for those not from the Store.
    """

    kind: PartKind
    machine: str
    people: tuple[tuple[str, str], ...] = ()

    @property
    def is_denied(self) -> bool:
        """Whether a switch keeps programs from the part."""
        return self.machine == "Deny" or any("Deny" in both for both in self.people)


def state_of(problem: int) -> State:
    """What a device manager's code means: CM_PROB_* of <cfg.h>."""
    if problem == 0:
        return State.OK
    if problem in _SWITCHED_OFF:
        return State.DISABLED
    return State.DEGRADED if problem in _RESTART_NEEDED else State.FAILED


def fitted_of(nodes: Iterable[Node], endpoints: Iterable[Endpoint], consents: Sequence[Consent]) -> list[Fitted]:
    """What is there, by all that Windows says."""
    denied = {one.kind for one in consents if one.is_denied}
    found = [Fitted(one.kind, one.name, state_of(one.problem)) for one in nodes if _is_real(one)]
    for endpoint in endpoints:
        state = _ENDPOINT_STATES.get(endpoint.state & _ENDPOINT_STATE_BITS)
        if state is not None:
            found.append(Fitted(endpoint.kind, endpoint.name, state))
    return [one._replace(state=State.BLOCKED) if one.kind in denied and one.state is State.OK else one for one in found]


def _is_real(node: Node) -> bool:
    if node.problem in _GONE:
        return False
    if node.kind != "camera":
        return True
    return node.service.lower() not in _SCANNERS and not node.instance.upper().startswith(_MADE_UP)


def guid_bytes(text: str) -> bytes:
    """A GUID as Windows has it in memory."""
    return uuid.UUID(text).bytes_le


def find_fitted() -> list[Fitted] | None:
    """All that is there; None on any other system."""
    if sys.platform != "win32":
        return None
    return fitted_of(list(_nodes()), list(_endpoints()), list(_consents()))


def _nodes() -> Iterator[Node]:
    if sys.platform != "win32":
        return
    setup = ctypes.WinDLL("setupapi")
    manager = ctypes.WinDLL("cfgmgr32")
    setup.SetupDiGetClassDevsW.restype = ctypes.c_void_p
    for guid, kind in _CLASSES:
        found = setup.SetupDiGetClassDevsW(guid_bytes(guid), None, None, _PRESENT)
        if found in (None, _INVALID):
            continue
        handle = ctypes.c_void_p(found)
        try:
            for place in range(_DEVICES_MAX_COUNT):
                device = DevInfo(cbSize=ctypes.sizeof(DevInfo))
                if not setup.SetupDiEnumDeviceInfo(handle, place, ctypes.byref(device)):
                    break
                status, problem = ctypes.c_uint32(), ctypes.c_uint32()
                if manager.CM_Get_DevNode_Status(ctypes.byref(status), ctypes.byref(problem), device.DevInst, 0):
                    continue  # unplugged this very moment
                instance = ctypes.create_unicode_buffer(_TEXT_MAX_CHARS)
                manager.CM_Get_Device_IDW(device.DevInst, instance, _TEXT_MAX_CHARS, 0)
                texts = [_property(setup, handle, device, one) for one in (_FRIENDLY_NAME, _DESCRIPTION, _SERVICE)]
                yield Node(kind, instance.value, texts[0] or texts[1], texts[2], problem.value)
        finally:
            setup.SetupDiDestroyDeviceInfoList(handle)


def _property(setup: Any, handle: ctypes.c_void_p, device: DevInfo, which: int) -> str:  # noqa: ANN401 - a library
    text = ctypes.create_unicode_buffer(_TEXT_MAX_CHARS)
    size = ctypes.sizeof(text) - ctypes.sizeof(ctypes.c_wchar)  # its last character stays the end, whatever comes
    got = setup.SetupDiGetDeviceRegistryPropertyW(handle, ctypes.byref(device), which, None, text, size, None)
    return text.value if got else ""


def _endpoints() -> Iterator[Endpoint]:
    if sys.platform != "win32":
        return
    for flow, kind in _FLOWS:
        for identifier in _keys("HKEY_LOCAL_MACHINE", rf"{_AUDIO}\{flow}"):
            where = rf"{_AUDIO}\{flow}\{identifier}"
            state = _value("HKEY_LOCAL_MACHINE", where, "DeviceState")
            names = [_value("HKEY_LOCAL_MACHINE", rf"{where}\Properties", one) for one in _ENDPOINT_NAMES]
            if isinstance(state, int):
                yield Endpoint(kind, " ".join(name for name in names if isinstance(name, str)), state)


def _consents() -> Iterator[Consent]:
    if sys.platform != "win32":
        return
    people = [one for one in _keys("HKEY_USERS", "") if one.startswith("S-1-5-21-") and not one.endswith("_Classes")]
    for capability, kind in _CAPABILITIES:
        where = rf"{_CONSENT}\{capability}"
        own = [
            (_word("HKEY_USERS", rf"{one}\{where}"), _word("HKEY_USERS", rf"{one}\{where}\NonPackaged"))
            for one in people
        ]
        yield Consent(kind=kind, machine=_word("HKEY_LOCAL_MACHINE", where), people=tuple(own))


def _word(hive: str, where: str) -> str:
    value = _value(hive, where, "Value")
    return value if isinstance(value, str) else ""


def _keys(hive: str, where: str) -> list[str]:
    """The names of a registry key's own keys; none where it is not, or not for us."""
    if sys.platform != "win32":
        return []
    import winreg  # noqa: PLC0415 - only Windows has it

    try:
        with winreg.OpenKey(getattr(winreg, hive), where, access=_READ) as key:
            return [winreg.EnumKey(key, place) for place in range(winreg.QueryInfoKey(key)[0])]
    except OSError:
        return []


def _value(hive: str, where: str, name: str) -> object:
    if sys.platform != "win32":
        return None
    import winreg  # noqa: PLC0415 - only Windows has it

    try:
        with winreg.OpenKey(getattr(winreg, hive), where, access=_READ) as key:
            return winreg.QueryValueEx(key, name)[0]
    except OSError:
        return None


_READ: Final = 0x20019 | 0x0100
"""KEY_READ, of the 64-bit registry also from a 32-bit Python."""
