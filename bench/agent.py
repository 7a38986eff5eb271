"""The agent's CPU, memory and wake-ups while it does the standard job, beside collectd and zabbix-agent2.

The job, each minute: the host's figures, ten echoes to each of ten loopback addresses, twelve values from each of five
SNMP devices (ports of one net-snmp agent; ours needs 18 objects in three requests for them, collectd is told its twelve
and asks once). Ours is the shipped program with a plan of these probes, sending its batches by mutual TLS to a real
mosquitto, acknowledged by a stub in the collector's place, so that the spool drains. Debian's collectd does the same
with its own plugins (cpu, memory, swap, load, uptime, processes, df, interface, ping, snmp) and sends by UDP without
TLS, spool or acknowledgement. Debian's zabbix-agent2 does only the host's part, fourteen items asked for once a minute:
it can neither ping nor ask SNMP itself. All run at the same time; a round is a minute, after one that is not counted.
What requirements-agent.lock does not name is hidden from ours. CPU is the kernel's own count in nanoseconds, children
included; RSS and PSS are from smaps_rollup at each minute's end; a wake-up is a thread that slept and was woken.
"""

import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.broker import start_tls_broker
from bench.figures import Result, Row, Size
from bench.job import DEVICES, OIDS, PINGED
from bench.peers import ADDRESSES, ZABBIX_KEYS, Sink, ask_zabbix, start_collectd, start_devices, start_zabbix_agent
from bench.programs import Cost, cost_of, start, wait_until
from bench.wire import AckingStub
from contract.spool import SpoolReader
from tests.support.ports import LOOPBACK

TICK_S: Final = 60.0
_MIB: Final = 1 << 20
_LAUNCH: Final = "import sys; sys.modules['cryptography'] = None; from agent.cli import main; sys.exit(main())"
"""pysnmp loads cryptography wherever it finds it; a PC's environment, made of requirements-agent.lock, has none."""


def run(size: Size) -> Result:
    """As many rounds as minutes."""
    with contextlib.ExitStack() as until, tempfile.TemporaryDirectory() as folder:
        return measure(until, Path(folder), rounds=size.minutes, tick_s=TICK_S)


def measure(until: contextlib.ExitStack, folder: Path, *, rounds: int, tick_s: float) -> Result:
    """Start everything, let a tick pass, then look at each tick's end."""
    ports = start_devices(until, folder, len(DEVICES))
    broker = start_tls_broker(until, folder, time.time())
    AckingStub(until, broker)
    home = folder / "agent"
    home.mkdir()
    identity = broker.identity("room-1")
    write_settings(home, broker.port, msgspec.structs.asdict(identity), plan_text(ports, tick_s))
    sink = Sink(until)
    collectd = start_collectd(until, folder, ports, sink, tick_s=tick_s)
    zabbix, zabbix_port = start_zabbix_agent(until, folder)
    command = [sys.executable, "-c", _LAUNCH, "--log-level", "WARNING", "run", "--config", str(home / "agent.toml")]
    agent = start(until, folder, command, ready=(home / "spool.db").exists)
    pids = {"ours": agent.pid, "collectd": collectd.pid, "zabbix-agent2 (host only)": zabbix.pid}
    done = threading.Event()
    until.callback(done.set)
    threading.Thread(target=_poll, args=(zabbix_port, tick_s, done), daemon=True).start()
    looks: list[dict[str, Cost]] = []
    began_s = time.monotonic() + tick_s / 2  # between two ticks, which all began about now
    for minute in range(rounds + 2):
        time.sleep(max(0.0, began_s + minute * tick_s - time.monotonic()))
        if minute:  # the first tick is for starting up
            looks.append({name: cost_of(pid) for name, pid in pids.items()})
    wait_until(lambda: sink.plugins >= {b"ping", b"snmp", b"cpu", b"memory"}, 10.0, "all plugins of collectd")
    waiting_count, bad_count, readings_count = _look_at_spool(home / "spool.db")
    note = f"Ours kept {readings_count} readings, {bad_count} of them not ok; {waiting_count} records unacknowledged."
    return Result(rows=tuple(_rows(looks)), notes=(note,))


def plan_text(ports: Sequence[int], tick_s: float) -> str:
    """The standard job as a plan."""
    lines = [f"tick_s = {tick_s}", "[[probe]]", 'name = "host"']
    spacing_s = min(0.2, tick_s / 20)
    for target, address in zip(PINGED, ADDRESSES, strict=True):
        lines += ["[[probe]]", 'name = "ping"', f'target = "{target}"', f'address = "{address}"']
        lines += [f"spacing_s = {spacing_s}", f"timeout_s = {min(2.0, tick_s / 8)}"]
    oids = ", ".join(f'{name} = "{oid}"' for name, oid in OIDS.items())
    for target, port in zip(DEVICES, ports, strict=True):
        lines += ["[[probe]]", 'name = "snmp"', f'target = "{target}"', f'address = "{LOOPBACK}"', f"port = {port}"]
        lines += [
            'community = "public"',
            'interface = "1"',
            f"oids = {{ {oids} }}",
            f"timeout_s = {min(2.0, tick_s / 6)}",
        ]
    return "\n".join(lines) + "\n"


def write_settings(home: Path, port: int, identity: dict[str, str], plan: str) -> None:
    """The PC's one small file, and the plan beside it."""
    (home / "plan.toml").write_text(plan, encoding="utf-8")
    lines = ['agent = "room-1"', f'data_dir = "{home}"', f'plan = "{home / "plan.toml"}"', "[broker]"]
    lines += ['host = "localhost"', f"port = {port}", "[identity]"]
    lines += [f'{name} = """\n{text}"""' for name, text in identity.items()]
    file = home / "agent.toml"
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _poll(port: int, tick_s: float, done: threading.Event) -> None:
    """Ask zabbix-agent2 once a tick, as its server would."""
    while True:
        for key in ZABBIX_KEYS:
            answer = ask_zabbix(port, key)
            if answer.startswith("ZBX_NOTSUPPORTED") and key != "system.cpu.util":  # which needs a minute to begin
                raise ValueError(f"zabbix-agent2: {key}: {answer}")
        if done.wait(tick_s):
            return


def _look_at_spool(path: Path) -> tuple[int, int, int]:
    """Records not yet acknowledged, readings with another outcome than ok, readings."""
    with contextlib.closing(SpoolReader(path)) as spool:
        readings = [reading for _, record in spool.records() for reading in record.readings]
        bad = [reading for reading in readings if reading.outcome.code]
        return spool.stat().waiting_count, len(bad), len(readings)


def _rows(looks: Sequence[dict[str, Cost]]) -> list[Row]:
    rows: list[Row] = []
    steps = list(itertools.pairwise(looks))

    def row(what: str, unit: str, ours: Sequence[float], peer: str, theirs: Sequence[float]) -> None:
        rows.append(Row(what=what, unit=unit, ours=tuple(ours), peer=peer, theirs=tuple(theirs)))

    for peer in [name for name in looks[0] if name != "ours"]:
        cpu = {name: [1000 * (b[name].cpu_s - a[name].cpu_s) for a, b in steps] for name in ("ours", peer)}
        wakes = {name: [float(b[name].wakes_count - a[name].wakes_count) for a, b in steps] for name in ("ours", peer)}
        row("CPU a minute", "ms", cpu["ours"], peer, cpu[peer])
        whole = {name: [sum(cpu[name]) / 1000] for name in cpu}
        row(f"CPU in {len(steps)} minutes", "s", whole["ours"], peer, whole[peer])
        for kind in ("rss", "pss"):
            held = {name: [getattr(b[name], f"{kind}_bytes") / _MIB for _, b in steps] for name in ("ours", peer)}
            row(kind.upper(), "MiB", held["ours"], peer, held[peer])
        row("wake-ups a minute", "", wakes["ours"], peer, wakes[peer])
    return rows
