import signal
import socket
import ssl
import time
from pathlib import Path

import pytest

import deploy
from agent.link import Broker, Identity, tls_context, try_broker
from collector.authority import Authority, Issued
from collector.rooms.enrolment import equip_broker
from contract.batch import BATCH_MAX_BYTES
from contract.rung import Rung
from tests.support.mosquitto import Mosquitto, StartMosquitto
from tests.support.mqtt import Client, Connect

NOW_S = time.time()
CONFIG = Path(deploy.__file__).parent / "mosquitto" / "sansang.conf"
BATCH = "sansang/v1/dongvan-01/up/batch"
STATE = "sansang/v1/dongvan-01/up/state"
ACK = "sansang/v1/dongvan-01/down/ack"
QUIET_S = 0.5


class Site:
    """A broker with the shipped configuration, and the CA that it trusts."""

    def __init__(self, broker: Mosquitto, authority: Authority, folder: Path) -> None:
        self.broker = broker
        self.authority = authority
        self.folder = folder

    def identity(self, issued: Issued) -> Identity:
        return Identity(ca=self.authority.certificate, certificate=issued.certificate, key=issued.key)

    def agent(self, agent: str) -> ssl.SSLContext:
        return tls_context(self.identity(self.authority.issue_agent(agent)))


@pytest.fixture
def site(mosquitto: StartMosquitto, tmp_path: Path) -> Site:
    authority = Authority(tmp_path / "ca", NOW_S)
    folder = tmp_path / "etc"
    equip_broker(authority, folder, ("localhost", "127.0.0.1"))
    (folder / "sansang.acl").write_bytes(CONFIG.with_name("sansang.acl").read_bytes())
    config = CONFIG.read_text(encoding="utf-8")
    assert config.count("/etc/mosquitto/sansang/") == 5
    # What Debian's own file sets before it reads ours.
    config = "persistence true\npersistence_location {folder}/\n" + config
    config = config.replace("/etc/mosquitto/sansang", str(folder)).replace("listener 8883", "listener {port} 127.0.0.1")
    return Site(mosquitto(config.replace("{folder}", str(folder))), authority, folder)


@pytest.fixture
def collector(site: Site, connect: Connect) -> Client:
    both = ssl.create_default_context(cadata=site.authority.certificate)
    both.load_cert_chain(site.folder / "collector.crt", site.folder / "collector.key")
    client = connect("localhost", site.broker.port, tls=both)
    assert client.outcome == "Success"
    client.subscribe("sansang/v1/+/up/#")
    return client


def test_an_agents_batch_reaches_the_collector_and_the_ack_reaches_the_agent(
    site: Site, collector: Client, connect: Connect
) -> None:
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"))
    agent.subscribe("sansang/v1/dongvan-01/down/#")
    assert agent.publish(BATCH, b"batch")
    assert collector.wait(BATCH, b"batch")
    assert collector.publish(ACK, b"ack")
    assert agent.wait(ACK, b"ack")


@pytest.mark.parametrize(
    "topic",
    [
        "sansang/v1/dongvan-02/up/batch",
        "sansang/v1/dongvan-02/down/plan",
        "sansang/v1/dongvan-01/down/plan",
        "sansang/v1/collector/up/batch",
        "elsewhere",
    ],
)
def test_what_an_agent_publishes_beyond_its_own_up_reaches_nobody(
    topic: str, site: Site, collector: Client, connect: Connect
) -> None:
    victim = connect("localhost", site.broker.port, tls=site.agent("dongvan-02"))
    victim.subscribe("sansang/v1/dongvan-02/down/#")
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"))
    agent.subscribe("sansang/v1/dongvan-01/down/#")
    agent.publish(topic, b"forged")
    agent.publish(BATCH, b"own")
    assert collector.wait(BATCH, b"own")
    assert victim.wait(topic, wait_s=0.2) is None
    assert [one.payload for one in collector.got + victim.got + agent.got] == [b"own"]


@pytest.mark.parametrize(
    "topics",
    ["sansang/v1/dongvan-02/down/#", "sansang/v1/+/down/#", "sansang/v1/+/up/#", "#", "$SYS/#"],
)
def test_an_agent_reads_nothing_but_its_own_down(topics: str, site: Site, collector: Client, connect: Connect) -> None:
    collector.publish("sansang/v1/dongvan-02/down/plan", b"retained secret", retain=True)
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"))
    agent.subscribe(topics)  # answered "granted" even where nothing will come: only delivery tells
    collector.publish("sansang/v1/dongvan-02/down/ack", b"secret")
    other = connect("localhost", site.broker.port, tls=site.agent("dongvan-02"))
    other.publish("sansang/v1/dongvan-02/up/batch", b"batch")
    assert collector.wait("sansang/v1/dongvan-02/up/batch")
    assert agent.wait("sansang/v1/dongvan-02/down/ack", wait_s=0.2) is None
    assert agent.got == []


def test_who_has_no_certificate_is_refused(site: Site, connect: Connect) -> None:
    client = connect(
        "localhost", site.broker.port, user="dongvan-01", tls=tls_context(Identity(ca=site.authority.certificate))
    )
    assert not client.connected


def test_who_comes_without_tls_is_refused(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.broker.port), timeout=5) as raw:
        raw.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x1e\x00\x00")
        with pytest.raises(ConnectionResetError):
            while raw.recv(16):
                pass
            raise ConnectionResetError("closed")


def test_a_certificate_of_another_authority_is_refused(site: Site, connect: Connect, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", NOW_S).issue_agent("dongvan-01")
    assert not connect("localhost", site.broker.port, tls=tls_context(site.identity(other))).connected


def test_a_broker_of_another_authority_is_refused_by_the_agent(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", NOW_S)
    mine = site.authority.issue_agent("dongvan-01")
    identity = Identity(ca=other.certificate, certificate=mine.certificate, key=mine.key)
    assert "certificate verify failed" in refusal_of(site.broker.port, tls_context(identity))


def test_a_servers_certificate_is_no_agents(site: Site, connect: Connect) -> None:
    server = site.authority.issue_server(("dongvan-01",))
    assert not connect("localhost", site.broker.port, tls=tls_context(site.identity(server))).connected


def test_a_revoked_agent_is_refused_after_a_reload_and_the_others_are_not(site: Site, connect: Connect) -> None:
    revoked, other = site.authority.issue_agent("dongvan-01"), site.authority.issue_agent("dongvan-02")
    assert connect("localhost", site.broker.port, tls=tls_context(site.identity(revoked))).connected
    crl = site.authority.revoke(revoked.serial)
    (site.folder / "ca.crl").write_bytes(crl.read_bytes())
    site.broker.program.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert not connect("localhost", site.broker.port, tls=tls_context(site.identity(revoked))).connected
    assert connect("localhost", site.broker.port, tls=tls_context(site.identity(other))).connected


def test_a_revoked_agent_knows_that_it_was_refused(site: Site) -> None:
    revoked = site.authority.issue_agent("dongvan-01")
    (site.folder / "ca.crl").write_bytes(site.authority.revoke(revoked.serial).read_bytes())
    site.broker.program.signal(signal.SIGHUP)
    broker, lost = Broker(host="localhost", port=site.broker.port), None
    for _ in range(50):  # until the broker has read the list
        lost = try_broker("dongvan-01", broker, site.identity(revoked))
        if lost is not None:
            break
        time.sleep(0.1)
    assert lost is not None
    assert (lost.rung, "alert certificate" in lost.reason) == (Rung.COLLECTOR_REFUSED, True)


def test_the_largest_batch_passes_and_an_oversize_message_does_not(
    site: Site, collector: Client, connect: Connect
) -> None:
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"))
    assert agent.publish(BATCH, bytes(BATCH_MAX_BYTES))
    assert collector.wait(BATCH, bytes(BATCH_MAX_BYTES))
    agent.publish(BATCH, bytes(300_000), wait_s=QUIET_S)
    assert agent.wait_disconnected()
    assert len(collector.got) == 1


def test_the_will_of_a_vanished_agent_is_spoken_and_retained(site: Site, collector: Client, connect: Connect) -> None:
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"), will=(STATE, b"lost"))
    agent.publish(STATE, b"online", retain=True)
    assert collector.wait(STATE, b"online")
    agent.vanish()
    assert collector.wait(STATE, b"lost")
    collector.got.clear()
    collector.subscribe("sansang/v1/+/up/state")
    got = collector.wait(STATE, b"lost")
    assert got is not None
    assert got.retain


def test_a_will_on_a_foreign_topic_is_not_spoken(site: Site, collector: Client, connect: Connect) -> None:
    foreign = STATE.replace("01", "02")
    agent = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"), will=(foreign, b"lost"))
    agent.vanish()
    assert collector.wait(foreign, wait_s=QUIET_S) is None


def test_an_agent_that_comes_twice_replaces_its_old_connection_whatever_client_id_it_claims(
    site: Site, connect: Connect
) -> None:
    first = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"), client_id="one")
    other = connect("localhost", site.broker.port, tls=site.agent("dongvan-02"), client_id="one")
    second = connect("localhost", site.broker.port, tls=site.agent("dongvan-01"), client_id="two")
    assert first.wait_disconnected()
    assert second.publish(BATCH, b"x")
    assert other.publish(BATCH.replace("01", "02"), b"x")


def test_an_agent_with_a_wrong_clock_trusts_the_broker_all_the_same(
    site: Site, collector: Client, connect: Connect, tmp_path: Path
) -> None:
    # This machine's clock cannot be turned, so the broker's certificate is: it ended in 2020.
    ended = Authority(tmp_path / "ended", 946_684_800.0)
    server = ended.issue_server(("localhost",))
    (site.folder / "server.crt").write_text(server.certificate)
    (site.folder / "server.key").write_text(server.key)
    collector.close()
    site.broker.program.stop()
    site.broker.program.start()
    mine = site.authority.issue_agent("dongvan-01")
    identity = Identity(ca=ended.certificate, certificate=mine.certificate, key=mine.key)
    strict = ssl.create_default_context(cadata=ended.certificate)
    assert "expired" in refusal_of(site.broker.port, strict)
    assert connect("localhost", site.broker.port, tls=tls_context(identity)).connected


def test_nothing_is_kept_on_disk(site: Site, collector: Client, connect: Connect) -> None:
    connect("localhost", site.broker.port, tls=site.agent("dongvan-01")).publish(STATE, b"online", retain=True)
    assert collector.wait(STATE)
    site.broker.program.stop()
    assert not list(site.folder.glob("*.db"))


def refusal_of(port: int, context: ssl.SSLContext) -> str:
    """Why a client refuses the broker's certificate; empty when it does not."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        with context.wrap_socket(raw, server_hostname="localhost"):
            return ""
    except ssl.SSLError as error:
        return str(error)
    finally:
        raw.close()
