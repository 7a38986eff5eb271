"""The project's own small certificate authority: a folder with one key, which vouches for agents and servers.

Keys are ECDSA P-256. Certificates begin in the year 2000, since a PC with an empty clock battery boots in 2009, and
last for decades: an agent is ended by revoking it, never by a date that nobody watches. Certificates follow RFC 5280.
"""

import datetime as dt
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.catalogue import Language, say

_BEGIN: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LIFE: Final = dt.timedelta(days=20 * 365)
_SEVEN_YEARS: Final = dt.timedelta(days=7 * 365)
_NAME: Final = "Sẵn Sàng"


class AuthorityError(Exception):
    """The folder of the CA cannot be used; the sentence says which file and why."""

    def __init__(self, code: str, **facts: object) -> None:
        self.code = code
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return say(self.code, language, **self.facts)


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its key, both PEM; `serial` is the certificate's number in hex."""

    certificate: str
    key: str
    serial: str


class Authority:
    """The CA in a folder: `ca.crt`, `ca.key` (0600) and `ca.crl`, made at first need.

    `now_s` (Unix seconds) only dates the certificates' ends: the CA's own 20 years after it was made, the others'
    never after the CA's.
    """

    def __init__(self, folder: Path, now_s: float) -> None:
        self.folder = folder
        self.certificate_path = folder / "ca.crt"
        self.crl_path = folder / "ca.crl"
        self._key_path = folder / "ca.key"
        self._now = dt.datetime.fromtimestamp(now_s, dt.UTC)
        present = [path.exists() for path in (self.certificate_path, self._key_path)]
        if not any(present):
            self._make()
        elif not all(present):
            # A new key beside the old certificate would refuse every agent in the country: let a person look.
            raise AuthorityError("authority.half", folder=folder)
        self._certificate = self._load_certificate()
        self._key = self._load_key()
        if not self.crl_path.exists():
            self._write_crl([])

    @property
    def certificate(self) -> str:
        """The CA's certificate, PEM: what agents and brokers trust."""
        return self.certificate_path.read_text(encoding="ascii")

    def issue_agent(self, agent: str) -> Issued:
        """A certificate by which an agent shows who it is (CN = agent, client authentication only)."""
        return self._issue(agent, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, names: Sequence[str], ips: Iterable[str] = ()) -> Issued:
        """A certificate for a server that agents reach under these DNS names and addresses; CN is the first of them."""
        addresses = list(ips)
        reachable: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        reachable += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue((*names, *addresses)[0], ExtendedKeyUsageOID.SERVER_AUTH, reachable)

    def revoke(self, serial: str) -> Path:
        """Put a certificate (its serial in hex) on the list of the revoked; returns the list's path.

        A broker reads the list anew when it is told to reload; connections that are open stay open.
        """
        numbers = self.revoked() | {int(serial, 16)}
        self._write_crl(sorted(numbers))
        return self.crl_path

    def revoked(self) -> frozenset[int]:
        """The serials on the list of the revoked."""
        try:
            crl = x509.load_pem_x509_crl(self.crl_path.read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError("authority.damaged", path=self.crl_path, reason=error) from error
        return frozenset(entry.serial_number for entry in crl)

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(self._now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The key first: a crash between the two leaves a half that the next start reports.
        write_whole(self._key_path, _pem_of(key), 0o600)
        write_whole(self.certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def _load_certificate(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError("authority.damaged", path=self.certificate_path, reason=error) from error

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self._key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityError("authority.damaged", path=self._key_path, reason=error) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise AuthorityError(
                "authority.damaged", path=self._key_path, reason=f"not the key of {self.certificate_path}"
            )
        return key

    def _issue(self, name: str, purpose: x509.ObjectIdentifier, reachable: Sequence[x509.GeneralName]) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        ours = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(_BEGIN)
            .not_valid_after(self._certificate.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours), critical=False)
        )
        if reachable:
            builder = builder.add_extension(x509.SubjectAlternativeName(reachable), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(
            certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key=_pem_of(key).decode(),
            serial=f"{serial:x}",
        )

    def _write_crl(self, serials: Iterable[int]) -> None:
        # OpenSSL refuses everybody once a list is past its next update, so this one is good for as long as the CA.
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(_BEGIN)
            .next_update(max(self._certificate.not_valid_after_utc, self._now + _SEVEN_YEARS))
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_BEGIN).build()
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(self._key, hashes.SHA256())
        write_whole(self.crl_path, crl.public_bytes(serialization.Encoding.PEM), 0o644)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that a power cut leaves the old or the new one, and nobody reads a half or opens it early."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
