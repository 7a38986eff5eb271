import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.authority import Authority, AuthorityError, write_whole

NOW_S = 1_790_000_000.0
NOW = dt.datetime.fromtimestamp(NOW_S, dt.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", NOW_S)


def test_the_key_is_the_owners_alone(authority: Authority) -> None:
    assert stat.S_IMODE((authority.folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_a_second_start_uses_the_same_authority(authority: Authority) -> None:
    again = Authority(authority.folder, NOW_S + 1e8)
    assert again.certificate == authority.certificate
    issued = x509.load_pem_x509_certificate(again.issue_agent("pc-1").certificate.encode())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.encode()))


def test_an_agents_certificate_names_it_and_serves_no_server(authority: Authority) -> None:
    issued = authority.issue_agent("dongvan-01")
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    assert [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["dongvan-01"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.serial_number == int(issued.serial, 16)


def test_certificates_hold_for_a_pc_that_boots_in_2009_and_for_twenty_years(authority: Authority) -> None:
    for pem in (authority.certificate, authority.issue_agent("pc-1").certificate):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        assert certificate.not_valid_before_utc < dt.datetime(2009, 1, 1, tzinfo=dt.UTC)
        assert certificate.not_valid_after_utc > NOW + dt.timedelta(days=7000)


def test_a_servers_certificate_names_all_that_agents_call_it(authority: Authority) -> None:
    issued = authority.issue_server(("mqtt.example.vn", "localhost"), ("127.0.0.1", "::1"))
    names = x509.load_pem_x509_certificate(issued.certificate.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["mqtt.example.vn", "localhost"]
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_a_server_may_be_known_by_its_address_alone(authority: Authority) -> None:
    issued = authority.issue_server((), ("10.0.0.5",))
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    assert certificate.subject.rfc4514_string() == "CN=10.0.0.5"


def test_the_list_of_the_revoked_grows_and_stays_valid_for_decades(authority: Authority) -> None:
    first, second = authority.issue_agent("pc-1"), authority.issue_agent("pc-2")
    authority.revoke(first.serial)
    authority.revoke(second.serial)
    authority.revoke(first.serial)
    assert authority.revoked() == {int(first.serial, 16), int(second.serial, 16)}
    crl = x509.load_pem_x509_crl(authority.crl_path.read_bytes())
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > NOW + dt.timedelta(days=7000)


@pytest.mark.parametrize("name", ["ca.key", "ca.crt"])
def test_half_an_authority_is_reported_and_never_replaced(name: str, authority: Authority) -> None:
    (authority.folder / name).unlink()
    with pytest.raises(AuthorityError, match=r"only one of ca\.crt and ca\.key; restore the other from a backup"):
        Authority(authority.folder, NOW_S)
    assert not (authority.folder / name).exists()


@pytest.mark.parametrize("name", ["ca.key", "ca.crt"])
def test_a_damaged_file_is_reported_by_its_name(name: str, authority: Authority) -> None:
    (authority.folder / name).write_text("damaged")
    with pytest.raises(AuthorityError, match=rf"{name} cannot be used"):
        Authority(authority.folder, NOW_S)


def test_the_key_of_another_authority_is_noticed(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", NOW_S)
    (authority.folder / "ca.key").write_bytes((other.folder / "ca.key").read_bytes())
    with pytest.raises(AuthorityError, match=r"ca\.key cannot be used: not the key of"):
        Authority(authority.folder, NOW_S)


def test_a_file_is_replaced_whole_with_its_mode_and_nothing_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("old")
    path.chmod(0o644)
    write_whole(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.toml"]
