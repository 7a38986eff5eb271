"""Remembers what devices made of our logins, and their certificates, so that neither is tried blindly again."""

import hashlib
import logging
import os
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import msgspec

from agent.devices.login import Login
from contract.moment import Moment

log = logging.getLogger(__name__)

DAY_S: Final = 86400.0
"""Devices lock an account after five or so wrong passwords within half an hour; one a day locks none."""
_FIRST_PAUSE_S: Final = 60.0
_LONGER_EACH_TIME: Final = 4
"""After an answer that did not come: pauses of 1, 4, 16, 64 minutes, so that four tries fall into an hour."""
_DOORS_MAX_COUNT: Final = 500
_ROUNDS: Final = 100_000
_ORIGIN: Final = Moment(boot="", mono_s=0.0, wall_s=0.0)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """That a login brought nothing. `login` is a salted hash of it; `is_answered` of a device that said no, and did not
    only hang up.
    """

    login: str
    at: Moment
    count: int = 1
    is_answered: bool = True

    @property
    def pause_s(self) -> float:
        """How long the login is kept back."""
        return DAY_S if self.is_answered else min(DAY_S, _FIRST_PAUSE_S * _LONGER_EACH_TIME ** (self.count - 1))


class _Door(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    certificate: str = ""
    refusal: Refusal | None = None


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    salt: str
    doors: dict[str, _Door] = {}


def waited_s(since: Moment, now: Moment) -> float:
    """How long ago that was: by the boot's own clock, else by the PC's, which may have been set back; never below 0."""
    if since.boot == now.boot:
        return max(0.0, now.mono_s - since.mono_s)
    return max(0.0, now.wall_s - since.wall_s)


class Memory:
    """What is known of each door: one protocol's port at one address. None as `path` forgets with the process, and
    without `saves` it only reads what another keeps.

    Changed on the event loop; `save` may run in a thread.
    """

    def __init__(
        self, path: Path | None = None, now: Callable[[], Moment] = lambda: _ORIGIN, *, saves: bool = True
    ) -> None:
        self._path = path if saves else None
        self._now = now
        kept = _load(path)
        self._salt = kept.salt or secrets.token_hex(16)
        self._doors = dict(kept.doors)
        self._hashes: dict[tuple[str, str], str] = {}
        self._is_saved = True

    def certificate_of(self, place: str) -> str:
        """The SHA-256 of the certificate that a door had when our login was accepted; empty before that."""
        return self._door(place).certificate

    def refusal_of(self, place: str, login: Login) -> tuple[Refusal, float] | None:
        """Why this very login is kept back, and for how many seconds yet; None when it may be sent."""
        refusal = self._door(place).refusal
        if refusal is None or refusal.login != self._hashed(login):
            return None
        now = self._now()
        if refusal.at.boot != now.boot and now.wall_s < refusal.at.wall_s:
            # The PC's clock was set back: the pause begins to count by the boot's own.
            at = Moment(boot=now.boot, mono_s=now.mono_s, wall_s=refusal.at.wall_s)
            refusal = msgspec.structs.replace(refusal, at=at)
            self._put(place, msgspec.structs.replace(self._door(place), refusal=refusal))
        left_s = refusal.pause_s - waited_s(refusal.at, now)
        return (refusal, left_s) if left_s > 0 else None

    def accepted(self, place: str, certificate: str) -> None:
        """The login was right, and the certificate, if any, is the device's own."""
        door = self._door(place)
        new = _Door(certificate=certificate or door.certificate)
        if new != door:
            self._put(place, new)

    def refused(self, place: str, login: Login, *, is_answered: bool) -> None:
        """The login was sent and not accepted."""
        door, hashed = self._door(place), self._hashed(login)
        before = door.refusal.count if door.refusal is not None and door.refusal.login == hashed else 0
        refusal = Refusal(login=hashed, at=self._now(), count=min(before, 100) + 1, is_answered=is_answered)
        self._put(place, msgspec.structs.replace(door, refusal=refusal))

    def save(self) -> None:
        """Keep it on disk if anything changed; a disk that refuses costs what was new."""
        if self._is_saved or self._path is None:
            return
        self._is_saved = True
        draft = self._path.with_suffix(".draft")
        try:
            with open(draft, "wb", opener=_open_private) as file:
                file.write(msgspec.json.encode(_Kept(salt=self._salt, doors=dict(self._doors))))
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the new name and no content
            draft.replace(self._path)
        except OSError as error:
            log.warning("what devices made of their logins could not be kept: %s", error)

    def _door(self, place: str) -> _Door:
        return self._doors.get(place, _Door())

    def _put(self, place: str, door: _Door) -> None:
        self._doors.pop(place, None)
        self._doors[place] = door
        while len(self._doors) > _DOORS_MAX_COUNT:
            del self._doors[next(iter(self._doors))]  # the one that was changed longest ago
        self._is_saved = False

    def _hashed(self, login: Login) -> str:
        """Slow to guess for whoever reads the file."""
        key = (login.user, str(login.password))
        if key not in self._hashes:
            text = f"{login.user}\0{login.password}".encode()
            self._hashes[key] = hashlib.pbkdf2_hmac("sha256", text, self._salt.encode(), _ROUNDS).hex()
        return self._hashes[key]


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _load(path: Path | None) -> _Kept:
    try:
        return _Kept(salt="") if path is None else msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Kept(salt="")  # the first start, or a file that was damaged: devices are met anew


_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


def remember_by(memory: Memory) -> None:
    """Let all that is measured from here on, also by tasks begun later, share this memory."""
    _memory.set(memory)


def present_memory() -> Memory:
    """The memory shared, or one for this once."""
    return _memory.get() or Memory()
