"""The agent's peers, set up to do its standard job: Debian's collectd and zabbix-agent2; and the devices to ask."""

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.programs import need, start
from tests.support.ports import LOOPBACK, free_port, is_listening
from tests.support.processes import Program

ADDRESSES: Final = tuple(f"127.0.1.{number}" for number in range(1, 11))
OIDS: Final = (
    "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.2.2.1.5.1", "1.3.6.1.2.1.2.2.1.8.1", "1.3.6.1.2.1.2.2.1.10.1",
    "1.3.6.1.2.1.2.2.1.13.1", "1.3.6.1.2.1.2.2.1.14.1", "1.3.6.1.2.1.2.2.1.16.1", "1.3.6.1.2.1.2.2.1.19.1",
    "1.3.6.1.2.1.2.2.1.20.1", "1.3.6.1.2.1.31.1.1.1.6.1", "1.3.6.1.2.1.31.1.1.1.10.1", "1.3.6.1.2.1.25.1.6.0",
)  # fmt: skip
"""Twelve numbers that net-snmp's agent has: time up, its loopback interface's counters, processes."""
ZABBIX_KEYS: Final = (
    "system.cpu.util", "system.cpu.load[all,avg1]", "vm.memory.size[available]", "vm.memory.size[pavailable]",
    "system.swap.size[,pfree]", "vfs.fs.size[/,free]", "vfs.fs.size[/,pfree]", "system.uptime", "proc.num[]",
    "net.if.in[lo]", "net.if.out[lo]", "net.if.in[lo,errors]", "net.if.in[lo,dropped]", "system.localtime",
)  # fmt: skip

_COLLECTD: Final = """\
Hostname "peer"
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db" "{folder}/types.db"
Interval {tick_s}
LoadPlugin cpu
LoadPlugin memory
LoadPlugin swap
LoadPlugin load
LoadPlugin uptime
LoadPlugin processes
LoadPlugin df
LoadPlugin interface
LoadPlugin ping
LoadPlugin snmp
LoadPlugin network
<Plugin df>
  MountPoint "/"
</Plugin>
<Plugin ping>
{hosts}
  Interval {spacing_s}
  Timeout {timeout_s}
</Plugin>
<Plugin snmp>
  <Data "twelve">
    Type "twelve"
    Table false
    TypeInstance "device"
    Values {oids}
  </Data>
{devices}
</Plugin>
<Plugin network>
  Server "127.0.0.1" "{sink_port}"
</Plugin>
"""
_DEVICE: Final = """\
  <Host "device-{number}">
    Address "127.0.0.1:{port}"
    Version 2
    Community "public"
    Collect "twelve"
    Interval {tick_s}
  </Host>
"""
_ZABBIX: Final = """\
LogType=console
Hostname=peer
Server=127.0.0.1
ListenIP=127.0.0.1
ListenPort={port}
PidFile={folder}/zabbix.pid
PluginSocket={folder}/zabbix-plugin.sock
ControlSocket={folder}/zabbix-control.sock
"""


def start_devices(until: contextlib.ExitStack, folder: Path, count: int) -> list[int]:
    """So many SNMP devices: ports of one net-snmp agent (community `public`)."""
    ports = [free_port(socket.SOCK_DGRAM) for _ in range(count)]
    config = folder / "snmpd.conf"
    config.write_text("rocommunity public 127.0.0.1\n", encoding="utf-8")
    command = [need("snmpd"), "-f", "-Lo", "-C", "-c", str(config), *(f"udp:{LOOPBACK}:{port}" for port in ports)]
    store = {"SNMP_PERSISTENT_DIR": str(folder)}
    start(until, folder, command, ready=lambda: _bound(ports), environment=store)
    return ports


def _bound(ports: Sequence[int]) -> bool:
    bound = {int(line.split()[1].rpartition(":")[2], 16) for line in _udp_lines()}
    return bound.issuperset(ports)


def _udp_lines() -> list[str]:
    return Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]


class Sink:
    """Receives collectd's datagrams, and remembers which of its plugins have reported."""

    def __init__(self, until: contextlib.ExitStack) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self.plugins: set[bytes] = set()
        until.callback(self._socket.close)
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while datagram := self._socket.recv(65536):
                self.plugins |= {name for name in (b"ping", b"snmp", b"cpu", b"memory") if name in datagram}


def start_collectd(
    until: contextlib.ExitStack, folder: Path, ports: Sequence[int], sink: Sink, *, tick_s: float
) -> Program:
    """Host, ten echoes to each address and twelve objects of each device a tick; all sent on by UDP, its cheapest way.

    The twelve objects are one type of its own, so that it asks for them in one request, as we do.
    """
    home = folder / "collectd"
    home.mkdir()
    (home / "types.db").write_text(
        "twelve " + ", ".join(f"v{number}:GAUGE:U:U" for number in range(len(OIDS))) + "\n", encoding="ascii"
    )
    config = home / "collectd.conf"
    config.write_text(
        _COLLECTD.format(
            folder=home,
            tick_s=tick_s,
            hosts="\n".join(f'  Host "{address}"' for address in ADDRESSES),
            spacing_s=tick_s / 10,
            timeout_s=min(2.0, tick_s / 20),
            oids=" ".join(f'"{oid}"' for oid in OIDS),
            devices="".join(
                _DEVICE.format(number=number, port=port, tick_s=tick_s) for number, port in enumerate(ports)
            ),
            sink_port=sink.port,
        ),
        encoding="utf-8",
    )
    command = [need("collectd"), "-f", "-C", str(config)]
    store = {"SNMP_PERSISTENT_DIR": str(home / "snmp")}
    return start(until, folder, command, ready=lambda: bool(sink.plugins), environment=store)


def start_zabbix_agent(until: contextlib.ExitStack, folder: Path) -> tuple[Program, int]:
    """Passive: it measures when it is asked. The program and its port."""
    home = folder / "zabbix"
    home.mkdir()
    port = next(port for port in range(20_500, 32_767) if not is_listening(port))  # it takes none above
    config = home / "zabbix_agent2.conf"
    config.write_text(_ZABBIX.format(folder=home, port=port), encoding="utf-8")
    program = start(until, folder, [need("zabbix_agent2"), "-c", str(config)], ready=lambda: is_listening(port))
    return program, port


def ask_zabbix(port: int, key: str) -> str:
    """One value, as a Zabbix server asks for it."""
    with socket.create_connection((LOOPBACK, port), timeout=10.0) as connection:
        connection.sendall(b"ZBXD\x01" + struct.pack("<II", len(key), 0) + key.encode())
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    return answer[13:].decode()
