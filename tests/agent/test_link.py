"""The agent's connection: birth, Will and goodbye are heard in time, and it comes back for ever, in nobody's step."""

import contextlib
import errno
import gc
import logging
import queue
import random
import socket
import ssl
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.link import (
    Broker,
    Connected,
    Disconnected,
    Ended,
    Identity,
    Link,
    LinkEvent,
    Message,
    Patience,
    rung_of,
    tls_context,
    try_broker,
)
from collector.authority import Authority
from collector.broker import EmbeddedBroker, server_context
from collector.rooms.registry import COLLECTOR
from contract.messages import State, decode_state, encode_small
from contract.rung import Rung
from tests.support.mosquitto import StartMosquitto
from tests.support.mqtt import Client, Connect
from tests.support.ports import LOOPBACK, free_port

AGENT = "dongvan-01"
STATE = f"sansang/v1/{AGENT}/up/state"
BATCH = f"sansang/v1/{AGENT}/up/batch"
ACK = f"sansang/v1/{AGENT}/down/ack"
BIRTH = State(state="online", version="1", plan="p")
TOKEN = "right"  # noqa: S105 - of a broker that lives as long as the test


class Linked:
    """A link and the events that it brought."""

    def __init__(self, broker: Broker, identity: Identity | None = None, chance: random.Random | None = None) -> None:
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self.link = Link(
            AGENT,
            broker,
            identity,
            birth=lambda: BIRTH,
            on_event=self.events.put,
            chance=chance or Soon(),
        )
        self.link.start()

    def next(self) -> LinkEvent:
        return self.events.get(timeout=15)


class Soon(random.Random):
    """Chance that always falls on the first moment, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return 0.01


Start = Callable[..., Linked]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Linked] = []

    def make(broker: Broker, identity: Identity | None = None, chance: random.Random | None = None) -> Linked:
        made.append(Linked(broker, identity, chance))
        return made[-1]

    yield make
    for linked in made:
        linked.link.stop(None)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(LOOPBACK, 0, authenticate=lambda _agent, token: token == TOKEN)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def collector(broker: EmbeddedBroker, connect: Connect) -> Client:
    client = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    client.subscribe("sansang/v1/+/up/#")
    return client


def plain(broker: EmbeddedBroker) -> Broker:
    return Broker(host=LOOPBACK, port=broker.port, tls=False)


def states(client: Client) -> list[State]:
    return [decode_state(one.payload) for one in client.got if one.topic == STATE]


def test_a_birth_is_heard_and_waits_for_whoever_comes_later(
    broker: EmbeddedBroker, collector: Client, connect: Connect, start: Start
) -> None:
    assert start(plain(broker)).next() == Connected()
    assert collector.wait(STATE)
    assert states(collector) == [BIRTH]
    collector.close()
    later = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    later.subscribe("sansang/v1/+/up/state")
    got = later.wait(STATE)
    assert got is not None
    assert got.retain
    assert decode_state(got.payload) == BIRTH


def test_a_goodbye_says_why_and_the_will_stays_unspoken(
    broker: EmbeddedBroker, collector: Client, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    goodbye = State(state="offline", reason="shutdown")
    for _ in range(5):
        linked = start(plain(broker))
        assert linked.next() == Connected()
        linked.link.stop(goodbye)
        assert collector.wait(STATE, encode_small(goodbye))
        assert collector.wait(STATE, b'{"state":"lost"}', wait_s=0.05) is None
        assert states(collector) == [BIRTH, goodbye]
        collector.got.clear()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_who_dies_without_a_word_is_told_by_the_will(broker: EmbeddedBroker, collector: Client, start: Start) -> None:
    linked = start(plain(broker))
    assert linked.next() == Connected()
    linked.link.stop(None)
    assert collector.wait(STATE, b'{"state":"lost"}')


def test_messages_go_up_and_come_down(broker: EmbeddedBroker, collector: Client, start: Start) -> None:
    linked = start(plain(broker))
    assert linked.next() == Connected()
    assert linked.link.publish("batch", b"a batch")
    assert collector.wait(BATCH, b"a batch")
    collector.publish(ACK, b"an ack")
    assert linked.next() == Message("ack", b"an ack")
    collector.publish(ACK.replace("ack", "plan"), b"a plan", retain=True)
    assert linked.next() == Message("plan", b"a plan")


def test_a_plan_that_was_left_for_us_comes_with_the_connection(
    broker: EmbeddedBroker, collector: Client, start: Start
) -> None:
    collector.publish(ACK.replace("ack", "plan"), b"a plan", retain=True)
    linked = start(plain(broker))
    assert {linked.next(), linked.next()} == {Connected(), Message("plan", b"a plan")}


def test_what_several_threads_publish_while_acks_come_in_arrives_whole(
    broker: EmbeddedBroker, collector: Client, start: Start
) -> None:
    linked = start(plain(broker))
    assert linked.next() == Connected()
    sent = {b"%d-%d-" % (thread, number) + b"x" * 5000 for thread in range(3) for number in range(30)}

    def publish(thread: int) -> None:
        for one in sent:
            if one.startswith(b"%d-" % thread):
                assert linked.link.publish("batch", one)
                collector.paho.publish(ACK, one, qos=1)

    threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {event.payload for event in (linked.next() for _ in sent) if isinstance(event, Message)} == sent
    for one in sent:
        assert collector.wait(BATCH, one)


def test_nothing_is_kept_for_later_while_there_is_no_connection(start: Start) -> None:
    """The spool keeps; a queue in memory besides would send everything twice."""
    linked = start(Broker(host=LOOPBACK, port=free_port(), tls=False))
    assert linked.link.publish("batch", b"x") is False
    assert isinstance(linked.next(), Disconnected)
    assert linked.link.publish("batch", b"x") is False


def test_a_link_that_was_never_up_stops_at_once_and_says_nothing(start: Start) -> None:
    linked = start(Broker(host=LOOPBACK, port=free_port(), tls=False))
    linked.next()
    linked.link.stop(State(state="offline", reason="shutdown"))
    assert not linked.link._thread.is_alive()


def test_a_broker_that_is_not_there_is_named_with_the_systems_own_reason(start: Start) -> None:
    port = free_port()
    linked = start(Broker(host=LOOPBACK, port=port, tls=False))
    assert linked.next() == Disconnected(f"{LOOPBACK}:{port}: [Errno 111] Connection refused", Rung.COLLECTOR_TCP)


def test_a_broker_that_refuses_is_quoted_and_asked_ever_more_rarely(broker: EmbeddedBroker, start: Start) -> None:
    chance = Soon()
    wrong = Broker(host=LOOPBACK, port=broker.port, tls=False, token="wrong")  # noqa: S106 - wrong on purpose
    linked = start(wrong, chance=chance)
    for _ in range(6):
        assert linked.next() == Disconnected("the broker refused: Not authorized", Rung.COLLECTOR_REFUSED)
    assert [ceiling_s for _, ceiling_s in chance.asked[:5]] == [4.0, 8.0, 16.0, 32.0, 64.0]


@pytest.mark.parametrize("host", ["fe80::1%nosuchif", "sansang..vn"], ids=["not resolved", "no name at all"])
def test_a_name_that_does_not_resolve_is_a_reason_and_no_crash(start: Start, host: str) -> None:
    lost = start(Broker(host=host, port=1883, tls=False)).next()
    assert isinstance(lost, Disconnected)
    assert lost.reason.startswith(f"{host}:1883: ")
    assert lost.rung is Rung.COLLECTOR_NAME


def test_it_tries_with_growing_patience_and_full_jitter(start: Start) -> None:
    """When a province's power returns, its rooms must not come in step."""
    chance = Soon()
    linked = start(Broker(host=LOOPBACK, port=free_port(), tls=False), chance=chance)
    for _ in range(8):
        assert isinstance(linked.next(), Disconnected)
    assert [ceiling_s for _, ceiling_s in chance.asked[:6]] == [4.0, 8.0, 16.0, 32.0, 40.0, 40.0]
    assert {floor_s for floor_s, _ in chance.asked} == {0.2}


@pytest.mark.parametrize(
    ("error", "rung"),
    [
        (TimeoutError("timed out"), Rung.COLLECTOR_TCP),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Rung.COLLECTOR_TCP),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Rung.ADDRESS),
        (OSError(errno.ENETDOWN, "Network is down"), Rung.NIC),
        (ValueError("Invalid host."), Rung.COLLECTOR_MQTT),
    ],
    ids=str,
)
def test_an_error_is_of_the_step_that_it_ended(error: Exception, rung: Rung) -> None:
    assert rung_of(error) is rung


def test_a_server_that_connects_and_never_shakes_hands_fails_at_tls(authority: Authority) -> None:
    context = tls_context(Identity(ca=authority.certificate))
    with (
        socket.create_server((LOOPBACK, 0)) as mute,
        socket.create_connection(mute.getsockname(), timeout=0.2) as half_open,
        pytest.raises(TimeoutError) as caught,
    ):
        context.wrap_socket(half_open, server_hostname=LOOPBACK)
    assert rung_of(caught.value) is Rung.COLLECTOR_TLS


def test_it_tries_for_ever() -> None:
    """After a thousand tries, which is half a day, 2 to their number was too large for a float, and nobody tried on."""
    patience = Patience()
    assert {patience.ceiling_s(Ended("nobody there")) for _ in range(10_000)} == {4.0, 8.0, 16.0, 32.0, 40.0}


def test_who_is_refused_comes_ever_more_rarely_and_soon_again_once_nobody_answers() -> None:
    patience = Patience()
    refused = [patience.ceiling_s(Ended("not authorized", was_refused=True)) for _ in range(10)]
    assert refused == [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 600.0, 600.0]
    assert patience.ceiling_s(Ended("nobody there")) == 40.0
    assert patience.ceiling_s(Ended("lost", was_up=True)) == 8.0
    assert patience.ceiling_s(Ended("nobody there")) == 4.0


def test_a_broker_that_comes_back_is_found_again_and_greeted_anew(
    mosquitto: StartMosquitto, connect: Connect, start: Start
) -> None:
    running = mosquitto()
    chance = Soon()
    linked = start(Broker(host=running.host, port=running.port, tls=False), chance=chance)
    assert linked.next() == Connected()
    running.program.kill()
    assert isinstance(linked.next(), Disconnected)
    assert linked.link.publish("batch", b"x") is False
    running.program.start()
    while linked.next() != Connected():
        pass
    assert chance.asked[0] == (0.2, 8.0), "the others have lost theirs in the same moment"
    watcher = connect(running.host, running.port)
    watcher.subscribe(STATE)
    assert watcher.wait(STATE)
    assert linked.link.publish("batch", b"x") is True


def test_the_sockets_of_a_past_connection_wait_for_no_garbage_collection(broker: EmbeddedBroker) -> None:
    """A link that flaps for months must not gather them."""
    clients: list[weakref.ref[object]] = []
    events: queue.Queue[LinkEvent] = queue.Queue()

    def birth() -> State:
        clients.append(weakref.ref(link._client))
        return BIRTH

    link = Link(AGENT, plain(broker), None, birth=birth, on_event=events.put, chance=random.Random(1))
    gc.disable()
    try:
        link.start()
        assert events.get(timeout=15) == Connected()
        broker.stop()
        assert isinstance(events.get(timeout=15), Disconnected)
        assert [client() for client in clients] == [None]
    finally:
        gc.enable()
        link.stop(None)


# Over TLS.


paho_drops_the_socket_of_a_failed_handshake = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Its certificates ended long ago, as they do for a PC that believes in 2050."""
    return Authority(tmp_path / "ca", 1e9)


@pytest.fixture
def tls_broker(authority: Authority) -> Iterator[EmbeddedBroker]:
    issued = authority.issue_server(("localhost",), (LOOPBACK,))
    made = EmbeddedBroker(
        LOOPBACK,
        0,
        authenticate=lambda _agent, token: token == TOKEN,
        tls=server_context(issued.certificate, issued.key),
    )
    made.start()
    yield made
    made.stop()


def over_tls(broker: EmbeddedBroker, host: str = LOOPBACK) -> Broker:
    return Broker(host=host, port=broker.port, token=TOKEN)


def test_a_pc_whose_clock_is_wrong_by_decades_gets_through(
    authority: Authority, tls_broker: EmbeddedBroker, connect: Connect, start: Start
) -> None:
    linked = start(over_tls(tls_broker), Identity(ca=authority.certificate))
    assert linked.next() == Connected()
    watcher = connect(*tls_broker.inside, user=COLLECTOR, token=tls_broker.secret)
    watcher.subscribe("sansang/v1/+/up/#")
    for number in range(20):
        assert linked.link.publish("batch", b"%d" % number + b"x" * 20_000)
    assert watcher.wait(BATCH, b"19" + b"x" * 20_000)
    linked.link.stop(State(state="offline", reason="update"))
    assert watcher.wait(STATE, b'{"state":"offline","reason":"update"}')


@paho_drops_the_socket_of_a_failed_handshake
def test_a_broker_of_another_ca_is_not_believed(tls_broker: EmbeddedBroker, tmp_path: Path, start: Start) -> None:
    other = Authority(tmp_path / "other", 1.8e9)
    lost = start(over_tls(tls_broker), Identity(ca=other.certificate)).next()
    assert isinstance(lost, Disconnected)
    assert "certificate verify failed" in lost.reason
    assert lost.rung is Rung.COLLECTOR_TLS


@paho_drops_the_socket_of_a_failed_handshake
def test_a_broker_under_another_name_is_not_believed(authority: Authority, start: Start) -> None:
    issued = authority.issue_server(("localhost",), (LOOPBACK,))
    elsewhere = EmbeddedBroker(
        "127.0.0.2", 0, authenticate=lambda _agent, _token: True, tls=server_context(issued.certificate, issued.key)
    )
    elsewhere.start()
    try:
        lost = start(over_tls(elsewhere, "127.0.0.2"), Identity(ca=authority.certificate)).next()
    finally:
        elsewhere.stop()
    assert isinstance(lost, Disconnected)
    assert "IP address mismatch" in lost.reason
    assert lost.rung is Rung.COLLECTOR_TLS


@paho_drops_the_socket_of_a_failed_handshake
def test_an_agent_shows_its_certificate_and_its_key_is_left_nowhere(
    authority: Authority, mosquitto: StartMosquitto, start: Start, tmp_path: Path
) -> None:
    server, agent = authority.issue_server(("localhost",), (LOOPBACK,)), authority.issue_agent(AGENT)
    for name, text in (("ca.crt", authority.certificate), ("tls.crt", server.certificate), ("tls.key", server.key)):
        (tmp_path / name).write_text(text, encoding="ascii")
    today = Authority(tmp_path / "today", 1.8e9)
    issued = today.issue_agent(AGENT)
    (tmp_path / "ca.crt").write_text(today.certificate, encoding="ascii")
    running = mosquitto(
        f"listener {{port}} {LOOPBACK}\ncafile {tmp_path}/ca.crt\ncertfile {tmp_path}/tls.crt\n"
        f"keyfile {tmp_path}/tls.key\nrequire_certificate true\nuse_identity_as_username true\n"
    )
    address = Broker(host=running.host, port=running.port)
    ours = Identity(ca=authority.certificate, certificate=issued.certificate, key=issued.key)
    assert start(address, ours).next() == Connected()
    theirs = Identity(ca=authority.certificate, certificate=agent.certificate, key=agent.key)
    assert isinstance(start(address, theirs).next(), Disconnected), "issued by a CA that the broker does not know"
    assert left_lying(issued.key) == left_lying(agent.key) == []


def left_lying(secret: str) -> list[Path]:
    """Temporary files that hold it; others make and take away theirs meanwhile."""
    found = []
    for path in Path(tempfile.gettempdir()).glob("sansang-*"):
        with contextlib.suppress(OSError):
            if secret.encode() in path.read_bytes():
                found.append(path)
    return found


def test_a_key_that_does_not_fit_is_said_at_once(authority: Authority) -> None:
    one, other = authority.issue_agent(AGENT), authority.issue_agent(AGENT)
    with pytest.raises(ssl.SSLError):
        tls_context(Identity(ca=authority.certificate, certificate=one.certificate, key=other.key))


# Trying it once, as the doctor does.


def test_a_broker_that_takes_us_gives_no_reason(broker: EmbeddedBroker) -> None:
    assert try_broker(AGENT, plain(broker), None) is None


def test_a_broker_that_refuses_us_gives_its_reason(broker: EmbeddedBroker) -> None:
    wrong = Broker(host=LOOPBACK, port=broker.port, tls=False, token="wrong")  # noqa: S106 - wrong on purpose
    assert try_broker(AGENT, wrong, None) == Disconnected("Not authorized", Rung.COLLECTOR_REFUSED)


def test_a_broker_that_is_not_there_gives_the_systems_reason() -> None:
    assert try_broker(AGENT, Broker(host=LOOPBACK, port=free_port(), tls=False), None) == (
        Disconnected("[Errno 111] Connection refused", Rung.COLLECTOR_TCP)
    )


def test_a_broker_that_says_nothing_is_given_up() -> None:
    with socket.create_server((LOOPBACK, 0)) as mute:
        silent = Broker(host=LOOPBACK, port=mute.getsockname()[1], tls=False)
        assert try_broker(AGENT, silent, None, patience_s=0.5) == (
            Disconnected("no answer within 0.5 s", Rung.COLLECTOR_MQTT)
        )


def test_a_server_that_is_no_broker_is_no_answer() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=hang_up)
        thread.start()
        other = Broker(host=LOOPBACK, port=server.getsockname()[1], tls=False)
        lost = try_broker(AGENT, other, None, patience_s=5.0)
        thread.join()
    assert lost is not None
    assert lost.rung is Rung.COLLECTOR_MQTT


@pytest.mark.parametrize(
    ("code", "rung"),
    [
        (1, Rung.COLLECTOR_MQTT),
        (2, Rung.COLLECTOR_REFUSED),
        (3, Rung.COLLECTOR_MQTT),
        (4, Rung.COLLECTOR_REFUSED),
        (5, Rung.COLLECTOR_REFUSED),
    ],
    ids=["another version", "a name that it does not like", "busy", "a wrong password", "not authorized"],
)
def test_only_a_no_to_our_credentials_is_a_refusal(code: int, rung: Rung) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(500)
                connection.sendall(bytes([0x20, 2, 0, code]))  # CONNACK (MQTT 3.1.1, 3.2)

        thread = threading.Thread(target=answer)
        thread.start()
        lost = try_broker(AGENT, Broker(host=LOOPBACK, port=server.getsockname()[1], tls=False), None, patience_s=5.0)
        thread.join()
    assert lost is not None
    assert lost.rung is rung
