"""Enrols an agent: gives it a credential and the one small file that its PC holds."""

import ipaddress
import secrets
from pathlib import Path
from typing import Final

import msgspec

from collector.authority import Authority, write_whole
from collector.rooms.registry import COLLECTOR, Registry, digest_of
from contract.catalogue import Language, say

_FILE: Final = """\
# {title}
agent = "{agent}"
language = "{language}"

[broker]
host = "{host}"
port = {port}
tls = {tls}
token = "{token}"

[identity]
certificate = \"\"\"
{certificate}\"\"\"
key = \"\"\"
{key}\"\"\"
ca = \"\"\"
{ca}\"\"\"
"""


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where an agent finds the broker."""

    host: str
    port: int
    tls: bool


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What an enrolment made: the text of the PC's file, and whether an older credential ended with it."""

    agent: str
    room: str
    text: str
    renewed: bool
    crl: Path
    """The list of revoked certificates, which changed if `renewed`."""

    def write(self, path: Path) -> None:
        """Write the PC's file, readable by its owner only, whole or not at all."""
        write_whole(path, self.text.encode(), 0o600)

    def sentences(self, path: Path, language: Language) -> tuple[str, ...]:
        """What was done and what the operator does next, with the file at `path`."""
        if not self.renewed:
            return (say("enrolment.issued", language, agent=self.agent, room=self.room, path=path),)
        return (
            say("enrolment.renewed", language, agent=self.agent, path=path),
            say("enrolment.reload_crl", language, path=self.crl),
        )


def enrol(
    registry: Registry,
    authority: Authority,
    agent: str,
    room: str,
    *,
    broker: BrokerAddress,
    now_s: float,
    language: Language = "vi",
) -> Enrolled:
    """Let an agent stand in a room and issue it a credential; again for the same agent ends the credential before.

    RegistryError as `Registry.add_agent` raises it.
    """
    registry.add_agent(agent, room, now_s)
    issued = authority.issue_agent(agent)
    token = secrets.token_urlsafe(32)
    before = registry.set_credential(agent, token_sha256=digest_of(token), certificate_serial=issued.serial)
    # Revoked last: a crash before this line leaves an old certificate that works, never an agent without one.
    if before.certificate_serial:
        authority.revoke(before.certificate_serial)
    return Enrolled(
        agent=agent,
        room=room,
        text=_FILE.format(
            title=say("enrolment.file_title", language, agent=agent),
            agent=agent,
            language=language,
            host=_quoted(broker.host),
            port=broker.port,
            tls="true" if broker.tls else "false",
            token=token,
            certificate=issued.certificate,
            key=issued.key,
            ca=authority.certificate,
        ),
        renewed=bool(before.certificate_serial),
        crl=authority.crl_path,
    )


def dismiss(registry: Registry, authority: Authority, agent: str, now_s: float) -> Path:
    """Revoke an agent for good, its token and its certificate; returns the list of the revoked for the broker."""
    before = registry.revoke_agent(agent, now_s)
    if before.certificate_serial:
        authority.revoke(before.certificate_serial)
    return authority.crl_path


def equip_broker(authority: Authority, folder: Path, reachable_as: tuple[str, ...]) -> None:
    """Write what a broker with client certificates needs (deploy/mosquitto/) into a folder.

    `server.crt` and `server.key` for the names and addresses under which agents reach it, `ca.crt`, `ca.crl`, and
    the collector's own certificate, `collector.crt` and `collector.key`. Made anew at each call.
    """
    names = tuple(name for name in reachable_as if not _is_address(name))
    server = authority.issue_server(names, tuple(name for name in reachable_as if _is_address(name)))
    own = authority.issue_agent(COLLECTOR)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for stem, issued in (("server", server), ("collector", own)):
        write_whole(folder / f"{stem}.key", issued.key.encode(), 0o600)
        write_whole(folder / f"{stem}.crt", issued.certificate.encode(), 0o644)
    write_whole(folder / "ca.crt", authority.certificate.encode(), 0o644)
    write_whole(folder / "ca.crl", authority.crl_path.read_bytes(), 0o644)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    """Text as it stands between the quotes of a TOML basic string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
