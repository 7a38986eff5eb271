"""Acks and states: what an agent hears of the collector, and the collector of an agent besides batches."""

import random
from typing import Final

from agent.forward import Forwarder, Pace
from contract.batch import ContractError
from contract.messages import decode_ack, decode_state, encode_small
from contract.moment import Moment
from contract.reading import Reading, Record
from tests.fuzz.rows import MemoryRows

EPOCH: Final = "9f86d081884c7d65"
WORDS: Final = (
    *(b'"epoch":', b'"upto":', b'"generation":', b'"collector_s":', b'"state":', b'"reason":', b'"at":', b'"plan":'),
    *(b'"online"', b'"offline"', b'"lost"', b"9007199254740992", b"-1", b"null", b"[[[[", b"\\ud800", EPOCH.encode()),
)


def inputs() -> list[bytes]:
    return [
        b'{"epoch":"9f86d081884c7d65","upto":3,"generation":"a1b2c3d4","collector_s":1795500012.61}',
        b'{"epoch":"9f86d081884c7d65","upto":0,"generation":"ffff","collector_s":0}',
        b'{"state":"online","version":"0.1.0","plan":"5f3a","at":{"b":"x","m":1.0,"w":1.0}}',
        b'{"state":"offline","reason":"shutdown","at":{"b":"x","m":1.0,"w":1.0}}',
        b'{"state":"online","refused":"probe[0].name: there is no probe pong"}',
        b'{"state":"lost"}',
    ]


def take(data: bytes) -> bool:
    try:
        ack = decode_ack(data)
    except ContractError:
        return _is_state(data)
    assert decode_ack(encode_small(ack)) == ack
    record = Record(
        taken=Moment(boot="boot", mono_s=1.0, wall_s=1.0), readings=(Reading(probe="ping", target="gateway"),)
    )
    rows = MemoryRows(EPOCH, [record] * 5)
    now = Moment(boot="boot", mono_s=100.0, wall_s=1.8e9)
    forwarder = Forwarder([rows], pace=Pace(), chance=random.Random(1))
    forwarder.connected(now)
    assert forwarder.next(now)
    forwarder.acked(ack, now)
    assert 0 <= rows.acked_upto <= 5
    forwarder.next(now)
    return True


def _is_state(data: bytes) -> bool:
    try:
        state = decode_state(data)
    except ContractError:
        return False
    assert decode_state(encode_small(state)) == state
    return True
