"""The device probe and `identify`, on simulated devices of our own, on recordings of real ones, and on dead ones."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from agent.clock import SystemClock
from agent.devices.asking import Seen
from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.probes.device import Device
from agent.taking import sound, take_reading
from contract.outcome import Outcome
from contract.parts import STATUS, Admission, Recognition
from contract.reading import Reading
from contract.settings import SettingsError
from readiness.judge import judge
from readiness.profile import Profile, default_profiles
from readiness.state import RoomState
from readiness.verdict import Level
from tests.agent.devices import test_onvif as onvif
from tests.agent.devices import test_rtsp as rtsp
from tests.agent.devices.speaking import RIGHT, Behave, listening
from tests.agent.devices.test_audio import MXA, extron, shure
from tests.agent.devices.test_pjlink import ON as PROJECTOR_ON
from tests.agent.devices.test_pjlink import projector
from tests.support.network import Network
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs
from tests.support.snmpsim import SnmpSim, SnmpUser, edited, launch_snmpsim, own_recordings

ROOT: Final = Path(__file__).parents[3]
POLY: Final = "1.3.6.1.4.1.13885.101.1"
AXIS: Final = "1.3.6.1.4.1.368.4.1"
USER: Final = SnmpUser("room", "SHA256", "secret-of-auth", "AES", "secret-of-priv")
IN_CALL: Final = {
    f"{POLY}.4.1.1.16.1": "66|2",
    f"{POLY}.4.1.1.17.1": "66|0",
    f"{POLY}.4.1.1.18.1": "66|150",
    f"{POLY}.4.1.1.20.1": "66|14",
    f"{POLY}.4.1.1.56.1": "66|1920",
    f"{POLY}.4.1.1.58.1": "4|Far side",
}
ABSENT: Final = None
"""Expected of a value that must not be there."""


class Devices(NamedTuple):
    """Asks simulated devices, which are told apart by their community."""

    runner: asyncio.Runner
    port: int

    def probe(self, community: str, **settings: object) -> Device:
        given = {"target": "device", "address": LOOPBACK, "port": self.port, "community": community, **settings}
        probe = load_probe("device", given)
        assert isinstance(probe, Device)
        return probe

    def measure(self, community: str, **settings: object) -> Values:
        return self.runner.run(self.probe(community, **settings).measure())

    def look(self, community: str, **settings: object) -> Seen:
        return self.runner.run(self.probe(community, **settings).look())


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop, and so one SNMP engine, for many measurements, as in the agent."""
    with asyncio.Runner() as shared:
        yield shared


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("devices")
    programs = Programs(folder)
    own = own_recordings()
    recordings = {
        **own,
        "in-call": edited(own["codec"], IN_CALL),
        "blind": edited(own["codec"], {f"{POLY}.3.6.2.1.3.2": "3", f"{POLY}.3.6.1.0": "3"}),
        "unregistered": edited(own["codec"], {f"{POLY}.2.7.2.0": "1", f"{POLY}.2.8.3.1.2.1": "3"}),
        "lying": edited(
            own["camera"],
            {f"{AXIS}.3.1.4.1.1": "-1", f"{AXIS}.3.1.3.1.1": "4|warm", f"{AXIS}.4.1.2.1": "66|4294967295"},
        ),
        "worn": edited(own["projector"], {"1.3.6.1.4.1.1248.4.1.1.1.1.0": "2750"}),
        "stranger": "1.3.6.1.2.1.1.1.0|4|A thing\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n",
        "odd-descr": "1.3.6.1.2.1.1.1.0|4x|fffe00\n1.3.6.1.2.1.1.2.0|4|not an object id\n",
        "switch": edited(own["router"], {"1.3.6.1.2.1.1.2.0": "1.3.6.1.4.1.9.1.1", "1.3.6.1.2.1.1.7.0": "2|2"}),
    }
    yield launch_snmpsim(programs, folder, recordings, USER)
    programs.stop_all()


@pytest.fixture
def devices(runner: asyncio.Runner, agent: SnmpSim) -> Devices:
    return Devices(runner, agent.port)


def parts_of(values: Mapping[str, float]) -> dict[str, float]:
    return {name.removesuffix(STATUS): code for name, code in values.items() if name.endswith(STATUS)}


def test_a_codec_tells_how_each_part_is(devices: Devices) -> None:
    values = devices.measure("codec")
    assert parts_of(values) == {
        "system": 0, "camera1": 0, "camera2": 0, "microphone1": 0, "microphone2": 0, "network": 0,
        "sip": 0, "sip_registration": 0, "h323": 0, "h323_registration": 0,
    }  # fmt: skip
    assert values["recognition_code"] == 0
    assert values["uptime_s"] == pytest.approx(3600)
    assert (values["calls_count"], values["call_active_bool"]) == (0, 0)
    assert values["response_ms"] > 0
    assert "call_loss_ratio" not in values


def test_a_codec_in_a_call_tells_how_good_it_is(devices: Devices) -> None:
    values = devices.measure("in-call")
    assert (values["calls_count"], values["call_active_bool"]) == (1, 1)
    quality = {name: values[name] for name in ("call_loss_ratio", "call_latency_ms", "call_jitter_ms")}
    assert quality == pytest.approx({"call_loss_ratio": 0.02, "call_latency_ms": 150, "call_jitter_ms": 14})
    assert values["call_received_bps"] == pytest.approx(1_920_000)
    assert "call_sent_bps" not in values


def test_the_failed_camera_is_named(devices: Devices) -> None:
    parts = parts_of(devices.measure("blind"))
    assert (parts["camera1"], parts["camera2"]) == (0, 2)
    assert "camera3" not in parts, "the sum of both says nothing new"


def test_what_is_not_configured_is_disabled_and_what_is_refused_has_failed(devices: Devices) -> None:
    parts = parts_of(devices.measure("unregistered"))
    assert (parts["h323_registration"], parts["sip_registration"], parts["sip"]) == (4, 2, 0)


def test_a_camera_and_a_projector_tell_their_figures(devices: Devices) -> None:
    camera = devices.measure("camera")
    assert parts_of(camera) == {"temperature": 0, "video1": 0, "audio1": 0}
    assert camera["temperature_celsius"] == 41
    projector = devices.measure("projector")
    figures = ("lamp_used_h", "if_up_bool", "if_speed_bps", "if_received_bytes_total", "if_sent_bytes_total")
    assert [projector[name] for name in figures] == [1234, 1, 100e6, 1000, 2000]


def test_what_a_device_cannot_mean_is_left_out(devices: Devices) -> None:
    values = devices.measure("lying")
    assert "temperature_celsius" not in values
    assert parts_of(values) == {"audio1": 0}


@pytest.mark.parametrize("version", ["1", "2c", "3"])
def test_every_version_tells_the_same(devices: Devices, version: str) -> None:
    login: dict[str, object] = {"version": version}
    if version == "3":
        login |= {"user": "room", "auth": "sha256", "auth_key": "secret-of-auth", "priv": "aes"}
        login |= {"priv_key": "secret-of-priv", "context": "codec"}
    seen = devices.look("codec", **login)
    assert seen.identity is not None
    assert (seen.identity.kind, seen.identity.model, seen.identity.firmware) == ("poly", "MadeUp X1", "4.1.0-99")
    assert seen.told == devices.look("codec").told


def test_a_named_kind_is_not_recognised_anew(devices: Devices) -> None:
    seen = devices.look("codec", kind="poly")
    assert seen.identity is not None
    assert seen.identity.by == "plan"
    assert seen.told == devices.look("codec").told


def test_a_plan_that_takes_a_device_for_what_it_is_not_is_not_believed(devices: Devices) -> None:
    assert devices.measure("router", kind="axis")["recognition_code"] == Recognition.UNIDENTIFIED
    assert devices.measure("camera", kind="axis")["recognition_code"] == Recognition.RECOGNISED


@pytest.mark.parametrize("community", ["stranger", "odd-descr"])
def test_a_device_that_nobody_knows_is_reachable_and_unidentified(devices: Devices, community: str) -> None:
    values = devices.measure(community)
    assert values["recognition_code"] == Recognition.UNIDENTIFIED
    assert parts_of(values) == {}


def test_a_switch_of_any_maker_tells_of_its_ports(devices: Devices) -> None:
    seen = devices.look("switch")
    assert seen.identity is not None
    assert (seen.identity.kind, seen.identity.vendor, seen.identity.by) == ("network", "Cisco", "sysServices 2")
    assert seen.told.figures["if_up_bool"] == 1


def test_a_device_that_is_silent_to_snmp_is_there_all_the_same(devices: Devices) -> None:
    seen = devices.look("unknown", timeout_s=0.3, retries=0)
    assert (seen.recognition, seen.identity) == (Recognition.SILENT, None)
    assert devices.measure("unknown", timeout_s=0.3, retries=0) == {"recognition_code": 2}


def test_asked_by_ping_only_it_is_there_and_no_more(devices: Devices) -> None:
    assert devices.measure("codec", by="ping") == {"recognition_code": 1}


def test_a_refused_connection_is_a_sign_of_life(runner: asyncio.Runner) -> None:
    port = free_port()
    probe = load_probe("device", {"target": "device", "address": LOOPBACK, "by": "ping", "ports": [port]})
    assert runner.run(probe.measure()) == {"recognition_code": 1}


def test_wrong_keys_are_denied_and_not_silent(devices: Devices) -> None:
    login = {"version": "3", "user": "nobody", "context": "codec", "timeout_s": 0.5}
    with pytest.raises(ProbeFailed) as caught:
        devices.measure("codec", **login)
    assert caught.value.outcome is Outcome.DENIED


def test_a_device_that_stops_amid_its_answers_is_not_taken_for_lost(runner: asyncio.Runner, agent: SnmpSim) -> None:
    async def measure_through_a_gate() -> ProbeFailed:
        """Two datagrams pass from the device, and then none."""
        loop = asyncio.get_running_loop()
        gate = _Gate(agent.port, passes=2)
        transport, _ = await loop.create_datagram_endpoint(lambda: gate, local_addr=(LOOPBACK, 0))
        try:
            port = transport.get_extra_info("sockname")[1]
            given = {"address": LOOPBACK, "port": port, "community": "codec", "timeout_s": 0.4, "retries": 0}
            with pytest.raises(ProbeFailed) as caught:
                await load_probe("device", {"target": "codec", **given}).measure()
            return caught.value
        finally:
            transport.close()
            gate.close()

    failure = runner.run(measure_through_a_gate())
    assert failure.outcome is Outcome.BROKEN
    assert failure.values["uptime_s"] == pytest.approx(3600)


class _Gate(asyncio.DatagramProtocol):
    """Hands datagrams on to a device, and so many of its answers back."""

    def __init__(self, port: int, *, passes: int) -> None:
        self._port = port
        self.passes = passes
        self._behind: list[asyncio.DatagramTransport] = []
        self._front: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._front = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._hand_on(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_on(self, data: bytes, addr: tuple[str, int]) -> None:
        gate = self

        class Behind(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                del addr
                gate.answer(data, back_to)

        back_to = addr
        made = await asyncio.get_running_loop().create_datagram_endpoint(Behind, remote_addr=(LOOPBACK, self._port))
        self._behind.append(made[0])
        made[0].sendto(data)

    def answer(self, data: bytes, back_to: tuple[str, int]) -> None:
        if self.passes:
            self.passes -= 1
            self._front.sendto(data, back_to)

    def close(self) -> None:
        for transport in self._behind:
            transport.close()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "toaster"}, "kind: expected one of axis, "),
        ({"by": "smoke"}, "by: expected one of auto, clearone, "),
        ({"kind": "poly", "by": "ping"}, "by: "),
        ({"user": "x"}, "user: "),
        ({"ports": [0]}, "ports"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_probe("device", {"target": "codec", "address": LOOPBACK, **settings}, source="plan")
    assert str(caught.value).startswith(f"plan: {problem}")


def test_without_snmp_in_the_plan_pysnmp_is_not_loaded() -> None:
    code = (
        "import asyncio, sys\nfrom agent.probes import load_probe\n"
        f"probe = load_probe('device', {{'target': 'codec', 'address': '{LOOPBACK}', 'by': 'ping'}})\n"
        "asyncio.run(probe.measure())\nprint('pysnmp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# What becomes of it: the finding that a room gets


def findings(devices: Devices, community: str, target: str, profile: Profile) -> dict[str, tuple[Level, str]]:
    """Codes, with their level and what they are about, of a room in which the device was asked three times."""
    state = RoomState("room-101")
    state.hear("pc-101", "online", "", 0.0)
    probe = devices.probe(community, target=target)
    for minute in range(3):
        taken = devices.runner.run(take_reading("device", probe, SystemClock()))
        state.fold(taken.reading, minute * 60.0, minute * 60.0)
    verdict = judge(profile, state, None, 125.0)
    return {one.code: (one.level, one.value) for one in verdict.findings}


CODEC_ROOM: Final = default_profiles()["h323-720p"]
SIP_ROOM: Final = msgspec.structs.replace(CODEC_ROOM, calls=frozenset({"sip"}), needs_registration=True)


def test_a_failed_camera_is_found_by_its_name(devices: Devices) -> None:
    """Its other camera works, so that the room is degraded and not unfit."""
    found = findings(devices, "blind", "codec", CODEC_ROOM)
    assert found["CAMERA_FAILED"] == (Level.DEGRADED, "camera2_status_code")


def test_an_unregistered_codec_matters_to_a_room_that_needs_it(devices: Devices) -> None:
    found = findings(devices, "unregistered", "codec", SIP_ROOM)
    assert found["CODEC_UNREGISTERED"] == (Level.UNFIT, "sip_registration_status_code")
    assert findings(devices, "unregistered", "codec", CODEC_ROOM).keys() == {"NO_READING"}
    assert findings(devices, "codec", "codec", SIP_ROOM).keys() == {"NO_READING"}, "of the lesson; nothing of the codec"


def test_a_worn_lamp_is_found(devices: Devices) -> None:
    assert findings(devices, "worn", "projector", CODEC_ROOM)["LAMP_WORN"] == (Level.DEGRADED, "lamp_used_h")
    assert findings(devices, "projector", "projector", CODEC_ROOM).keys() == {"NO_READING"}


# By hand


def test_the_command_line_reads_a_device(agent: SnmpSim) -> None:
    words = ["--target", agent.address, "--set", "community=blind", "--json"]
    command = [sys.executable, "-m", "agent", "probe", "device", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert (line["probe"], line["outcome"]) == ("device", "ok")
    assert (line["values"]["camera1_status_code"], line["values"]["camera2_status_code"]) == (0, 2)


def identify(agent: SnmpSim, community: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", "identify", agent.address, "--set", f"community={community}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8")


def test_identify_prints_one_line_of_json(agent: SnmpSim) -> None:
    done = identify(agent, "blind", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: told[name] for name in ("kind", "family", "vendor", "model", "firmware", "by", "recognition")} == {
        "kind": "poly",
        "family": "codec",
        "vendor": "Poly",
        "model": "MadeUp X1",
        "firmware": "4.1.0-99",
        "by": "POLYCOM-ENDPOINT-MIB",
        "recognition": "recognised",
    }
    assert (told["parts"]["camera1"], told["parts"]["camera2"]) == ("ok", "failed")
    assert told["values"]["uptime_s"] == pytest.approx(3600)


def test_identify_speaks_to_people(agent: SnmpSim) -> None:
    done = identify(agent, "unregistered", "--lang", "vi")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == f"{agent.address}: thiết bị hội nghị truyền hình Poly MadeUp X1"
    assert "Đăng ký SIP: hỏng" in lines
    assert "Đăng ký H.323: đang tắt hoặc chưa cấu hình" in lines
    english = identify(agent, "unregistered", "--lang", "en").stdout
    assert "SIP registration: failed" in english


def test_identify_names_what_a_device_leaves_unsaid(agent: SnmpSim) -> None:
    told = json.loads(identify(agent, "projector", "--json", "--set", "kind=epson").stdout)
    assert (told["vendor"], told["by"]) == ("Epson", "sysObjectID 1.3.6.1.4.1.1248.4.1")
    assert told["parts"] == {"power": "unknown", "lamp": "unknown"}


def test_identify_says_what_is_silent_and_what_is_not_there(agent: SnmpSim) -> None:
    quick = ("--set", "timeout_s=0.3", "--set", "retries=0", "--lang", "en")
    silent = identify(agent, "unknown", *quick)
    assert (silent.returncode, "SNMP silent" in silent.stdout) == (0, True)
    nameless = subprocess.run(
        [sys.executable, "-m", "agent", "identify", "no-such-device.invalid", "--json", "--set", "timeout_s=2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert nameless.returncode == 1
    assert json.loads(nameless.stdout)["outcome"] in ("no_name", "timeout")


# Devices that are dead


class Room(NamedTuple):
    """What became of polling a whole room at once, and each of its live devices alone."""

    done: list[Reading]
    """In the order in which they came."""
    alone: dict[str, Reading]
    took_s: float


SPEAKERS: Final[Mapping[str, Behave]] = {
    "pjlink": projector(PROJECTOR_ON, password=RIGHT),
    "rtsp": rtsp.camera(login=rtsp.LOGINS["sha-256"]),
    "onvif": onvif.camera(onvif.clock(timedelta(), RIGHT)),
    "shure": shure(MXA),
    "extron": extron(),
}
LOGINS: Final[Mapping[str, Mapping[str, str]]] = {
    "pjlink": {"password": RIGHT},
    "rtsp": {"login_name": rtsp.USER, "password": RIGHT, "path": "/stream1"},
    "onvif": {"login_name": "room", "password": RIGHT},
}


def test_dead_devices_delay_no_other_and_cost_it_no_figure(network: Network, tmp_path: Path) -> None:
    """Twenty at once, ten by SNMP and five by what they speak, and five that swallow all that is sent to them: the live
    ones are done first, each with all that it tells when it is asked alone; and all of them within 10 s.
    """
    network.router.nft("""
        table ip swallow {
            chain forward { type filter hook forward priority 0; ip daddr 10.213.2.0/24 drop; }
        }""")
    own = own_recordings()
    by_snmp = ("codec", "camera", "projector", "router", "ups-on-mains") * 2
    dead = {f"10.213.2.{50 + number}": kind for number, kind in enumerate(("", "", "poly", "pjlink", "onvif"))}

    async def take(target: str, address: str, **settings: object) -> Reading:
        given = {"target": target, "address": address, **settings}
        return (await take_reading("device", load_probe("device", given), SystemClock())).reading

    async def poll_all(snmp_port: int) -> Room:
        async with contextlib.AsyncExitStack() as stack:
            asking: dict[str, Callable[[], Awaitable[Reading]]] = {}
            for number, name in enumerate(by_snmp):
                settings = {"port": snmp_port, "community": name}
                asking[f"device-{number}"] = partial(take, f"device-{number}", LOOPBACK, **settings)
            for kind, behave in SPEAKERS.items():
                port = await stack.enter_async_context(listening(behave))
                settings = {"port": port, "kind": kind, **LOGINS.get(kind, {})}
                asking[f"device-{kind}"] = partial(take, f"device-{kind}", LOOPBACK, **settings)
            alone = {target: await ask() for target, ask in asking.items()}
            for address, dead_kind in dead.items():
                settings = {"kind": dead_kind} if dead_kind else {}
                asking[f"device-{address}"] = partial(take, f"device-{address}", address, **settings)
            began_s = time.monotonic()
            done = [await one for one in asyncio.as_completed([ask() for ask in asking.values()])]
            return Room(done, alone, time.monotonic() - began_s)

    def poll() -> Room:
        programs = Programs(tmp_path)
        sim = launch_snmpsim(programs, tmp_path, own)
        try:
            return asyncio.run(poll_all(sim.port))
        finally:
            programs.stop_all()

    room = network.pc.do(poll)
    live = len(by_snmp) + len(SPEAKERS)
    assert [reading.outcome for reading in room.done] == [Outcome.OK] * live + [Outcome.TIMEOUT] * len(dead)
    assert [reading.values for reading in room.done[live:]] == [{}] * len(dead)
    assert {reading.target for reading in room.done[:live]} == room.alone.keys()
    for reading in room.done[:live]:
        alone = room.alone[reading.target]
        assert reading.values.keys() == alone.values.keys(), reading.target
        assert parts_of(reading.values) == parts_of(alone.values)
        assert (reading.values["recognition_code"], len(reading.values) > 2) == (Recognition.RECOGNISED, True)
    for kind in LOGINS:
        assert room.alone[f"device-{kind}"].values["login_code"] == Admission.ACCEPTED
    assert room.took_s < 10


# Recordings of real devices, which lie where SANSANG_RECORDINGS says and are not ours to copy. What is expected was
# read by hand, by what each device is known to have been doing.

REAL: Final = Path(os.environ.get("SANSANG_RECORDINGS", ""))
needs_recordings = pytest.mark.skipif(
    "SANSANG_RECORDINGS" not in os.environ, reason="SANSANG_RECORDINGS names no folder of recordings"
)


class Real(NamedTuple):
    """What a device is, and what it must be read as."""

    kind: str
    family: str
    vendor: str
    model: str
    firmware: str = ""
    parts: Mapping[str, str] = {}
    figures: Mapping[str, float | None] = {}


REAL_DEVICES: Final = {
    "vccodec": Real(
        "cisco_codec", "codec", "Cisco", "TelePresence SX20", "TC7.3.5.a93bdb1", figures={"uptime_s": ABSENT}
    ),
    "polycomLens_studioxc50": Real(
        "poly",
        "codec",
        "Poly",
        "StudioX50",
        "3.10.0-362035",
        {
            "system": "ok", "camera1": "ok", "microphone1": "ok", "microphone2": "ok", "network": "ok", "h323": "ok",
            "h323_registration": "disabled", "sip": "ok", "sip_registration": "failed",
        },
        {"if_speed_bps": 1e9, "calls_count": 0, "call_active_bool": 0, "call_loss_ratio": ABSENT},
    ),
    "axiscam_p1375": Real(
        "axis",
        "camera",
        "Axis",
        "P1375",
        "10.1.0",
        {"temperature": "ok", "storage": "degraded"},
        {"temperature_celsius": 39, "uptime_s": 8_859_337},
    ),
    "hikvision-cam": Real(
        "hikvision",
        "camera",
        "Hikvision",
        "DS-2CD2185FWD-I",
        "V5.5.3 build 171025",
        figures={"cpu_ratio": 0.15, "memory_used_ratio": 0.83, "disk_used_ratio": ABSENT, "uptime_s": ABSENT},
    ),
    "epson-projector_eb-4770w": Real(
        "epson", "projector", "Epson", "", figures={"lamp_used_h": 79, "if_up_bool": 1, "if_speed_bps": 1e8}
    ),
    "windows_svr_2019_1809": Real(
        "windows",
        "host",
        "Microsoft",
        "Windows",
        "6.3 (Build 17763 Multiprocessor Free)",
        figures={
            "cpu_ratio": 0.02, "disk_used_ratio": 0.3032, "memory_used_ratio": 0.2271, "uptime_s": 1_277_166,
        },
    ),
    "routeros_rb750gr3": Real(
        "mikrotik",
        "router",
        "MikroTik",
        "RB750Gr3",
        "7.20.4",
        figures={
            "cpu_ratio": 0.06, "memory_used_ratio": 0.2407, "if_up_bool": 1, "if_speed_bps": 1e9,
            "if_received_bytes_total": 1_493_725_213, "uptime_s": 4304, "temperature_celsius": 38,
        },
    ),
    "tplink_td-w9970": Real(
        "tp_link",
        "router",
        "TP-Link",
        "",
        "0.9.1 0.2 v0076.0 Build 170919 Rel.61201n",
        figures={"if_up_bool": 0, "if_speed_bps": ABSENT, "if_received_bytes_total": 3_784_944_090},
    ),
    "openwrt": Real(
        "openwrt",
        "router",
        "OpenWrt",
        "Linksys WRT1200AC",
        "OpenWrt 21.02.0-rc4",
        figures={"cpu_ratio": 0.025, "memory_used_ratio": 0.143, "disk_used_ratio": 0.8834, "if_up_bool": 1},
    ),
    "samsung-ipolis": Real(
        "samsung_camera", "camera", "Samsung", "SNO-7084R", figures={"if_up_bool": 1, "cpu_ratio": 0.08}
    ),
    "wds-ips-1022": Real("", "device", "", "", figures={"uptime_s": 5841}),
    "apc_smt750x-nmc2": Real("ups", "ups", "APC", "Smart-UPS X 750", "UPS 09.8 (ID20)"),
    "apc_sua750i": Real("ups", "ups", "APC", "Smart-UPS 750", "651.12.I"),
    "apc_powerchute": Real("ups", "ups", "APC", "Smart-UPS 1000", "UPS 08.3 / MCU 14.0 (18 - 10)"),
    "cyberpower_cp1000pfclcd": Real("ups", "ups", "CyberPower", "CP1000PFCLCD", "CRDA103_261"),
    "netmanplus_204": Real("ups", "ups", "Riello", "Netman 204"),
    "huaweiups_ups2000": Real("ups", "ups", "Huawei", "UPS2000 6kVA", "V100R001C00SPC602"),
    "generex-ups_cs141": Real("ups", "ups", "Multimatic", "Upscale", "CS141-SNMP V1.80.17 190618"),
    "deltaups_rfc1628string": Real("ups", "ups", "Delta", "Mini-SNMP"),
    "dell-ups_tower1000w": Real("ups", "ups", "Dell", "Dell UPS Tower 1000W HV"),
    "eaton-mgeups_9pxle": Real("ups", "ups", "Eaton", "Eaton 9PX 1000i RT 2U", "INV: 01.16.4638"),
    "cetpower": Real("ups", "ups", "CE+T Power", "TSI Inverter", "208"),
    "phoenixtec-power": Real("ups", "ups", "Phoenixtec", "My Kert UPS", "3.6.CY504.c"),
}  # fmt: skip
REAL_EDITED: Final[Mapping[str, tuple[str, Mapping[str, str], Mapping[str, str]]]] = {
    "poly-camera-failed": (
        "polycomLens_studioxc50",
        {f"{POLY}.3.6.2.1.3.1": "3", f"{POLY}.3.6.1.0": "3"},
        {"camera1": "failed", "microphone1": "ok", "system": "ok"},
    ),
    "poly-second-microphone-failed": (
        "polycomLens_studioxc50",
        {f"{POLY}.3.5.2.1.3.2": "3", f"{POLY}.3.5.1.0": "3"},
        {"microphone1": "ok", "microphone2": "failed"},
    ),
    "poly-registered": (
        "polycomLens_studioxc50",
        {f"{POLY}.2.8.3.1.2.1": "2", f"{POLY}.2.7.2.0": "3"},
        {"sip_registration": "ok", "h323_registration": "failed"},
    ),
    "axis-too-hot": (
        "axiscam_p1375", {f"{AXIS}.3.1.3.1.2": "3", f"{AXIS}.3.1.4.1.2": "78"}, {"temperature": "degraded"},
    ),
    "axis-no-picture": ("axiscam_p1375", {f"{AXIS}.4.1.2.1": "2"}, {"video1": "failed", "temperature": "ok"}),
}  # fmt: skip
"""A copy of a recording, what was changed in it, and how some parts must then be read."""


@pytest.fixture(scope="module")
def real_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("real-devices")
    programs = Programs(folder)
    texts = {name: (REAL / f"{name}.snmprec").read_text(encoding="latin-1") for name in REAL_DEVICES}
    changed = {name: edited(texts[original], changes) for name, (original, changes, _) in REAL_EDITED.items()}
    yield launch_snmpsim(programs, folder, {**texts, **changed})
    programs.stop_all()


@pytest.fixture
def real(runner: asyncio.Runner, real_agent: SnmpSim) -> Devices:
    return Devices(runner, real_agent.port)


def states_of(seen: Seen) -> dict[str, str]:
    return {name: state.name.lower() for name, state in seen.told.parts.items()}


@needs_recordings
@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("name", REAL_DEVICES)
def test_a_real_device_is_recognised_and_read_rightly(real: Devices, name: str, version: str) -> None:
    seen, expected = real.look(name, version=version), REAL_DEVICES[name]
    identity = seen.identity
    assert identity is not None
    told = (identity.kind, identity.family, identity.vendor, identity.model, identity.firmware)
    assert told == (expected.kind, expected.family, expected.vendor, expected.model, expected.firmware)
    assert seen.recognition is (Recognition.RECOGNISED if expected.kind else Recognition.UNIDENTIFIED)
    assert states_of(seen) == expected.parts
    wanted = dict(expected.figures)
    if version == "1" and name == "routeros_rb750gr3":
        wanted["if_received_bytes_total"] = ABSENT  # it counts in 64 bits only, which version 1 cannot carry
    sent = sound(seen.told.figures)
    assert {figure: sent.get(figure) for figure in wanted} == pytest.approx(wanted)


@needs_recordings
@pytest.mark.parametrize("name", REAL_EDITED)
def test_a_real_device_whose_recording_was_edited_names_the_part(real: Devices, name: str) -> None:
    states = states_of(real.look(name))
    _, _, expected = REAL_EDITED[name]
    assert {part: states.get(part) for part in expected} == expected


@needs_recordings
@pytest.mark.parametrize(
    ("name", "profile", "expected"),
    [
        ("polycomLens_studioxc50", CODEC_ROOM, {}),
        (
            "polycomLens_studioxc50",
            SIP_ROOM,
            {"CODEC_UNREGISTERED": (Level.UNFIT, "sip_registration_status_code")},
        ),
        ("poly-camera-failed", CODEC_ROOM, {"CAMERA_FAILED": (Level.UNFIT, "camera1_status_code")}),
        (
            "poly-second-microphone-failed",
            CODEC_ROOM,
            {"MICROPHONE_FAILED": (Level.DEGRADED, "microphone2_status_code")},
        ),
        ("poly-registered", SIP_ROOM, {}),
        ("vccodec", SIP_ROOM, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_real_codec_gives_the_right_finding(
    real: Devices, name: str, profile: Profile, expected: dict[str, tuple[Level, str]]
) -> None:
    found = findings(real, name, "codec", profile)
    assert found.pop("NO_READING")[0] is Level.UNKNOWN  # nobody has pinged the lesson
    assert found == expected


@needs_recordings
def test_every_real_device_is_expected_of() -> None:
    assert {path.stem for path in REAL.glob("*.snmprec")} == set(REAL_DEVICES)


@needs_recordings
@pytest.mark.parametrize("name", ["samsung-ipolis", "cetpower", "eaton-mgeups_9pxle", "routeros_rb750gr3"])
def test_a_device_with_thousands_of_objects_is_asked_for_few(
    real: Devices, real_agent: SnmpSim, runner: asyncio.Runner, name: str
) -> None:
    async def datagrams_needed() -> int:
        loop = asyncio.get_running_loop()
        gate = _Gate(real_agent.port, passes=1000)
        transport, _ = await loop.create_datagram_endpoint(lambda: gate, local_addr=(LOOPBACK, 0))
        try:
            port = transport.get_extra_info("sockname")[1]
            await real.probe(name, port=port).look()
            return 1000 - gate.passes
        finally:
            transport.close()
            gate.close()

    assert runner.run(datagrams_needed()) <= 20
