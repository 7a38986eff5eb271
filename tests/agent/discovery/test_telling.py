"""How what was found is told: to people, as JSON, as tables for a plan."""

import tomllib
from typing import Final

import msgspec

from agent.discovery.sighting import Difference, Found, Planned, Proposed
from agent.discovery.telling import Report, probes_for, sentences, tables, told
from agent.orders import read_orders
from agent.peripherals.fitted import Fitted
from agent.probes import load_probe
from agent.probes.peripherals import Peripherals
from contract.catalogue import LANGUAGES
from contract.parts import State

CAMERA: Final = Found(
    address="10.0.0.5", by=("onvif", "ping", "snmp"), role="camera", kind="axis", vendor="Axis", model="M1",
    name="Sân trường", way="snmp", community='a"b',
)  # fmt: skip
PHONE: Final = Found(address="10.0.0.30", by=("ping",), role="device")
DIFFERENCE: Final = Difference(
    new=(Proposed(target="camera-2", found=CAMERA), Proposed(target="device", found=PHONE)),
    known=(Proposed(target="codec", found=Found(address="10.0.0.7", by=("ping",), role="device")),),
    vanished=(Planned(target="projector", host="may-chieu.local", addresses=("10.0.0.9",)),),
)
FITTED: Final = (
    Fitted("camera", "Logitech  BRIO\n"),
    Fitted("microphone", 'The "best"', State.BLOCKED),
    Fitted("screen", ""),
)
FULL: Final = Report(networks=("10.0.0.0/24",), difference=DIFFERENCE, is_complete=True)
EMPTY: Final = Report(networks=("10.0.0.0/24",), difference=Difference(new=(), known=(), vanished=()), is_complete=True)


def test_people_read_what_is_new_what_is_known_and_what_was_silent() -> None:
    assert list(sentences(FULL, "en")) == [
        "10.0.0.0/24: 3 devices answered.",
        "Not in the plan:",
        "  camera-2  10.0.0.5  Axis M1, Sân trường (onvif, ping, snmp)",
        "  device  10.0.0.30  unidentified (ping)",
        "In the plan:",
        "  codec  10.0.0.7  unidentified (ping)",
        "In the plan, and silent this time:",
        "  projector  may-chieu.local",
        "To take them into the plan: run this again with --toml, and copy the tables that you want.",
    ]


def test_an_empty_network_is_one_sentence() -> None:
    assert list(sentences(EMPTY, "vi")) == ["10.0.0.0/24: có 0 thiết bị trả lời."]


def test_it_is_said_when_time_ran_out() -> None:
    for language in LANGUAGES:
        report = msgspec.structs.replace(EMPTY, is_complete=False)
        assert len(list(sentences(report, language))) == 2
        assert len(list(tables(report, language))) == 2


def test_tables_are_toml_whatever_a_community_is_called() -> None:
    for language in LANGUAGES:
        report = msgspec.structs.replace(FULL, planned_probes=frozenset({"discovery"}))
        written = "\n".join(tables(report, language))
        assert tomllib.loads(written) == {
            "probe": [
                {
                    "name": "device", "target": "camera-2", "address": "10.0.0.5", "kind": "axis", "community": 'a"b',
                }
            ]
        }  # fmt: skip


def test_looking_again_each_day_takes_all_that_was_found_for_known() -> None:
    written = "\n".join(tables(FULL, "vi"))
    daily = tomllib.loads(written)["probe"][-1]
    assert daily == {"name": "discovery", "every_s": 86400, "known": ["10.0.0.5", "10.0.0.7", "10.0.0.30"]}


def test_what_hangs_on_the_pc_is_told_and_expected_from_now_on() -> None:
    report = msgspec.structs.replace(EMPTY, fitted=FITTED)
    assert list(sentences(report, "en"))[1:] == [
        "On this PC itself:",
        "  camera  Logitech BRIO  (ok)",
        '  microphone  The "best"  (blocked by the system)',
        "  screen    (ok)",
    ]
    (table,) = tomllib.loads("\n".join(tables(report, "vi")))["probe"]
    assert table.pop("name") == "peripherals"
    probe = load_probe("peripherals", table, source="plan")
    assert isinstance(probe, Peripherals)
    assert probe.judged(list(FITTED))["camera1_status_code"] == State.OK
    assert probe.judged([])["camera1_status_code"] == State.FAILED
    planned = msgspec.structs.replace(report, planned_probes=frozenset({"peripherals"}))
    assert "[[probe]]" not in list(tables(planned, "vi"))


def test_a_device_that_no_kind_knows_is_only_watched_for_its_presence() -> None:
    found = Found(address="10.0.0.8", by=("pjlink", "ping"), role="projector")
    (probe,) = probes_for(Proposed(target="projector", found=found))
    assert probe == {"name": "device", "target": "projector", "address": "10.0.0.8", "by": "ping"}


def test_a_ups_is_asked_about_the_power() -> None:
    found = Found(address="10.0.0.9", by=("snmp",), role="ups", kind="ups", way="snmp", community="public")
    (probe,) = probes_for(Proposed(target="ups", found=found))
    assert probe == {"name": "power", "target": "ups", "snmp": "10.0.0.9"}


def test_a_gateway_that_tells_of_its_line_is_pinged_and_asked() -> None:
    mute = Found(address="10.0.0.1", by=("ping",), role="gateway")
    ping = {"name": "ping", "target": "gateway", "address": "10.0.0.1"}
    assert [*probes_for(Proposed(target="gateway", found=mute))] == [ping]
    asked = msgspec.structs.replace(mute, kind="upnp_igd", way="upnp")
    proposed = Proposed(target="gateway", found=asked)
    device = {"name": "device", "target": "gateway", "address": "10.0.0.1", "kind": "upnp_igd"}
    assert [*probes_for(proposed)] == [ping, device]
    found = Difference(new=(proposed,), known=(), vanished=())
    report = msgspec.structs.replace(FULL, difference=found, planned_probes=frozenset({"discovery"}))
    written = "\n".join(tables(report, "vi")).encode()
    assert len(read_orders(written, load_probe, source="plan", toml=True).probes) == 2


def test_json_holds_no_community() -> None:
    line = told(FULL)
    assert 'a"b' not in str(line)
    assert line["vanished"] == [{"target": "projector", "host": "may-chieu.local"}]
