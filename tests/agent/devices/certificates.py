"""Certificates as devices have them: of their own making, for another name, long expired."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate_of_its_own(file: Path) -> Path:
    """Key and certificate in one file, each time others; vouched for by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "codec")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - dt.timedelta(days=9)).not_valid_after(now - dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    form, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, nothing) + made.public_bytes(serialization.Encoding.PEM)
    )
    return file
