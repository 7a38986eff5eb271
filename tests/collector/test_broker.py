import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from collector.authority import Authority
from collector.broker import BrokerError, BrokerLimits, EmbeddedBroker, server_context
from collector.rooms.registry import COLLECTOR
from tests.support.mqtt import Client, Connect

RIGHT, WRONG = "right", "wrong"
TOKENS = {"dongvan-01": RIGHT, "dongvan-02": "other"}
STATE = "sansang/v1/dongvan-01/up/state"
BATCH = "sansang/v1/dongvan-01/up/batch"
QUIET_S = 0.5

Start = Callable[..., EmbeddedBroker]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[EmbeddedBroker] = []

    def make(address: str = "127.0.0.1", **how: Any) -> EmbeddedBroker:
        broker = EmbeddedBroker(address, 0, authenticate=lambda agent, token: TOKENS.get(agent) == token, **how)
        made.append(broker)
        broker.start()
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(start: Start) -> EmbeddedBroker:
    return start()


@pytest.fixture
def collector(broker: EmbeddedBroker, connect: Connect) -> Client:
    client = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    assert client.subscribe("sansang/v1/+/up/#") == 1
    return client


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", 1_790_000_000.0)


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    issued = authority.issue_server(("localhost",), ("127.0.0.1",))
    return server_context(issued.certificate, issued.key)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate)


def test_an_agents_batch_reaches_the_collector_and_the_ack_reaches_the_agent(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01")
    assert agent.subscribe("sansang/v1/dongvan-01/down/#") == 1
    assert agent.publish(BATCH, b"batch")
    assert collector.wait(BATCH, b"batch")
    assert collector.publish("sansang/v1/dongvan-01/down/ack", b"ack")
    assert agent.wait("sansang/v1/dongvan-01/down/ack", b"ack")


@pytest.mark.parametrize(
    "topic",
    [
        "sansang/v1/dongvan-02/up/batch",
        "sansang/v1/dongvan-02/down/plan",
        "sansang/v1/dongvan-01/down/plan",
        "sansang/v1/dongvan-011/up/batch",
        "elsewhere",
    ],
)
def test_what_an_agent_publishes_beyond_its_own_up_reaches_nobody(
    topic: str, broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    victim = connect("127.0.0.1", broker.port, user="dongvan-02")
    victim.subscribe("sansang/v1/dongvan-02/down/#")
    agent = connect("127.0.0.1", broker.port, user="dongvan-01")
    agent.subscribe("sansang/v1/dongvan-01/down/#")
    agent.publish(topic, b"forged", wait_s=QUIET_S)
    agent.publish(BATCH, b"own")
    assert collector.wait(BATCH, b"own")
    time.sleep(0.1)
    assert [one.payload for one in collector.got + victim.got + agent.got] == [b"own"]


@pytest.mark.parametrize(
    "topics",
    ["sansang/v1/dongvan-02/down/#", "sansang/v1/+/down/#", "sansang/v1/+/up/#", "sansang/v1/dongvan-01/up/#", "#"],
)
def test_an_agent_reads_nothing_but_its_own_down(
    topics: str, broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01")
    assert agent.subscribe(topics) == 128
    collector.publish("sansang/v1/dongvan-02/down/plan", b"secret", retain=True)
    agent.publish(BATCH, b"x")
    assert collector.wait(BATCH)
    time.sleep(0.1)
    assert agent.got == []


def test_a_retained_message_waits_for_whoever_subscribes_later_and_goes_when_cleared(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    collector.publish("sansang/v1/dongvan-01/down/plan", b"plan", retain=True)
    first = connect("127.0.0.1", broker.port, user="dongvan-01")
    first.subscribe("sansang/v1/dongvan-01/down/#")
    got = first.wait("sansang/v1/dongvan-01/down/plan")
    assert got is not None
    assert got.retain
    first.close()
    collector.publish("sansang/v1/dongvan-01/down/plan", b"", retain=True)
    second = connect("127.0.0.1", broker.port, user="dongvan-01")
    second.subscribe("sansang/v1/dongvan-01/down/#")
    assert second.wait("sansang/v1/dongvan-01/down/plan", wait_s=QUIET_S) is None


def test_a_newcomer_is_not_told_what_is_retained_for_others(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    connect("127.0.0.1", broker.port, user="dongvan-02").publish(STATE.replace("01", "02"), b"online", retain=True)
    assert collector.wait(STATE.replace("01", "02"))
    raw = socket.create_connection(("127.0.0.1", broker.port), timeout=20)
    with raw:
        raw.sendall(connect_packet("dongvan-01"))
        assert raw.recv(4) == b"\x20\x02\x00\x00"
        raw.settimeout(QUIET_S)
        with pytest.raises(TimeoutError):
            raw.recv(1)


def test_the_will_of_a_vanished_agent_is_spoken_and_retained(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01", will=(STATE, b"lost"))
    agent.publish(STATE, b"online", retain=True)
    assert collector.wait(STATE, b"online")
    agent.vanish()
    assert collector.wait(STATE, b"lost")
    collector.close()
    later = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    later.subscribe("sansang/v1/+/up/state")
    assert later.wait(STATE, b"lost")


def test_a_goodbye_before_disconnecting_is_retained_and_the_will_stays_unspoken(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    for _ in range(20):  # the order of a goodbye and a disconnect is a race inside the broker
        agent = connect("127.0.0.1", broker.port, user="dongvan-01", will=(STATE, b"lost"))
        agent.paho.publish(STATE, b"goodbye", qos=1, retain=True)
        agent.close()
        assert collector.wait(STATE, b"goodbye")
        assert collector.wait(STATE, b"lost", wait_s=0.05) is None
        collector.got.clear()


def test_a_will_on_a_foreign_topic_is_refused_at_the_door(broker: EmbeddedBroker, connect: Connect) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01", will=("sansang/v1/dongvan-02/up/state", b"lost"))
    assert agent.outcome == "Not authorized"


def test_a_client_that_comes_twice_replaces_its_old_connection(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    first = connect("127.0.0.1", broker.port, user="dongvan-01", will=(STATE, b"lost"))
    second = connect("127.0.0.1", broker.port, user="dongvan-01", client_id="another")
    second.publish(STATE, b"online", retain=True)
    assert first.wait_disconnected()
    assert collector.wait(STATE, b"online")
    assert [one.payload for one in collector.got] == [b"lost", b"online"]
    second.subscribe("sansang/v1/dongvan-01/down/#")
    collector.publish("sansang/v1/dongvan-01/down/ack", b"ack")
    assert second.wait("sansang/v1/dongvan-01/down/ack")


def test_a_silent_client_is_given_up_after_one_and_a_half_keepalives(broker: EmbeddedBroker, collector: Client) -> None:
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as raw:
        raw.sendall(connect_packet("dongvan-01", keepalive_s=1, will=(STATE, b"lost")))
        began_s = time.monotonic()
        assert collector.wait(STATE, b"lost")
        assert 1.4 < time.monotonic() - began_s < 10


def test_strangers_that_say_nothing_are_shown_out_and_lock_nobody_out(start: Start, connect: Connect) -> None:
    broker = start(limits=BrokerLimits(strangers_max_count=5, connect_s=0.5))
    strangers = [socket.create_connection(("127.0.0.1", broker.port), timeout=5) for _ in range(8)]
    try:
        assert all(stranger.recv(1) == b"" for stranger in strangers)
        assert connect("127.0.0.1", broker.port, user="dongvan-01").outcome == "Success"
    finally:
        for stranger in strangers:
            stranger.close()


def test_no_more_clients_than_the_limit_come_in(start: Start, connect: Connect) -> None:
    broker = start(limits=BrokerLimits(connections_max_count=2))
    assert [connect("127.0.0.1", broker.port, user=f"agent-{n}").connected for n in range(3)] == [True, True, False]


def test_a_message_beyond_the_limit_ends_the_connection_and_reaches_nobody(
    broker: EmbeddedBroker, collector: Client, connect: Connect
) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01")
    assert agent.publish(BATCH, bytes(200_000))
    assert collector.wait(BATCH, bytes(200_000))
    agent.publish(BATCH, bytes(300_000), wait_s=QUIET_S)
    assert agent.wait_disconnected()
    assert len(collector.got) == 1


@pytest.mark.parametrize(
    ("garbage", "name"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http"),
        (b"\x10\xff\xff\xff\xff\xff", "endless length"),
        (b"\x10\x00", "empty connect"),
        (b"\x10\x0e\x00\x04MQTT\x04\x80\x00\x1e\x00\x02ab", "connect cut short"),
        (bytes(range(256)) * 8, "noise"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_garbage_ends_one_connection_and_no_other(
    garbage: bytes, name: str, broker: EmbeddedBroker, connect: Connect
) -> None:
    agent = connect("127.0.0.1", broker.port, user="dongvan-01")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=15) as raw:
        raw.sendall(garbage)
        raw.shutdown(socket.SHUT_WR)
        raw.recv(16)
    assert agent.publish(BATCH, name.encode())
    assert broker.alive


def test_the_collectors_name_needs_its_secret_even_on_loopback(broker: EmbeddedBroker, connect: Connect) -> None:
    assert connect("127.0.0.1", broker.port, user=COLLECTOR).outcome == "Not authorized"
    assert connect("127.0.0.1", broker.port, user=COLLECTOR, token=WRONG).outcome == "Not authorized"


@pytest.mark.parametrize(
    ("user", "token", "outcome"),
    [
        ("dongvan-01", "", "Success"),
        ("dongvan-01", "right", "Success"),
        ("dongvan-01", "wrong", "Not authorized"),
        ("", "", "Not authorized"),
        ("dongvan/+", "", "Not authorized"),
    ],
    ids=["by name", "right token", "wrong token", "nameless", "wild name"],
)
def test_on_loopback_a_name_is_enough_and_a_wrong_token_is_not(
    user: str, token: str, outcome: str, broker: EmbeddedBroker, connect: Connect
) -> None:
    assert connect("127.0.0.1", broker.port, user=user, token=token).outcome == outcome


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])  # noqa: S104 - refused, that is the test
def test_an_address_open_to_others_without_tls_is_refused(address: str) -> None:
    with pytest.raises(BrokerError, match="demands TLS and tokens"):
        EmbeddedBroker(address, 0, authenticate=lambda _agent, _token: True)


def test_a_port_in_use_is_reported_with_the_systems_reason(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker("127.0.0.1", broker.port, authenticate=lambda _agent, _token: True)
    with pytest.raises(BrokerError, match=f"127.0.0.1 port {broker.port}: .*[Aa]ddress already in use"):
        second.start()


@pytest.mark.parametrize(
    ("user", "token", "outcome"),
    [
        ("dongvan-01", "right", "Success"),
        ("dongvan-01", "other", "Not authorized"),
        ("dongvan-01", "", "Not authorized"),
        (COLLECTOR, "", "Not authorized"),
    ],
    ids=["right", "another agent's", "none", "the collector"],
)
def test_with_tls_every_agent_needs_its_token(  # noqa: PLR0917 - a table and the parts it needs
    user: str, token: str, outcome: str, start: Start, authority: Authority, tls: ssl.SSLContext, connect: Connect
) -> None:
    broker = start("0.0.0.0", tls=tls)  # noqa: S104 - allowed with TLS, that is the test
    client = connect("127.0.0.1", broker.port, user=user, token=token, tls=trusting(authority))
    assert client.outcome == outcome


def test_with_tls_the_collector_has_a_door_of_its_own_for_nobody_else(
    start: Start, authority: Authority, tls: ssl.SSLContext, connect: Connect
) -> None:
    broker = start(tls=tls)
    collector = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    collector.subscribe("sansang/v1/+/up/#")
    agent = connect("localhost", broker.port, user="dongvan-01", token=RIGHT, tls=trusting(authority))
    assert agent.publish(BATCH, b"by TLS")
    assert collector.wait(BATCH, b"by TLS")
    assert connect(*broker.inside, user="dongvan-01", token=RIGHT).outcome == "Not authorized"
    outside = connect("localhost", broker.port, user=COLLECTOR, token=broker.secret, tls=trusting(authority))
    assert outside.outcome == "Not authorized"


def test_a_client_of_mqtt_5_is_told_that_its_version_is_not_spoken(broker: EmbeddedBroker, connect: Connect) -> None:
    assert not connect("127.0.0.1", broker.port, user="dongvan-01", protocol=paho.MQTTv5).connected
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as raw:
        raw.sendall(connect_packet("dongvan-01", level=5))
        assert raw.recv(4) == b"\x20\x02\x00\x01"


def test_three_hundred_agents_come_at_once_and_each_is_heard(broker: EmbeddedBroker, collector: Client) -> None:
    began_s = time.monotonic()
    agents = [socket.create_connection(("127.0.0.1", broker.port), timeout=20) for _ in range(300)]
    try:
        for number, agent in enumerate(agents):
            name = f"agent-{number:03}"
            agent.sendall(connect_packet(name))
            agent.sendall(publish_packet(f"sansang/v1/{name}/up/batch", b"here"))
        assert all(agent.recv(4) == b"\x20\x02\x00\x00" for agent in agents)
        assert collector.wait("sansang/v1/agent-299/up/batch", wait_s=20)
        deadline_s = time.monotonic() + 10
        while len(collector.got) < 300 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert len({one.topic for one in collector.got}) == 300
        assert time.monotonic() - began_s < 20  # amqtt's own password plugin took 49 s
    finally:
        for agent in agents:
            agent.close()


def test_it_stops_in_time_with_clients_connected_and_leaves_no_thread_behind(start: Start, connect: Connect) -> None:
    broker = start()
    clients = [connect("127.0.0.1", broker.port, user=f"agent-{number}") for number in range(5)]
    idle = socket.create_connection(("127.0.0.1", broker.port))
    began_s = time.monotonic()
    broker.stop()
    assert time.monotonic() - began_s < 5
    assert not broker.alive
    assert all(client.wait_disconnected() for client in clients)
    assert "broker" not in [thread.name for thread in threading.enumerate()]
    idle.close()


def test_it_starts_again_after_a_stop(start: Start, connect: Connect) -> None:
    broker = start()
    port = broker.port
    broker.stop()
    broker.start()
    assert broker.port == port
    assert connect("127.0.0.1", port, user="dongvan-01").connected


def text(words: str) -> bytes:
    return len(words).to_bytes(2, "big") + words.encode()


def connect_packet(user: str, *, keepalive_s: int = 30, will: tuple[str, bytes] | None = None, level: int = 4) -> bytes:
    """A CONNECT packet as bytes (MQTT 3.1.1, 3.1), for clients that behave as no library would."""
    flags = 0x82 | (0x2C if will else 0)
    body = text("MQTT") + bytes([level, flags]) + keepalive_s.to_bytes(2, "big")
    if level == 5:
        body += b"\x00"
    body += text(user)
    if will:
        body += text(will[0]) + text(will[1].decode())
    body += text(user)
    return bytes([0x10, len(body)]) + body


def publish_packet(topic: str, payload: bytes) -> bytes:
    body = text(topic) + b"\x00\x01" + payload
    return bytes([0x32, len(body)]) + body
