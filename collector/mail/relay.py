"""Brings one letter at a time to a mail relay, or into a folder, and says what came back."""

import contextlib
import datetime as dt
import os
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from email.utils import getaddresses, parseaddr
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Annotated, Final, Literal, Protocol, Self

import msgspec

from collector.alerting.letter import DEFAULT_SENDER, compose_test
from collector.mail.outbox import DueLetter
from contract.catalogue import Language, say
from contract.settings import Phrase, Port, Problem, Seconds, SecretFile, is_loopback, look_for

_GOODBYE_S: Final = 2.0
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


class MailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How letters leave: not at all, as .eml files in a folder, or through a mail relay."""

    mode: Literal["none", "smtp", "folder"] = "none"
    """Letters leave not at all, as .eml files in `folder`, or through a relay (`smtp`)."""
    sender: str = DEFAULT_SENDER
    """From whom: an address, or `Name <address>`. Needed for `smtp`."""
    bounces_to: str = ""
    """Whom mail servers tell, later, of a letter that they could not deliver after all (the envelope's sender);
    without it the sender.
    """
    folder: Path | None = None
    """Where .eml files are written."""
    host: str = ""
    """The relay."""
    port: Port = 587
    """Its port: 587 with `starttls`, usually 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls`: TLS after the greeting; `tls`: from the first byte; `none`: no TLS, and then no password beyond
    this machine.
    """
    user: str = ""
    """Name to log in by, with `password_file`."""
    password_file: SecretFile | None = None
    """File with its password."""
    ca: Path | None = None
    """Certificates to trust in place of the system's, for a relay of one's own."""
    helo: str = ""
    """The name that we greet the relay with; without it the machine's own."""
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=1, le=600)] = 60.0
    """How long the relay may be silent."""

    def doubts(self) -> Iterator[Problem]:
        """What each mode needs; and no password in the clear over a network."""
        if not is_address(self.sender):
            yield no_address("sender", self.sender)
        if self.bounces_to and not is_address(self.bounces_to):
            yield no_address("bounces_to", self.bounces_to)
        if self.mode == "folder" and self.folder is None:
            yield Problem("folder", "settings.needs", {"what": 'mode = "folder"', "needed": 'folder = "…"'})
        if self.mode == "smtp":
            yield from self._doubts_of_smtp()

    def _doubts_of_smtp(self) -> Iterator[Problem]:
        if not self.host:
            yield Problem("host", "settings.needs", {"what": 'mode = "smtp"', "needed": 'host = "…"'})
        if self.sender == DEFAULT_SENDER:
            yield Problem("sender", "settings.needs", {"what": 'mode = "smtp"', "needed": 'sender = "…@…"'})
        if bool(self.user) != (self.password_file is not None):
            what, needed = ("user", "password_file") if self.user else ("password_file", "user")
            yield Problem(what, "settings.needs", {"what": what, "needed": needed})
        if self.user and self.security == "none" and not is_loopback(self.host):
            yield Problem("security", "settings.needs", {"what": "user", "needed": 'security = "starttls" / "tls"'})
        if self.ca is not None:
            yield from look_for(self.ca, "ca")


def is_address(written: str) -> bool:
    """Whether it is one mail address, or `Name <address>`."""
    found = getaddresses([written])
    return len(found) == 1 and _ADDRESS.fullmatch(found[0][1]) is not None


def no_address(where: str, written: str) -> Problem:
    """What to say of a setting that should be an address."""
    return Problem(where, "settings.expected", {"expected": Phrase("expect.mail", {}), "got": repr(written)})


NO_FACTS: Final[Mapping[str, object]] = MappingProxyType({})


class MailFailed(Exception):
    """A letter was not taken. `permanent`: nor will it ever be."""

    def __init__(self, code: str, facts: Mapping[str, object] = NO_FACTS, *, permanent: bool = False) -> None:
        self.code = code
        self.facts = facts
        self.permanent = permanent
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """What was tried, where, and what came back, in one language."""
        return say(self.code, language, **self.facts)


class RelayFailed(MailFailed):
    """The connection cannot be had, or is no more: no fault of the letter, and of no use to the next one."""


class Way(Protocol):
    """How letters leave. Entered, it is open; RelayFailed when it cannot be."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def hand_over(self, letter: DueLetter) -> str:
        """Give a letter away for good; what the taker said. MailFailed."""
        ...

    def abort(self) -> None:
        """Let whatever waits in there fail at once; from another thread."""
        ...


def open_way(settings: MailSettings) -> Way | None:
    """The way that the settings name; None when there is none."""
    match settings.mode:
        case "smtp":
            return Relay(settings)
        case "folder":
            assert settings.folder is not None  # noqa: S101 - for mypy: checked in doubts()
            return Folder(settings.folder)
        case "none":
            return None


def send_test_mail(settings: MailSettings, to: str, language: Language, now: float) -> str:
    """Send one letter now, past the outbox; what the relay said. MailFailed."""
    if not _ADDRESS.fullmatch(to):
        raise MailFailed("mail.bad_address", {"address": to}, permanent=True)
    way = open_way(settings)
    if way is None:
        raise MailFailed("mail.none", permanent=True)
    message: EmailMessage = compose_test(to, language, sender=settings.sender, now=now)
    with way:
        return way.hand_over(DueLetter(0, f"{message['Message-ID']}", to, now, 0, message.as_bytes()))


class Folder:
    """Writes letters as files that any mail program opens, named so that they sort by time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def hand_over(self, letter: DueLetter) -> str:
        """A file is there whole or not at all; the same letter again becomes the same file."""
        written = dt.datetime.fromtimestamp(int(letter.written_s), dt.UTC)
        readable = re.sub(r"[^A-Za-z0-9@._+-]", "_", letter.address)
        path = self._folder / f"{written:%Y%m%dT%H%M%SZ}-{letter.letter:06d}-{readable}.eml"
        partial = path.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(letter.raw)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise RelayFailed("mail.folder", {"folder": self._folder, "words": error.strerror or error}) from error
        return path.name

    def abort(self) -> None:
        """A disk does not hang."""


class Relay:
    """One connection to a mail relay (RFC 5321), with STARTTLS (RFC 3207) or TLS, and AUTH (RFC 4954) where set.

    smtplib speaks the protocol; the socket is made here, so that another thread can end every wait for it.
    """

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._relay = f"{settings.host}:{settings.port}"
        self._smtp = smtplib.SMTP(local_hostname="localhost", timeout=settings.timeout_s)
        self._sock: socket.socket | None = None
        self._aborted = False

    def __enter__(self) -> Self:
        try:
            # A relay that sends a byte a minute never times out; it may not hold up all letters for ever.
            with self._at_most(10 * self._settings.timeout_s):
                self._open()
        except MailFailed:
            self._smtp.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._smtp.sock is not None and not self._aborted:
            self._smtp.sock.settimeout(_GOODBYE_S)
            with contextlib.suppress(OSError):  # the letters are gone; a goodbye that nobody hears changes nothing
                self._smtp.docmd("QUIT")
        self._smtp.close()

    def abort(self) -> None:
        """End every wait for the relay."""
        self._aborted = True
        if self._sock is not None:
            with contextlib.suppress(OSError):  # not connected yet, or no more
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # an SSLSocket's own is not for two threads

    def hand_over(self, letter: DueLetter) -> str:
        """MAIL, RCPT, DATA for one person; the words of the relay's 250."""
        # The wait after the final dot is the longest (RFC 5321, 4.5.3.2.6): a relay may look for viruses there, and
        # who gives up early sends the letter twice.
        with self._at_most(10 * self._settings.timeout_s):
            sender = parseaddr(self._settings.bounces_to or self._settings.sender)[1]
            code, words = self._ask("MAIL FROM", lambda: self._smtp.mail(sender))
            self._demand(code, words, "mail.sender_refused", sender=sender)
            code, words = self._ask("RCPT TO", lambda: self._smtp.rcpt(letter.address))
            self._demand(code, words, "mail.recipient_refused", may_be_permanent=True, address=letter.address)
            code, words = self._ask("DATA", lambda: self._data(letter.raw))
            self._demand(code, words, "mail.letter_refused", may_be_permanent=True)
        return _answer(code, words)

    def _data(self, raw: bytes) -> tuple[int, bytes]:
        assert self._smtp.sock is not None  # noqa: S101 - for mypy
        self._smtp.sock.settimeout(5 * self._settings.timeout_s)
        try:
            return self._smtp.data(raw)
        except smtplib.SMTPDataError as error:  # no 354
            return error.smtp_code, _bytes(error.smtp_error)
        finally:
            if self._smtp.sock is not None:
                self._smtp.sock.settimeout(self._settings.timeout_s)

    def _demand(self, code: int, words: bytes, problem: str, *, may_be_permanent: bool = False, **facts: str) -> None:
        if 200 <= code < 300:  # noqa: PLR2004 - its first digit is the answer (RFC 5321, 4.2.1)
            return
        told = {"relay": self._relay, "words": _answer(code, words), **facts}
        if code == 421:  # noqa: PLR2004 - the one answer that ends the connection (RFC 5321, 4.2.2)
            raise RelayFailed(problem, told)
        with contextlib.suppress(OSError):  # a connection that is lost now is noticed at the next letter
            self._smtp.rset()
        raise MailFailed(problem, told, permanent=may_be_permanent and code >= 500)  # noqa: PLR2004 - as above

    # Opening.

    def _open(self) -> None:
        settings = self._settings
        sock = self._connect()
        self._smtp.local_hostname = settings.helo or _own_name(sock)
        if settings.security == "tls":
            self._wrap()
        code, words = self._ask("connect", self._smtp.getreply)
        self._expect(code, words, 220, "mail.unwelcome")
        self._greet()
        if settings.security == "starttls":
            if not self._smtp.has_extn("starttls"):
                raise RelayFailed("mail.no_starttls", {"relay": self._relay})
            code, words = self._ask("STARTTLS", lambda: self._smtp.docmd("STARTTLS"))
            self._expect(code, words, 220, "mail.starttls_refused")
            self._wrap()
            self._greet()
        if settings.user:
            self._log_in()

    def _connect(self) -> socket.socket:
        settings = self._settings
        last: OSError = OSError("no address")
        try:
            found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise RelayFailed("mail.no_connection", {"relay": self._relay, "words": _reason(error)}) from error
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                self._take(sock)
                sock.settimeout(settings.timeout_s)
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = error
            else:
                return sock
        raise RelayFailed("mail.no_connection", {"relay": self._relay, "words": _reason(last)}) from last

    def _take(self, sock: socket.socket) -> None:
        """Work with this socket from now on, unless all work is to end."""
        self._sock = self._smtp.sock = sock
        self._smtp.file = None  # what came before TLS is worth nothing
        if self._aborted:
            raise ConnectionAbortedError("stopped")

    def _wrap(self) -> None:
        assert self._smtp.sock is not None  # noqa: S101 - for mypy
        ca = None if self._settings.ca is None else str(self._settings.ca)
        try:
            context = ssl.create_default_context(cafile=ca)
            wrapped = context.wrap_socket(
                self._smtp.sock, server_hostname=self._settings.host, do_handshake_on_connect=False
            )
            self._take(wrapped)
            wrapped.do_handshake()
        except OSError as error:
            raise RelayFailed("mail.tls_failed", {"relay": self._relay, "words": _reason(error)}) from error
        self._smtp.ehlo_resp = self._smtp.helo_resp = None
        self._smtp.esmtp_features = {}
        self._smtp.does_esmtp = False

    def _greet(self) -> None:
        code, words = self._ask("EHLO", self._smtp.ehlo)
        if code != 250:  # noqa: PLR2004 - RFC 5321, 4.1.1.1
            code, words = self._ask("HELO", self._smtp.helo)
        self._expect(code, words, 250, "mail.unwelcome")

    def _log_in(self) -> None:
        settings = self._settings
        if settings.security == "none" and not is_loopback(settings.host):
            raise RelayFailed("mail.clear_password", {"relay": self._relay})
        if settings.password_file is None:
            return
        facts = {"relay": self._relay, "user": settings.user}
        try:
            password = settings.password_file.read_text(encoding="utf-8").strip()
            self._ask("AUTH", lambda: self._smtp.login(settings.user, password))
        except smtplib.SMTPNotSupportedError as error:
            raise RelayFailed("mail.no_login", {"relay": self._relay}) from error
        except smtplib.SMTPAuthenticationError as error:
            words = _answer(error.smtp_code, _bytes(error.smtp_error))
            raise RelayFailed("mail.login_refused", {**facts, "words": words}) from error
        except smtplib.SMTPException as error:
            raise RelayFailed("mail.login_refused", {**facts, "words": error}) from error
        except UnicodeError as error:
            raise RelayFailed("mail.not_ascii", facts) from error
        except OSError as error:
            raise RelayFailed("mail.no_password", {"path": settings.password_file, "words": _reason(error)}) from error

    # Talking.

    def _ask(self, step: str, talk: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
        try:
            return talk()
        except smtplib.SMTPServerDisconnected as error:
            raise RelayFailed("mail.lost", {"relay": self._relay, "step": step, "words": error}) from error
        except smtplib.SMTPException:
            raise
        except OSError as error:
            raise RelayFailed("mail.lost", {"relay": self._relay, "step": step, "words": _reason(error)}) from error

    def _expect(self, code: int, words: bytes, wanted: int, problem: str) -> None:
        if code != wanted:
            raise RelayFailed(problem, {"relay": self._relay, "words": _answer(code, words)})

    @contextlib.contextmanager
    def _at_most(self, longest_s: float) -> Iterator[None]:
        timer = threading.Timer(longest_s, self.abort)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _own_name(sock: socket.socket) -> str:
    """Our name for EHLO: the machine's if it is a whole one, else our address (RFC 5321, 4.1.3).

    Not asked of the name server: when the network is bad, that takes longer than all the rest.
    """
    name = socket.gethostname()
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name):
        return name
    address = str(sock.getsockname()[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _answer(code: int, words: bytes) -> str:
    return f"{code} {' '.join(words.decode('utf-8', 'replace').split())}".strip()


def _bytes(words: bytes | str) -> bytes:
    return words if isinstance(words, bytes) else words.encode()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or error.reason or str(error)
    return error.strerror or str(error)
