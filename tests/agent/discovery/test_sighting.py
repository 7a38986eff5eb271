"""How sightings become proposals, and how these are held against a plan."""

import ipaddress
from typing import Final

from agent.devices.kind import Family, Identity
from agent.discovery.sighting import Found, Identified, Planned, Sighting, compare, merge

NETWORK: Final = ipaddress.IPv4Network("10.0.0.0/24")
AXIS: Final = Identified(
    identity=Identity(kind="axis", family="camera", vendor="Axis", model="M1"), way="snmp", community="school"
)


def seen(address: str, by: str = "ping", role: str = "", name: str = "") -> Sighting:
    return Sighting(address=address, by=by, role=role, name=name)


def of_family(kind: str, family: Family) -> Identified:
    return Identified(identity=Identity(kind=kind, family=family), way="snmp", community="public")


def camera(address: str) -> Found:
    return Found(address=address, by=("ping",), role="camera")


def planned(target: str, *addresses: str) -> Planned:
    return Planned(target=target, host=addresses[0] if addresses else f"{target}.local", addresses=addresses)


def test_a_host_seen_in_several_ways_is_one() -> None:
    found = merge([seen("10.0.0.5"), seen("10.0.0.5", "onvif", "camera", "Cam")], {"10.0.0.5": AXIS})
    assert found == [
        Found(
            address="10.0.0.5", by=("onvif", "ping", "snmp"), role="camera", kind="axis", vendor="Axis", model="M1",
            name="Cam", way="snmp", community="school",
        )
    ]  # fmt: skip


def test_hosts_come_in_the_order_of_their_addresses() -> None:
    found = merge([seen("10.0.0.10"), seen("10.0.0.9")], {})
    assert [one.address for one in found] == ["10.0.0.9", "10.0.0.10"]


def test_what_a_host_says_of_itself_outweighs_how_it_was_seen() -> None:
    (found,) = merge([seen("10.0.0.5", "mdns", "camera")], {"10.0.0.5": of_family("poly", "codec")})
    assert found.role == "codec"


def test_a_computer_that_offers_video_is_what_it_offers() -> None:
    (found,) = merge([seen("10.0.0.5", "mdns", "camera")], {"10.0.0.5": of_family("linux", "host")})
    assert (found.role, found.kind) == ("camera", "linux")


def test_a_greeting_is_believed_before_an_announcement() -> None:
    (found,) = merge([seen("10.0.0.5", "ssdp", "screen"), seen("10.0.0.5", "pjlink", "projector")], {})
    assert (found.role, found.by) == ("projector", ("pjlink", "ssdp"))


def test_the_gateway_is_the_gateway() -> None:
    (found,) = merge([seen("10.0.0.1", "ssdp", "router")], {"10.0.0.1": of_family("mikrotik", "router")}, "10.0.0.1")
    assert found.role == "gateway"


def test_new_devices_are_numbered_past_the_names_of_the_plan() -> None:
    plan = [planned("camera", "10.0.0.5"), planned("camera-3", "10.0.0.99")]
    difference = compare([camera("10.0.0.5"), camera("10.0.0.6"), camera("10.0.0.7")], plan, [NETWORK])
    assert [(one.target, one.found.address) for one in difference.known] == [("camera", "10.0.0.5")]
    assert [(one.target, one.found.address) for one in difference.new] == [
        ("camera-2", "10.0.0.6"),
        ("camera-4", "10.0.0.7"),
    ]
    assert [one.target for one in difference.vanished] == ["camera-3"]


def test_what_lies_beyond_the_network_that_was_looked_at_is_not_missed() -> None:
    plan = [planned("lesson-zoom", "170.114.52.2"), planned("camera", "10.0.1.5"), planned("codec")]
    assert compare([], plan, [NETWORK]).vanished == ()


def test_a_device_that_answers_at_one_of_its_addresses_is_not_missed() -> None:
    difference = compare([camera("10.0.0.6")], [planned("camera", "10.0.0.5", "10.0.0.6")], [NETWORK])
    assert difference.vanished == ()
    assert difference.new == ()


def test_a_target_of_several_probes_vanishes_once() -> None:
    plan = [planned("camera", "10.0.0.5"), planned("camera", "10.0.0.5")]
    assert len(compare([], plan, [NETWORK]).vanished) == 1
