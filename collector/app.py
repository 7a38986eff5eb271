"""Wires the collector and owns its clock: broker, inlet, pipeline, sinks, mailer, pages."""

import logging
import secrets
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from collector.alerting.incident import Incidents, Policy
from collector.alerting.letter import RoomFacts, compose
from collector.authority import Authority
from collector.broker import EmbeddedBroker, server_context
from collector.cases import Cases
from collector.database import open_database, sqlite_url
from collector.inlet import BrokerAccess, Inlet
from collector.journal import Journal
from collector.mail import Mailer
from collector.outbox import Outbox
from collector.pipeline import Pipeline, gather
from collector.plans import WrittenPlan, load_plans, plan_for, stamp
from collector.portrait import Portrait
from collector.registry import COLLECTOR, Registry, RegistryView
from collector.settings import AlertSettings, CollectorSettings, StoreSettings
from collector.sinks.feeder import Feeder
from collector.sinks.sink import Sink
from collector.sinks.sqlite import SqliteSink
from collector.snapshot import Snapshot
from collector.watch import Review, Watch
from collector.web.server import WebServer
from collector.web.site import build_site
from contract import service_manager
from contract.settings import SettingsError, is_loopback
from readiness.profile import Profile, default_profiles, read_profiles

log = logging.getLogger(__name__)

JOURNAL_KEEP_S: Final = 2 * 86400.0
_PLANS_EVERY_S: Final = 5.0


class Collector:
    """The whole program. `start` returns once everything runs; `stop` leaves nothing behind."""

    def __init__(self, settings: CollectorSettings, *, clock_s: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._folder = settings.folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started_s = clock_s()
        self._profiles = load_profiles(settings.profiles)
        self._plans = load_plans(settings.plans, self._profiles)
        self._plans_stamp = stamp(settings.plans)
        self._published: dict[str, bytes] = {}
        self._stopping = threading.Event()
        self._engine = open_settings_database(settings)
        self._registry = Registry(self._engine)
        self._view = self._registry.view()
        self._outbox = Outbox(self._engine)
        self._cases = Cases(self._engine)
        self._journal = Journal(self._folder / "journal.db")
        self._broker = self._make_broker()
        self._mailer = Mailer(self._outbox, settings.mail, clock_s=clock_s)
        self._snapshot: Snapshot | None = None
        self._thread = threading.Thread(target=self._run_pipeline, name="pipeline")

    def _make_broker(self) -> EmbeddedBroker | None:
        chosen = self._settings.broker
        if chosen.mode != "embedded":
            return None
        tls = None
        if chosen.tls or not is_loopback(chosen.host):
            authority = Authority(self._folder / "authority", self._clock_s())
            names, addresses = split_names(["localhost", "127.0.0.1", self._settings.agents.host])
            issued = authority.issue_server(names, addresses)
            tls = server_context(issued.certificate, issued.key)
        return EmbeddedBroker(chosen.host, chosen.port, authenticate=self._knows_token, tls=tls)

    def _knows_token(self, agent: str, token: str) -> bool:
        return self._view.knows_token(agent, token)

    @property
    def web_port(self) -> int:
        """Where the pages are, once started."""
        return self._web.port

    @property
    def broker_port(self) -> int:
        """Where agents connect, once started, when the broker is embedded."""
        return self._broker.port if self._broker else self._settings.broker.port

    def start(self) -> None:
        """Bring everything up, what others rest on first. Raises BrokerError, WebServerError."""
        if self._broker is not None:
            self._broker.start()
        self._inlet = Inlet(self._access(), clock_s=self._clock_s)
        self._feeders = [self._feeder(sink) for sink in self._sinks()]
        self._pipeline = self._make_pipeline()
        self._portrait = Portrait(
            version=program_version(), started_s=self._started_s, generation=self._pipeline.generation
        )
        self._pipeline.recall(self._clock_s())
        self._web = WebServer(
            build_site(lambda: self._snapshot, self._outbox, ready=self._why_not_ready, now=self._clock_s),
            self._settings.web.host,
            self._settings.web.port,
        )
        self._web.start()
        self._mailer.start()
        for feeder in self._feeders:
            feeder.start()
        self._thread.start()
        self._inlet.start()
        service_manager.notify("READY=1")
        log.info("pages on %s, data in %s", self._web.url, self._folder)

    def wait(self) -> bool:
        """Until `stop` is asked for, or the pipeline has ended by itself, which is the one thing that must not be."""
        while not self._stopping.wait(1.0):
            if not self._thread.is_alive():
                log.critical("the pipeline has ended; the service manager starts the program afresh")
                return False
        return True

    def request_stop(self) -> None:
        """Let `wait` return; safe in a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Take everything down: no new arrivals, then what is queued is finished."""
        service_manager.notify("STOPPING=1")
        self._stopping.set()
        self._inlet.stop()
        if self._thread.is_alive():
            self._thread.join(10)
        for feeder in self._feeders:
            feeder.stop()
        self._mailer.stop()
        self._web.stop()
        if self._broker is not None:
            self._broker.stop()
        self._journal.close()
        self._engine.dispose()

    # The parts.

    def _access(self) -> BrokerAccess:
        chosen = self._settings.broker
        if self._broker is not None:
            host, port = self._broker.inside
            return BrokerAccess(host=host, port=port, user=COLLECTOR, password=self._broker.secret)
        password = chosen.password_file.read_text(encoding="utf-8").strip() if chosen.password_file else ""
        return BrokerAccess(
            host=chosen.host,
            port=chosen.port,
            user=chosen.user,
            password=password,
            ca=chosen.ca,
            certificate=chosen.certificate,
            key=chosen.key,
        )

    def _sinks(self) -> list[Sink]:
        store: StoreSettings = self._settings.store
        if store.kind == "sqlite":
            return [SqliteSink(self._folder / "series.db", raw_days=store.raw_days)]
        # Loaded only here: the client library costs 39 MiB.
        from collector.sinks.influx import InfluxSink  # noqa: PLC0415

        token = store.token_file.read_text(encoding="utf-8").strip() if store.token_file else ""
        return [InfluxSink(url=store.url, org=store.org, bucket=store.bucket, token=token)]

    def _feeder(self, sink: Sink) -> Feeder:
        return Feeder(sink, self._journal.reader(), self._folder, clock_s=self._clock_s)

    def _make_pipeline(self) -> Pipeline:
        alerts = self._settings.alerts
        watch = Watch(
            profiles=self._profiles,
            policy=policy_of(alerts),
            incidents=Incidents(policy_of(alerts), self._cases.unfinished(self._clock_s())),
            told=self._outbox.told(),
            live_within_s=alerts.silent_after_s,
            silent_after_s=alerts.silent_after_s,
        )
        return Pipeline(
            journal=self._journal,
            answers=self._inlet,
            view=self._registry_view,
            watch=watch,
            on_review=self._on_review,
            generation=secrets.token_hex(8),
            grace_s=alerts.grace_s,
            keep_s=JOURNAL_KEEP_S,
            fed_id=lambda: min((feeder.fed_id for feeder in self._feeders), default=0),
        )

    def _registry_view(self, last: RegistryView | None) -> RegistryView:
        try:
            self._view = self._registry.view(last)
        except SQLAlchemyError:
            log.exception("the registry cannot be read; going on with what is known of it")
        return self._view

    # What runs.

    def _run_pipeline(self) -> None:
        every_s = self._settings.alerts.review_every_s
        watchdog_s = service_manager.watchdog_every_s()
        reviewed_s = planned_s = reported_s = float("-inf")
        while not self._stopping.is_set():
            due_s = max(0.0, reviewed_s + every_s - time.monotonic())
            arrivals = gather(self._inlet.arrivals, min(1.0, due_s))
            if arrivals:
                self._pipeline.handle(arrivals, self._clock_s())
                for feeder in self._feeders:
                    feeder.wake()
            now = time.monotonic()
            if now - reviewed_s >= every_s:
                reviewed_s = now
                self._pipeline.review(self._clock_s())
            if now - planned_s >= _PLANS_EVERY_S:
                planned_s = now
                self._publish_plans()
            if watchdog_s is not None and now - reported_s >= watchdog_s:
                reported_s = now
                service_manager.notify("WATCHDOG=1")

    def _on_review(self, review: Review, now: float) -> None:
        """Steps 10 to 12 of the line meet the disk here: incidents and letters are stored before anything is sent."""
        watch = self._pipeline.watch
        try:
            if review.changes:
                self._cases.save(review.changes)
            for notice in review.notices:
                facts = self._room_facts(notice.incident.room)
                message = compose(
                    notice, facts, notice.recipient.language, sender=self._settings.mail.sender, now=now,
                    base_url=self._settings.web.base_url,
                )  # fmt: skip
                self._outbox.put(notice, message, now)
        except SQLAlchemyError:
            # Neither incident nor letter is forgotten: both are decided again at the next review.
            log.exception("incidents or letters cannot be stored")
            self._pipeline.problems.add("database_refuses")
        else:
            self._pipeline.problems.discard("database_refuses")
        if review.notices:
            self._mailer.wake()
        watch.told.update(self._outbox.news())
        self._snapshot = self._portrait.take(
            self._pipeline, self._cases, self._outbox, self._feeders, self._journal, now
        )

    def _room_facts(self, room: str) -> RoomFacts:
        found = self._view.rooms.get(room)
        return RoomFacts(room=room, name=found.name if found else room, place=found.place if found else ())

    def _publish_plans(self) -> None:
        """Leave every agent the plan of its room; again after each connect, since the broker remembers nothing."""
        self._reload_plans()
        if not self._pipeline.broker_connected:
            self._published.clear()
            return
        for agent, one in self._view.agents.items():
            plan = plan_for(one.room or "", self._plans) if one.revoked_s is None else None
            if plan is not None and self._published.get(agent) != plan.payload:
                self._inlet.publish_plan(agent, plan.payload)
                self._published[agent] = plan.payload

    def _reload_plans(self) -> None:
        now_stamp = stamp(self._settings.plans)
        if now_stamp == self._plans_stamp:
            return
        self._plans_stamp = now_stamp
        try:
            self._plans: dict[str, WrittenPlan] = load_plans(self._settings.plans, self._profiles)
            self._pipeline.problems.discard("plans_wrong")
        except SettingsError as error:
            self._pipeline.problems.add("plans_wrong")
            log.error("the plans on disk are wrong, going on with those in force:\n%s", error)  # noqa: TRY400 - an operator's slip

    def _why_not_ready(self) -> tuple[str, ...]:
        """What keeps us from our work, for /readyz."""
        problems = set(self._pipeline.problems)
        if not self._pipeline.broker_connected:
            problems.add("broker_lost")
        if not self._thread.is_alive():
            problems.add("pipeline_ended")
        return tuple(sorted(problems))


def split_names(reachable_as: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names, and addresses: a certificate holds them apart."""
    names: list[str] = []
    addresses: list[str] = []
    for one in reachable_as:
        try:
            addresses.append(str(ip_address(one)))
        except ValueError:
            names.append(one)
    return names, addresses


def policy_of(alerts: AlertSettings) -> Policy:
    """When people are told, as the alerting takes it."""
    return Policy(hold_off_s=alerts.hold_off_s, clear_after_s=alerts.clear_after_s, reminder_s=alerts.reminder_s)


def load_profiles(path: Path | None) -> dict[str, Profile]:
    """The built-in profiles, or those of a file. Raises SettingsError."""
    if path is None:
        return default_profiles()
    try:
        raw: Mapping[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError.unreadable(path, error) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError.not_toml(path, error) from error
    return read_profiles(raw, source=str(path))


def open_settings_database(settings: CollectorSettings) -> Engine:
    """The relational database of the settings."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    return open_database(settings.database or sqlite_url(settings.folder / "collector.db"))


def program_version() -> str:
    """The version installed."""
    try:
        return version("sansang")
    except PackageNotFoundError:
        return "0"
