"""Asks SNMP devices: GET of a list, bounded reading of a table; versions 1, 2c and 3 (RFC 1157, 3416, 3414).

The only importer of pysnmp, and itself imported only when a plan asks for SNMP. One engine for each event loop. The
layer below pysnmp's hlapi is used because hlapi looks every name up in MIBs, which takes time and, where pysmi is
installed, may even fetch them from the internet.
"""

import asyncio
import importlib.util
import logging
import socket
import sys
import weakref
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pyasn1.type import univ
from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.carrier.asyncio.dispatch import AsyncioDispatcher
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdgen
from pysnmp.error import PySnmpError
from pysnmp.proto import errind, rfc1902, rfc1905

from agent.network.resolving import resolve
from agent.probe import ProbeFailed
from agent.snmp.login import SnmpLogin
from contract.outcome import Outcome

log = logging.getLogger(__name__)

SILENT: Final = "no answer to SNMP; the device may be reachable: wrong community, or SNMP switched off"

_TICK_S: Final = 0.1
_PDU_MAX_COUNT: Final = 20
"""Objects of one request, so that the answer fits into one packet of the usual 1500 bytes."""
_BULK_MAX_COUNT: Final = 40
"""Objects asked for by one GETBULK."""

_AUTHS: Final = {
    "": config.USM_AUTH_NONE,
    "md5": config.USM_AUTH_HMAC96_MD5,
    "sha": config.USM_AUTH_HMAC96_SHA,
    "sha224": config.USM_AUTH_HMAC128_SHA224,
    "sha256": config.USM_AUTH_HMAC192_SHA256,
    "sha384": config.USM_AUTH_HMAC256_SHA384,
    "sha512": config.USM_AUTH_HMAC384_SHA512,
}
_PRIVS: Final = {
    "": config.USM_PRIV_NONE,
    "des": config.USM_PRIV_CBC56_DES,
    "3des": config.USM_PRIV_CBC168_3DES,
    "aes": config.USM_PRIV_CFB128_AES,
    "aes192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "aes256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "aes192c": config.USM_PRIV_CFB192_AES,
    "aes256c": config.USM_PRIV_CFB256_AES,
}
_MODELS: Final = {"1": 0, "2c": 1, "3": 3}
"""Message processing models (RFC 3411 6.2)."""
_TOO_BIG: Final = 1
_NO_SUCH_NAME: Final = 2
_GEN_ERR: Final = 5
_DENIALS: Final = frozenset({6, 16})
"""Error statuses noAccess and authorizationError (RFC 3416 3)."""
_NOT_ADMITTED: Final = (
    errind.UnknownUserName,
    errind.UnknownSecurityName,
    errind.UnsupportedSecurityLevel,
    errind.WrongDigest,
    errind.AuthenticationFailure,
    errind.AuthenticationError,
    errind.DecryptionError,
)


class Ticks(int):
    """TimeTicks: hundredths of a second (RFC 2578 7.1.8)."""


class Oid(str):
    """An OBJECT IDENTIFIER, as numbers and dots without a leading dot."""

    __slots__ = ()


Answer = int | Oid | bytes
"""Any numeric type is an int; any other string is bytes."""
Answers = dict[str, Answer]
"""By OID. What the device does not have, or has as Null, is absent."""


class Device(NamedTuple):
    """Whom to ask, and how patiently: after `timeout_s` in vain `retries` more times. `what` begins errors."""

    host: str
    port: int
    login: SnmpLogin
    timeout_s: float
    retries: int
    what: str


async def warm(device: Device) -> None:
    """Have name, engine and socket ready, so that the next request takes as long as the device takes."""
    await _line_to(device)


async def get(device: Device, oids: Sequence[str]) -> Answers:
    """The values of these objects. Raises ProbeFailed when the device is silent, says no, or answers nonsense."""
    line = await _line_to(device)
    answers: Answers = {}
    for start in range(0, len(oids), _PDU_MAX_COUNT):
        answers |= await _get(line, list(oids[start : start + _PDU_MAX_COUNT]))
    return answers


async def get_rows(device: Device, columns: Sequence[str], max_count: int) -> dict[str, Answers]:
    """The first rows of a table, at most `max_count`: index -> column -> value. Raises ProbeFailed as `get` does.

    A column that ends early is asked no further; nothing beyond the columns is read.
    """
    line = await _line_to(device)
    rows: dict[str, Answers] = {}
    going = {column: column for column in columns}
    for _ in range(max_count):  # each request brings at least one row, or is the last
        if not going:
            break
        repeat = 1 if device.login.version == "1" else max(1, _BULK_MAX_COUNT // len(going))
        found = await _next(line, list(going.values()), repeat)
        going = _sort_into(rows, going, found, max_count)
    return dict(list(rows.items())[:max_count])


def _sort_into(
    rows: dict[str, Answers], going: dict[str, str], found: list[tuple[str, Answer | None]], max_count: int
) -> dict[str, str]:
    """Put what came into rows; what is to be asked next of each column that goes on."""
    last: dict[str, str] = {}
    for oid, answer in found:
        column = next((one for one in going if oid.startswith(f"{one}.")), None)
        if column is None or answer is None or _numbers(oid) <= _numbers(last.get(column, going[column])):
            continue  # beyond the column, or a device that counts backwards and would keep us for ever
        rows.setdefault(oid[len(column) + 1 :], {})[column] = answer
        last[column] = oid
    return last if len(rows) < max_count else {}


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


async def _get(line: "_Line", oids: list[str]) -> Answers:
    """One GET, and more where a device answers for the whole request what is true of one object only (RFC 1157)."""
    answers: Answers = {}
    while oids:
        reply = await line.ask(line.engine.getting, oids)
        if not reply.status:
            return answers | {oid: answer for oid, answer in reply.found if answer is not None and oid in oids}
        if reply.status in _DENIALS:
            raise ProbeFailed(Outcome.DENIED, f"{line.device.what}: the device denies access ({reply.status_text})")
        if reply.status in (_NO_SUCH_NAME, _GEN_ERR) and 1 <= reply.culprit <= len(oids):
            oids = oids[: reply.culprit - 1] + oids[reply.culprit :]
        elif len(oids) > 1:
            half = len(oids) // 2
            answers |= await _get(line, oids[:half])
            oids = oids[half:]
        elif reply.status in (_TOO_BIG, _NO_SUCH_NAME, _GEN_ERR):
            return answers
        else:
            raise ProbeFailed(Outcome.BROKEN, f"{line.device.what}: answers {reply.status_text}")
    return answers


async def _next(line: "_Line", oids: list[str], repeat: int) -> list[tuple[str, Answer | None]]:
    """What follows each of these, `repeat` times over: GETBULK, or GETNEXT in version 1."""
    if line.device.login.version != "1":
        reply = await line.ask(line.engine.bulk_getting, oids, repeat)
        if reply.status == _TOO_BIG and repeat > 1:
            reply = await line.ask(line.engine.bulk_getting, oids, 1)
        return [] if reply.status else reply.found
    while oids:
        reply = await line.ask(line.engine.next_getting, oids)
        if not reply.status:
            return reply.found
        if not (reply.status == _NO_SUCH_NAME and 1 <= reply.culprit <= len(oids)):
            break
        oids = oids[: reply.culprit - 1] + oids[reply.culprit :]  # the end of all that the device has
    return []


class _Reply(NamedTuple):
    """What came back: RFC 3416's error status and the place of the object that it is about, 0
    for none, and the objects, None for absent.
    """

    status: int
    status_text: str
    culprit: int
    found: list[tuple[str, Answer | None]]


def _understand(value: Any) -> Answer | None:  # noqa: ANN401 - pysnmp is not annotated
    if isinstance(value, rfc1902.TimeTicks):
        return Ticks(int(value))
    if isinstance(value, univ.Null):  # with noSuchObject, noSuchInstance and endOfMibView, which pysnmp derives from it
        return None
    if isinstance(value, univ.Integer):
        return int(value)
    if isinstance(value, univ.ObjectIdentifier):
        return Oid(".".join(map(str, value)))
    if isinstance(value, univ.OctetString):
        return bytes(value)
    return None


class _Dispatcher(AsyncioDispatcher):  # type: ignore[misc] # pysnmp is not annotated
    """Does not tick by itself: pysnmp's own ticks ten times a second for ever, and by a wall clock that may step."""

    async def handle_timeout(self) -> None:
        """Return at once; `_Engine` ticks while something is awaited."""


class _Engine:
    """pysnmp's engine on one event loop; sleeps while nothing is awaited. Closed with the loop's last tasks."""

    def __init__(self, snmp: SnmpEngine, loop: asyncio.AbstractEventLoop) -> None:
        self.snmp = snmp
        self.loop = loop
        self.getting = cmdgen.GetCommandGenerator()
        self.next_getting = cmdgen.NextCommandGeneratorSingleRun()
        self.bulk_getting = cmdgen.BulkCommandGeneratorSingleRun()
        self.dispatcher = _Dispatcher(loop=loop)
        snmp.register_transport_dispatcher(self.dispatcher)
        self._names: dict[tuple[object, ...], str] = {}
        self._users: dict[str, SnmpLogin] = {}
        self._sockets: dict[tuple[socket.AddressFamily, str, int], tuple[_Udp | _Udp6, tuple[int, ...]]] = {}
        self._awaited = asyncio.Event()
        self._keeper = loop.create_task(self._keep())

    def admits(self, login: SnmpLogin) -> bool:
        """Whether this engine can hold the login: it knows one set of keys for each user name, whatever the device."""
        return login.version != "3" or self._users.get(login.user or "", login) == login

    async def _keep(self) -> None:
        try:
            while True:
                await self._awaited.wait()
                while self.dispatcher.jobs_are_pending():
                    await asyncio.sleep(_TICK_S)
                    self._tick()
                self._awaited.clear()
        finally:
            self.dispatcher.close_dispatcher()

    def _tick(self) -> None:
        try:
            self.dispatcher.handle_timer_tick(self.loop.time())
        except Exception:  # the border of pysnmp's timers: a fault in one device's time-out must not stop all others'
            log.exception("pysnmp broke in its time-outs")

    def wake(self) -> None:
        """Tick until nothing is awaited any more."""
        self._awaited.set()

    def transport(self, family: socket.AddressFamily, address: str, port: int) -> tuple[Any, tuple[int, ...]]:
        """A socket for this device alone, and the name that pysnmp knows it by."""
        key = (family, address, port)
        if key not in self._sockets:
            kind = _Udp if family == socket.AF_INET else _Udp6
            domain = (*kind.DOMAIN, 1 + len(self._sockets))
            opened = kind(loop=self.loop).open_client_mode()
            config.add_transport(self.snmp, domain, opened)
            self._sockets[key] = (opened, domain)
        return self._sockets[key]

    def target(self, device: Device, domain: tuple[int, ...], address: str) -> str:
        """The name that pysnmp's tables know a device and its login by; enters them when they are new."""
        timeout_ticks = max(1, round(device.timeout_s * 100))
        key = ("target", domain, device.login, timeout_ticks, device.retries)
        if key not in self._names:
            name = f"target{len(self._names)}"
            parameters = self._parameters(device.login)
            config.add_target_address(
                self.snmp, name, domain, (address, device.port), parameters, timeout_ticks, device.retries
            )
            self._names[key] = name
        return self._names[key]

    def _parameters(self, login: SnmpLogin) -> str:
        key = ("parameters", login)
        if key not in self._names:
            name = f"parameters{len(self._names)}"
            security_name, level = self._enter_user(login) if login.version == "3" else self._enter_community(login)
            config.add_target_parameters(self.snmp, name, security_name, level, _MODELS[login.version])
            self._names[key] = name
        return self._names[key]

    def _enter_community(self, login: SnmpLogin) -> tuple[str, str]:
        key = ("community", login.community)
        if key not in self._names:
            self._names[key] = f"community{len(self._names)}"
            config.add_v1_system(self.snmp, self._names[key], login.community)
        return self._names[key], "noAuthNoPriv"

    def _enter_user(self, login: SnmpLogin) -> tuple[str, str]:
        user = login.user or ""
        if user not in self._users:
            config.add_v3_user(
                self.snmp, user, _AUTHS[login.auth_name], login.auth_key, _PRIVS[login.priv_name], login.priv_key
            )
            self._users[user] = login
        return user, "authPriv" if login.priv else "authNoPriv" if login.auth else "noAuthNoPriv"


class _Hearing:
    """What a device's socket has noticed beside answers. Mixed into pysnmp's transports."""

    ANYWHERE = ("", 0)
    heard_count = 0
    """Datagrams, whatever they were."""
    error: OSError | None = None
    """The latest that sending or receiving brought, since it was last cleared."""

    def open_client_mode(self, *_: object) -> Any:  # noqa: ANN401 - pysnmp is not annotated
        """Bound to any address at once: Windows cannot receive on a socket that is not bound."""
        return super().open_client_mode(self.ANYWHERE)  # type: ignore[misc] # the next in line is pysnmp's transport

    def datagram_received(self, datagram: bytes, address: Any) -> None:  # noqa: ANN401 - as above
        """Count it and hand it on."""
        self.heard_count += 1
        asyncio.get_running_loop().call_soon(self._hand_on, datagram, address)

    def _hand_on(self, datagram: bytes, address: Any) -> None:  # noqa: ANN401 - as above
        try:
            self._callback_function(self, address, datagram)  # type: ignore[attr-defined] # as above
        except (
            Exception
        ):  # the border of one datagram: pysnmp breaks at some that are no SNMP, which any device may send
            log.debug("%s sent what is no SNMP", address, exc_info=True)

    def error_received(self, error: OSError) -> None:
        """Remember it; on Windows also open the socket anew, since the Proactor reads no further after an error."""
        self.error = error
        transport: asyncio.DatagramTransport | None = getattr(self, "transport", None)
        if sys.platform == "win32" and transport is not None:
            transport.abort()
            self.transport = None  # what is sent before the new one stands waits in pysnmp's queue
            self.open_client_mode()


class _Udp(_Hearing, udp.UdpAsyncioTransport):  # type: ignore[misc] # pysnmp is not annotated
    """Over IPv4."""

    DOMAIN = udp.DOMAIN_NAME
    ANYWHERE = ("0.0.0.0", 0)  # noqa: S104 - a client's port, for answers


class _Udp6(_Hearing, udp6.Udp6AsyncioTransport):  # type: ignore[misc] # pysnmp is not annotated
    """Over IPv6."""

    DOMAIN = udp6.DOMAIN_NAME
    ANYWHERE = ("::", 0)


_making: Final = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[asyncio.Task[_Engine]]]()
"""The engines of each event loop: one, and one more for each user name that has two sets of keys in the plan."""


async def _engine_for(login: SnmpLogin) -> _Engine:
    loop = asyncio.get_running_loop()
    engines = [task for task in _making.get(loop, []) if not (task.done() and (task.cancelled() or task.exception()))]
    _making[loop] = engines
    for task in list(engines):
        engine = await asyncio.shield(task)
        if engine.admits(login):
            return engine
    # In a thread: it reads MIBs of pysnmp's own from disk, for a long moment on a classroom's PC.
    made = loop.create_task(_make_engine(loop))
    engines.append(made)
    return await asyncio.shield(made)


async def _make_engine(loop: asyncio.AbstractEventLoop) -> _Engine:
    return _Engine(await asyncio.to_thread(SnmpEngine), loop)


class _Line:
    """The way to one device, for one measurement."""

    def __init__(self, engine: _Engine, device: Device, transport: Any, target: str) -> None:  # noqa: ANN401 - as above
        self.engine = engine
        self.device = device
        self._transport = transport
        self._target = target

    async def ask(self, command: Any, oids: list[str], repeat: int | None = None) -> _Reply:  # noqa: ANN401 - as above
        """One request with its repeats. Raises ProbeFailed when no sound answer comes."""
        answer: asyncio.Future[tuple[Any, Any, Any, Any]] = self.engine.loop.create_future()

        def take(_engine: object, _handle: object, *came: Any) -> None:  # noqa: ANN401 - as above
            if not answer.done():
                answer.set_result((came[0], came[1], came[2], came[3]))

        device = self.device
        names = [(rfc1902.ObjectName(oid), rfc1905.unSpecified) for oid in oids]
        bounds = () if repeat is None else (0, repeat)
        heard_count = self._transport.heard_count
        self._transport.error = None
        try:
            command.send_varbinds(self.engine.snmp, self._target, None, device.login.context, *bounds, names, take)
        except PySnmpError as error:
            raise ProbeFailed(Outcome.BROKEN, f"{device.what}: {error}") from None
        self.engine.wake()
        failure, status, index, found = await answer
        if failure:
            raise self._failed(failure, self._transport.heard_count > heard_count)
        return _Reply(
            int(status), str(status.prettyPrint()) if status else "", int(index), [_object(one) for one in found]
        )

    def _failed(self, failure: Any, heard: bool) -> ProbeFailed:  # noqa: ANN401, FBT001 - as above; a plain yes or no
        device = self.device
        if isinstance(failure, errind.RequestTimedOut):
            error = self._transport.error
            if error is not None:
                outcome = Outcome.DENIED if isinstance(error, PermissionError) else Outcome.UNREACHABLE
                return ProbeFailed(outcome, f"{device.what}: {error.strerror or error}")
            if heard:
                why = "what came was none, or too late" + ("; or priv_key is wrong" if device.login.priv else "")
                return ProbeFailed(
                    Outcome.TIMEOUT, f"{device.what}: no answer to SNMP within {device.timeout_s:g} s; {why}"
                )
            return ProbeFailed(Outcome.TIMEOUT, f"{device.what}: {SILENT}")
        if isinstance(failure, errind.DecryptionError | errind.EncryptionError) and not _has_ciphers():
            return ProbeFailed(
                Outcome.BROKEN, f"{device.what}: SNMPv3 privacy needs a newer Python package cryptography"
            )
        if isinstance(failure, _NOT_ADMITTED):
            return ProbeFailed(Outcome.DENIED, f"{device.what}: the device does not let us in: {failure}")
        return ProbeFailed(Outcome.BROKEN, f"{device.what}: {failure}")


def _object(found: Any) -> tuple[str, Answer | None]:  # noqa: ANN401 - pysnmp is not annotated
    name, value = found[0], found[1]
    return ".".join(map(str, name)), _understand(value)


def _has_ciphers() -> bool:
    """Whether pysnmp finds what it encrypts with, which no dependency of ours brings."""
    try:
        return importlib.util.find_spec("cryptography.hazmat.decrepit.ciphers.modes") is not None
    except ImportError:
        return False


async def _line_to(device: Device) -> _Line:
    found = await resolve(device.host, device.what, device.timeout_s)
    engine = await _engine_for(device.login)
    transport, domain = engine.transport(found.family, found.address, device.port)
    return _Line(engine, device, transport, engine.target(device, domain, found.address))
