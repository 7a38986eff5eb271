"""Answers test packets of agents: one UDP socket and one thread, in the collector or alone on a host of its own."""

import collections
import contextlib
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.authority import write_whole
from collector.media.reflecting import Keys, Limits, Reflector, Refused, Source
from collector.media.streaming import Answer, StreamLimits, Streams
from collector.settings import ReflectorSettings
from contract import datagram, stream

log = logging.getLogger(__name__)

_LONGEST_BYTES: Final = 2048
_BUFFER_BYTES: Final = 4 << 20
_TAKEN_AT_ONCE: Final = 64
_IDLE_S: Final = 0.5
_SHORTEST_WAIT_S: Final = 0.0002
_SAID_EVERY_S: Final = 3600.0
_SECRET_BYTES: Final = 32
SECRET_NAME: Final = "reflector-secret"  # noqa: S105 - a file's name


class ReflectorError(Exception):
    """The reflector cannot listen: where, and what the system said."""


class ReflectorService:
    """Listens from `start` to `stop`."""

    def __init__(
        self, settings: ReflectorSettings, secret: bytes, is_revoked: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`is_revoked` as for Keys: what the registry says, beside what the settings do."""
        revoked = frozenset(settings.revoked)
        keys = Keys(secret, lambda agent: agent in revoked or is_revoked(agent))
        self._settings = settings
        self._reflector = Reflector(
            keys,
            ssids=settings.ssids,
            limits=Limits(per_source=settings.packets_per_s_per_source, total=settings.packets_per_s),
            wall_ns=time.time_ns,
        )
        self._streams = Streams(
            keys,
            StreamLimits(
                at_once=settings.streams_at_once,
                most_bps=settings.stream_most_bps,
                agent_bytes_per_day=settings.stream_agent_bytes_per_day,
                total_bytes_per_hour=settings.stream_bytes_per_hour,
            ),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reflector", daemon=True)
        self.answered_count = 0
        self.refused: collections.Counter[Refused] = collections.Counter()
        self._said_s = float("-inf")

    def start(self) -> None:
        """Begin to listen. Raises ReflectorError."""
        where = (self._settings.host, self._settings.port)
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6 and where[0] == "::":
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._tell_more(family)
            self._socket.bind(where)
        except OSError as error:
            self._socket.close()
            raise ReflectorError(f"UDP {where[0]}:{where[1]}: {error.strerror or error}") from error
        self._thread.start()
        log.info("reflecting test packets on UDP %s:%d", where[0], self.port)

    def _tell_more(self, family: socket.AddressFamily) -> None:
        """Let the kernel say when a datagram came, and its TTL; where it cannot, we do without."""
        wanted = [(datagram.SOL_SOCKET, datagram.SO_TIMESTAMPNS), (datagram.IPPROTO_IP, datagram.IP_RECVTTL)]
        if family == socket.AF_INET6:
            wanted.append((datagram.IPPROTO_IPV6, datagram.IPV6_RECVHOPLIMIT))
        for level, option in wanted:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(level, option, 1)

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return int(self._socket.getsockname()[1])

    def stop(self) -> None:
        """End, and let the port go."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    @property
    def is_running(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            due_ns = self._streams.next_ns(time.monotonic_ns())
            wait_s = _IDLE_S if due_ns is None else (due_ns - time.monotonic_ns()) / 1e9
            self._socket.settimeout(min(_IDLE_S, max(_SHORTEST_WAIT_S, wait_s)))
            try:
                self._receive()
                self._socket.settimeout(0)
                for answer in self._streams.due(time.monotonic_ns()):
                    self._send(answer.packet, answer.source)
            except Exception:  # the border of one packet: what is wrong with it must not end everybody's measuring
                log.exception("a test packet broke the reflector")
            self._say()

    def _receive(self) -> None:
        for _ in range(_TAKEN_AT_ONCE):
            try:
                packet, ancillary, _, address = self._socket.recvmsg(_LONGEST_BYTES, datagram.ANCILLARY_BYTES)
            except (TimeoutError, BlockingIOError):
                return
            except OSError as error:  # what an ICMP message said about an answer of ours
                log.debug("reflector: %s", error)
                return
            self._socket.settimeout(0)  # what else is there; what comes later must not keep streams waiting
            self._take(packet, (address[0], address[1]), datagram.told_by(ancillary))

    def _take(self, packet: bytes, source: Source, told: datagram.Told) -> None:
        wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
        answer: bytes | Answer | Refused | None
        if not self._reflector.admits(source[0], now_ns / 1e9):
            answer = Refused.TOO_MANY
        elif stream.is_ours(packet):
            received_ns = datagram.on_steady_clock(told.wall_ns, wall_ns, now_ns)
            answer = self._streams.take(packet, source, received_ns=received_ns, now_ns=now_ns)
        else:
            received_ns = datagram.on_steady_clock(told.wall_ns, wall_ns, wall_ns)
            answer = self._reflector.answer(packet, source, received_ns=received_ns, ttl=told.ttl, at_s=now_ns / 1e9)
        if isinstance(answer, Refused):
            self.refused[answer] += 1
        elif isinstance(answer, Answer):
            self._send(*answer)
        elif answer is not None:
            self._send(answer, source)

    def _send(self, packet: bytes, source: Source) -> None:
        try:
            self._socket.sendto(packet, source)
            self.answered_count += 1
        except OSError as error:  # no route to a forged address, or no room: a line would have lost it, too
            log.debug("reflector to %s: %s", source[0], error)

    def _say(self) -> None:
        """What was refused, once an hour: each by itself would let a stranger fill the log."""
        if self.refused and time.monotonic() - self._said_s >= _SAID_EVERY_S:
            self._said_s = time.monotonic()
            log.warning("test packets refused so far: %s", ", ".join(f"{why} {n}" for why, n in self.refused.items()))


def load_secret(path: Path) -> bytes:
    """The secret of which all agents' keys are made; a new one where there is none yet. Raises OSError."""
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        secret = secrets.token_hex(_SECRET_BYTES).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, secret + b"\n", 0o600)
        log.info("made a secret for test packets in %s", path)
        return secret


def secret_path(settings: ReflectorSettings, folder: Path) -> Path:
    """Where the secret lies: as set, else in the collector's folder."""
    return settings.secret_file or folder / SECRET_NAME
