"""The inlet: every message becomes an arrival, whoever sent it and whatever is in it, and acks find their way back."""

import contextlib
import queue
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector import inlet
from collector.broker import EmbeddedBroker
from collector.inlet import Arrival, BadArrival, BatchArrival, BrokerAccess, Inlet, LinkArrival, StateArrival
from contract.batch import BATCH_MAX_BYTES, PLAIN_MAX_BYTES, Batch, encode_batch
from contract.dictionary import VERSION_1
from contract.messages import Ack, State, decode_ack, encode_small
from contract.moment import Moment
from contract.reading import Reading, Record
from tests.support.mosquitto import StartMosquitto
from tests.support.mqtt import Connect
from tests.support.ports import LOOPBACK, free_port

BATCH_TOPIC = "sansang/v1/dongvan-01/up/batch"
STATE_TOPIC = "sansang/v1/dongvan-01/up/state"
NOW_S = 1_795_500_000.0
NOW = Moment(boot="b", mono_s=1.0, wall_s=NOW_S)
BATCH = Batch(
    epoch="abcdefgh",
    low=1,
    first=1,
    now=NOW,
    made_count=1,
    dropped_count=0,
    records=(Record(taken=NOW, readings=(Reading(probe="ping", target="gateway"),)),),
)


def read(topic: str, payload: bytes) -> Arrival:
    return inlet.read_arrival(topic, payload, retained=False, arrived_s=NOW_S)


def test_a_batch_is_of_the_agent_that_the_topic_names() -> None:
    payload = encode_batch(BATCH)
    assert read(BATCH_TOPIC, payload) == BatchArrival("dongvan-01", BATCH, len(payload), NOW_S)


def test_a_state_tells_whether_it_was_retained() -> None:
    state = State(state="offline", reason="shutdown")
    for retained in (True, False):
        found = inlet.read_arrival(STATE_TOPIC, encode_small(state), retained=retained, arrived_s=NOW_S)
        assert found == StateArrival("dongvan-01", state, retained, NOW_S)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "sansang/v1/dongvan-01/up",
        "sansang/v1/dongvan-01/up/",
        "sansang/v1/dongvan-01/up/batch/more",
        "sansang/v1/dongvan-01/up/firmware",
        "sansang/v1/dongvan-01/down/ack",
        "sansang/v2/dongvan-01/up/batch",
        "sansang/v1/Đồng Văn/up/batch",
        "sansang/v1/ab/up/batch",
        "sansang/v1/-ab/up/batch",
        f"sansang/v1/{'a' * 33}/up/batch",
        "sansang/v1/dongvan-01\n/up/batch",
        "sansang/v1/../up/batch",
        "/sansang/v1/dongvan-01/up/batch",
    ],
)
def test_a_topic_that_is_none_of_ours_names_no_agent(topic: str) -> None:
    assert read(topic, encode_batch(BATCH)) == BadArrival("", topic, "no topic of ours", encode_batch(BATCH), NOW_S)


def test_an_endless_topic_is_cut() -> None:
    found = read("x" * 60_000, b"")
    assert isinstance(found, BadArrival)
    assert len(found.topic) == 200


def bomb(size: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, VERSION_1)
    return b"\x01" + squeeze.compress(b'"' + b"0" * size + b'"') + squeeze.flush()


BAD = {
    "nothing": (BATCH_TOPIC, b"", "an empty message"),
    "a bomb": (BATCH_TOPIC, bomb(50 << 20), f"inflates to more than {PLAIN_MAX_BYTES} bytes"),
    "oversized": (
        BATCH_TOPIC,
        b"\x01" * (BATCH_MAX_BYTES + 1),
        f"{BATCH_MAX_BYTES + 1} bytes, more than the {BATCH_MAX_BYTES} allowed",
    ),
    "a state for a batch": (BATCH_TOPIC, b'{"state":"lost"}', "format version 123; this program reads version 1"),
    "a text for a batch": (BATCH_TOPIC, bomb(10), "not as the contract has it: Expected `object`, got `str`"),
    "a batch for a state": (
        STATE_TOPIC,
        encode_batch(BATCH),
        "no state: JSON is malformed: invalid character (byte 0)",
    ),
    "a state of another kind": (STATE_TOPIC, b'{"state":7}', "no state: Expected `str`, got `int` - at `$.state`"),
    "a deep state": (
        STATE_TOPIC,
        b'{"x":' + b"[" * 4000,
        "no state: maximum recursion depth exceeded while deserializing an object",
    ),
}


@pytest.mark.parametrize(("topic", "payload", "why"), BAD.values(), ids=BAD)
def test_what_breaks_the_contract_is_put_aside_with_its_reason(topic: str, payload: bytes, why: str) -> None:
    assert read(topic, payload) == BadArrival("dongvan-01", topic, why, payload, NOW_S)


_topics = st.text(max_size=60) | st.sampled_from([BATCH_TOPIC, STATE_TOPIC])


@given(_topics, st.binary(max_size=300))
@example(STATE_TOPIC, b'{"x":' + b"[" * 4000)
@example(BATCH_TOPIC, b"\x01\x00")
def test_no_topic_and_no_bytes_are_anything_but_a_bad_arrival(topic: str, payload: bytes) -> None:
    assert isinstance(read(topic, payload), BadArrival)


@given(st.data())
def test_a_damaged_batch_is_a_batch_or_a_bad_arrival(data: st.DataObject) -> None:
    damaged = bytearray(encode_batch(BATCH))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read(BATCH_TOPIC, bytes(damaged)), BatchArrival | BadArrival)


# With a real broker.


MakeInlet = Callable[[BrokerAccess], Inlet]


@pytest.fixture
def make_inlet() -> Iterator[MakeInlet]:
    with contextlib.ExitStack() as running:

        def make(access: BrokerAccess) -> Inlet:
            made = Inlet(access, clock_s=lambda: NOW_S)
            made.start()
            running.callback(made._client._reset_sockets)  # paho leaves its inner pair to the garbage collector
            running.callback(made.stop)
            return made

        yield make


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(LOOPBACK, 0, authenticate=lambda _agent, _token: True)
    made.start()
    yield made
    made.stop()


def inside(broker: EmbeddedBroker) -> BrokerAccess:
    host, port = broker.inside
    return BrokerAccess(host=host, port=port, password=broker.secret)


def next_of(made: Inlet) -> Arrival:
    return made.arrivals.get(timeout=10)


def test_arrivals_come_in_the_order_in_which_they_were_sent(
    broker: EmbeddedBroker, make_inlet: MakeInlet, connect: Connect
) -> None:
    made = make_inlet(inside(broker))
    assert next_of(made) == LinkArrival(connected=True, reason="", arrived_s=NOW_S)
    agent = connect(LOOPBACK, broker.port, user="dongvan-01")
    agent.publish(STATE_TOPIC, encode_small(State(state="online")), retain=True)
    agent.publish(BATCH_TOPIC, encode_batch(BATCH))
    agent.publish(BATCH_TOPIC, b"no batch")
    assert next_of(made) == StateArrival("dongvan-01", State(state="online"), retained=False, arrived_s=NOW_S)
    assert next_of(made) == BatchArrival("dongvan-01", BATCH, len(encode_batch(BATCH)), NOW_S)
    bad = next_of(made)
    assert isinstance(bad, BadArrival)
    assert bad.body == b"no batch"


def test_a_state_from_before_we_listened_is_marked_retained(
    broker: EmbeddedBroker, make_inlet: MakeInlet, connect: Connect
) -> None:
    agent = connect(LOOPBACK, broker.port, user="dongvan-01")
    assert agent.publish(STATE_TOPIC, encode_small(State(state="online")), retain=True)
    made = make_inlet(inside(broker))
    next_of(made)
    assert next_of(made) == StateArrival("dongvan-01", State(state="online"), retained=True, arrived_s=NOW_S)


def test_an_ack_and_a_plan_reach_their_agent(broker: EmbeddedBroker, make_inlet: MakeInlet, connect: Connect) -> None:
    made = make_inlet(inside(broker))
    next_of(made)
    agent = connect(LOOPBACK, broker.port, user="dongvan-01")
    agent.subscribe("sansang/v1/dongvan-01/down/ack")
    ack = Ack(epoch="abcdefgh", upto=7, generation="gen1", collector_s=NOW_S)
    made.acknowledge("dongvan-01", ack)
    got = agent.wait("sansang/v1/dongvan-01/down/ack")
    assert got is not None
    assert decode_ack(got.payload) == ack
    agent.subscribe("sansang/v1/dongvan-01/down/plan")
    made.publish_plan("dongvan-01", b"{}")
    assert agent.wait("sansang/v1/dongvan-01/down/plan", b"{}")
    later = connect(LOOPBACK, broker.port, user="dongvan-01")
    later.subscribe("sansang/v1/dongvan-01/down/plan")
    got = later.wait("sansang/v1/dongvan-01/down/plan", b"{}")
    assert got is not None
    assert got.retain, "the broker keeps a plan for whoever comes later"


def test_a_broker_that_refuses_us_says_so(broker: EmbeddedBroker, make_inlet: MakeInlet) -> None:
    host, port = broker.inside
    made = make_inlet(BrokerAccess(host=host, port=port, password=broker.secret[1:]))
    assert next_of(made) == LinkArrival(connected=False, reason="the broker refused: Not authorized", arrived_s=NOW_S)


def test_a_broker_that_is_not_there_is_named(make_inlet: MakeInlet) -> None:
    port = free_port()
    made = make_inlet(BrokerAccess(host=LOOPBACK, port=port))
    assert next_of(made) == LinkArrival(connected=False, reason=f"{LOOPBACK}:{port} cannot be reached", arrived_s=NOW_S)


def test_a_broker_that_comes_back_is_heard_again(
    mosquitto: StartMosquitto, make_inlet: MakeInlet, connect: Connect
) -> None:
    running = mosquitto()
    made = make_inlet(BrokerAccess(host=running.host, port=running.port))
    assert next_of(made) == LinkArrival(connected=True, reason="", arrived_s=NOW_S)
    running.program.kill()
    lost = next_of(made)
    assert isinstance(lost, LinkArrival)
    assert not lost.connected
    made.acknowledge("dongvan-01", Ack(epoch="abcdefgh", upto=1, generation="gen1", collector_s=NOW_S))
    running.program.start()
    while not (isinstance(back := next_of(made), LinkArrival) and back.connected):
        pass
    agent = connect(running.host, running.port)
    agent.subscribe("sansang/v1/dongvan-01/down/ack")
    made.acknowledge("dongvan-01", Ack(epoch="abcdefgh", upto=2, generation="gen1", collector_s=NOW_S))
    assert agent.wait("sansang/v1/dongvan-01/down/ack")
    assert [decode_ack(one.payload).upto for one in agent.got] == [2], "what was said while offline is not kept"
    agent.publish(BATCH_TOPIC, encode_batch(BATCH))
    assert isinstance(next_of(made), BatchArrival)


def test_what_is_beyond_the_queue_is_counted_and_forgotten(
    broker: EmbeddedBroker, make_inlet: MakeInlet, connect: Connect
) -> None:
    """Nothing of it is acknowledged, so that its agent sends it again."""
    made = make_inlet(inside(broker))
    next_of(made)
    made.arrivals = queue.Queue(2)
    agent = connect(LOOPBACK, broker.port, user="dongvan-01")
    for number in range(5):
        agent.publish(BATCH_TOPIC, b"%d" % number)
    deadline_s = time.monotonic() + 10
    while made.overflow_total < 3 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert made.overflow_total == 3
    assert [one.body for one in (next_of(made), next_of(made)) if isinstance(one, BadArrival)] == [b"0", b"1"]
