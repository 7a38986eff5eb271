"""What the PC itself knows of its network, as Linux writes it and as Windows lays it out in memory."""

import socket
import struct

import pytest

from agent.network import arp, wifi
from agent.network.nic import Route, is_outside, is_usable, parse_forward_row, parse_routes

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
LAN = "eth0\t0007A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
CABLE = "eth0\t00000000\t0107A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
WIFI = "wlan0\t00000000\t0108A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0"
MODEM = "wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0"
DOWN = "eth1\t00000000\t0109A8C0\t0002\t0\t0\t50\t00000000\t0\t0\t0"
HALF = "tun0\t00000000\t0109A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0"


@pytest.mark.parametrize(
    ("lines", "route"),
    [
        ([HEAD], None),
        ([HEAD, LAN], None),
        ([HEAD, LAN, CABLE], Route("eth0", "192.168.7.1")),
        ([HEAD, WIFI, CABLE], Route("eth0", "192.168.7.1")),
        ([HEAD, DOWN, WIFI], Route("wlan0", "192.168.8.1")),
        ([HEAD, HALF, WIFI], Route("wlan0", "192.168.8.1")),
        ([HEAD, MODEM], Route("wwan0", "")),
        (["", "eth0"], None),
    ],
    ids=["nothing", "no way out", "one", "the lower metric", "one that is down", "half the world", "no router", "cut"],
)
def test_the_default_route_is_the_one_that_linux_would_take(lines: list[str], route: Route | None) -> None:
    assert parse_routes(lines) == route


def test_windows_tells_the_next_hop_in_its_fourth_number() -> None:
    row = struct.pack("=III4s10I", 0, 0, 0, bytes((192, 168, 7, 1)), 12, *range(9))
    assert parse_forward_row(row) == "192.168.7.1"
    assert parse_forward_row(bytes(56)) == ""


@pytest.mark.parametrize(
    ("address", "usable", "outside"),
    [
        ("192.168.7.2", True, False),
        ("10.1.2.3", True, False),
        ("172.31.0.1", True, False),
        ("169.254.3.4", False, False),
        ("127.0.0.1", False, False),
        ("100.64.7.1", True, True),
        ("203.0.113.1", True, True),
        ("123.29.4.5", True, True),
        ("fe80::1", False, False),
        ("fd00::1", True, False),
        ("2001:db8::1", True, True),
    ],
)
def test_an_address_is_of_the_cable_of_the_school_or_of_the_world(address: str, usable: bool, outside: bool) -> None:  # noqa: FBT001 - a table
    assert (is_usable(address), is_outside(address)) == (usable, outside)


WIRELESS = """\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   54.  -56.  -256        0      0      0      0     12        0
 wlan1: 0000    0.    0.  -256        0      0      0      0      0        0
""".splitlines()


@pytest.mark.parametrize(("card", "level_dbm"), [("wlan0", -56.0), ("wlan1", None), ("eth0", None), ("wlan", None)])
def test_the_strength_of_the_wifi_is_its_cards(card: str, level_dbm: float | None) -> None:
    assert wifi.parse_wireless(WIRELESS, card) == level_dbm


def test_windows_tells_which_of_its_wifi_cards_is_connected() -> None:
    def card(guid: bytes, state: int) -> bytes:
        return guid * 16 + "Intel Wi-Fi".encode("utf-16-le").ljust(512, b"\0") + struct.pack("=I", state)

    found = struct.pack("=II", 2, 0) + card(b"\1", 4) + card(b"\2", 1)
    assert wifi.connected_of(found) == b"\2" * 16
    assert wifi.connected_of(struct.pack("=II", 1, 0) + card(b"\1", 4)) is None


def test_a_question_of_arp_is_the_frame_that_rfc_826_describes() -> None:
    frame = arp.request(bytes.fromhex("020000000002"), "192.168.7.2", "192.168.7.1")
    assert frame.hex() == (
        "ffffffffffff0200000000020806" + "0001080006040001" + "020000000002c0a80702" + "000000000000c0a80701"
    )
    answer = frame[:20] + b"\0\2" + bytes.fromhex("020000000001c0a80701020000000002c0a80702")
    assert arp.is_reply(answer, "192.168.7.1")
    assert not arp.is_reply(answer, "192.168.7.9")
    assert not arp.is_reply(frame, "192.168.7.1"), "our own question"
    assert not arp.is_reply(answer[:30], "192.168.7.1")


TABLE = """\
IP address       HW type     Flags       HW address            Mask     Device
192.168.7.1      0x1         0x2         02:00:00:00:00:01     *        eth0
192.168.7.3      0x1         0x0         00:00:00:00:00:00     *        eth0
""".splitlines()


@pytest.mark.parametrize(("address", "there"), [("192.168.7.1", True), ("192.168.7.3", False), ("192.168.7.4", False)])
def test_the_systems_table_knows_who_answered(address: str, there: bool) -> None:  # noqa: FBT001 - a table
    assert arp.parse_table(TABLE, address) is there


def test_windows_is_asked_for_a_neighbour_with_a_row_of_88_bytes() -> None:
    row = arp.neighbour_row("192.168.7.1", 12)
    assert len(row) == 88
    assert struct.unpack_from("=H2x4s", row) == (2, socket.inet_aton("192.168.7.1"))
    assert struct.unpack_from("=I", row, 28) == (12,)
