"""The broker of the benchmarks: a real mosquitto, with the configuration and certificates that we ship, on loopback."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import deploy
from agent.link import Identity
from bench.programs import need, start
from collector.authority import Authority
from collector.rooms.enrolment import equip_broker
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, listens

OPEN_PIPE = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 1000
max_queued_messages 100000
"""


class TlsBroker(NamedTuple):
    """A mosquitto that knows everybody by certificate."""

    program: Program
    port: int
    authority: Authority

    def identity(self, name: str) -> Identity:
        """What a client of this name shows."""
        issued = self.authority.issue_agent(name)
        return Identity(ca=self.authority.certificate, certificate=issued.certificate, key=issued.key)


def start_tls_broker(until: contextlib.ExitStack, folder: Path, now_s: float) -> TlsBroker:
    """As deploy/mosquitto sets it up: mutual TLS, an agent writes its own topics only, nothing is kept."""
    authority = Authority(folder / "ca", now_s)
    etc = folder / "etc"
    equip_broker(authority, etc, ("localhost", LOOPBACK))
    shipped = Path(deploy.__file__).parent / "mosquitto"
    (etc / "sansang.acl").write_bytes((shipped / "sansang.acl").read_bytes())
    port = free_port()
    config = (shipped / "sansang.conf").read_text(encoding="utf-8")
    config = config.replace("/etc/mosquitto/sansang", str(etc)).replace("listener 8883", f"listener {port} {LOOPBACK}")
    return TlsBroker(_start(until, folder, config, port), port, authority)


def start_open_broker(until: contextlib.ExitStack, folder: Path) -> tuple[Program, int]:
    """Neither TLS nor names: for what is measured behind the broker. The program and its port."""
    port = free_port()
    return _start(until, folder, OPEN_PIPE.replace("{port}", str(port)), port), port


def _start(until: contextlib.ExitStack, folder: Path, config: str, port: int) -> Program:
    # As root it would become the user mosquitto, who cannot read our folder.
    head = "user root\n" if os.geteuid() == 0 else ""
    file = folder / f"mosquitto-{port}.conf"
    file.write_text(head + config, encoding="utf-8")
    return start(until, folder, [need("mosquitto"), "-c", file], ready=listens(port))
