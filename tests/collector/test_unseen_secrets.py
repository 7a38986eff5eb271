"""From the file of secrets at the centre to devices that fail in every way: nothing that is written tells a secret."""

import asyncio
import base64
import contextlib
import email
import email.policy
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, cast

import pytest

import dev
from collector.storage.journal import JournalReader
from contract.outcome import Outcome
from tests.support.collector import StartCollector
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs

PASSWORD: Final = "rất-bí-mật-4711"  # noqa: S105 - the secret that all of this test is about
COMMUNITY: Final = "corridor-8122"
AUTH_KEY: Final = "auth-key-9331"
PRIV_KEY: Final = "priv-key-6402"
SHORT_KEY: Final = "k-7754"
LOGIN: Final = "giaovien"
ASKS: Final = b"Polycom RealPresence Group 500\r\nPassword: "
SECRETS: Final = {
    "codec": PASSWORD, "snmp": COMMUNITY, "auth": AUTH_KEY, "priv": PRIV_KEY, "short": SHORT_KEY
}  # fmt: skip
TARGETS: Final = (
    "codec-echo", "codec-mute", "codec-rude", "codec-strict", "camera-rtsp", "camera-parrot", "camera-gone"
)  # fmt: skip

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Shows what it is, asks for a password and greets whoever gives any; waits for the first command, and returns
    the password.
    """
    writer.write(ASKS)
    said = await reader.readuntil(b"\r")
    writer.write(b"\r\nHi, my name is: Phong 101\r\n-> ")
    await reader.readuntil(b"\r")
    return said[:-1]


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says the password aloud, in place of an answer."""
    said = await let_in(reader, writer)
    writer.write((b"you said " + said + b"\r\n") * 100)
    await writer.drain()


async def be_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the question, and says nothing."""
    await let_in(reader, writer)
    while await reader.read(1000):
        pass


async def be_rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up on the question."""
    await let_in(reader, writer)


async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says which password it was that it does not want."""
    writer.write(ASKS)
    said = await reader.readuntil(b"\r")
    writer.write(b"incorrect: " + said + b"\nPassword: ")
    await writer.drain()


async def quote_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A camera that asks for a login, and answers with it."""
    while True:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        number = next(line for line in asked.splitlines() if line.lower().startswith("cseq:"))
        header = next((line for line in asked.splitlines() if line.startswith("Authorization: ")), "")
        wants = "401 Unauthorized" if asked.startswith("DESCRIBE") else "200 OK"
        refused = f'RTSP/1.0 {wants}\r\n{number}\r\nWWW-Authenticate: Basic realm="camera"\r\n\r\n'
        writer.write(f"{header}\r\n\r\n".encode() if header else refused.encode())
        await writer.drain()


class Parrot(asyncio.DatagramProtocol):
    """Sends every packet back as it came: no answer to SNMP, and the community in it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


@contextlib.contextmanager
def devices(*kinds: Behave) -> Iterator[list[int]]:
    """Servers that behave so, in a thread of their own; their ports, and that of a parrot."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    is_up = threading.Event()

    async def serve() -> None:
        servers = [await asyncio.start_server(_hung_up(behave), LOOPBACK, 0) for behave in kinds]
        ports.extend(server.sockets[0].getsockname()[1] for server in servers)
        parrot, _ = await asyncio.get_running_loop().create_datagram_endpoint(Parrot, (LOOPBACK, 0))
        ports.append(parrot.get_extra_info("sockname")[1])
        is_up.set()
        await stopping.wait()
        parrot.close()
        for server in servers:
            server.close()

    stopping = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_up.wait(30)
        yield ports
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(30)


def _hung_up(behave: Behave) -> Behave:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the agent has had enough
        finally:
            writer.close()

    return connected


def probe(name: str, target: str, port: int, *lines: str) -> str:
    where = f'target = "{target}"\naddress = "{LOOPBACK}"\nport = {port}'
    return "\n".join([f'[[probe]]\nname = "{name}"', where, "timeout_s = 0.5\nretries = 0", *lines, ""])


def plan_of(ports: list[int], gone: int, auth: str) -> str:
    login = f'login_name = "{LOGIN}"\npassword = {{ secret = "codec" }}\ncleartext = true'
    keys = f'auth_key = {{ secret = "{auth}" }}\npriv_key = {{ secret = "priv" }}'
    *talking, camera, parrot = ports
    return 'tick_s = "5s"\n' + "".join(
        (
            *(
                probe("device", target, port, 'kind = "poly_api"', login)
                for target, port in zip(TARGETS, talking, strict=False)
            ),
            probe("device", "camera-rtsp", camera, 'kind = "rtsp"', login),
            probe("snmp", "camera-parrot", parrot, 'community = { secret = "snmp" }'),
            probe("snmp", "camera-gone", gone, 'version = "3"\nuser = "room"\nauth = "sha"\npriv = "aes"', keys),
        )
    )


def operate(program: str, *words: str | Path) -> str:
    """What a command says, all of it, whatever comes of it."""
    command = [sys.executable, "-m", program, *map(str, words)]
    done = subprocess.run(command, cwd=dev.ROOT, capture_output=True, check=False, timeout=120)
    return (done.stdout + done.stderr).decode()


def letters_in(folder: Path) -> str:
    parts = [
        part.get_content()
        for path in folder.glob("*.eml")
        for part in email.message_from_bytes(path.read_bytes(), policy=email.policy.default).walk()
        if part.get_content_maintype() == "text"
    ]
    return "\n".join(parts)


def journal_of(folder: Path) -> str:
    with contextlib.closing(JournalReader(folder / "journal.db")) as journal:
        return "\n".join(repr(reading) for kept in journal.after(0, 100_000) for reading in kept.record.readings)


def shows_all(journal: str) -> bool:
    """Whether every device has failed, and what repeats a secret has been quoted."""
    failed = [line for line in journal.splitlines() if f"{Outcome.OK!r}" not in line]
    return all(any(target in line for line in failed) for target in TARGETS) and all(
        quoted in journal for quoted in ("you said ***", "Authorization: Basic ***")
    )


def shapes() -> Iterator[str]:
    """Every secret as it is, and as programs write what they do not understand."""
    for secret in SECRETS.values():
        yield from (secret, repr(secret.encode())[2:-1], secret.encode().hex())
        yield base64.b64encode(f"{LOGIN}:{secret}".encode()).decode()


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    (tmp_path / "plans").mkdir()
    return tmp_path / "plans" / "default.toml"


def test_what_a_run_writes_about_failing_devices_holds_no_secret(
    collector: StartCollector, programs: Programs, tmp_path: Path, plan_file: Path
) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("".join(f'{name} = "{text}"\n' for name, text in SECRETS.items()), encoding="utf-8")
    secrets.chmod(0o600)
    letters = tmp_path / "letters"
    broker, small_file, home = free_port(), tmp_path / "pc-1.toml", tmp_path / "agent"
    with devices(repeat, be_mute, be_rude, deny, quote_header) as ports:
        gone = free_port(socket.SOCK_DGRAM)
        plan_file.write_text(plan_of(ports, gone, "auth"), encoding="utf-8")
        centre = collector(
            f"[broker]\nport = {broker}\n[agents]\nport = {broker}\n"
            f'[mail]\nmode = "folder"\nfolder = "{letters}"\nsender = "sansang@example.vn"\n'
            '[operators]\nmail = ["it@example.vn"]\n',
            top=f'plans = "{plan_file.parent}"\nsecrets = "{secrets}"',
        )
        here = ("--config", centre.config)
        where = ("--name", "Phòng 101", "--province", "Lào Cai", "--school", "THCS")
        operate("collector", "rooms", "add", "phong-101", *where, "--contact-mail", "co.lan@example.vn", *here)
        operate("collector", "agents", "add", "pc-1", "--room", "phong-101", "--file", small_file, *here)
        small_file.write_text(f'data_dir = "{home}"\n{small_file.read_text()}', encoding="utf-8")
        pc = programs.start([sys.executable, "-m", "agent", "--log-level", "DEBUG", "run", "--config", small_file],
                            ready=lambda: True, folder=dev.ROOT)  # fmt: skip
        centre.wait_for(lambda: shows_all(journal_of(centre.folder)), 180)
        said = operate("agent", "checkup", "--config", small_file)
        # An operator's slip, which the agent must refuse and say why.
        plan_file.write_text(plan_of(ports, gone, "short"), encoding="utf-8")
        centre.wait_for(lambda: "auth_key" in centre.get("/rooms/phong-101").text, 120)
        centre.wait_for(lambda: any(letters.glob("*.eml")), 120)
        pages = ("/", "/rooms/phong-101", "/rooms.json", "/letters", "/about", "/metrics")
        said += "".join(centre.get(page).text for page in pages)
        pc.stop()
        said += operate("agent", "check-config", "--config", small_file) + operate(
            "agent", "doctor", "--config", small_file
        )
    exported = operate("agent", "spool", "export", "--config", small_file)
    centre.program.stop()
    journal = journal_of(centre.folder)
    assert shows_all(journal)
    assert [target for target in TARGETS if target not in exported] == []
    said += exported + journal + letters_in(letters) + operate("collector", "check-config", *here)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != secrets]
    assert {"plan.json", "spool.db", "journal.db", "collector.db"} <= {path.name for path in files}
    on_disk = b"".join(path.read_bytes() for path in files)
    assert [shape for shape in shapes() if shape in said or shape.encode() in on_disk] == []
