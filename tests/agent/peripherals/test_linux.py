"""Cameras, microphones, speakers and screens in a made tree of sysfs and procfs."""

from pathlib import Path

import pytest

from agent.peripherals.fitted import Fitted
from agent.peripherals.linux import edid_name, find_fitted
from contract.parts import State

USB = "sys/devices/pci0000:00/0000:00:14.0/usb1/1-2"


class Tree:
    """A folder that looks like / of a PC."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys" / "class").mkdir(parents=True)

    def write(self, path: str, content: str | bytes = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())

    def link(self, path: str, target: str) -> None:
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        (self.root / target).mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / target)

    def video(self, number: int, device: str, name: str, index: int = 0) -> None:
        node = f"{device}/video4linux/video{number}"
        self.write(f"{node}/name", name)
        self.write(f"{node}/index", str(index))
        self.link(f"{node}/device", device)
        self.link(f"sys/class/video4linux/video{number}", node)

    def card(self, number: int, device: str, name: str, *pcms: str) -> None:
        card = f"{device}/sound/card{number}"
        self.write(f"{card}/id", name)
        self.link(f"{card}/device", device)
        for pcm in pcms:
            self.write(f"{card}/pcmC{number}{pcm}/dev")
        self.link(f"sys/class/sound/card{number}", card)

    def connector(self, name: str, status: str, edid: bytes = b"", **more: str) -> None:
        where = f"sys/class/drm/{name}"
        self.write(f"{where}/status", status)
        self.write(f"{where}/edid", edid)
        for key, value in more.items():
            self.write(f"{where}/{key}", value)

    def found(self) -> list[Fitted] | None:
        return find_fitted(self.root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def edid(name: str) -> bytes:
    """A block whose third descriptor is the name."""
    block = bytearray(128)
    block[:8] = bytes.fromhex("00ffffffffffff00")
    block[90:108] = bytes.fromhex("000000fc00") + f"{name}\n".encode().ljust(13)
    return bytes(block)


def test_a_system_without_sysfs_does_not_tell(tmp_path: Path) -> None:
    assert find_fitted(tmp_path) is None


def test_a_pc_with_nothing_on_it_has_nothing(tree: Tree) -> None:
    assert tree.found() == []


def test_a_usb_camera_is_one_for_all_its_nodes(tree: Tree) -> None:
    tree.video(0, f"{USB}/1-2:1.0", "HD Pro Webcam C920")
    tree.video(1, f"{USB}/1-2:1.0", "HD Pro Webcam C920", index=1)
    assert tree.found() == [Fitted("camera", "HD Pro Webcam C920")]


def test_a_loopback_and_a_processors_converter_are_no_cameras(tree: Tree) -> None:
    tree.video(0, "sys/devices/virtual/v4l2loopback", "OBS Virtual Camera")
    tree.video(1, "sys/devices/platform/bcm2835-codec", "bcm2835-codec-decode")
    assert tree.found() == []


def test_a_camera_that_no_driver_takes_has_failed(tree: Tree) -> None:
    tree.write(f"{USB}/product", "BRIO")
    tree.write(f"{USB}/1-2:1.0/bInterfaceClass", "0e")
    tree.write(f"{USB}/1-2:1.0/bInterfaceSubClass", "01")
    tree.link("sys/bus/usb/devices/1-2:1.0", f"{USB}/1-2:1.0")
    assert tree.found() == [Fitted("camera", "BRIO", State.FAILED)]
    tree.link(f"{USB}/1-2:1.0/driver", "sys/bus/usb/drivers/uvcvideo")
    assert tree.found() == []


def test_a_speakerphone_is_a_microphone_and_a_speaker(tree: Tree) -> None:
    tree.write(f"{USB}/product", "Jabra Speak 750")
    tree.card(1, f"{USB}/1-2:1.0", "USB", "D0c", "D0p")
    assert tree.found() == [Fitted("microphone", "Jabra Speak 750"), Fitted("speaker", "Jabra Speak 750")]


def test_a_card_on_the_board_is_called_by_its_id(tree: Tree) -> None:
    tree.card(0, "sys/devices/pci0000:00/0000:00:1f.3", "PCH", "D0p", "D0c")
    assert tree.found() == [Fitted("microphone", "PCH"), Fitted("speaker", "PCH")]


def test_a_loopback_of_sound_is_no_card(tree: Tree) -> None:
    tree.card(2, "sys/devices/platform/snd_aloop.0", "Loopback", "D0p", "D0c")
    tree.card(3, "sys/devices/virtual/gadget", "Gadget", "D0c")
    assert tree.found() == []


@pytest.mark.parametrize(("present", "count"), [(0, 0), (1, 1)])
def test_an_output_to_a_screen_sounds_only_where_there_is_one(tree: Tree, present: int, count: int) -> None:
    tree.card(1, "sys/devices/pci0000:00/0000:01:00.1", "HDMI", "D3p")
    tree.write("proc/asound/card1/pcm3p/info", "card: 1\ndevice: 3\nid: HDMI 0\nname: HDMI 0")
    tree.write("proc/asound/card1/eld#0.0", f"monitor_present\t\t{present}\neld_valid\t\t{present}")
    assert len(tree.found() or []) == count


def test_a_screen_is_called_by_its_edid_and_an_empty_socket_is_none(tree: Tree) -> None:
    tree.connector("card0-HDMI-A-1", "connected", edid("EPSON PJ"), dpms="On", enabled="enabled")
    tree.connector("card0-DP-1", "disconnected")
    tree.connector("card0-Writeback-1", "unknown")
    assert tree.found() == [Fitted("screen", "EPSON PJ")]


@pytest.mark.parametrize(("dpms", "enabled"), [("Off", "enabled"), ("On", "disabled")])
def test_a_screen_that_sleeps_has_not_failed(tree: Tree, dpms: str, enabled: str) -> None:
    tree.connector("card0-HDMI-A-1", "connected", dpms=dpms, enabled=enabled)
    assert tree.found() == [Fitted("screen", "HDMI-A-1", State.STANDBY)]


@pytest.mark.parametrize("block", [b"", b"\0" * 128, edid("x")[:60], bytes(range(128))])
def test_an_edid_that_is_none_has_no_name(block: bytes) -> None:
    assert edid_name(block) == ""


def test_a_name_that_is_no_text_is_read_as_far_as_it_goes(tree: Tree) -> None:
    tree.video(0, f"{USB}/1-2:1.0", "x")
    (tree.root / USB / "1-2:1.0" / "video4linux" / "video0" / "name").write_bytes(b"caf\xe9\n")
    assert tree.found() == [Fitted("camera", "caf\ufffd")]
