"""STAMP packets byte by byte, and against an independent implementation (scapy's)."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import stamp
from contract.stamp import Clockwork, ErrorEstimate, Flag, Kind, StampError, Tlv

KEY = stamp.derive_key(b"secret", "dongvan-pc1")
NOW_NS = 1_795_500_012_345_678_901
ERA_1_BEGINS_S = 2_085_978_496
"""7 February 2036, 06:28:16 UTC."""
LAST_S = 4_233_462_143
"""26 February 2104: then the second era reaches the highest bit."""

with warnings.catch_warnings():
    # scapy reads the system's routes when it is imported, and warns of a machine that has none.
    warnings.simplefilter("ignore")
    from scapy.contrib import stamp as scapys


def reply_to(packet: bytes, **more: Any) -> bytes:
    plain: dict[str, Any] = {"seq": 7, "received_ns": NOW_NS + 20_000_000, "sent_ns": NOW_NS + 20_050_000, "ttl": 57}
    return stamp.reflect(packet, stamp.decode_request(packet), **(plain | more))


# The bytes


def test_a_plain_request_has_its_fields_where_the_standard_puts_them() -> None:
    packet = stamp.encode_request(0x01020304, NOW_NS, ssid=0xABCD)
    assert len(packet) == 44
    assert packet[0:4].hex() == "01020304"
    assert packet[4:12] == stamp.time_bytes(NOW_NS)
    assert packet[12:16].hex() == "0001abcd"
    assert packet[16:] == bytes(28)


def test_a_signed_request_has_its_fields_where_the_standard_puts_them() -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9, key=KEY)
    assert len(packet) == 112
    assert (packet[0:4].hex(), packet[4:16]) == ("00000005", bytes(12))
    assert (packet[16:24], packet[24:28].hex()) == (stamp.time_bytes(NOW_NS), "00010009")
    assert packet[28:96] == bytes(68)


def test_a_plain_reply_has_its_fields_where_the_standard_puts_them() -> None:
    request = stamp.encode_request(5, NOW_NS, ssid=9)
    reply = reply_to(request)
    assert len(reply) == 44
    assert (reply[0:4].hex(), reply[4:12]) == ("00000007", stamp.time_bytes(NOW_NS + 20_050_000))
    assert (reply[12:16].hex(), reply[16:24]) == ("00010009", stamp.time_bytes(NOW_NS + 20_000_000))
    assert (reply[24:28], reply[28:36], reply[36:38]) == (request[0:4], request[4:12], request[12:14])
    assert (reply[38:40], reply[40], reply[41:44]) == (bytes(2), 57, bytes(3))


def test_a_signed_reply_has_its_fields_where_the_standard_puts_them() -> None:
    request = stamp.encode_request(5, NOW_NS, ssid=9, key=KEY)
    reply = reply_to(request, key=KEY)
    assert len(reply) == 112
    assert (reply[0:4].hex(), reply[16:24]) == ("00000007", stamp.time_bytes(NOW_NS + 20_050_000))
    assert (reply[24:28].hex(), reply[32:40]) == ("00010009", stamp.time_bytes(NOW_NS + 20_000_000))
    assert (reply[48:52], reply[64:72], reply[72:74]) == (request[0:4], request[16:24], request[24:26])
    assert reply[80] == 57
    assert not any(reply[4:16] + reply[28:32] + reply[40:48] + reply[52:64] + reply[74:80] + reply[81:96])


def test_a_round_trip_leaves_out_the_time_at_the_reflector() -> None:
    reply = stamp.decode_reply(reply_to(stamp.encode_request(5, NOW_NS, ssid=9, key=KEY), key=KEY), KEY)
    assert (reply.seq, reply.sender_seq, reply.ssid, reply.ttl) == (7, 5, 9, 57)
    assert (reply.received_ns - NOW_NS, reply.sent_ns - reply.received_ns) == (20_000_000, 50_000)


# The signature


@pytest.mark.parametrize("more", [{}, {"agent": "dongvan-pc1", "size_bytes": 300}], ids=["base", "with TLVs"])
def test_one_bit_flipped_anywhere_in_a_signed_packet_is_found(more: dict[str, Any]) -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9, key=KEY, **more)
    reply = reply_to(packet, key=KEY)
    assert stamp.is_genuine(packet, KEY)
    for one in (packet, reply):
        flipped = [one[: bit // 8] + bytes([one[bit // 8] ^ 1 << bit % 8]) + one[bit // 8 + 1 :] for bit in range(896)]
        assert sum(stamp.is_genuine(bad, KEY) for bad in flipped) == 0


def test_each_agent_has_a_key_of_its_own() -> None:
    keys = {stamp.derive_key(secret, agent) for secret in (b"one", b"two") for agent in ("pc-1", "pc-2", "ssid-1")}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}


def test_a_forged_reply_is_refused_by_its_name() -> None:
    reply = reply_to(stamp.encode_request(5, NOW_NS, ssid=9, key=KEY), key=KEY)
    with pytest.raises(StampError, match="without the right signature"):
        stamp.decode_reply(reply, stamp.derive_key(b"secret", "other"))


# Odd packets


@pytest.mark.parametrize("length", [14, 16, 20, 41, 43])
def test_a_short_packet_of_twamp_light_is_filled_with_zeros(length: int) -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=0)[:length]
    request = stamp.decode_request(packet)
    assert (request.seq, request.sent_ns, request.is_signed, request.tlvs) == (5, NOW_NS, False, b"")
    assert len(reply_to(packet)) == 44


@pytest.mark.parametrize("length", [0, 1, 13])
def test_what_is_too_short_to_say_its_time_is_refused(length: int) -> None:
    with pytest.raises(StampError, match=f"^{length} octets are too few$"):
        stamp.decode_request(bytes(length))


def test_an_error_estimate_without_multiplier_is_a_corrupt_packet() -> None:
    packet = bytearray(stamp.encode_request(5, NOW_NS, ssid=9))
    packet[13] = 0
    with pytest.raises(StampError, match="multiplier is 0"):
        stamp.decode_request(bytes(packet))


@given(st.binary(min_size=14, max_size=400))
def test_whatever_comes_is_refused_or_answered_by_no_more_than_it_had(packet: bytes) -> None:
    try:
        request = stamp.decode_request(packet)
    except StampError:
        return
    for key in (None, KEY) if request.is_signed else (None,):
        reply = reply_to(packet, key=key)
        assert len(reply) == max(44, len(packet))


# Times


@pytest.mark.parametrize("clockwork", list(Clockwork))
@given(unix_ns=st.integers(0, LAST_S * 10**9 + 999_999_999))
def test_times_come_back_to_the_nanosecond(clockwork: Clockwork, unix_ns: int) -> None:
    assert stamp.time_of(stamp.time_bytes(unix_ns, clockwork), clockwork) == unix_ns


def test_times_go_on_when_ntp_begins_to_count_anew() -> None:
    before, after = (ERA_1_BEGINS_S - 1) * 10**9, ERA_1_BEGINS_S * 10**9
    assert stamp.time_bytes(before)[:4].hex() == "ffffffff"
    assert stamp.time_bytes(after) == bytes(8)
    assert stamp.time_of(bytes(8)) - stamp.time_of(stamp.time_bytes(before)) == 10**9


def test_a_time_of_ptp_counts_from_1970() -> None:
    assert stamp.time_bytes(1_000_000_001, Clockwork.PTP).hex() == "0000000100000001"


@pytest.mark.parametrize(
    ("bits", "estimate"),
    [
        (0x0001, ErrorEstimate(False, Clockwork.NTP, 2.0**-32)),
        (0x8001, ErrorEstimate(True, Clockwork.NTP, 2.0**-32)),
        (0x4001, ErrorEstimate(False, Clockwork.PTP, 2.0**-32)),
        (0x2080, ErrorEstimate(False, Clockwork.NTP, 128.0)),
        (0x3FFF, ErrorEstimate(False, Clockwork.NTP, 255 * 2.0**31)),
    ],
)
def test_an_error_estimate_is_multiplier_times_a_power_of_two(bits: int, estimate: ErrorEstimate) -> None:
    assert ErrorEstimate.decode(bits) == estimate
    assert ErrorEstimate.decode(estimate.encode()) == estimate


@given(st.floats(2.0**-32, 1e11))
def test_an_error_is_never_understated_and_hardly_overstated(error_s: float) -> None:
    assert error_s <= ErrorEstimate.decode(ErrorEstimate(error_s=error_s).encode()).error_s <= error_s * 1.01 + 2.0**-32


# Extensions


def test_known_extensions_lose_their_u_flag_and_unknown_ones_keep_it() -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9)
    packet += Tlv(Kind.PADDING, bytes(6)).encode() + Tlv(2, b"where").encode() + Tlv(Kind.AGENT, b"pc-1").encode()
    found = list(stamp.tlvs_in(reply_to(packet)[44:]))
    assert [(tlv.kind, tlv.flags, tlv.value) for tlv in found] == [
        (1, 0, bytes(6)),
        (2, Flag.UNRECOGNIZED, b"where"),
        (252, 0, b"pc-1"),
    ]


def test_an_extension_longer_than_its_packet_is_marked_and_copied() -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9) + b"\x80\x02\x00\xffcut"
    assert reply_to(packet)[44:] == b"\xc0\x02\x00\xffcut"


def test_zeros_as_twamp_light_pads_are_copied() -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9) + bytes(60)
    assert reply_to(packet)[44:] == bytes(60)


def test_signed_extensions_are_signed_anew_in_the_reply() -> None:
    packet = stamp.encode_request(5, NOW_NS, ssid=9, key=KEY, agent="dongvan-pc1", size_bytes=200)
    assert len(packet) == 200
    assert stamp.decode_request(packet).agent == "dongvan-pc1"
    found = list(stamp.tlvs_in(reply_to(packet, key=KEY)[112:]))
    assert [(tlv.kind, tlv.flags) for tlv in found] == [(Kind.AGENT, 0), (Kind.HMAC, 0), (Kind.PADDING, 0)]


def test_forged_extensions_are_all_marked() -> None:
    packet = bytearray(stamp.encode_request(5, NOW_NS, ssid=9, key=KEY, agent="dongvan-pc1", size_bytes=200))
    packet[116] ^= 1  # the first letter of the agent
    found = list(stamp.tlvs_in(reply_to(bytes(packet), key=KEY)[112:]))
    assert [tlv.flags for tlv in found] == [Flag.INTEGRITY] * 3


# An independent implementation


def test_scapy_reads_our_request() -> None:
    theirs = scapys.STAMPSessionSenderTestUnauthenticated(
        stamp.encode_request(5, NOW_NS, ssid=9, size_bytes=80, error=ErrorEstimate(True, Clockwork.NTP, 0.001))
    )
    assert (theirs.seq, theirs.ssid, theirs.mbz) == (5, 9, 0)
    assert theirs.ts == pytest.approx(NOW_NS / 1e9 + 2_208_988_800, abs=1e-3)
    assert (theirs.err_estimate.S, theirs.err_estimate.Z) == (1, 0)
    seconds = theirs.err_estimate.multiplier * 2.0 ** (theirs.err_estimate.scale - 32)
    assert seconds == pytest.approx(0.001, rel=0.01)
    assert [(tlv.type, tlv.len) for tlv in theirs.tlv_objects] == [(1, 32)]


def test_scapy_reads_our_reply() -> None:
    theirs = scapys.STAMPSessionReflectorTestUnauthenticated(reply_to(stamp.encode_request(5, NOW_NS, ssid=9)))
    assert (theirs.seq, theirs.ssid, theirs.seq_sender, theirs.ttl_sender) == (7, 9, 5, 57)
    assert theirs.ts - theirs.ts_rx == pytest.approx(50e-6, abs=2e-6)
    assert theirs.ts_rx - theirs.ts_sender == pytest.approx(0.020, abs=2e-6)


def test_we_read_scapys_request_and_reply() -> None:
    request = bytes(scapys.STAMPSessionSenderTestUnauthenticated(seq=5, ssid=9, ts=NOW_NS / 1e9 + 2_208_988_800))
    ours = stamp.decode_request(request)
    assert (ours.seq, ours.ssid, ours.is_signed) == (5, 9, False)
    assert ours.sent_ns == pytest.approx(NOW_NS, abs=1e6)
    theirs = scapys.STAMPSessionReflectorTestUnauthenticated(
        seq=3, ssid=9, seq_sender=5, ts=NOW_NS / 1e9 + 2_208_988_800, ts_rx=NOW_NS / 1e9 + 2_208_988_799, ttl_sender=61
    )
    reply = stamp.decode_reply(bytes(theirs))
    assert (reply.seq, reply.ssid, reply.sender_seq, reply.ttl) == (3, 9, 5, 61)
    assert reply.sent_ns - reply.received_ns == pytest.approx(10**9, abs=1e6)
