"""The batch as bytes: what an agent sends and a collector believes only after checking it whole.

Byte 0 is the format version (1). The rest is raw deflate (RFC 1951) with the preset dictionary of that version; inside
is JSON (RFC 8259), typed as `_WireBatch`. docs/protocol.md is the written contract.
"""

import zlib
from typing import Annotated, Any, Final

import msgspec

from contract.dictionary import VERSION_1
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import DETAIL_MAX_CHARS, Reading, Record

FORMAT_VERSION: Final = 1
BATCH_MAX_BYTES: Final = 128 * 1024
"""Longest message that a collector reads, and the longest that an agent may send."""
PLAIN_MAX_BYTES: Final = 2 * 1024 * 1024
"""Longest text that a message may inflate to: a bomb stops here."""

_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Seconds = Annotated[float, msgspec.Meta(ge=-1e11, le=1e11)]
_Boot = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
_Epoch = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{8,32}\Z")]
_ProbeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{1,31}\Z")]
_TargetName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}\Z")]
_ValueName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")]
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
_Detail = Annotated[str, msgspec.Meta(max_length=DETAIL_MAX_CHARS)]


class ContractError(Exception):
    """A message breaks the contract; the text says how, for the operator who looks into the quarantine."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records that travel together, with contiguous numbers from `first`, of one epoch of one agent's spool.

    `low` is the lowest number that the agent can still send: whatever is missing below it is lost for good, a declared
    gap. `made_count` and `dropped_count` run since the epoch began: readings stored, and readings given up unsent.
    """

    epoch: str
    low: int
    first: int
    now: Moment
    made_count: int
    dropped_count: int
    records: tuple[Record, ...]

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self.first + len(self.records) - 1


class _WireReading(msgspec.Struct, omit_defaults=True):
    v: Annotated[dict[_ValueName, _Number], msgspec.Meta(max_length=200)] = {}
    o: Outcome = Outcome.OK
    d: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    t: _Detail = ""


_Readings = Annotated[
    dict[_ProbeName, Annotated[dict[_TargetName, _WireReading], msgspec.Meta(max_length=500)]],
    msgspec.Meta(max_length=100),
]


class _WireRecord(msgspec.Struct, omit_defaults=True):
    m: _Seconds
    w: _Seconds
    r: _Readings
    b: _Boot | None = None  # absent: the same boot as the batch's own


class _WireMoment(msgspec.Struct):
    b: _Boot
    m: _Seconds
    w: _Seconds


class _WireBatch(msgspec.Struct):
    e: _Epoch
    l: _Seq  # noqa: E741 - the name on the wire; docs/protocol.md spells it out
    f: _Seq
    made: _Whole
    dropped: _Whole
    n: _WireMoment
    r: Annotated[tuple[_WireRecord, ...], msgspec.Meta(min_length=1, max_length=2000)]


_encode: Final = msgspec.json.Encoder().encode
_decode_batch: Final = msgspec.json.Decoder(_WireBatch).decode
_decode_record: Final = msgspec.json.Decoder(_WireRecord).decode


def encode_batch(batch: Batch) -> bytes:
    """The message for a batch; at most BATCH_MAX_BYTES when the records were chosen by size (`Spool.read`)."""
    wire = _WireBatch(
        e=batch.epoch,
        l=batch.low,
        f=batch.first,
        made=batch.made_count,
        dropped=batch.dropped_count,
        n=_WireMoment(b=batch.now.boot, m=round(batch.now.mono_s, 3), w=round(batch.now.wall_s, 3)),
        r=tuple(_to_wire(record, batch.now.boot) for record in batch.records),
    )
    return _deflate(_encode(wire))


def decode_batch(payload: bytes) -> Batch:
    """The batch in a message. Raises ContractError for anything that is not one, whatever the bytes."""
    if len(payload) > BATCH_MAX_BYTES:
        raise ContractError(f"{len(payload)} bytes, more than the {BATCH_MAX_BYTES} allowed")
    wire = _checked(_decode_batch, _inflate(payload))
    batch = Batch(
        epoch=wire.e,
        low=wire.l,
        first=wire.f,
        now=Moment(boot=wire.n.b, mono_s=wire.n.m, wall_s=wire.n.w),
        made_count=wire.made,
        dropped_count=wire.dropped,
        records=tuple(_from_wire(record, wire.n.b) for record in wire.r),
    )
    if batch.low > batch.first:
        raise ContractError(f"the first record, {batch.first}, is below the low-water mark, {batch.low}")
    return batch


def pack_record(record: Record) -> bytes:
    """One record as spool and journal keep it: the same format as a batch's, with its boot."""
    return _deflate(_encode(_to_wire(record, None)))


def unpack_record(packed: bytes) -> Record:
    """The record in `pack_record`'s bytes; ContractError when they are damaged."""
    return unpack_measured(packed)[0]


def unpack_measured(packed: bytes) -> tuple[Record, int]:
    """The same, and how many bytes of plain text it is: what a batch adds to PLAIN_MAX_BYTES by carrying it."""
    plain = _inflate(packed)
    wire = _checked(_decode_record, plain)
    if wire.b is None:
        raise ContractError("a record on disk without its boot")
    return _from_wire(wire, wire.b), len(plain)


def _checked(decode: Any, plain: bytes) -> Any:  # noqa: ANN401 - msgspec's decoders are generic only in their class
    try:
        return decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"not as the contract has it: {error}") from error


def _to_wire(record: Record, boot: str | None) -> _WireRecord:
    readings: dict[str, dict[str, _WireReading]] = {}
    for reading in record.readings:
        readings.setdefault(reading.probe, {})[reading.target] = _WireReading(
            v=reading.values, o=reading.outcome, d=round(reading.before_s, 3), t=reading.detail[:DETAIL_MAX_CHARS]
        )
    taken = record.taken
    own_boot = None if taken.boot == boot else taken.boot
    return _WireRecord(m=round(taken.mono_s, 3), w=round(taken.wall_s, 3), b=own_boot, r=readings)


def _from_wire(wire: _WireRecord, boot: str) -> Record:
    return Record(
        taken=Moment(boot=wire.b or boot, mono_s=wire.m, wall_s=wire.w),
        readings=tuple(
            Reading(probe=probe, target=target, outcome=one.o, values=one.v, before_s=one.d, detail=one.t)
            for probe, targets in wire.r.items()
            for target, one in targets.items()
        ),
    )


def _deflate(plain: bytes) -> bytes:
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, VERSION_1)
    return bytes([FORMAT_VERSION]) + squeeze.compress(plain) + squeeze.flush()


def _inflate(payload: bytes) -> bytes:
    if not payload:
        raise ContractError("an empty message")
    if payload[0] != FORMAT_VERSION:
        raise ContractError(f"format version {payload[0]}; this program reads version {FORMAT_VERSION}")
    stretch = zlib.decompressobj(-zlib.MAX_WBITS, VERSION_1)
    try:
        plain = stretch.decompress(payload[1:], PLAIN_MAX_BYTES)
    except zlib.error as error:
        raise ContractError(f"not deflated as the contract has it: {error}") from error
    if stretch.unconsumed_tail:
        raise ContractError(f"inflates to more than {PLAIN_MAX_BYTES} bytes")
    if not stretch.eof or stretch.unused_data:
        raise ContractError("cut short, or with something behind its end")
    return plain
