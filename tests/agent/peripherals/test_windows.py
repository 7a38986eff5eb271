"""What Windows says of cameras, microphones, speakers and screens, and what that means; the rules run anywhere."""

import ctypes
import sys

import pytest

from agent.peripherals.fitted import Fitted
from agent.peripherals.windows import Consent, DevInfo, Endpoint, Node, fitted_of, guid_bytes, state_of
from contract.parts import State

BRIO = Node("camera", r"USB\VID_046D&PID_085E&MI_00\6&1", "Logitech BRIO", "usbvideo", 0)


@pytest.mark.parametrize(
    ("problem", "state"),
    [
        (0, State.OK), (10, State.FAILED), (28, State.FAILED), (31, State.FAILED), (43, State.FAILED),
        (14, State.DEGRADED), (22, State.DISABLED), (29, State.DISABLED),
    ],
)  # fmt: skip
def test_the_device_managers_code_says_how_a_device_is(problem: int, state: State) -> None:
    assert state_of(problem) is state
    assert fitted_of([BRIO._replace(problem=problem)], [], []) == [Fitted("camera", "Logitech BRIO", state)]


@pytest.mark.parametrize(
    "node",
    [
        BRIO._replace(problem=45),
        BRIO._replace(service="usbscan", name="Scanner"),
        BRIO._replace(instance=r"ROOT\CAMERA\0000"),
        BRIO._replace(instance=r"SWD\VCAMDEVAPI\1"),
    ],
    ids=["unplugged", "scanner", "made up", "software"],
)
def test_what_is_no_camera_on_the_pc_is_left_out(node: Node) -> None:
    assert fitted_of([node], [], []) == []


def test_only_sound_that_is_plugged_in_is_there() -> None:
    ends = [
        Endpoint("microphone", "Jabra Microphone", 1),
        Endpoint("speaker", "Jabra Speakers", 0x10000001),  # newer Windows sets a high bit for its own purposes
        Endpoint("speaker", "Realtek", 8),
        Endpoint("speaker", "Old headset", 4),
        Endpoint("microphone", "Line in", 2),
    ]
    assert fitted_of([], ends, []) == [
        Fitted("microphone", "Jabra Microphone"),
        Fitted("speaker", "Jabra Speakers"),
        Fitted("microphone", "Line in", State.DISABLED),
    ]


@pytest.mark.parametrize(
    ("consent", "state"),
    [
        (Consent(kind="camera", machine="Allow", people=(("Allow", "Allow"),)), State.OK),
        (Consent(kind="camera", machine=""), State.OK),
        (Consent(kind="camera", machine="Deny"), State.BLOCKED),
        (Consent(kind="camera", machine="Allow", people=(("Deny", ""),)), State.BLOCKED),
        (Consent(kind="camera", machine="Allow", people=(("Allow", "Deny"),)), State.BLOCKED),
        (Consent(kind="microphone", machine="Deny"), State.OK),
    ],
)
def test_a_privacy_switch_blocks_what_it_is_for(consent: Consent, state: State) -> None:
    assert fitted_of([BRIO], [], [consent]) == [Fitted("camera", "Logitech BRIO", state)]


def test_a_broken_camera_stays_broken_behind_a_switch() -> None:
    denied = Consent(kind="camera", machine="Deny")
    assert fitted_of([BRIO._replace(problem=10)], [], [denied]) == [Fitted("camera", "Logitech BRIO", State.FAILED)]


@pytest.mark.skipif(sys.maxsize < 2**32, reason="a 64-bit Python's layout")
def test_the_structure_is_as_long_as_windows_has_it() -> None:
    assert ctypes.sizeof(DevInfo) == 32


def test_a_guid_has_windows_order_of_bytes() -> None:
    assert guid_bytes("ca3e7ab9-b4c3-4ae6-8251-579ef933890f").hex() == "b97a3ecac3b4e64a8251579ef933890f"
