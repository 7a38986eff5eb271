"""Reads from Linux' own files which cameras, microphones, speakers and screens are there (sysfs(5), ALSA, DRM)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.peripherals.fitted import Fitted
from contract.parts import State

_PLUGGED: Final = re.compile(r"usb\d+|pci[0-9a-f]{4}:[0-9a-f]{2}")
"""Folders of /sys/devices below which real things hang; elsewhere are loopbacks and a processor's own converters."""
_NO_CARDS: Final = re.compile(r"/virtual/|/snd_\w+\.\d+/")
"""Sound cards that are none: snd_dummy, snd_aloop."""
_VIDEO_CONTROL: Final = ("0e", "01")
"""Class and subclass of the USB interface that makes a camera (USB Video Class)."""
_EDID_HEAD: Final = bytes.fromhex("00ffffffffffff00")
_DESCRIPTORS: Final = range(54, 126, 18)
_NAME_TAG: Final = bytes.fromhex("000000fc00")


def find_fitted(root: Path = Path("/")) -> list[Fitted] | None:
    """All that is there, below a root folder; None where it has no sysfs."""
    if not (root / "sys" / "class").is_dir():
        return None
    return [*_cameras(root / "sys"), *_sound(root), *_screens(root / "sys")]


def _cameras(sys: Path) -> Iterator[Fitted]:
    seen: set[Path] = set()
    for node in sorted((sys / "class" / "video4linux").glob("video*")):
        device = (node / "device").resolve()
        is_first = _text(node / "index") in ("", "0")  # a camera has a second node for what describes its pictures
        if is_first and device not in seen and any(map(_PLUGGED.fullmatch, device.parts)):
            seen.add(device)
            yield Fitted("camera", _text(node / "name"))
    for interface in sorted((sys / "bus" / "usb" / "devices").glob("*:*")):
        what = (_text(interface / "bInterfaceClass"), _text(interface / "bInterfaceSubClass"))
        if what == _VIDEO_CONTROL and not (interface / "driver").exists():
            yield Fitted("camera", _text(interface.resolve().parent / "product"), State.FAILED)


def _sound(root: Path) -> Iterator[Fitted]:
    for entry in sorted((root / "sys" / "class" / "sound").glob("card[0-9]*")):
        card = entry.resolve()
        if _NO_CARDS.search(card.as_posix()):
            continue
        name = _text((entry / "device").resolve().parent / "product") or _text(entry / "id")
        if any(card.glob("pcm*c")):
            yield Fitted("microphone", name)
        if any(_is_heard(root / "proc" / "asound" / entry.name, pcm.name) for pcm in card.glob("pcm*p")):
            yield Fitted("speaker", name)


def _is_heard(card: Path, pcm: str) -> bool:
    """Whether an output has anything behind it that could sound: a graphics card has outputs without any screen."""
    number = re.sub(r"pcmC\d+D", "pcm", pcm)
    told = _text(card / number / "info")
    if not re.search(r"^id: (HDMI|DisplayPort)", told, re.MULTILINE):
        return True
    return any(re.search(r"^monitor_present\s+1", _text(eld), re.MULTILINE) for eld in card.glob("eld#*"))


def _screens(sys: Path) -> Iterator[Fitted]:
    for connector in sorted((sys / "class" / "drm").glob("card*-*")):
        if _text(connector / "status") != "connected":
            continue
        is_asleep = _text(connector / "dpms") == "Off" or _text(connector / "enabled") == "disabled"
        name = edid_name(_bytes(connector / "edid")) or connector.name.partition("-")[2]
        yield Fitted("screen", name, State.STANDBY if is_asleep else State.OK)


def edid_name(edid: bytes) -> str:
    """What a screen calls itself in its EDID (VESA E-EDID); empty when it does not."""
    if not edid.startswith(_EDID_HEAD):
        return ""
    for place in _DESCRIPTORS:
        descriptor = edid[place : place + 18]
        if descriptor.startswith(_NAME_TAG):
            return descriptor[5:].split(b"\n")[0].decode("ascii", "replace").strip()
    return ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # unplugged this very moment, or a driver that does not tell


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "replace").strip()
