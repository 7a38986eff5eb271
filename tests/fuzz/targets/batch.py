"""The batch: whatever comes is one or a ContractError, and one that is taken can be kept, placed and sent on."""

import zlib
from typing import Final

from collector.line.reception import Reception
from collector.line.timing import BootClock, clock_offset_s
from collector.samples import samples_of
from collector.storage.journal import Kept
from contract.batch import (
    BATCH_MAX_BYTES,
    FORMAT_VERSION,
    Batch,
    ContractError,
    decode_batch,
    encode_batch,
    pack_record,
    unpack_record,
)
from contract.dictionary import VERSION_1
from tests.fuzz.golden import golden

ARRIVED_S: Final = 1_795_500_000.0
WORDS: Final = (
    *(b'"e":', b'"l":', b'"f":', b'"made":', b'"dropped":', b'"n":', b'"r":', b'"v":', b'"o":', b'"d":', b'"t":'),
    *(b'"b":', b'"m":', b'"w":', b"1e308", b"-1e11", b"9007199254740992", b"9223372036854775808", b"null", b"NaN"),
    *(b'"timeout"', b'"ok"', b"\\u0000", b"\\ud800", b'"clock_offset_s"', b'"loss_ratio"'),
)


def inputs() -> list[bytes]:
    return [*golden("*.bin"), *golden("*.json")]


def take(data: bytes) -> bool:
    """Begun with the format's version it is a message; else the text that one inflates to, which reaches further."""
    try:
        batch = decode_batch(data if data[:1] == bytes([FORMAT_VERSION]) else deflated(data))
    except ContractError:
        return False
    go_on_with(batch)
    return True


def deflated(plain: bytes) -> bytes:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, VERSION_1)
    return bytes([FORMAT_VERSION]) + squeeze.compress(plain) + squeeze.flush()


def go_on_with(batch: Batch) -> None:
    again = encode_batch(batch)
    if len(again) <= BATCH_MAX_BYTES:
        assert encode_batch(decode_batch(again)) == again
    reception = Reception()
    reception.receive(batch)
    assert reception.upto <= batch.last
    clock = BootClock.heard(batch.now, ARRIVED_S)
    clock.hear(batch.now, ARRIVED_S)
    assert abs(clock_offset_s(batch.now, ARRIVED_S)) < 2e11
    for place, record in enumerate(batch.records[:5]):
        assert unpack_record(pack_record(record)).taken.boot == record.taken.boot
        own = clock if record.taken.boot == batch.now.boot else BootClock.estimated(record.taken, clock)
        own.look(record.taken)
        placed = own.place(record.taken, ARRIVED_S)
        assert placed.taken_s <= ARRIVED_S
        kept = Kept(
            *(0, "pc-1", batch.epoch, batch.first + place, "room-1", "hg", placed.taken_s, ARRIVED_S),
            sure=placed.sure,
            record=record,
        )
        for sample in samples_of(kept).samples:
            assert sample.measured_ms <= ARRIVED_S * 1000
