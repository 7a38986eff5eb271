"""Lets a device's login out, or keeps it back: from one that refused it, from strangers, and in clear."""

import asyncio
from typing import Final, NamedTuple

from agent.devices.login import Digest, Login, best_of
from agent.devices.memory import Memory
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import Admission

_FORBIDDEN: Final = 403
_WANTS_LOGIN: Final = 401
_BROKEN_FROM: Final = 500
_SHOWN_MAX_CHARACTERS: Final = 60


class LoginFailed(ProbeFailed):
    """The device does not let us in, or we keep the login to ourselves. It is there, and may tell strangers things."""

    def __init__(self, admission: Admission, detail: str) -> None:
        super().__init__(Outcome.DENIED, detail)
        self.admission = admission


class Door(NamedTuple):
    """Where one knocks: a protocol's port at an address, over one connection."""

    what: str
    """Begins every error: `device 192.168.1.20: xapi 443`."""
    place: str
    """Its name in memory: `xapi 192.168.1.20:443`."""
    certificate: str = ""
    """SHA-256 of the certificate shown by TLS, in hexadecimal digits; empty without TLS."""


class Key:
    """The login for one device during one measurement, and the only way that it gets out.

    What is handed out is under way until the device has accepted or refused it. A device that does neither (it hangs
    up, or falls silent) is told at the end of the measurement by `settle` to have refused it for a while: some say no
    in no other way, and lock the account all the same.
    """

    def __init__(self, login: Login, memory: Memory, *, cleartext: bool = False, certificate: str = "") -> None:
        self.login = login
        self._memory = memory
        self._cleartext = cleartext
        self._certificate = certificate
        self._under_way: Door | None = None
        self._digest: Digest | None = None
        self.challenge = ""
        """What the device asked for when it last let us in: the next request may answer it unasked."""
        self.is_accepted = False

    def __repr__(self) -> str:
        return f"Key({self.login.user})"

    @property
    def is_under_way(self) -> bool:
        """Whether it has been sent, and nothing is known of what became of it: it must not be sent again."""
        return self._under_way is not None

    def hand_out(self, door: Door, *, in_clear: bool) -> Login:
        """The login, to be sent to this door now; `in_clear` where whoever listens can read it. Raises LoginFailed."""
        kept_back = self._memory.refusal_of(door.place, self.login)
        if kept_back is not None:
            refusal, left_s = kept_back
            pause = f"it is not sent for {_time(left_s)}, or until it is changed"
            if refusal.is_answered:
                raise LoginFailed(Admission.REFUSED, f"{door.what}: refused the login before; {pause}")
            raise LoginFailed(Admission.UNSENT, f"{door.what}: did not answer the login before; {pause}")
        known = self._certificate or self._memory.certificate_of(door.place)
        if known and known != door.certificate:
            shown = f"shows another certificate (SHA-256 {door.certificate})" if door.certificate else "has none"
            raise LoginFailed(Admission.UNSENT, f"{door.what}: {shown} than the known one; the login is not sent")
        if in_clear and not door.certificate and not self._cleartext:
            what = "takes the login only in clear, and it is not sent so without cleartext = true"
            raise LoginFailed(Admission.UNSENT, f"{door.what}: {what}")
        self._under_way = door
        return self.login

    def header(self, door: Door, challenge: str, method: str, uri: str) -> str:
        """The header that answers a server's challenge; its nonce is used as long as it lasts. Raises LoginFailed."""
        best = best_of(challenge)
        if best is None:
            said = challenge.splitlines()[0][:_SHOWN_MAX_CHARACTERS] if challenge else ""
            raise LoginFailed(Admission.UNSENT, f"{door.what}: wants a login that we do not know: {said!r}")
        login = self.hand_out(door, in_clear=best.scheme == "basic")
        if best.scheme == "basic":
            return login.basic()
        if self._digest is None or self._digest.challenge != best:
            self._digest = Digest(login, best)
        return self._digest.answer(method, uri)

    def accepted(self) -> None:
        """The device let us in."""
        if self._under_way is not None:
            self._memory.accepted(self._under_way.place, self._under_way.certificate)
            self._under_way = None
            self.is_accepted = True

    def refused(self, door: Door) -> LoginFailed:
        """The device did not let us in: what to raise."""
        if self._under_way is None:
            return LoginFailed(Admission.UNSENT, f"{door.what}: denies access, and did not ask for the login")
        self._memory.refused(self._under_way.place, self.login, is_answered=True)
        self._under_way = None
        again = "it is not sent again for a day, or until it is changed"
        return LoginFailed(Admission.REFUSED, f"{door.what}: refused the login; {again}")

    async def settle(self) -> None:
        """The measurement is over."""
        if self._under_way is not None:
            self._memory.refused(self._under_way.place, self.login, is_answered=False)
            self._under_way = None
        await asyncio.to_thread(self._memory.save)


def denied(key: Key | None, door: Door) -> LoginFailed:
    """The device is there, and lets nobody in with what the plan has, which is never shown."""
    if key is not None:
        return key.refused(door)
    wanted = "wants a login (password, and login_name where it has one), and the plan has none"
    return LoginFailed(Admission.WANTED, f"{door.what}: {wanted}")


def unshown(door: Door) -> LoginFailed:
    """Something is there that wants a login before it shows what it is: it may be the device, or anything."""
    what = "wants a login before it shows that it is of the plan's kind; the login is not sent"
    return LoginFailed(Admission.UNSENT, f"{door.what}: {what}")


class Turns:
    """The course of one request by HTTP or RTSP: unasked first, then with the login, and with a fresh nonce."""

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self._challenge = key.challenge if key is not None else ""
        self._is_reused = bool(self._challenge)
        self._was_sent = False
        self._was_renewed = False

    def headers(self, door: Door, method: str, uri: str) -> tuple[str, ...]:
        """What to send besides. Raises LoginFailed."""
        if self._key is None or not self._challenge:
            return ()
        header = self._key.header(door, self._challenge, method, uri)
        self._was_sent = True
        return (header,)

    def goes_on(self, door: Door, status: int, challenge: str) -> bool:
        """Whether to send the request once more, given what it was answered with. Raises LoginFailed."""
        if self._key is None:
            return False
        if not self._was_sent:
            self._challenge = challenge if status == _WANTS_LOGIN else ""
            return bool(self._challenge)
        # Not every device says that the nonce was only too old: what was used before may be tried anew once.
        if status == _WANTS_LOGIN and not self._was_renewed and (self._is_reused or _is_stale(challenge)):
            self._challenge, self._was_renewed = challenge, True
            return True
        if status in (_WANTS_LOGIN, _FORBIDDEN):
            raise self._key.refused(door)
        if status < _BROKEN_FROM:
            self._key.challenge = self._challenge
            self._key.accepted()
        return False


def _is_stale(challenge: str) -> bool:
    best = best_of(challenge)
    return best is not None and best.is_stale


def _time(left_s: float) -> str:
    """So that it can be read: whole hours, or minutes.

    >>> _time(86400), _time(5400), _time(61), _time(1)
    ('24 h', '2 h', '2 min', '1 min')
    """
    hours = left_s / 3600
    return f"{-int(-hours // 1)} h" if hours > 1 else f"{max(1, -int(-left_s // 60))} min"
