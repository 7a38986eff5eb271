import asyncio
import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.snmp import client as snmp
from agent.snmp.login import SnmpLogin
from contract.outcome import Outcome
from contract.settings import SettingsError
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs
from tests.support.snmpsim import SnmpSim, SnmpUser, StartSnmpSim, edited, launch_snmpsim, own_recordings

IF: Final = "1.3.6.1.2.1.2.2.1"
IFX: Final = "1.3.6.1.2.1.31.1.1.1"
OWN: Final = "1.3.6.1.4.1.99999.1"
SHA_AES: Final = SnmpUser("room", "SHA256", "secret-of-auth", "AES", "secret-of-priv")
MD5_DES: Final = SnmpUser("hall", "MD5", "secret-of-auth", "DES", "secret-of-priv")
NO_PRIV: Final = SnmpUser("lab", "SHA", "secret-of-auth")
NO_AUTH: Final = SnmpUser("open")
USERS: Final = (SHA_AES, MD5_DES, NO_PRIV, NO_AUTH)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("snmp")
    programs = Programs(folder)
    router = own_recordings()["router"]
    recordings = {
        "router": router,
        "restarted": edited(router, {"1.3.6.1.2.1.1.3.0": "6000", "1.3.6.1.2.1.25.1.1.0": "67|8640000"}),
        "dumb": "1.3.6.1.4.1.99999.1.1.0|2|5\n",
        "ppp-only": edited(router, {f"{IF}.3.{index}": "23" for index in (2, 3, 4)}),
        "odd-states": edited(router, {f"{IF}.8.2": "4", f"{IF}.8.3": "3"}),
        "old": edited(router, {f"{IFX}.{column}.{row}": "" for column in (6, 10, 15) for row in (2, 3)}),
    }
    yield launch_snmpsim(programs, folder, recordings, *USERS)
    programs.stop_all()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop, and so one engine, for many measurements, as in the agent."""
    with asyncio.Runner() as shared:
        yield shared


class Poller(NamedTuple):
    """Measures devices of one agent."""

    runner: asyncio.Runner
    port: int

    def measure(self, **settings: object) -> Values:
        probe = load_probe("snmp", {"target": "router", "address": LOOPBACK, "port": self.port, **settings})
        return self.runner.run(probe.measure())

    def fail(self, **settings: object) -> ProbeFailed:
        with pytest.raises(ProbeFailed) as caught:
            self.measure(**settings)
        return caught.value


@pytest.fixture
def poller(runner: asyncio.Runner, agent: SnmpSim) -> Poller:
    return Poller(runner, agent.port)


def test_the_interfaces_that_packets_pass_are_taken_together(poller: Poller) -> None:
    values = poller.measure(community="router")
    assert values.pop("response_ms") > 0
    assert values == {
        "uptime_s": 3600.0,
        "if_up_bool": 1,
        "if_speed_bps": 1e9,  # eth0 is faster, and down
        "if_received_bytes_total": 5_000_001_000,
        "if_sent_bytes_total": 9_935_230_928,
        "if_errors_total": 22,
        "if_discards_total": 14,
    }


@pytest.mark.parametrize("interface", ["3", "wan", "eth1", "the provider"], ids=["index", "descr", "name", "alias"])
def test_an_interface_is_found_by_any_of_its_names_and_counted_in_64_bits(poller: Poller, interface: str) -> None:
    values = poller.measure(community="router", interface=interface)
    assert values["if_received_bytes_total"] == 5_000_000_000
    assert values["if_sent_bytes_total"] == 9_935_228_928
    assert (values["if_errors_total"], values["if_discards_total"]) == (12, 8)
    assert (values["if_up_bool"], values["if_speed_bps"]) == (1, 1e9)


def test_64_bit_counters_that_stand_at_nought_yield_to_32_bit_ones(poller: Poller) -> None:
    values = poller.measure(community="router", interface="eth0")
    assert (values["if_received_bytes_total"], values["if_sent_bytes_total"]) == (1000, 2000)


def test_a_device_without_64_bit_counters_is_counted_in_32(poller: Poller) -> None:
    values = poller.measure(community="old", interface="3")
    assert values["if_received_bytes_total"] == 705_032_704
    assert values["if_speed_bps"] == 1e8


def test_a_speed_that_nobody_knows_is_absent(poller: Poller) -> None:
    assert "if_speed_bps" not in poller.measure(community="old", interface="2")
    assert "if_speed_bps" not in poller.measure(community="router", interface="ppp0")


def test_an_interface_of_unknown_state_is_neither_up_nor_down(poller: Poller) -> None:
    assert "if_up_bool" not in poller.measure(community="router", interface="ppp0")
    assert "if_up_bool" not in poller.measure(community="odd-states")


def test_without_ports_all_interfaces_but_loopback_count(poller: Poller) -> None:
    assert poller.measure(community="ppp-only")["if_received_bytes_total"] == 5_000_001_000 + 5000 + 500


@pytest.mark.parametrize("interface", ["eth7", "7"])
def test_an_interface_that_is_not_there_is_absent_and_the_rest_is_measured(poller: Poller, interface: str) -> None:
    failure = poller.fail(community="router", interface=interface)
    assert (failure.outcome, failure.detail) == (
        Outcome.ABSENT,
        f"snmp 127.0.0.1:{poller.port}: has no interface {interface}",
    )
    assert failure.values["uptime_s"] == 3600.0


def test_version_1_tells_the_same_but_for_what_it_cannot_carry(poller: Poller) -> None:
    newer, older = (poller.measure(community="old", version=version) for version in ("2c", "1"))
    assert newer.pop("response_ms") != older.pop("response_ms")
    assert newer == older
    assert len(older) == 7


def test_a_host_outlives_its_snmp_agent(poller: Poller) -> None:
    assert poller.measure(community="restarted")["uptime_s"] == 86400.0


def test_a_device_without_any_common_object_has_still_answered(poller: Poller) -> None:
    for version in ("1", "2c"):
        assert set(poller.measure(community="dumb", version=version)) == {"response_ms"}


def test_own_objects_become_values_by_their_units_and_texts_never_do(poller: Poller) -> None:
    oids = {
        "board_celsius": f"{OWN}.1.0 / 10",
        "fans_count": f"{OWN}.1.0",
        "text_celsius": f"{OWN}.2.0",
        "running_s": f"{OWN}.3.0",
        "null_v": f"{OWN}.4.0",
        "missing_v": f"{OWN}.5.0",
    }
    values = poller.measure(community="router", oids=oids)
    assert {name: values[name] for name in oids if name in values} == {
        "board_celsius": 38.5,
        "fans_count": 385,
        "running_s": 123.45,
    }
    assert isinstance(values["fans_count"], int)


@pytest.mark.parametrize("user", USERS, ids=lambda user: f"{user.auth}-{user.priv}")
def test_version_3_lets_us_in_with_its_keys(poller: Poller, user: SnmpUser) -> None:
    assert poller.measure(**login_of(user))["uptime_s"] == 3600.0


def login_of(user: SnmpUser) -> dict[str, object]:
    login: dict[str, object] = {"version": "3", "user": user.name, "context": "router"}
    if user.auth_key:
        login |= {"auth": user.auth, "auth_key": user.auth_key}
    if user.priv_key:
        login |= {"priv": user.priv.lower(), "priv_key": user.priv_key}
    return login


@pytest.mark.parametrize(
    ("user", "detail"),
    [
        (SHA_AES._replace(auth_key="another-secret"), "Wrong SNMP PDU digest"),
        (SHA_AES._replace(name="nobody"), "Unknown USM user"),
        (SHA_AES._replace(auth="MD5"), "Wrong SNMP PDU digest"),
        (SHA_AES._replace(priv_key=""), "Unsupported SNMP security level"),
    ],
    ids=["key", "user", "algorithm", "level"],
)
def test_version_3_says_why_it_does_not_let_us_in(poller: Poller, user: SnmpUser, detail: str) -> None:
    failure = poller.fail(**login_of(user))
    assert failure.outcome is Outcome.DENIED
    assert failure.detail == f"snmp 127.0.0.1:{poller.port}: the device does not let us in: {detail}"


def test_one_user_name_may_have_other_keys_on_another_device(
    agent: SnmpSim, snmpsim: StartSnmpSim, runner: asyncio.Runner
) -> None:
    other_user = SHA_AES._replace(auth_key="other-auth-key", priv_key="other-priv-key")
    other = snmpsim({"router": own_recordings()["router"]}, other_user)

    async def both() -> list[Values]:
        probes = [
            load_probe("snmp", {"target": "router", "address": LOOPBACK, "port": port, **login_of(user)})
            for port, user in ((agent.port, SHA_AES), (other.port, other_user))
        ]
        return [values for _ in range(2) for values in await asyncio.gather(*(probe.measure() for probe in probes))]

    assert [values["uptime_s"] for values in runner.run(both())] == [3600.0] * 4


def test_silence_is_a_time_out_that_says_what_it_may_mean(agent: SnmpSim, runner: asyncio.Runner) -> None:
    silent = "no answer to SNMP; the device may be reachable: wrong community, or SNMP switched off"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((LOOPBACK, 0))
        for port in (deaf.getsockname()[1], free_port(socket.SOCK_DGRAM), agent.port):
            failure = Poller(runner, port).fail(community="nobodys", timeout_s=0.2)
            assert (failure.outcome, failure.detail) == (Outcome.TIMEOUT, f"snmp 127.0.0.1:{port}: {silent}")


def test_waiting_lasts_as_long_as_the_settings_say(runner: asyncio.Runner) -> None:
    async def wait() -> float:
        login = SnmpLogin()
        device = snmp.Device(LOOPBACK, free_port(socket.SOCK_DGRAM), login, 0.5, 1, "snmp")
        await snmp.warm(device)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.3)  # an engine that has gone to sleep
        began_s = loop.time()
        with contextlib.suppress(ProbeFailed):
            await snmp.get(device, ["1.3.6.1.2.1.1.3.0"])
        return loop.time() - began_s

    assert 0.9 <= runner.run(wait()) < 3.0


class Liar(asyncio.DatagramProtocol):
    """Answers every datagram with what `answer` makes of it."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(self.answer(data), addr)


@contextlib.asynccontextmanager
async def liar(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Liar(answer), local_addr=(LOOPBACK, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"\xff" * 40,
        lambda asked: asked[:-7],
        lambda asked: asked,
        lambda _: b"\x30\x84\xff\xff\xff\xff",
        lambda asked: asked.replace(b"\x02\x01\x01", b"\x02\x01\x07", 1),
        lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["ones", "cut short", "our own question", "endless length", "version 7", "HTTP"],
)
def test_nonsense_is_no_answer_and_breaks_nothing(
    agent: SnmpSim, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture, answer: Callable[[bytes], bytes]
) -> None:
    async def ask() -> tuple[ProbeFailed, Values]:
        async with liar(answer) as port:
            bad = load_probe("snmp", {"target": "camera", "address": LOOPBACK, "port": port, "timeout_s": 0.2})
            with pytest.raises(ProbeFailed) as caught:
                await bad.measure()
        good = load_probe("snmp", {"target": "router", "address": LOOPBACK, "port": agent.port, "community": "router"})
        return caught.value, await good.measure()

    failure, values = runner.run(ask())
    assert failure.outcome is Outcome.TIMEOUT
    assert failure.detail.endswith(": no answer to SNMP within 0.2 s; what came was none, or too late")
    assert values["uptime_s"] == 3600.0
    assert caplog.records == []


def test_a_dead_device_delays_no_other(agent: SnmpSim, runner: asyncio.Runner) -> None:
    async def poll() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        took_s: dict[str, float] = {}
        began_s = loop.time()

        async def one(name: str, port: int, community: str) -> None:
            settings = {"target": name, "address": LOOPBACK, "port": port, "community": community, "timeout_s": 1.5}
            with contextlib.suppress(ProbeFailed):
                await load_probe("snmp", settings).measure()
            took_s[name] = loop.time() - began_s

        dead = free_port(socket.SOCK_DGRAM)
        await asyncio.gather(
            one("device-dead", dead, "router"), *(one(f"device-{n}", agent.port, "router") for n in range(4))
        )
        return took_s

    took_s = runner.run(poll())
    dead_s = took_s.pop("device-dead")
    assert 2.9 <= dead_s < 6.0  # two waits of 1.5 s, and no other's
    assert len(took_s) == 4
    assert max(took_s.values()) < dead_s  # much less in truth, on a machine with time to spare


class CountingSelector(selectors.DefaultSelector):
    """Counts how often the loop wakes."""

    woken_count = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.woken_count += 1
        return super().select(timeout)


def test_an_idle_engine_does_not_wake_the_loop(agent: SnmpSim) -> None:
    selector = CountingSelector()

    async def poll_and_rest() -> int:
        probe = load_probe("snmp", {"target": "router", "address": LOOPBACK, "port": agent.port, "community": "router"})
        await probe.measure()
        await asyncio.sleep(0.3)  # the last tick
        before = selector.woken_count
        await asyncio.sleep(2.0)
        return selector.woken_count - before

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        assert runner.run(poll_and_rest()) <= 3


@pytest.mark.parametrize("asked", ["import agent.cli, agent.app, agent.probes.power", "import agent.probes.host"])
def test_pysnmp_is_loaded_only_for_snmp(asked: str) -> None:
    code = f"{asked}\nimport sys\nprint('pysnmp' in sys.modules, 'pyasn1' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"version": "3"}, 'user: version = "3" needs user'),
        ({"user": "room"}, 'user: user needs version = "3"'),
        ({"version": "3", "user": "room", "auth": "sha"}, "auth: auth, auth_key needs auth + auth_key"),
        (
            {"version": "3", "user": "room", "priv": "aes", "priv_key": "12345678"},
            "priv: priv needs auth",
        ),
        ({"version": "3", "user": "room", "auth": "sha", "auth_key": "short"}, "auth_key: expected a text: at least"),
        ({"version": "3", "user": "room", "auth": "rot13", "auth_key": "12345678"}, "auth: expected a text: md5, sha"),
        ({"oids": {"speed": "1.3.6.1"}}, "oids.speed: expected a text: a new name"),
        ({"oids": {"uptime_s": "1.3.6.1"}}, "oids.uptime_s: expected a text: a new name"),
        ({"oids": {"a_celsius": "sysUpTime"}}, "oids.a_celsius: expected a text"),
        ({"port": 0}, "port: expected a whole number"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_probe("snmp", {"target": "router", "address": "192.0.2.1", **settings}, source="plan")
    assert str(caught.value).startswith(f"plan: {problem}")


def test_a_table_is_read_up_to_its_bound(agent: SnmpSim, runner: asyncio.Runner) -> None:
    async def rows(version: str, max_count: int) -> dict[str, snmp.Answers]:
        login = SnmpLogin(version=version, community="router")  # type: ignore[arg-type] # both are versions
        device = snmp.Device(LOOPBACK, agent.port, login, 2.0, 1, "snmp")
        return await snmp.get_rows(device, [f"{IF}.3", f"{IFX}.1"], max_count)

    for version in ("1", "2c"):
        assert list(runner.run(rows(version, 64))) == ["1", "2", "3", "4", "5"]
        assert list(runner.run(rows(version, 2))) == ["1", "2"]
    assert runner.run(rows("2c", 64))["3"] == {f"{IF}.3": 6, f"{IFX}.1": b"eth1"}


# Recordings of real devices, which lie where SANSANG_RECORDINGS says and are not ours to copy.
REAL: Final = Path(os.environ.get("SANSANG_RECORDINGS", ""))
REAL_DEVICES: Final[dict[str, tuple[dict[str, object], Mapping[str, float | None]]]] = {
    "routeros_rb750gr3": (
        {"interface": "2"},
        {"uptime_s": 4304, "if_up_bool": 1, "if_speed_bps": 1e9, "if_received_bytes_total": 1_493_725_213},
    ),
    "windows_svr_2019_1809": ({}, {"uptime_s": 1_277_166.1, "if_up_bool": 1}),
    "tplink_td-w9970": ({"interface": "ppp1"}, {"if_speed_bps": None, "if_received_bytes_total": 3_784_944_090}),
    "polycomLens_studioxc50": ({"interface": "eth0"}, {"if_up_bool": 1}),
    "axiscam_p1375": ({}, {"uptime_s": 8_859_337.12, "if_up_bool": None}),
    "hikvision-cam": ({}, {"uptime_s": None, "if_up_bool": None}),
    "vccodec": ({}, {"uptime_s": None}),
    "wds-ips-1022": ({}, {"if_up_bool": 1}),
    "samsung-ipolis": ({}, {"if_up_bool": 1, "if_speed_bps": 1e8}),
    "epson-projector_eb-4770w": (
        {"oids": {"lamp_count": "1.3.6.1.4.1.1248.4.1.1.1.1.0"}},
        {"lamp_count": 79, "if_up_bool": 1, "if_speed_bps": 1e8},
    ),
    "openwrt": ({}, {"if_up_bool": 1}),
}


@pytest.fixture(scope="module")
def real_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("real-snmp")
    programs = Programs(folder)
    texts = {name: (REAL / f"{name}.snmprec").read_text(encoding="latin-1") for name in REAL_DEVICES}
    yield launch_snmpsim(programs, folder, texts)
    programs.stop_all()


@pytest.mark.skipif("SANSANG_RECORDINGS" not in os.environ, reason="SANSANG_RECORDINGS names no folder of recordings")
@pytest.mark.parametrize("name", REAL_DEVICES)
def test_a_real_device_is_read_rightly(real_agent: SnmpSim, runner: asyncio.Runner, name: str) -> None:
    settings, expected = REAL_DEVICES[name]
    values = Poller(runner, real_agent.port).measure(community=name, **settings)
    assert values["response_ms"] > 0
    assert {one: values.get(one) for one in expected} == pytest.approx(expected)
