import logging
import shlex
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.app import Agent
from agent.link import Broker
from agent.probe import Probe
from agent.settings import AgentSettings
from collector.broker import EmbeddedBroker
from collector.rooms.registry import COLLECTOR
from contract.messages import State, decode_state
from deploy.windows.service import Order, Runner, image_path, log_to_file, order_of
from tests.support.mqtt import Client, Connect

STATE = "sansang/v1/dongvan-01/up/state"


@pytest.mark.parametrize(
    ("control", "event_type", "order"),
    [
        pytest.param(1, 0, Order.STOP, id="SERVICE_CONTROL_STOP"),
        pytest.param(5, 0, Order.SHUTDOWN, id="SERVICE_CONTROL_SHUTDOWN"),
        pytest.param(15, 0, Order.SHUTDOWN, id="SERVICE_CONTROL_PRESHUTDOWN"),
        pytest.param(13, 4, Order.SUSPEND, id="PBT_APMSUSPEND"),
        pytest.param(13, 7, Order.RESUME, id="PBT_APMRESUMESUSPEND"),
        pytest.param(13, 18, Order.RESUME, id="PBT_APMRESUMEAUTOMATIC"),
        pytest.param(13, 10, None, id="PBT_APMPOWERSTATUSCHANGE"),
        pytest.param(4, 0, None, id="SERVICE_CONTROL_INTERROGATE"),
    ],
)
def test_a_control_code_of_windows_becomes_an_order(control: int, event_type: int, order: Order | None) -> None:
    assert order_of(control, event_type) is order


def test_the_services_command_line_is_quoted_against_blanks() -> None:
    line = image_path(r"C:\Program Files\SanSang\Scripts\python.exe", Path("C:/Program Data/agent.toml"))
    assert shlex.split(line) == [
        r"C:\Program Files\SanSang\Scripts\python.exe",
        "-m",
        "deploy.windows.service",
        "host",
        "--config",
        "C:/Program Data/agent.toml",
    ]


def test_the_log_goes_into_a_file_that_cannot_fill_the_disk(tmp_path: Path) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    log_to_file(tmp_path / "log")
    added = [handler for handler in root.handlers if handler not in before]
    try:
        for _ in range(8000):
            root.warning("x" * 1000)
    finally:
        for handler in added:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    assert 1_000_000 < sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) <= 6_100_000


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker("127.0.0.1", 0, authenticate=lambda _agent, _token: False)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def collector(broker: EmbeddedBroker, connect: Connect) -> Client:
    client = connect(*broker.inside, user=COLLECTOR, token=broker.secret)
    client.subscribe("sansang/v1/+/up/state")
    return client


def no_probe(name: str, _settings: Mapping[str, object]) -> Probe:
    raise AssertionError(f"no plan asks for {name}")


class Service:
    """A real agent under a Runner in a thread, as in a service."""

    def __init__(self, settings: AgentSettings, *, resume_at_latest_s: float) -> None:
        self.runner = Runner(lambda: Agent(settings, load_probe=no_probe), resume_at_latest_s=resume_at_latest_s)
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.code = self.runner.run()


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> AgentSettings:
    return AgentSettings(
        agent="dongvan-01", broker=Broker(host="127.0.0.1", port=broker.port, tls=False), data_dir=tmp_path / "data"
    )


@pytest.fixture
def service(settings: AgentSettings) -> Iterator[Service]:
    made = Service(settings, resume_at_latest_s=60.0)
    yield made
    made.runner.follow(Order.STOP)
    made.thread.join(10)


def next_state(collector: Client) -> State:
    got = collector.wait(STATE)
    assert got is not None, "no state in time"
    collector.got.remove(got)
    return decode_state(got.payload)


def said(state: State) -> tuple[str, str]:
    return state.state, state.reason


@pytest.mark.parametrize(("order", "reason"), [(Order.STOP, "service_stop"), (Order.SHUTDOWN, "shutdown")])
def test_the_agent_says_why_it_goes(order: Order, reason: str, service: Service, collector: Client) -> None:
    assert said(next_state(collector)) == ("online", "")
    service.runner.follow(order)
    assert said(next_state(collector)) == ("offline", reason)
    service.thread.join(10)
    assert service.code == 0


def test_the_agent_sleeps_and_wakes_with_its_pc(service: Service, collector: Client) -> None:
    assert said(next_state(collector)) == ("online", "")
    service.runner.follow(Order.SUSPEND)
    assert service.runner.wait_resting(5)
    assert said(next_state(collector)) == ("offline", "suspend")
    service.runner.follow(Order.RESUME)
    assert said(next_state(collector)) == ("online", "")
    service.runner.follow(Order.SHUTDOWN)
    assert said(next_state(collector)) == ("offline", "shutdown")


def test_a_sleep_that_is_over_before_the_agent_has_gone_wakes_it_again(service: Service, collector: Client) -> None:
    for _ in range(2):
        assert said(next_state(collector)) == ("online", "")
        service.runner.follow(Order.SUSPEND)
        service.runner.follow(Order.RESUME)
        assert said(next_state(collector)) == ("offline", "suspend")
    assert said(next_state(collector)) == ("online", "")


def test_a_pc_that_is_shut_down_while_asleep_stays_down(service: Service, collector: Client) -> None:
    next_state(collector)
    service.runner.follow(Order.SUSPEND)
    assert service.runner.wait_resting(5)
    service.runner.follow(Order.SHUTDOWN)
    service.runner.follow(Order.RESUME)
    service.thread.join(10)
    assert not service.thread.is_alive()


def test_an_agent_runs_again_even_if_nobody_says_that_the_pc_woke(settings: AgentSettings, collector: Client) -> None:
    service = Service(settings, resume_at_latest_s=0.2)
    assert said(next_state(collector)) == ("online", "")
    service.runner.follow(Order.SUSPEND)
    assert said(next_state(collector)) == ("offline", "suspend")
    assert said(next_state(collector)) == ("online", "")
    service.runner.follow(Order.STOP)
    service.thread.join(10)
    assert service.code == 0


def test_an_order_that_comes_before_the_agent_runs_is_not_lost(settings: AgentSettings) -> None:
    runner = Runner(lambda: Agent(settings, load_probe=no_probe))
    runner.follow(Order.STOP)
    thread = threading.Thread(target=runner.run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
