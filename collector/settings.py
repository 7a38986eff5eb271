"""The collector's settings file: where data lies, how agents reach it, where mail and time series go."""

import os
import re
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from collector.alerting.decide import Recipient
from collector.mail.relay import MailSettings, is_address, no_address
from contract.catalogue import Language
from contract.settings import Id, Phrase, Port, Problem, Seconds, SecretFile, Size, is_loopback, load_toml, look_for

PortOrAny = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The broker: embedded in this program, or `mqtt` for one that runs by itself.

    The embedded one listens on loopback unless told otherwise, and then demands TLS and credentials.
    """

    mode: Literal["embedded", "mqtt"] = "embedded"
    """`embedded` in this program, or `mqtt` for one that runs by itself."""
    host: str = "127.0.0.1"
    """Where it listens, or where it is. Beyond loopback only with `tls`."""
    port: PortOrAny = 1883
    """Its port; 0 lets the system choose one for the embedded broker."""
    tls: bool = False
    """Whether it is spoken to by TLS."""
    user: str = "collector"
    """The name that the collector gives at a broker of its own."""
    password_file: SecretFile | None = None
    """File with the password of `user`."""
    ca: Path | None = None
    """Certificates that the broker must be of; needed for `mqtt` with `tls`."""
    certificate: Path | None = None
    """The collector's own certificate for the broker, with `key`."""
    key: SecretFile | None = None
    """Its private key."""

    def doubts(self) -> Iterator[Problem]:
        """Open beyond this machine only with TLS."""
        if not is_loopback(self.host) and not self.tls:
            yield Problem("host", "settings.needs_tls", {"address": self.host})
        for name in ("ca", "certificate"):
            path = getattr(self, name)
            if path is not None:
                yield from look_for(path, name)
        if self.mode == "mqtt" and self.tls and self.ca is None:
            yield Problem("tls", "settings.needs", {"what": "tls = true", "needed": "ca"})
        if (self.certificate is None) != (self.key is None):
            given, needed = ("key", "certificate") if self.certificate is None else ("certificate", "key")
            yield Problem(given, "settings.needs", {"what": given, "needed": needed})


class AgentsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `agents add` writes into the small file of a PC: how the broker is reached from out there."""

    host: str = "127.0.0.1"
    """The broker's name or address as PCs reach it."""
    port: Port | None = None
    """The port as PCs reach it; without it the broker's own."""
    tls: bool | None = None
    """Whether PCs speak TLS; without it as the broker does. There is no other way beyond this machine."""


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pages are."""

    host: str = "127.0.0.1"
    """Where the pages listen. They ask nobody's name: beyond this machine only behind a proxy that does."""
    port: PortOrAny = 8080
    """Their port; 0 lets the system choose one."""
    base_url: str = ""
    """How people reach the pages, for the links in mails; without it `http://host:port`."""

    @property
    def links_url(self) -> str:
        """Where the links in mails lead to."""
        return self.base_url or f"http://{self.host}:{self.port}"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where time series go: SQLite beside the journal, or a server that speaks the InfluxDB v2 write API."""

    kind: Literal["sqlite", "influx"] = "sqlite"
    """`sqlite` beside the journal, or `influx`: VictoriaMetrics or InfluxDB 2, by its v2 write API."""
    url: str = ""
    """Where that server is."""
    org: str = ""
    """Its organisation (InfluxDB 2)."""
    bucket: str = "sansang"
    """Its bucket (InfluxDB 2)."""
    token_file: SecretFile | None = None
    """File with its token."""
    raw_days: Annotated[int, msgspec.Meta(ge=1, le=3660)] = 30
    """How many days SQLite keeps every reading; of older ones it keeps a row for each hour."""

    def doubts(self) -> Iterator[Problem]:
        """A server needs an address."""
        if self.kind == "influx" and not self.url.startswith(("http://", "https://")):
            yield Problem("url", "settings.needs", {"what": 'kind = "influx"', "needed": 'url = "http://…"'})


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When people are told."""

    hold_off_s: Annotated[Seconds, msgspec.Meta(ge=0, le=86400)] = 300.0
    """How long a problem lasts before anybody is told."""
    clear_after_s: Annotated[Seconds, msgspec.Meta(ge=0, le=86400)] = 180.0
    """How long a room is well before the problem counts as over."""
    reminder_s: Annotated[Seconds, msgspec.Meta(ge=60, le=30 * 86400)] = 86400.0
    """After how long without news a reminder is sent."""
    grace_s: Annotated[Seconds, msgspec.Meta(ge=0, le=86400)] = 120.0
    """How long after its own start, or after the broker came back, the collector believes nobody to be lost."""
    silent_after_s: Annotated[Seconds, msgspec.Meta(ge=2, le=86400)] = 180.0
    """How long an agent may say nothing before it counts as lost; at least some ticks of its plan."""
    gather_s: Annotated[Seconds, msgspec.Meta(ge=0, le=3600)] = 90.0
    """How long a letter waits for those about rooms near it, when several are in trouble at once: they leave as one
    mail.
    """
    review_every_s: Annotated[Seconds, msgspec.Meta(ge=0.2, le=300)] = 5.0
    """How often all rooms are judged."""


class OperatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who operates the collector: they are told when it cannot do its work, and every day that it does, which proves
    that mail leaves.
    """

    mail: tuple[str, ...] = ()
    """Their addresses, or `Name <address>`."""
    daily_at: str = "06:30"
    """When the daily mail comes, Vietnam time."""

    def doubts(self) -> Iterator[Problem]:
        """Addresses, and a time of day."""
        for place, one in enumerate(self.mail):
            if not is_address(one):
                yield no_address(f"mail[{place}]", one)
        if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", self.daily_at) is None:
            expected = Phrase("expect.time_of_day", {})
            yield Problem("daily_at", "settings.expected", {"expected": expected, "got": repr(self.daily_at)})

    def recipients(self, language: Language) -> tuple[Recipient, ...]:
        """Each of them, as alerting knows people."""
        named = (parseaddr(one) for one in self.mail)
        return tuple(Recipient(address=address, name=name, language=language) for name, address in named)


Ssid = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class ReflectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to test packets of agents (STAMP, RFC 8762), and streams to them. Off unless told otherwise.

    All keys are derived from the secret, which a reflector on another host needs a copy of; the collector makes one in
    its folder. `ssids` may speak unsigned: measuring equipment that cannot sign. A packet is answered by one as long.
    """

    enabled: bool = False
    """Whether the collector answers test packets."""
    host: str = "0.0.0.0"  # noqa: S104 - agents are everywhere; only signed packets are answered
    """Where it listens: everywhere, since only signed packets are answered."""
    port: PortOrAny = 862
    """Its UDP port. One below 1024 needs rights that the unit of the collector does not hold."""
    secret_file: SecretFile | None = None
    """The secret of which all keys are made; without it one in `data_dir`, made when a plan first needs it."""
    ssids: tuple[Ssid, ...] = ()
    """Session ids of equipment that may speak unsigned."""
    revoked: tuple[Id, ...] = ()
    """Agents whose keys are at an end, for a reflector on a host of its own; the collector's asks the registry."""
    packets_per_s: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 20_000.0
    """The most packets answered, of all sources together."""
    packets_per_s_per_source: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 5000.0
    """The most answered of one source."""
    streams_at_once: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8
    """The most streams sent at one time."""
    stream_most_bps: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 20e6
    """The fastest stream sent."""
    stream_agent_bytes_per_day: Annotated[Size, msgspec.Meta(ge=0, le=1 << 40)] = 64 << 20
    """The most streamed to one agent in a day."""
    stream_bytes_per_hour: Annotated[Size, msgspec.Meta(ge=0, le=1 << 50)] = 4 << 30
    """The most streamed to all in an hour."""


class CollectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    data_dir: Path | None = None
    """Where everything is kept; without it where systemd says, or `/var/lib/sansang-collector`."""
    language: Language = "vi"
    """Of sentences, and of mails to operators."""
    database: str = ""
    """SQLAlchemy URL of the registry, incidents and letters; without it SQLite in `data_dir`."""
    journal_max_bytes: Annotated[Size, msgspec.Meta(ge=64 << 20, le=1 << 40)] = 16 << 30
    """How large the journal may grow. What every store has goes first; when nothing can go, agents keep the rest."""
    plans: Path | None = None
    """Folder of plans: `default.toml`, and `<room>.toml` for a room that differs. It must be there."""
    secrets: SecretFile | None = None
    """File with the passwords of devices that plans name."""
    profiles: Path | None = None
    """File that replaces the built-in profiles of lessons."""
    broker: BrokerSettings = BrokerSettings()
    agents: AgentsSettings = AgentsSettings()
    web: WebSettings = WebSettings()
    store: StoreSettings = StoreSettings()
    mail: MailSettings = MailSettings()
    alerts: AlertSettings = AlertSettings()
    operators: OperatorSettings = OperatorSettings()
    reflector: ReflectorSettings = ReflectorSettings()

    def doubts(self) -> Iterator[Problem]:
        """Folders and files that must be there, and PCs that must be told of TLS where the broker speaks it."""
        if self.broker.tls and not self.agents_tls:
            yield Problem(
                "agents.tls", "settings.needs", {"what": "[broker] tls = true", "needed": "[agents] tls = true"}
            )
        if not is_loopback(self.agents.host) and not self.agents_tls:
            yield Problem("agents.host", "settings.needs_tls", {"address": self.agents.host})
        if self.plans is not None:
            missing = list(look_for(self.plans, "plans", is_folder=True))
            yield from missing
            if self.secrets is not None and not missing and self.plans.samefile(self.secrets.parent):
                yield Problem("secrets", "settings.secrets_among_plans", {"folder": self.plans})
        if self.profiles is not None:
            yield from look_for(self.profiles, "profiles")

    @property
    def agents_port(self) -> int:
        """The broker's port as PCs reach it."""
        return self.broker.port if self.agents.port is None else self.agents.port

    @property
    def agents_tls(self) -> bool:
        """Whether PCs speak TLS."""
        return self.broker.tls if self.agents.tls is None else self.agents.tls

    @property
    def folder(self) -> Path:
        """Where data is kept: as set, else where the service manager says, else the usual place."""
        if self.data_dir is not None:
            return self.data_dir
        if state := os.environ.get("STATE_DIRECTORY"):
            return Path(state.split(":")[0])
        return Path("/var/lib/sansang-collector")


def load_settings(path: Path | None) -> CollectorSettings:
    """The settings in a file; all defaults without one. Raises SettingsError with every problem."""
    return CollectorSettings() if path is None else load_toml(path, CollectorSettings)
