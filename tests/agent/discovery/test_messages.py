"""What answers to the multicast questions mean, and that nonsense means nothing."""

import os
import random
from typing import Final

import pytest

from agent.discovery.messages import MDNS, SSDP, WS_DISCOVERY, Question, mdns_query, read_answer
from agent.discovery.sighting import Sighting
from tests.agent.discovery.answers import BOMB, mdns_answer, message_of, probe_match, ring_of_pointers, ssdp_answer

QUESTION: Final = Question("uuid:1-2-3", 0x1234)
QUERY: Final = mdns_query(QUESTION.number)
HOST: Final = "10.0.0.5"


def read(data: bytes) -> Sighting | None:
    return read_answer(data, HOST, QUESTION)


def test_each_question_goes_to_its_own_group() -> None:
    sent = {group: datagram for datagram, group in QUESTION.datagrams()}
    assert message_of(sent[WS_DISCOVERY]) == "uuid:1-2-3"
    assert sent[SSDP].startswith(b"M-SEARCH * HTTP/1.1\r\n")
    assert sent[MDNS] == QUERY


def test_a_camera_that_answers_by_onvif_tells_its_name_and_model() -> None:
    assert read(probe_match("uuid:1-2-3")) == Sighting(address=HOST, by="onvif", role="camera", name="Camera nhà AX-1")


def test_what_answers_and_is_no_video_transmitter_is_no_camera() -> None:
    seen = read(probe_match("uuid:1-2-3", types="dn:Printer"))
    assert seen is not None
    assert (seen.by, seen.role) == ("onvif", "")


@pytest.mark.parametrize(
    ("kind", "role"), [("InternetGatewayDevice", "router"), ("MediaRenderer", "screen"), ("Printer", "")]
)
def test_a_upnp_device_is_what_it_announces(kind: str, role: str) -> None:
    assert read(ssdp_answer(kind)) == Sighting(address=HOST, by="ssdp", role=role, name="Linux/5.4 UPnP/1.0 Telly/2.1")


@pytest.mark.parametrize(
    ("service", "role"),
    [
        ("_rtsp._tcp.local", "camera"),
        ("_pjlink._tcp.local", "projector"),
        ("_netaudio-arc._udp.local", "dsp"),
        ("_ipp._tcp.local", ""),
    ],
)
def test_what_offers_a_service_is_what_the_service_makes_it(service: str, role: str) -> None:
    seen = read(mdns_answer(QUERY, service, "Phòng 101"))
    assert seen == Sighting(address=HOST, by="mdns", role=role, name="Phòng 101")


def test_a_name_of_many_lines_becomes_one() -> None:
    seen = read(ssdp_answer("Printer", server="a\n[[probe]]\x1b[2J\u202eb" + "c" * 100))
    assert seen is not None
    assert seen.name.startswith("a [[probe]] [2J b")
    assert len(seen.name) == 64


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<",
        b"<a/>",
        BOMB,
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        probe_match("uuid:of-somebody-else"),
        probe_match("uuid:1-2-3").replace(b"ProbeMatch>", b"ProbeMuch>"),
        b"HTTP/1.1",
        b"HTTP/1.1 404 Not Found\r\nST: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\n\r\n",
        QUERY,
        QUERY[:11],
        mdns_answer(mdns_query(7), "_rtsp._tcp.local", "x"),
        ring_of_pointers(QUERY),
    ],
    ids=[
        "empty", "open", "other xml", "bomb", "encoding", "other question", "no match", "cut http", "404", "bare http",
        "notify", "own query", "cut dns", "other dns question", "ring",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_no_sighting(data: bytes) -> None:
    assert read(data) is None


def test_a_cut_or_broken_answer_never_raises() -> None:
    dice = random.Random(2611)
    whole = [probe_match("uuid:1-2-3"), ssdp_answer("Printer"), mdns_answer(QUERY, "_rtsp._tcp.local", "x")]
    for answer in whole:
        for length in range(len(answer)):
            read(answer[:length])
        for _ in range(300):
            broken = bytearray(answer)
            for _ in range(3):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            seen = read(bytes(broken))
            assert seen is None or (seen.address == HOST and seen.name.isprintable())
    assert read(os.urandom(12) + b"\xc0" * 500) is None
