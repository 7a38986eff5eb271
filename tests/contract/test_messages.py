"""The small messages: an ack and a state come back as they were, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.batch import ContractError
from contract.messages import SMALL_MAX_BYTES, Ack, State, decode_ack, decode_state, encode_small
from contract.moment import Moment

ACK = Ack(epoch="9f86d081884c7d65", upto=18, generation="a1b2c3d4", collector_s=1795500012.61)
STATE = State(
    state="online", version="0.1.0", plan="5f3a", refused="không", at=Moment(boot="b", mono_s=1.0, wall_s=2.0)
)


def test_an_ack_comes_back_as_it_was() -> None:
    assert decode_ack(encode_small(ACK)) == ACK


@pytest.mark.parametrize("state", [STATE, State(state="lost"), State(state="offline", reason="shutdown")])
def test_a_state_comes_back_as_it_was(state: State) -> None:
    assert decode_state(encode_small(state)) == state


def test_a_small_message_is_what_the_protocol_document_shows() -> None:
    """Other programs read docs/protocol.md: these keys are a promise."""
    assert msgspec.json.decode(encode_small(ACK)) == {
        "epoch": "9f86d081884c7d65",
        "upto": 18,
        "generation": "a1b2c3d4",
        "collector_s": 1795500012.61,
    }
    assert msgspec.json.decode(encode_small(STATE)) == {
        "state": "online",
        "version": "0.1.0",
        "plan": "5f3a",
        "refused": "không",
        "at": {"b": "b", "m": 1.0, "w": 2.0},
    }


def test_a_will_is_short() -> None:
    assert encode_small(State(state="lost")) == b'{"state":"lost"}'


DEEP = b'{"x":' + b"[" * 4000

BAD_STATES = {
    "nothing": (b"", "no state: Input data was truncated"),
    "another word": (b'{"state": "asleep"}', "no state: Invalid enum value 'asleep' - at `$.state`"),
    "no word": (b'{"reason": "shutdown"}', "no state: Object missing required field `state`"),
    "a long reason": (
        msgspec.json.encode({"state": "offline", "reason": "x" * 41}),
        "no state: Expected `str` of length <= 40 - at `$.reason`",
    ),
    "too deep": (DEEP, "no state: maximum recursion depth exceeded while deserializing an object"),
    "too long": (b" " * 4097, f"4097 bytes, more than the {SMALL_MAX_BYTES} allowed"),
}


@pytest.mark.parametrize(("payload", "why"), BAD_STATES.values(), ids=BAD_STATES)
def test_what_is_no_state_is_refused_with_a_reason(payload: bytes, why: str) -> None:
    with pytest.raises(ContractError) as refused:
        decode_state(payload)
    assert str(refused.value) == why


def an_ack(**changes: object) -> bytes:
    return msgspec.json.encode({"epoch": "abcdefgh", "upto": 1, "generation": "gen1", "collector_s": 1.0} | changes)


BAD_ACKS = {
    "nothing": (b"", "no ack: Input data was truncated"),
    "less than nothing": (an_ack(upto=-1), "no ack: Expected `int` >= 0 - at `$.upto`"),
    "half a record": (an_ack(upto=1.5), "no ack: Expected `int`, got `float` - at `$.upto`"),
    "an epoch like a path": (
        an_ack(epoch="../../etc"),
        "no ack: Expected `str` matching regex '^[a-z0-9]{8,32}\\\\Z' - at `$.epoch`",
    ),
    "no time": (an_ack(collector_s=None), "no ack: Expected `float`, got `null` - at `$.collector_s`"),
    "too deep": (DEEP, "no ack: maximum recursion depth exceeded while deserializing an object"),
    "too long": (b" " * 4097, f"4097 bytes, more than the {SMALL_MAX_BYTES} allowed"),
}


@pytest.mark.parametrize(("payload", "why"), BAD_ACKS.values(), ids=BAD_ACKS)
def test_what_is_no_ack_is_refused_with_a_reason(payload: bytes, why: str) -> None:
    with pytest.raises(ContractError) as refused:
        decode_ack(payload)
    assert str(refused.value) == why


@given(st.binary(max_size=100))
def test_no_bytes_make_a_decoder_do_anything_but_refuse(noise: bytes) -> None:
    for decode in (decode_ack, decode_state):
        with pytest.raises(ContractError):
            decode(noise)
