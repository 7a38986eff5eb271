import ssl
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from agent.link import tls_context
from agent.settings import load_settings
from collector.authority import Authority
from collector.rooms.enrolment import BrokerAddress, Enrolled, dismiss, enrol, equip_broker
from collector.rooms.registry import Registry, RegistryError
from collector.storage.database import open_database, sqlite_url
from contract.catalogue import LANGUAGES

NOW_S = 1_790_000_000.0
BROKER = BrokerAddress(host="mqtt.example.vn", port=8883, tls=True)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    made = Registry(engine)
    made.add_room("dong-van-1", name="Phòng 1", province="Hà Giang", school="THCS Đồng Văn")
    yield made
    engine.dispose()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", NOW_S)


@pytest.fixture
def enrolled(registry: Registry, authority: Authority) -> Enrolled:
    return enrol(registry, authority, "dongvan-01", "dong-van-1", broker=BROKER, now_s=NOW_S)


def test_the_file_of_a_pc_holds_all_that_it_needs(enrolled: Enrolled, authority: Authority) -> None:
    content = tomllib.loads(enrolled.text)
    assert {key: value for key, value in content.items() if not isinstance(value, dict)} == {
        "agent": "dongvan-01",
        "language": "vi",
    }
    assert {key: content["broker"][key] for key in ("host", "port", "tls")} == {
        "host": "mqtt.example.vn",
        "port": 8883,
        "tls": True,
    }
    assert content["identity"]["ca"] == authority.certificate
    certificate = x509.load_pem_x509_certificate(content["identity"]["certificate"].encode())
    assert certificate.subject.rfc4514_string() == "CN=dongvan-01"


def test_the_agent_loads_the_file_and_makes_a_tls_context_of_it(enrolled: Enrolled, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    enrolled.write(path)
    settings = load_settings(path)
    assert (settings.agent, settings.broker.host, settings.broker.port) == ("dongvan-01", "mqtt.example.vn", 8883)
    assert settings.identity is not None
    assert tls_context(settings.identity).verify_mode is ssl.CERT_REQUIRED


def test_the_file_is_the_owners_alone(enrolled: Enrolled, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    enrolled.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_registry_knows_the_token_and_keeps_only_its_digest(enrolled: Enrolled, registry: Registry) -> None:
    token = tomllib.loads(enrolled.text)["broker"]["token"]
    assert registry.view().knows_token("dongvan-01", token)
    assert token not in str(registry.view())


def test_enrolling_again_ends_the_old_token_and_certificate_and_says_so(
    enrolled: Enrolled, registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    again = enrol(registry, authority, "dongvan-01", "dong-van-1", broker=BROKER, now_s=NOW_S + 60, language="en")
    old, new = (tomllib.loads(one.text)["broker"]["token"] for one in (enrolled, again))
    assert [registry.view().knows_token("dongvan-01", token) for token in (old, new)] == [False, True]
    old_certificate = x509.load_pem_x509_certificate(tomllib.loads(enrolled.text)["identity"]["certificate"].encode())
    assert authority.revoked() == {old_certificate.serial_number}
    assert "no longer work" in again.sentences(tmp_path / "agent.toml", "en")[0]
    assert (enrolled.renewed, again.renewed) == (False, True)
    for one in (enrolled, again):
        assert all(one.sentences(tmp_path / "agent.toml", language) for language in LANGUAGES)


def test_an_agent_without_a_room_gets_no_credential(registry: Registry, authority: Authority) -> None:
    with pytest.raises(RegistryError, match="there is no room dong-van-2; the nearest is dong-van-1"):
        enrol(registry, authority, "dongvan-02", "dong-van-2", broker=BROKER, now_s=NOW_S)
    assert registry.agents() == ()


def test_a_dismissed_agent_is_known_by_nothing(enrolled: Enrolled, registry: Registry, authority: Authority) -> None:
    crl = dismiss(registry, authority, "dongvan-01", NOW_S + 60)
    content = tomllib.loads(enrolled.text)
    assert not registry.view().knows_token("dongvan-01", content["broker"]["token"])
    certificate = x509.load_pem_x509_certificate(content["identity"]["certificate"].encode())
    found = x509.load_pem_x509_crl(crl.read_bytes())
    assert found.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def test_a_host_with_quotes_cannot_break_out_of_the_file(registry: Registry, authority: Authority) -> None:
    odd = BrokerAddress(host='a"\\b', port=1, tls=False)
    enrolled = enrol(registry, authority, "dongvan-03", "dong-van-1", broker=odd, now_s=NOW_S)
    assert tomllib.loads(enrolled.text)["broker"]["host"] == 'a"\\b'


def test_a_broker_is_equipped_with_keys_that_only_their_owner_reads(authority: Authority, tmp_path: Path) -> None:
    equip_broker(authority, tmp_path / "out", ("mqtt.example.vn", "10.0.0.5"))
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert files == {
        "server.key": 0o600,
        "server.crt": 0o644,
        "collector.key": 0o600,
        "collector.crt": 0o644,
        "ca.crt": 0o644,
        "ca.crl": 0o644,
    }
