"""The small messages around the batches: the collector's ack and the agent's state, plain JSON both."""

from typing import Annotated, Final, Literal

import msgspec

from contract.batch import ContractError
from contract.moment import Moment

SMALL_MAX_BYTES: Final = 4096


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector has on disk of one epoch: every record up to `upto`, or declared lost by the agent.

    `generation` is random per start of the collector; a new one may acknowledge less than the last did (it was
    restored from a backup), and the agent then sends again what it still has. `collector_s` is the collector's time.
    """

    epoch: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{8,32}\Z")]
    upto: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    generation: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{4,32}\Z")]
    collector_s: Annotated[float, msgspec.Meta(ge=0, le=1e11)]


Goodbye = Literal["service_stop", "shutdown", "suspend", "update", "on_battery_low", "budget_spent"]


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Retained on `up/state`: the birth (`online`), the goodbye (`offline` with its reason), or the Will (`lost`).

    `plan` is the fingerprint of the plan in force; `refused` says why the last plan offered was not taken.
    """

    state: Literal["online", "offline", "lost"]
    reason: Annotated[str, msgspec.Meta(max_length=40)] = ""
    version: Annotated[str, msgspec.Meta(max_length=40)] = ""
    plan: Annotated[str, msgspec.Meta(max_length=40)] = ""
    refused: Annotated[str, msgspec.Meta(max_length=500)] = ""
    at: Moment | None = None


_ack: Final = msgspec.json.Decoder(Ack)
_state: Final = msgspec.json.Decoder(State)


def encode_small(message: Ack | State) -> bytes:
    """The message as bytes."""
    return msgspec.json.encode(message)


def decode_ack(payload: bytes) -> Ack:
    """The ack in a message; ContractError for anything else."""
    _look_at_size(payload)
    try:
        return _ack.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"no ack: {error}") from error


def decode_state(payload: bytes) -> State:
    """The state in a message; ContractError for anything else."""
    _look_at_size(payload)
    try:
        return _state.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"no state: {error}") from error


def _look_at_size(payload: bytes) -> None:
    if len(payload) > SMALL_MAX_BYTES:
        raise ContractError(f"{len(payload)} bytes, more than the {SMALL_MAX_BYTES} allowed")
