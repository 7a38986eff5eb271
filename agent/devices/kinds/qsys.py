"""Q-SYS Remote Control (QRC): Q-SYS cores by JSON-RPC 2.0 at TCP 1710, each message ended by a NUL.

Rests on QSC's reference, and on no recording.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import ANSWER_MAX_LINES, PATIENCE, TRIES, Wire, shown, talk
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 1710
_LOGON: Final = 1
_STATUS: Final = 2
_LOGON_REQUIRED: Final = 10
_OK: Final = 0
_WORDS: Final = (
    ("compromised", State.DEGRADED),
    ("initializing", State.UNKNOWN),
    ("fault", State.FAILED),
    ("missing", State.FAILED),
    ("not present", State.FAILED),
)
"""How Status.String begins when Code is not 0."""


class _Status(msgspec.Struct, frozen=True, rename="pascal"):
    code: int
    string: str = ""


class _Engine(msgspec.Struct, frozen=True, rename="pascal"):
    status: _Status
    platform: str = ""
    state: str = ""


class QSys:
    """Sends StatusGet, and logs on where it must; sets nothing."""

    name = "qsys"
    way = "qsys"
    is_generic = False
    logs_in = True
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By the status of its engine, or that it wants a login for that."""

        async def exchange(wire: Wire) -> str:
            try:
                return (await _status(wire)).platform
            except _LogonRequired:
                return ""

        model = await talk(device, self.name, _PORT, exchange)
        return Identity(kind=self.name, family="dsp", vendor="QSC", model=model, by="QRC")

    async def ask(self, device: Device) -> Told:
        """How its engine judges itself. Raises ProbeFailed."""

        async def exchange(wire: Wire) -> _Engine:
            with contextlib.suppress(_LogonRequired):
                return await _status(wire)
            login = wire.login(in_clear=True)
            try:
                await _call(wire, "Logon", {"User": str(login.user), "Password": str(login.password)}, _LOGON)
                engine = await _status(wire)
            except _LogonRequired:
                raise wire.denied() from None
            wire.accepted()
            return engine

        engine = await talk(device, self.name, _PORT, exchange, tries=TRIES, patience=PATIENCE)
        identity = Identity(kind=self.name, family="dsp", vendor="QSC", model=engine.platform, by="QRC")
        return Told(parts={"system": _system(engine)}, identity=identity)


class _LogonRequired(Exception):
    """The core wants to know who asks, or another than it was told."""


async def _status(wire: Wire) -> _Engine:
    said = await _call(wire, "StatusGet", 0, _STATUS)
    try:
        return msgspec.convert(said, _Engine)
    except msgspec.ValidationError as error:
        raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: no status of an engine: {error}") from None


async def _call(
    wire: Wire,
    method: str,
    given: object,
    number: int,
) -> Any:  # noqa: ANN401 - whatever the core answers; the caller looks at it
    request = {"jsonrpc": "2.0", "method": method, "params": given, "id": number}
    wire.write(msgspec.json.encode(request) + b"\0")
    for _ in range(ANSWER_MAX_LINES):
        said = (await wire.reader.readuntil(b"\0"))[:-1]
        try:
            message = msgspec.json.decode(said)
        except msgspec.DecodeError:
            raise wire.nonsense("JSON", shown(said[:200])) from None
        # It tells of its engine unasked, when connected to and when something changes.
        if not isinstance(message, dict) or message.get("id") != number:
            continue
        error = message.get("error")
        if isinstance(error, dict):
            if method == "Logon" or error.get("code") == _LOGON_REQUIRED:
                raise _LogonRequired
            raise wire.nonsense("a result", shown(said[:200]))
        return message.get("result")
    raise wire.nonsense(f"an answer to {method}", "others")


def _system(engine: _Engine) -> State:
    if engine.state.lower() == "standby":
        return State.STANDBY  # of two cores the one that waits
    if engine.status.code == _OK:
        # Idle has no design loaded: no sound, though nothing is broken.
        return State.DEGRADED if engine.state.lower() == "idle" else State.OK
    word = engine.status.string.lower()
    return next((state for begin, state in _WORDS if word.startswith(begin)), State.DEGRADED)


KIND: Final = QSys()
