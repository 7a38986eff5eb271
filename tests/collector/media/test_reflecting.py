"""Who is answered, and who is not: the reflector's core, its clock turned by hand."""

import tracemalloc
from typing import Any

import pytest

from collector.media.reflecting import Keys, Limits, Reflector, Refused
from contract import stamp
from contract.stamp import Kind

SECRET = b"a secret of the tests"
NOW_NS = 1_795_500_000_000_000_000
HOME = ("198.51.100.7", 40_000)


def reflector(**more: Any) -> Reflector:
    plain: dict[str, Any] = {"limits": Limits(), "wall_ns": lambda: NOW_NS + 1000}
    return Reflector(Keys(SECRET), **(plain | more))


def key_of(agent: str) -> bytes:
    return stamp.derive_key(SECRET, agent)


def request(seq: int = 0, *, agent: str = "pc-1", ssid: int = 7, at_ns: int = NOW_NS, size_bytes: int = 200) -> bytes:
    return stamp.encode_request(seq, at_ns, ssid=ssid, size_bytes=size_bytes, key=key_of(agent), agent=agent)


def answer(one: Reflector, packet: bytes, at_s: float = 1.0) -> bytes | Refused:
    return one.answer(packet, HOME, received_ns=NOW_NS, ttl=57, at_s=at_s)


def reply(one: Reflector, packet: bytes, agent: str = "pc-1") -> stamp.Reply:
    answered = answer(one, packet)
    assert isinstance(answered, bytes), answered
    assert len(answered) == len(packet)
    return stamp.decode_reply(answered, key_of(agent))


def test_an_agent_is_answered_by_its_own_key_and_at_the_same_length() -> None:
    one = reply(reflector(), request(3))
    assert (one.seq, one.sender_seq, one.ssid, one.ttl) == (0, 3, 7, 57)
    assert (one.received_ns, one.sent_ns) == (NOW_NS, NOW_NS + 1000)


def test_the_key_of_a_revoked_agent_is_at_an_end_at_once_and_nobody_elses() -> None:
    revoked: set[str] = set()
    one = Reflector(Keys(SECRET, revoked.__contains__), limits=Limits(), wall_ns=lambda: NOW_NS)
    assert isinstance(answer(one, request(0)), bytes)
    revoked.add("pc-1")
    assert answer(one, request(1)) is Refused.REVOKED
    assert isinstance(answer(one, request(1, agent="pc-2")), bytes)


def test_what_was_received_of_a_session_is_counted() -> None:
    one = reflector()
    assert [reply(one, request(seq)).seq for seq in (0, 1, 4, 5)] == [0, 1, 2, 3]
    assert reply(one, request(0, ssid=8)).seq == 0
    assert reply(one, request(0, agent="pc-2"), "pc-2").seq == 0


def test_a_number_far_behind_the_last_costs_no_memory() -> None:
    one = reflector()
    assert isinstance(answer(one, request(2**32 - 1)), bytes)
    tracemalloc.start()
    try:
        assert isinstance(answer(one, request(0)), Refused)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 1_000_000
    assert isinstance(answer(one, request(0, at_ns=NOW_NS + 1)), bytes), "a sender may begin anew, later"


def test_one_bit_flipped_anywhere_is_refused() -> None:
    for packet in (request(size_bytes=0), stamp.encode_request(0, NOW_NS, ssid=7, key=key_of("ssid-7"))):
        one = reflector()
        assert isinstance(answer(one, packet), bytes)
        for bit in range(896):
            spoilt = bytearray(packet)
            spoilt[bit // 8] ^= 1 << bit % 8
            assert isinstance(answer(one, bytes(spoilt)), Refused), bit


def test_a_packet_under_another_agents_name_is_forged() -> None:
    packet = stamp.encode_request(0, NOW_NS, ssid=7, key=key_of("pc-1"), agent="pc-2")
    assert answer(reflector(), packet) is Refused.FORGED


def test_a_name_that_is_none_is_forged() -> None:
    base = stamp.encode_request(0, NOW_NS, ssid=7, key=key_of("pc-1"))
    assert answer(reflector(), base + stamp.Tlv(Kind.AGENT, b"\xff/..").encode()) is Refused.FORGED


def test_what_is_not_stamp_is_refused() -> None:
    assert answer(reflector(), b"GET / HTTP/") is Refused.NOT_STAMP


def test_unsigned_packets_are_answered_only_for_listed_ssids() -> None:
    one = reflector(ssids=(9,))
    assert answer(one, stamp.encode_request(0, NOW_NS, ssid=8)) is Refused.UNKNOWN
    assert isinstance(answer(one, stamp.encode_request(0, NOW_NS, ssid=9)), bytes)
    assert isinstance(answer(one, stamp.encode_request(0, NOW_NS, ssid=9)), bytes), "it may have begun anew"


# Repeats


@pytest.mark.parametrize("seq", [0, 5, 900])
def test_a_repeat_is_refused(seq: int) -> None:
    one = reflector()
    packets = [request(number, at_ns=NOW_NS + number) for number in range(1000)]
    for packet in packets:
        assert isinstance(answer(one, packet), bytes)
    assert answer(one, packets[seq]) is Refused.REPLAYED


def test_what_only_came_out_of_order_is_answered() -> None:
    one = reflector()
    assert [reply(one, request(seq)).sender_seq for seq in (5, 3, 4, 900, 6)] == [5, 3, 4, 900, 6]


def test_what_lies_further_back_than_can_be_remembered_is_taken_for_a_repeat() -> None:
    one = reflector()
    reply(one, request(5000, at_ns=NOW_NS + 10))
    assert answer(one, request(5000 - 1024)) is Refused.REPLAYED
    assert isinstance(answer(one, request(5000 - 1023)), bytes)


def test_a_sender_that_begins_anew_with_the_same_ssid_is_believed_by_its_later_time() -> None:
    one = reflector()
    for seq in range(10):
        reply(one, request(seq, at_ns=NOW_NS + seq))
    assert reply(one, request(0, at_ns=NOW_NS + 1_000_000)).seq == 0
    assert answer(one, request(0, at_ns=NOW_NS)) is Refused.REPLAYED


# Floods


def test_one_address_gets_no_more_than_its_share() -> None:
    one = reflector(limits=Limits(per_source=100.0, total=1e6))
    assert sum(one.admits("198.51.100.7", 1.0) for _ in range(500)) == 100
    assert one.admits("198.51.100.8", 1.0)
    assert sum(one.admits("198.51.100.7", 1.5) for _ in range(500)) == 50


def test_who_has_one_ipv6_address_has_all_of_its_net() -> None:
    one = reflector(limits=Limits(per_source=100.0, total=1e6))
    assert sum(one.admits(f"2001:db8:1:2::{number:x}", 1.0) for number in range(500)) == 100
    assert one.admits("2001:db8:1:3::1", 1.0)
    assert one.admits("fe80::1%eth0", 1.0)


def test_ipv4_addresses_on_a_socket_for_both_families_are_each_somebody_else() -> None:
    one = reflector(limits=Limits(per_source=100.0))
    assert sum(one.admits(f"::ffff:203.0.113.{number}", 1.0) for number in range(200)) == 200
    assert sum(one.admits("::ffff:198.51.100.7", 1.0) for _ in range(500)) == 100
    assert not one.admits("198.51.100.7", 1.0)


def test_all_together_get_no_more_than_the_total_and_forgeries_use_up_none_of_it() -> None:
    one = reflector(limits=Limits(per_source=1e6, total=100.0))
    forged = stamp.encode_request(0, NOW_NS, ssid=7, key=b"wrong", agent="pc-1")
    assert {answer(one, forged) for _ in range(1000)} == {Refused.FORGED}
    found = [answer(one, request(seq)) for seq in range(150)]
    assert sum(isinstance(each, bytes) for each in found) == 100
    assert found[-1] is Refused.BUSY


def test_a_reflector_that_is_busy_turns_new_sessions_away_whole_and_serves_those_under_way() -> None:
    one = reflector(limits=Limits(total=100.0))
    found = [answer(one, request(0, ssid=ssid)) for ssid in range(60)]
    assert [isinstance(each, bytes) for each in found] == [True] * 51 + [False] * 9
    assert all(isinstance(answer(one, request(1, ssid=ssid)), bytes) for ssid in range(40))
    for at_s in (1.5, 2.0, 30.0, 100.0):  # there is room again, but half a burst would look like loss
        assert answer(one, request(1, ssid=59), at_s) is Refused.BUSY
    assert isinstance(answer(one, request(2, ssid=59, at_ns=NOW_NS + 1), 122.0), bytes)


def test_memory_is_bounded_whoever_sends() -> None:
    one = reflector(ssids=(9,), limits=Limits(remembered=50))
    packet = stamp.encode_request(0, NOW_NS, ssid=9)
    reply(one, request(0, at_ns=NOW_NS + 1))
    for number in range(1000):
        address = f"203.0.{number // 250}.{number % 250}"
        one.admits(address, 1.0)
        one.answer(packet, (address, 1), received_ns=NOW_NS, ttl=1, at_s=1.0)
        answer(one, request(0, ssid=number % 40 + 100))
    assert len(one._sources) == len(one._plain) == 50
    assert len(one._signed) <= 50
    assert answer(one, request(0)) is Refused.REPLAYED, "strangers do not make it forget an agent's session"
