"""The one small file that a PC holds: who it is, where the broker is. Everything else is the plan."""

import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from agent.link import Broker, Identity, tls_context
from contract.catalogue import Language
from contract.settings import Id, Problem, Seconds, SettingsError, Size, is_loopback, load_toml, look_for
from contract.spool import SpoolLimits


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much the PC's disk may hold of what was not yet delivered."""

    max_bytes: Annotated[Size, msgspec.Meta(ge=1 << 20, le=8 << 30)] = 64 << 20
    """The most that lies on disk; beyond it the oldest is given up."""
    max_age_s: Annotated[Seconds, msgspec.Meta(ge=3600, le=400 * 86400)] = 45 * 86400.0
    """How long it is kept."""

    @property
    def limits(self) -> SpoolLimits:
        """As the spool takes them."""
        return SpoolLimits(max_bytes=self.max_bytes, max_age_s=self.max_age_s)


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `sansang-collector agents add` writes for a PC."""

    agent: Id
    """Its name in the registry."""
    broker: Broker
    """Where the broker is."""
    language: Language = "vi"
    """Of the sentences that commands print."""
    identity: Identity | None = None
    """Its certificates."""
    data_dir: Path | None = None
    """Where spool and plan are kept; without it `/var/lib/sansang-agent`, or `%PROGRAMDATA%\\SanSang`."""
    plan: Path | None = None
    """A plan of the PC's own, used until the collector sends one."""
    secrets: Path | None = None
    """File with the passwords of devices that the collector does not send; without it `secrets.toml` beside this
    file.
    """
    spool: SpoolSettings = SpoolSettings()
    """How much the disk may hold."""

    def doubts(self) -> Iterator[Problem]:
        """Checks across fields: TLS with a CA of our own, or loopback."""
        if self.broker.tls and (self.identity is None or not self.identity.ca):
            yield Problem("broker.tls", "settings.needs", {"what": "tls = true", "needed": "identity.ca"})
        if not self.broker.tls and not is_loopback(self.broker.host):
            yield Problem("broker.host", "settings.needs_tls", {"address": self.broker.host})
        if self.identity is not None and bool(self.identity.certificate) != bool(self.identity.key):
            given, needed = ("certificate", "key") if self.identity.certificate else ("key", "certificate")
            yield Problem(f"identity.{given}", "settings.needs", {"what": given, "needed": needed})
        elif self.identity is not None and self.identity.ca:
            yield from _doubts_of_identity(self.identity)
        if self.plan is not None:
            yield from look_for(self.plan, "plan")
        if self.secrets is not None:
            yield from look_for(self.secrets, "secrets")

    @property
    def folder(self) -> Path:
        """Where spool and plan are kept: as set, else where the operating system keeps such things."""
        if self.data_dir is not None:
            return self.data_dir
        if state := os.environ.get("STATE_DIRECTORY"):
            return Path(state.split(":")[0])
        if sys.platform == "win32":
            return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "SanSang"
        return Path("/var/lib/sansang-agent")


def _doubts_of_identity(identity: Identity) -> Iterator[Problem]:
    try:
        tls_context(identity)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: not ASCII
        yield Problem("identity", "settings.bad_identity", {"reason": error})


def load_settings(path: Path) -> AgentSettings:
    """The settings in a file. Raises SettingsError with every problem; a file with secrets must not be public."""
    settings = load_toml(path, AgentSettings)
    has_secret = bool(settings.broker.token or (settings.identity and settings.identity.key))
    if has_secret and os.name == "posix" and path.stat().st_mode & 0o004:
        raise SettingsError(str(path), [Problem("", "settings.open_secret", {"path": path})])
    return msgspec.structs.replace(settings, secrets=settings.secrets or path.with_name("secrets.toml"))
