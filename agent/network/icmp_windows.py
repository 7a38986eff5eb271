"""Sends and receives ICMP echoes on Windows by IcmpSendEcho2 and Icmp6SendEcho2, which need no rights.

The driver tells round trips in whole milliseconds, too coarse for a classroom's own network. So reported is what
`perf_counter` saw from before the call until the thread woke with the answer, some hundredth of a millisecond more
than the truth; only where that exceeds the driver's figure by more than a tick of Windows' clock, the thread had to
wait for the processor, and the driver's figure is reported.
"""

import asyncio
import contextlib
import functools
import socket
import struct
import sys
import threading
import time
from typing import Final, NamedTuple

from agent.network.echo import LOST, ORDINARY, Echo, Manner
from agent.spending.meter import spent_echoes
from contract.outcome import Outcome

TICK_S: Final = 1 / 64
_AT_ONCE: Final = 64
"""WaitForMultipleObjects takes no more; a request beyond them goes out late."""

SUCCESS: Final = 0
TIMED_OUT: Final = 11010
_ANSWERS: Final = {
    11002: "Destination network unreachable",
    11003: "Destination host unreachable",
    11004: "Destination protocol unreachable",
    11005: "Destination port unreachable",
    11009: "Packet too big",
    11012: "Bad route",
    11013: "Time to live exceeded",
    11014: "Fragment reassembly time exceeded",
    11015: "Parameter problem",
    11016: "Source quench",
    11018: "Bad destination",
    11040: "Destination unreachable",
    11041: "Time exceeded",
    11042: "Bad header",
    11043: "Unrecognized next header",
    11044: "ICMP error",
    11045: "Scope mismatch",
}
"""IP_STATUS of ipexport.h, as far as it is what somebody on the way answers."""
_ANSWERS_6: Final = {11002: "No route to destination", 11003: "Address unreachable", 11004: "Prohibited"}
"""Numbers that mean something else with IPv6."""
_NO_WAY: Final = {11050: "General failure", 1214: "Invalid network name", 1231: "Network is unreachable",
                  1232: "Host is unreachable", 10051: "Network is unreachable", 10065: "No route to host"}  # fmt: skip
"""What Windows itself says when it knows no way there: 11050 without any network, Win32 and Winsock errors with one."""
_ACCESS_DENIED: Final = 5

_REPLY_4: Final = struct.Struct("=4sII")
"""ICMP_ECHO_REPLY up to its round trip: address, status, milliseconds."""
_REPLY_6: Final = struct.Struct("=HI16sI2xII")
"""ICMPV6_ECHO_REPLY: port, flow, address, scope (packed, then aligned), status, milliseconds."""
_OPTIONS: Final = struct.Struct("@BBBBP")
_DONT_FRAGMENT: Final = 0x02
_SOCKADDR_IN6: Final = struct.Struct("=HHI16sI")
_AF_INET6: Final = 23
_BESIDE_PAYLOAD_BYTES: Final = 128
"""Room for a reply's head with its pointers (40), an ICMP error (8) and the driver's IO_STATUS_BLOCK (16)."""


class Reply(NamedTuple):
    """The head of the driver's answer."""

    source: str
    status: int
    round_trip_ms: int


def parse_reply(family: socket.AddressFamily, buffer: bytes) -> Reply:
    """The first answer in the driver's buffer."""
    if family == socket.AF_INET:
        address, status, round_trip_ms = _REPLY_4.unpack_from(buffer)
    else:
        _, _, address, _, status, round_trip_ms = _REPLY_6.unpack_from(buffer)
    return Reply(socket.inet_ntop(family, address), status, round_trip_ms)


def pack_address_6(address: str) -> bytes:
    """A sockaddr_in6 as Windows lays it out."""
    found = socket.getaddrinfo(address, None, socket.AF_INET6, flags=socket.AI_NUMERICHOST)[0][4]
    scope = found[3] if len(found) == 4 else 0  # noqa: PLR2004 - IPv6's four parts
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return _SOCKADDR_IN6.pack(_AF_INET6, 0, 0, packed, scope)


def pack_options(manner: Manner) -> bytes:
    """Windows' IP_OPTION_INFORMATION: hop limit, type of service, flags, and no options behind a null pointer."""
    return _OPTIONS.pack(manner.hops_max_count, 0, 0 if manner.may_split else _DONT_FRAGMENT, 0, 0)


def echo_of(family: socket.AddressFamily, reply: Reply, measured_s: float, timeout_s: float) -> Echo:
    """What an answer means. `measured_s` is the round trip by our own watch."""
    if reply.status != SUCCESS:
        return failed(family, reply.status, reply.source)
    by_driver_s = reply.round_trip_ms / 1000
    rtt_s = by_driver_s if measured_s > by_driver_s + TICK_S else measured_s
    return Echo(rtt_s) if rtt_s <= timeout_s else LOST


def failed(family: socket.AddressFamily, status: int, source: str = "") -> Echo:
    """What a status other than success means, an IP_STATUS or a system error; `source` is who answered it."""
    if status == TIMED_OUT:
        return LOST
    said = (_ANSWERS_6.get(status) if family == socket.AF_INET6 else None) or _ANSWERS.get(status)
    if said is not None:
        return Echo(None, Outcome.UNREACHABLE, f"{source} says: {said}" if source else said, source)
    if status in _NO_WAY:
        return Echo(None, Outcome.UNREACHABLE, _NO_WAY[status])
    if status == _ACCESS_DENIED:
        return Echo(None, Outcome.DENIED, "Windows denies it: access denied")
    return Echo(None, Outcome.BROKEN, f"Windows' error {status}")


async def echo_all(
    address: str, count: int, spacing_s: float, timeout_s: float, size_bytes: int, *, manner: Manner = ORDINARY
) -> list[Echo]:
    """So many echoes to an address, `spacing_s` apart, in order of sending. One thread; raises OSError."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Echo]] = loop.create_future()

    def tell(echoes: list[Echo] | None, error: Exception | None) -> None:
        if answer.done():
            return  # cancelled: nobody waits any more
        if error is not None:
            answer.set_exception(error)
        elif echoes is not None:
            answer.set_result(echoes)

    def work() -> None:
        echoes, failure = None, None
        try:
            echoes = _echo_in_turn(address, count, spacing_s, timeout_s, size_bytes, manner=manner)
        except Exception as error:  # noqa: BLE001 - the thread's border: whoever waits is told, whatever broke
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            loop.call_soon_threadsafe(tell, echoes, failure)

    threading.Thread(target=work, name=f"ping {address}", daemon=True).start()
    echoes = await answer
    spent_echoes(address, size_bytes, echoes)
    return echoes


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _PENDING: Final = 997
    _WAIT_TIMEOUT: Final = 0x102

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateEventW.restype = wintypes.HANDLE
    _kernel32.CreateEventW.argtypes = (ctypes.c_void_p, wintypes.BOOL, wintypes.BOOL, wintypes.LPCWSTR)
    _kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
    _HANDLES = ctypes.POINTER(wintypes.HANDLE)
    _kernel32.WaitForMultipleObjects.argtypes = (wintypes.DWORD, _HANDLES, wintypes.BOOL, wintypes.DWORD)
    _kernel32.WaitForMultipleObjects.restype = wintypes.DWORD

    class _Driver:
        """One family's functions of iphlpapi.dll, looked up at the first ping."""

        def __init__(self, family: socket.AddressFamily) -> None:
            library = ctypes.WinDLL("iphlpapi", use_last_error=True)
            if family == socket.AF_INET:
                self.open, self.send, self.parse = (
                    library.IcmpCreateFile,
                    library.IcmpSendEcho2,
                    library.IcmpParseReplies,
                )
                addresses: tuple[type, ...] = (wintypes.DWORD,)
            else:
                self.open, self.send, self.parse = (
                    library.Icmp6CreateFile,
                    library.Icmp6SendEcho2,
                    library.Icmp6ParseReplies,
                )
                addresses = (ctypes.c_char_p, ctypes.c_char_p)
            self.close = library.IcmpCloseHandle
            self.open.restype = wintypes.HANDLE
            self.close.argtypes = (wintypes.HANDLE,)
            self.parse.argtypes = (ctypes.c_void_p, wintypes.DWORD)
            self.send.argtypes = (
                *(wintypes.HANDLE, wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p),  # handle, event, APC, context
                *addresses,
                *(ctypes.c_char_p, wintypes.WORD, ctypes.c_void_p),  # payload, its size, options
                *(ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD),  # buffer, its size, milliseconds
            )

    _driver = functools.cache(_Driver)

    class _Pending(NamedTuple):
        place: int
        sent_s: float
        event: int
        request: bytes
        buffer: "ctypes.Array[ctypes.c_char]"

    class _Sender:
        """One handle of the driver, and the requests that wait for their answers."""

        def __init__(self, address: str, count: int, timeout_s: float, size_bytes: int, manner: Manner) -> None:
            self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._timeout_s, self._size_bytes = timeout_s, size_bytes
            self._options = None if manner == ORDINARY else ctypes.create_string_buffer(pack_options(manner))
            self._addresses: tuple[int | bytes, ...]
            if self._family == socket.AF_INET:
                self._addresses = (int.from_bytes(socket.inet_aton(address), "little"),)
            else:
                self._addresses = (_SOCKADDR_IN6.pack(_AF_INET6, 0, 0, bytes(16), 0), pack_address_6(address))
            self.echoes: list[Echo] = [LOST] * count
            self.pending: list[_Pending] = []
            self._driver = _driver(self._family)
            self._handle = self._driver.open()
            if self._handle in (None, wintypes.HANDLE(-1).value):
                raise ctypes.WinError(ctypes.get_last_error())

        def send(self, place: int) -> None:
            request = b"\xa5" * self._size_bytes
            buffer = ctypes.create_string_buffer(_BESIDE_PAYLOAD_BYTES + self._size_bytes)
            event = _kernel32.CreateEventW(None, True, False, None)
            if not event:
                raise ctypes.WinError(ctypes.get_last_error())
            longest_ms = max(1, round(self._timeout_s * 1000))
            sent_s = time.perf_counter()
            done = self._driver.send(
                *(self._handle, event, None, None),
                *self._addresses,
                *(request, len(request), self._options, buffer, len(buffer), longest_ms),
            )
            error = ctypes.get_last_error()
            if done or error == _PENDING:
                self.pending.append(_Pending(place, sent_s, event, request, buffer))
            else:
                self.echoes[place] = failed(self._family, error)
                _kernel32.CloseHandle(event)

        def wait(self, longest_s: float) -> None:
            """Until one answer is there, and take it; or so long."""
            milliseconds = max(1, round(longest_s * 1000))
            if not self.pending:
                time.sleep(milliseconds / 1000)
                return
            handles = (wintypes.HANDLE * len(self.pending))(*(one.event for one in self.pending))
            which = _kernel32.WaitForMultipleObjects(len(self.pending), handles, False, milliseconds)
            if which == _WAIT_TIMEOUT:
                return
            if which >= len(self.pending):
                raise ctypes.WinError(ctypes.get_last_error())
            measured_s = time.perf_counter() - self.pending[which].sent_s
            self._take(self.pending.pop(which), measured_s)

        def _take(self, one: _Pending, measured_s: float) -> None:
            if self._driver.parse(one.buffer, len(one.buffer)):
                reply = parse_reply(self._family, one.buffer.raw)
                self.echoes[one.place] = echo_of(self._family, reply, measured_s, self._timeout_s)
            else:
                self.echoes[one.place] = failed(self._family, ctypes.get_last_error())
            _kernel32.CloseHandle(one.event)

        def close(self) -> None:
            """Gives up what is still pending, too: the driver writes into no buffer after this."""
            self._driver.close(self._handle)
            for one in self.pending:
                _kernel32.CloseHandle(one.event)

    def _echo_in_turn(
        address: str, count: int, spacing_s: float, timeout_s: float, size_bytes: int, *, manner: Manner
    ) -> list[Echo]:
        sender = _Sender(address, count, timeout_s, size_bytes, manner)
        try:
            began_s = time.perf_counter()
            sent_count = 0
            while sent_count < count or sender.pending:
                due_s = began_s + sent_count * spacing_s - time.perf_counter()
                may_send = sent_count < count and len(sender.pending) < _AT_ONCE
                if may_send and due_s <= 0:
                    sender.send(sent_count)
                    sent_count += 1
                else:
                    sender.wait(due_s if may_send else timeout_s + 1)
            return sender.echoes
        finally:
            sender.close()

else:

    def _echo_in_turn(address: str, *_: float, manner: Manner) -> list[Echo]:  # noqa: ARG001 - as above
        raise OSError(f"no Windows here to ping {address} from")
