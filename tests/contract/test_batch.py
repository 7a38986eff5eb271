"""The batch format: what is written is read back, what is not a batch is refused with a reason."""

import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.batch import (
    BATCH_MAX_BYTES,
    PLAIN_MAX_BYTES,
    Batch,
    ContractError,
    decode_batch,
    encode_batch,
    pack_record,
    unpack_record,
)
from contract.dictionary import VERSION_1
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import Reading, Record

GOLDEN = Path(__file__).parent.parent / "golden"
NOW = Moment(boot="boot-2", mono_s=86412.031, wall_s=1795500012.5)


def a_batch() -> Batch:
    ping = Reading(probe="ping", target="gateway", values={"sent_count": 10, "rtt_avg_ms": 1.25}, before_s=2.03)
    dead = Reading(probe="ping", target="camera-1", outcome=Outcome.UNREACHABLE, detail="ping 192.168.1.64: không tới")
    earlier = Moment(boot="boot-1", mono_s=5.0, wall_s=1795400000.0)
    return Batch(
        epoch="9f86d081884c7d65",
        low=17,
        first=18,
        now=NOW,
        made_count=4210,
        dropped_count=3,
        records=(Record(taken=earlier, readings=(ping,)), Record(taken=NOW, readings=(ping, dead))),
    )


def message(document: object) -> bytes:
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, VERSION_1)
    return b"\x01" + squeeze.compress(msgspec.json.encode(document)) + squeeze.flush()


def a_document(**changes: object) -> dict[str, object]:
    record = {"m": 1.0, "w": 1.0, "r": {"ping": {"gateway": {"v": {"loss_ratio": 0.0}}}}}
    whole = {
        "e": "abcdefgh",
        "l": 1,
        "f": 1,
        "made": 1,
        "dropped": 0,
        "n": {"b": "x", "m": 1.0, "w": 1.0},
        "r": [record],
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def a_reading(**reading: object) -> list[object]:
    return [{"m": 1.0, "w": 1.0, "r": {"ping": {"gateway": reading}}}]


def test_a_batch_comes_back_as_it_was() -> None:
    assert decode_batch(encode_batch(a_batch())) == a_batch()


def test_whole_numbers_stay_whole_and_others_do_not() -> None:
    values = decode_batch(encode_batch(a_batch())).records[0].readings[0].values
    assert [type(value) for value in values.values()] == [int, float]


def test_a_record_comes_back_from_disk_with_its_boot() -> None:
    record = a_batch().records[0]
    assert unpack_record(pack_record(record)) == record


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("batch-*.bin")), ids=lambda path: path.stem)
def test_a_golden_message_decodes_for_ever(path: Path) -> None:
    expected = path.with_suffix(".json").read_bytes()
    assert msgspec.json.format(msgspec.json.encode(decode_batch(path.read_bytes())), indent=1) + b"\n" == expected


def test_there_are_golden_messages() -> None:
    assert len(list(GOLDEN.glob("batch-*.bin"))) >= 3


def test_a_minute_of_the_standard_job_weighs_under_half_a_kilobyte() -> None:
    """120 samples a room-minute; 655 bytes on the wire with TLS is 0.94 MB a room a day."""
    targets = [
        "gateway",
        "isp",
        "national",
        "international",
        "lesson-zoom",
        "codec",
        "camera-1",
        "camera-2",
        "dns",
        "ups",
    ]
    values = {"sent_count": 10, "received_count": 10, "loss_ratio": 0.0, "rtt_min_ms": 11.213, "rtt_avg_ms": 12.734}
    values |= {"rtt_p50_ms": 12.102, "rtt_p95_ms": 18.117, "rtt_max_ms": 19.99, "jitter_ms": 1.207}
    readings = tuple(Reading(probe="ping", target=target, values=values, before_s=2.0) for target in targets)
    record = Record(taken=NOW, readings=readings)
    batch = msgspec.structs.replace(a_batch(), records=(record,))
    assert len(encode_batch(batch)) < 500


BAD = {
    "nothing": (b"", "an empty message"),
    "a later version": (b"\x02abc", "format version 2; this program reads version 1"),
    "no deflate": (b"\x01\xff\xff\xff", "not deflated as the contract has it"),
    "cut short": (encode_batch(a_batch())[:-4], "cut short"),
    "something behind": (encode_batch(a_batch()) + b"x", "with something behind its end"),
    "too long": (b"\x01" + b"a" * BATCH_MAX_BYTES, f"{BATCH_MAX_BYTES + 1} bytes, more than the {BATCH_MAX_BYTES}"),
    "a bomb": (message("0" * (PLAIN_MAX_BYTES + 10)), f"inflates to more than {PLAIN_MAX_BYTES} bytes"),
    "no object": (message([1, 2]), "Expected `object`, got `array`"),
    "no epoch": (message(a_document(e=None)), "missing required field `e`"),
    "an epoch like a path": (message(a_document(e="../../../etc")), "$.e"),
    "an epoch with a line end": (message(a_document(e="abcdefgh\n")), "$.e"),
    "number zero": (message(a_document(f=0)), "$.f"),
    "below the low-water mark": (message(a_document(l=5, f=3)), "the first record, 3, is below the low-water mark, 5"),
    "no records": (message(a_document(r=[])), "$.r"),
    "a probe named as no probe": (message(a_document(r=[{"m": 1.0, "w": 1.0, "r": {"Ping me": {}}}])), "$.r[0].r"),
    "a text for a value": (message(a_document(r=a_reading(v={"rtt_ms": "fast"}))), "$.r[0].r"),
    "a value that forges a tag": (message(a_document(r=a_reading(v={"a,role=admin": 1}))), "$.r[0].r"),
    "an endless number": (message(a_document(r=a_reading(v={"a_ms": 1e300}))), "$.r[0].r"),
    "an unknown outcome": (message(a_document(r=a_reading(o="fine"))), "$.r[0].r"),
    "measured after it was stored": (message(a_document(r=a_reading(d=-5.0))), "$.r[0].r"),
    "a long story": (message(a_document(r=a_reading(t="x" * 201))), "$.r[0].r"),
}


@pytest.mark.parametrize(("payload", "why"), BAD.values(), ids=BAD)
def test_what_is_no_batch_is_refused_with_a_reason(payload: bytes, why: str) -> None:
    with pytest.raises(ContractError) as refused:
        decode_batch(payload)
    assert why in str(refused.value)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_decoder_do_anything_but_refuse(noise: bytes) -> None:
    for payload in (noise, b"\x01" + noise):
        with pytest.raises(ContractError):
            decode_batch(payload)


@given(st.integers(0, 3000), st.integers(0, 255))
def test_a_damaged_message_is_refused_or_reads_as_a_batch_and_never_breaks(place: int, byte: int) -> None:
    damaged = bytearray(encode_batch(a_batch()))
    damaged[place % len(damaged)] = byte
    try:
        assert isinstance(decode_batch(bytes(damaged)), Batch)
    except ContractError as refused:
        assert str(refused)
