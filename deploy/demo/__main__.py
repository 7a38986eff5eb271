"""`python3 dev.py demo`: brings up the whole system on this PC, shows where to look, and takes it down again."""

import argparse
import asyncio
import contextlib
import csv
import email
import email.policy
import logging
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

from agent.app import Agent
from agent.clock import SystemClock
from agent.probe import Probe, Value, Values
from agent.probes import load_probe
from agent.settings import load_settings
from collector.authority import Authority
from collector.rooms.enrolment import BrokerAddress, enrol
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from deploy.demo.lesson_server import start_dns
from deploy.demo.plans import ROOM_PLAN, this_pc_plan
from deploy.demo.rooms import DemoRoom, demo_rooms, office_rooms
from deploy.demo.scenario import PERIOD_S, RoomScript, events_of
from deploy.demo.wire import Wire

THIS_PC: Final = "this-pc"
_READY_WITHIN_S: Final = 40.0
_STOP_WITHIN_S: Final = 20.0
_STAGGER_S: Final = 0.02


class ScriptedProbe:
    """Stands where a real probe stands, with its settings checked by it; only the answers come from the scenario."""

    values: ClassVar[tuple[Value, ...]] = ()
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {}

    def __init__(self, name: str, real: Probe, script: RoomScript, began_s: float) -> None:
        self._name, self._real, self._script, self._began_s = name, real, script, began_s

    @property
    def target(self) -> str:
        """As the real probe names it."""
        return self._real.target

    @property
    def longest_s(self) -> float:
        """As long as the real probe may take."""
        return self._real.longest_s

    async def measure(self) -> Values:
        """The scenario's answer for this moment."""
        return self._script.answer(self._name, self.target, time.monotonic() - self._began_s)


class SimulatedRoom:
    """One room: a real agent whose probes are scripted, on a line that can be cut, in a PC that can lose its power."""

    def __init__(self, number: int, room: DemoRoom, settings: Path, script: RoomScript, began_s: float) -> None:
        self.number, self.room, self.script = number, room, script
        self._settings, self._began_s = settings, began_s
        self.wire: Wire | None = None
        self._agent: Agent | None = None
        self._task: asyncio.Task[int] | None = None

    def switch_on(self) -> None:
        """Start the agent, in a new boot."""
        clock = SystemClock()
        clock.boot = f"demo-{self.number}-{time.monotonic_ns()}"
        self._agent = Agent(load_settings(self._settings), load_probe=self._load, clock=clock)
        self._task = asyncio.create_task(self._agent.run())

    async def switch_off(self, *, politely: bool) -> None:
        """Stop the agent, with a goodbye or as a power cut would."""
        agent, task = self._agent, self._task
        self._agent = self._task = None
        if agent is not None and task is not None:
            if not politely and self.wire is not None:
                await self.wire.cut()
            agent.stop("service_stop" if politely else None)
            await asyncio.wait([task], timeout=_STOP_WITHIN_S)

    def _load(self, name: str, settings: Mapping[str, object]) -> Probe:
        return ScriptedProbe(name, load_probe(name, settings), self.script, self._began_s)

    async def live(self) -> None:
        """Follow the script: what it says of the line and the PC really happens to them."""
        assert self.wire is not None  # noqa: S101 - set before the room lives
        await self.wire.mend()
        self.switch_on()
        is_cut = is_off = False
        while True:
            troubles = self.script.troubles(time.monotonic() - self._began_s)
            if ("pc_dies" in troubles) != is_off:
                is_off = not is_off
                if is_off:
                    await self.switch_off(politely=False)
                else:
                    await self.wire.mend()
                    self.switch_on()
            if (not {"link_cut", "area_dark"}.isdisjoint(troubles)) != is_cut:
                is_cut = not is_cut
                await (self.wire.cut() if is_cut else self.wire.mend())
            await asyncio.sleep(0.5)


class Demo:
    """The collector and the real agent as programs of their own, the simulated rooms in this one."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._for_s: float | None = arguments.seconds
        self._folder: Path = arguments.data
        self._web_port: int = arguments.port
        self._link: bool = arguments.link
        self._broker: str = arguments.broker
        self._store: str = arguments.store
        self._rooms = demo_rooms(arguments.rooms)
        self._area = office_rooms(self._rooms)
        self._programs: list[asyncio.subprocess.Process] = []
        self._simulated: list[SimulatedRoom] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._seen_mails: set[str] = set()

    async def run(self) -> int:
        """Bring everything up, wait, take everything down; the exit code."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
                loop.add_signal_handler(number, stopping.set)
        try:
            if not _is_free(self._web_port):
                print(
                    f"127.0.0.1:{self._web_port} is taken by another program; choose one with --port", file=sys.stderr
                )
                return 1
            await self._bring_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._for_s):
                    await self._watch(stopping)
        except DemoFailed as failure:
            print(failure, file=sys.stderr)
            return 1
        finally:
            await self._take_down()
        return 0

    async def _bring_up(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        print(f"Data and logs are kept in {self._folder}")
        broker_port = _free_port()
        if self._broker == "mosquitto":
            await self._start_mosquitto(broker_port)
        store = await self._start_store()
        self._dns, dns_port = await start_dns()
        files = self._prepare(broker_port, dns_port, store)
        await self._start("collector", "-m", "collector", "run", "--config", str(self._folder / "collector.toml"))
        await self._wait_for_pages()
        await self._start("agent", "-m", "agent", "run", "--config", str(files[THIS_PC]))
        self._began_s = time.monotonic()
        for number, room in enumerate(self._rooms):
            script = RoomScript(number, len(self._rooms), self._area)
            simulated = SimulatedRoom(number, room, files[room.room], script, self._began_s)
            simulated.wire = self._wires[room.room]
            self._simulated.append(simulated)
            self._tasks.append(asyncio.create_task(simulated.live()))
            await asyncio.sleep(_STAGGER_S)
        print(f"\n  Rooms:   http://127.0.0.1:{self._web_port}/          (English: add ?lang=en)")
        print(f"  Mails:   http://127.0.0.1:{self._web_port}/letters   and as .eml in {self._folder / 'outbox'}")
        print(f"  Figures: http://127.0.0.1:{self._web_port}/rooms.json  /metrics  /healthz  /readyz")
        end = f"for {self._for_s:g} s" if self._for_s else "until Ctrl-C"
        print(f"\n{len(self._rooms)} simulated rooms and this PC are measured {end}. What happens:\n", flush=True)

    async def _start_mosquitto(self, port: int) -> None:
        program = _program("mosquitto", "/usr/sbin/mosquitto")
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 1000\n"
            "max_queued_messages 10000\nmax_packet_size 262144\n",
            encoding="ascii",
        )
        await self._start("mosquitto", "-c", str(config), program=program)

    async def _start_store(self) -> str:
        if self._store == "sqlite":
            return '[store]\nkind = "sqlite"\n'
        program = _program("victoria-metrics", "/usr/bin/victoria-metrics")
        port = _free_port()
        await self._start(
            "victoria-metrics",
            f"-httpListenAddr=127.0.0.1:{port}",
            f"-storageDataPath={self._folder / 'victoria-metrics'}",
            "-retentionPeriod=100y",
            "-dedup.minScrapeInterval=1ms",
            "-search.latencyOffset=1s",
            program=program,
        )
        print(f"VictoriaMetrics: http://127.0.0.1:{port}/vmui/")
        return f'[store]\nkind = "influx"\nurl = "http://127.0.0.1:{port}"\n'

    def _prepare(self, broker_port: int, dns_port: int, store: str) -> dict[str, Path]:
        """Write settings, plans and registry as an operator would; the agents' files by room."""
        plans = self._folder / "plans"
        plans.mkdir(exist_ok=True)
        (plans / "default.toml").write_text(ROOM_PLAN, encoding="utf-8")
        plan = this_pc_plan(broker_port=broker_port, web_port=self._web_port, dns_port=dns_port, link=self._link)
        (plans / f"{THIS_PC}.toml").write_text(plan, encoding="utf-8")
        mode = "mqtt" if self._broker == "mosquitto" else "embedded"
        (self._folder / "collector.toml").write_text(
            f'data_dir = "collector"\nplans = "plans"\n'
            f'[broker]\nmode = "{mode}"\nhost = "127.0.0.1"\nport = {broker_port}\n'
            f'[web]\nport = {self._web_port}\nbase_url = "http://127.0.0.1:{self._web_port}"\n'
            f'[mail]\nmode = "folder"\nfolder = "outbox"\n'
            f"# Everything is quicker than in earnest, so that there is something to see.\n"
            f'[alerts]\nhold_off_s = "8s"\nclear_after_s = "8s"\ngrace_s = "6s"\nsilent_after_s = "15s"\n'
            f'gather_s = "5s"\n'
            f"review_every_s = 1\n{store}",
            encoding="utf-8",
        )
        return self._enrol(broker_port)

    def _enrol(self, broker_port: int) -> dict[str, Path]:
        data = self._folder / "collector"
        data.mkdir(exist_ok=True)
        registry_csv = self._folder / "rooms.csv"
        with registry_csv.open("w", encoding="utf-8", newline="") as file:
            write = csv.writer(file)
            write.writerow(
                ["room", "name", "province", "district", "school", "contact_name", "contact_mail", "language"]
            )
            for room in self._rooms:
                write.writerow(
                    [room.room, room.name, room.province, room.district, room.school, room.contact, room.mail, "vi"]
                )
            write.writerow([THIS_PC, "Máy này", "Hà Nội", "", "Demo", "Quản trị", "it@example.vn", "vi"])
        engine = open_database(sqlite_url(data / "collector.db"))
        registry = Registry(engine)
        now = time.time()
        report = registry.import_rooms(registry_csv, now)
        if report.bad:
            raise DemoFailed("\n".join(line.sentence("en") for line in report.bad))
        authority = Authority(data / "authority", now)
        self._wires = {room.room: Wire(broker_port) for room in self._rooms}
        files = {}
        for name in (*(room.room for room in self._rooms), THIS_PC):
            folder = self._folder / "agents" / name
            folder.mkdir(parents=True, exist_ok=True)
            wire = self._wires.get(name)
            port = wire.reserve() if wire else broker_port
            made = enrol(
                registry, authority, name, name, broker=BrokerAddress(host="127.0.0.1", port=port, tls=False), now_s=now
            )
            files[name] = folder / "agent.toml"
            made.write(files[name])
            with files[name].open("r+", encoding="utf-8") as file:
                text = file.read()
                file.seek(0)
                file.write('data_dir = "."\n' + text)
        engine.dispose()
        return files

    async def _start(self, name: str, *words: str, program: str = sys.executable) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        with log:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops its programs in order.
            process = await asyncio.create_subprocess_exec(
                program, *words, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        self._programs.append(process)

    async def _wait_for_pages(self) -> None:
        url = f"http://127.0.0.1:{self._web_port}/healthz"
        until_s = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < until_s:
            if any(process.returncode is not None for process in self._programs):
                break
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_get, url)
                return
            await asyncio.sleep(0.2)
        log = (self._folder / "collector.log").read_text(encoding="utf-8", errors="replace")
        raise DemoFailed(f"the collector did not come up; its log ends:\n{log[-3000:]}")

    async def _watch(self, stopping: asyncio.Event) -> None:
        """Say what happens: the story's events, the mails, and a program that ended by itself."""
        said: set[tuple[int, str, int]] = set()
        while not stopping.is_set():
            for process in self._programs:
                if process.returncode is not None:
                    raise DemoFailed(
                        f"a program ended by itself with exit code {process.returncode}; see {self._folder}/*.log"
                    )
            self._tell_story(said)
            self._tell_mails()
            for task in self._tasks:
                if task.done():
                    task.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await stopping.wait()
        print("\nStopping ...", flush=True)

    def _tell_story(self, said: set[tuple[int, str, int]]) -> None:
        elapsed_s = time.monotonic() - self._began_s
        period, within_s = divmod(elapsed_s, PERIOD_S)
        for event in events_of(len(self._rooms), int(period), self._area):
            is_of_area = event.kind == "area_dark"
            for at_s, ends in ((event.from_s, False), (event.to_s, True)):
                key = (int(period), event.kind + ("." if ends else ""), -1 if is_of_area else event.room)
                if within_s >= at_s and key not in said:
                    said.add(key)
                    room = self._rooms[event.room]
                    where = f"{room.district}, {len(self._area)} rooms" if is_of_area else room.name
                    print(f"{elapsed_s:5.0f} s  {_STORY[event.kind][ends]}: {where}", flush=True)

    def _tell_mails(self) -> None:
        for path in sorted((self._folder / "outbox").glob("*.eml")):
            if path.name not in self._seen_mails:
                self._seen_mails.add(path.name)
                message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                elapsed_s = time.monotonic() - self._began_s
                print(f"{elapsed_s:5.0f} s    mail to {message['To']}: {message['Subject']}", flush=True)

    async def _take_down(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(room.switch_off(politely=True) for room in self._simulated))
        for wire in getattr(self, "_wires", {}).values():
            await wire.cut()
        if hasattr(self, "_dns"):
            self._dns.close()
        for process in reversed(self._programs):
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(_STOP_WITHIN_S):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
        if self._simulated:
            print(f"Stopped. {len(self._seen_mails)} mails are in {self._folder / 'outbox'}", flush=True)


_STORY: Final = {
    "camera_lost": ("the camera goes dark", "the camera is back"),
    "link_cut": ("the internet line is cut", "the line is mended; the backlog follows"),
    "power_cut": ("the mains fail, the UPS carries on", "the mains are back"),
    "pc_dies": ("the UPS is empty, the PC goes off", "the PC boots"),
    "area_dark": ("the mains fail in a district, and its routers with them", "the mains are back"),
    "slow_link": ("the line becomes slow and lossy", "the line is good again"),
}


class DemoFailed(Exception):
    """The demo cannot go on, and why."""


def _program(name: str, usual: str) -> str:
    found = shutil.which(name) or (usual if Path(usual).exists() else None)
    if found is None:
        raise DemoFailed(f"{name} is not installed; on Debian: apt-get install {name}")
    return found


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own page on loopback
        return bytes(answer.read())


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="dev.py demo", description="Run the whole system on this PC and watch it work."
    )
    parser.add_argument("--rooms", type=int, default=12, help="simulated rooms (%(default)s)")
    parser.add_argument("--for", dest="seconds", type=float, help="stop after so many seconds, exit 0")
    parser.add_argument("--port", type=int, default=8080, help="port of the pages on 127.0.0.1 (%(default)s)")
    parser.add_argument("--data", type=Path, help="folder for data and logs (a new one under demo-data/)")
    parser.add_argument(
        "--link", action="store_true", help="measure this PC's gateway, resolver and the lesson platforms too"
    )
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="embedded")
    parser.add_argument("--store", choices=["sqlite", "victoria-metrics"], default="sqlite")
    arguments = parser.parse_args()
    if not 1 <= arguments.rooms <= 500:  # noqa: PLR2004 - two threads each: more is a benchmark, not a demo
        parser.error(f"--rooms {arguments.rooms}: expected a number from 1 to 500")
    if arguments.data is None:
        arguments.data = Path("demo-data") / datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    arguments.data = arguments.data.resolve()
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return asyncio.run(Demo(arguments).run())


if __name__ == "__main__":
    raise SystemExit(main())
