"""Wires the collector and owns its clock: broker, inlet, pipeline, sinks, mailer, pages."""

import contextlib
import logging
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from collector.alerting.health import FOUND_HERE, Health, Look, Sight, Trouble
from collector.alerting.incident import OWN, Change, Incidents, Policy, room_of
from collector.alerting.letter import RoomFacts, Today, compose_daily
from collector.alerting.told import Told
from collector.authority import Authority
from collector.broker import EmbeddedBroker, server_context
from collector.inlet import Arrival, BrokerAccess, Inlet
from collector.line.waiting import Waiting
from collector.mail.desk import Desk
from collector.mail.mailer import ByHand, Mailer
from collector.mail.outbox import Outbox
from collector.media.reflector import ReflectorService, load_secret, secret_path
from collector.outages import SHORT_S, Outage, Outages
from collector.pipeline import Pipeline
from collector.plans import Completion, Reach, WrittenPlan, load_plans, load_secrets, plan_for, stamp
from collector.portrait import Portrait
from collector.rooms.registry import COLLECTOR, Registry, RegistryView, Room
from collector.sealing import Sealing
from collector.settings import AlertSettings, CollectorSettings
from collector.sinks.feeder import Feeder
from collector.sinks.opening import open_sink
from collector.snapshot import Snapshot
from collector.storage.cases import Cases
from collector.storage.database import DatabaseRefused, Engine, open_database, sqlite_url
from collector.storage.recovery import open_journal
from collector.watch import Review, Watch
from collector.web.server import WebServer
from collector.web.site import build_site
from contract import service_manager
from contract.moment import Clock, Moment
from contract.plan import Plan
from contract.secret import Secret
from contract.settings import SettingsError, SeveralFilesWrong, is_loopback, read_toml
from readiness.profile import Profile, default_profiles, read_profiles

log = logging.getLogger(__name__)

JOURNAL_KEEP_S: Final = 2 * 86400.0
_PLANS_EVERY_S: Final = 5.0
_STOPS_WORK: Final = frozenset({"broker_lost", "journal_refuses", "database_refuses"})
"""Problems with which the collector does not do its work; with the others it does, and says so on its pages."""
_LAST_WORK_S: Final = 10.0
_STEP_S: Final = 2.0
"""From here on a jump of our own wall clock is a step, and no slewing."""
_OF_ONE_AGENT: Final = frozenset({"agent_cloned", "agent_floods"})
"""Problems for the pages, of which operators are told by agent."""


class SystemClock:
    """The collector's own two clocks; its wall time is the one that all others are measured by."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(8)

    def now(self) -> Moment:
        """The present instant; the boot is this process's."""
        return Moment(boot=self._boot, mono_s=_mono_s(), wall_s=time.time())


def _mono_s() -> float:
    """Goes on while the machine sleeps, where the system has such a clock: waking up is no step of the wall clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Collector:
    """The whole program. `start` returns once everything runs; `stop` leaves nothing behind, however far it came."""

    def __init__(self, settings: CollectorSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._folder = settings.folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started_s = self._wall_s()
        self._published: dict[str, bytes] = {}
        self._completion = Completion(
            lambda: load_secret(secret_path(settings.reflector, self._folder)),
            Reach(settings.agents.host, settings.reflector.port),
        )
        self._sealing = Sealing()
        self._unsaved: list[Change] = []
        self._unsaved_outages: dict[str, Outage] = {}
        self._stopping = threading.Event()
        self._running = contextlib.ExitStack()  # what `stop` has to take down, the latest first
        self._engine = open_settings_database(settings)
        self._running.callback(self._engine.dispose)
        self._registry = Registry(self._engine)
        self._view = self._registry.view()
        self._plans_seen = self._plans_now()
        try:
            self._profiles, self._plans, self._secrets = load_files(settings, self._view.rooms.values())
        except SettingsError:
            self._running.close()
            raise
        self._outbox = Outbox(self._engine)
        self._cases = Cases(self._engine)
        by_hand = ByHand()
        self._desk = Desk(
            self._outbox,
            self._cases,
            facts_of=self._facts_of,
            sender=settings.mail.sender,
            base_url=settings.web.links_url,
            by_hand=by_hand,
            gather_s=settings.alerts.gather_s,
            is_restless=self._is_restless,
        )
        self._journal, self._journal_problem = open_journal(
            self._folder / "journal.db", self._wall_s(), max_bytes=settings.journal_max_bytes
        )
        self._running.callback(self._journal.close)
        self._broker = self._make_broker()
        self._mailer = Mailer(
            self._outbox,
            settings.mail,
            clock_s=self._wall_s,
            language=settings.language,
            by_hand=by_hand,
            base_url=settings.web.links_url,
        )
        self._snapshot: Snapshot | None = None
        self._thread = threading.Thread(target=self._run_pipeline, name="pipeline")

    def _wall_s(self) -> float:
        return self._clock.now().wall_s

    def _make_broker(self) -> EmbeddedBroker | None:
        chosen = self._settings.broker
        if chosen.mode != "embedded":
            return None
        tls = None
        if chosen.tls or not is_loopback(chosen.host):
            authority = Authority(self._folder / "authority", self._wall_s())
            names, addresses = split_names(["localhost", "127.0.0.1", self._settings.agents.host])
            issued = authority.issue_server(names, addresses)
            tls = server_context(issued.certificate, issued.key)
        return EmbeddedBroker(chosen.host, chosen.port, authenticate=self._knows_token, tls=tls)

    def _is_revoked(self, agent: str) -> bool:
        return self._view.is_revoked(agent)

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
        """Bring everything up, what others rest on first. Raises BrokerError, WebServerError,
        ReflectorError; then call `stop`.
        """
        if self._broker is not None:
            self._broker.start()
            self._running.callback(self._broker.stop)
        self._inlet = Inlet(self._access(), clock_s=self._wall_s)
        sink = open_sink(self._settings.store, self._folder)
        self._feeders = [Feeder(sink, self._journal.reader, folder=self._folder, clock=self._clock)]
        self._pipeline = self._make_pipeline()
        self._portrait = Portrait(
            version=program_version(), started_s=self._started_s, generation=self._pipeline.generation
        )
        if self._journal_problem:
            self._pipeline.problems.add(self._journal_problem)
        self._pipeline.recall(self._wall_s())
        self._web = WebServer(
            build_site(lambda: self._snapshot, self._outbox, ready=self._why_not_ready, now=self._wall_s),
            self._settings.web.host,
            self._settings.web.port,
        )
        self._web.start()
        self._running.callback(self._web.stop)
        if self._settings.reflector.enabled:
            self._reflector = ReflectorService(
                self._settings.reflector,
                load_secret(secret_path(self._settings.reflector, self._folder)),
                is_revoked=self._is_revoked,
            )
            self._reflector.start()
            self._running.callback(self._reflector.stop)
        self._mailer.start()
        self._running.callback(self._mailer.stop)
        for feeder in self._feeders:
            feeder.start()
            self._running.callback(feeder.stop)
        self._thread.start()
        self._running.callback(self._thread.join, _LAST_WORK_S)
        self._inlet.start()
        self._running.callback(self._inlet.stop)
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
        self._running.close()

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

    def _make_pipeline(self) -> Pipeline:
        alerts = self._settings.alerts
        known = self._cases.unfinished(self._wall_s())
        told = self._outbox.told()
        self._health = Health(
            policy=policy_of(alerts),
            operators=self._settings.operators.recipients(self._settings.language),
            daily_at=self._settings.operators.daily_at,
            known=[one for one in known if one.room in OWN],
            told=Told(told.all()),
        )
        watch = Watch(
            profiles=self._profiles,
            policy=policy_of(alerts),
            incidents=Incidents(policy_of(alerts), [one for one in known if one.room not in OWN]),
            told=told,
            silent_after_s=alerts.silent_after_s,
            outages=Outages(self._cases.unsettled_outages(self._wall_s()), short_s=min(SHORT_S, alerts.hold_off_s)),
        )
        return Pipeline(
            journal=self._journal,
            answers=self._inlet,
            view=self._registry_view,
            plan_of=self._plan_of,
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
        except DatabaseRefused:
            log.exception("the registry cannot be read; going on with what is known of it")
        return self._view

    def _plan_of(self, room: Room) -> Plan | None:
        found = plan_for(room.room, room.plan, self._plans)
        return found.plan if found is not None else None

    # What runs.

    def _run_pipeline(self) -> None:
        every_s = self._settings.alerts.review_every_s
        watchdog_s = service_manager.watchdog_every_s()
        reviewed_s = planned_s = reported_s = float("-inf")
        before = self._clock.now()
        waiting = Waiting(self._inlet.arrivals)
        while not self._stopping.is_set() and not self._journal.damage:  # a damaged journal is mended by a new start
            due_s = max(0.0, reviewed_s + every_s - self._clock.now().mono_s)
            self._take(waiting.gather(min(1.0, due_s)))
            now = self._clock.now()
            step_s = (now.wall_s - before.wall_s) - (now.mono_s - before.mono_s)
            before = now
            if abs(step_s) > _STEP_S:
                self._pipeline.clock_stepped(step_s, now.wall_s)
                self._health.clock_stepped(step_s, now.wall_s)
            if now.mono_s - planned_s >= _PLANS_EVERY_S:
                planned_s = now.mono_s
                self._publish_plans()
            if now.mono_s - reviewed_s >= every_s:
                reviewed_s = now.mono_s
                self._pipeline.review(now.wall_s)
            if watchdog_s is not None and now.mono_s - reported_s >= watchdog_s:
                reported_s = now.mono_s
                service_manager.notify("WATCHDOG=1")
        self._take(waiting.gather(0.0))

    def _take(self, arrivals: list[Arrival]) -> None:
        if arrivals:
            self._pipeline.handle(arrivals, self._wall_s())
            for feeder in self._feeders:
                feeder.wake()

    def _on_review(self, review: Review, now: float) -> None:
        """Steps 10 to 12 of the line meet the disk here: incidents and letters are stored before anything is sent."""
        watch = self._pipeline.watch
        look = self._look_at_ourselves(now)
        self._desk.owe(review.notices, watch.told, now)
        self._desk.owe(look.notices, self._health.told, now)
        self._unsaved += (*review.changes, *look.changes)
        try:
            if self._unsaved:
                self._cases.save(self._unsaved)
                self._unsaved.clear()
            self._unsaved_outages |= {one.outage: one for one in review.outages}
            if self._unsaved_outages:
                self._cases.save_outages(self._unsaved_outages.values())
                self._unsaved_outages.clear()
            if self._desk.write(now):
                self._mailer.wake()
            if look.dailies and not self._pipeline.doubt(now).is_settling:
                self._write_dailies(look, review, now)
                self._mailer.wake()
        except DatabaseRefused:
            # Nothing is forgotten: changes and letters wait here.
            log.exception("incidents or letters cannot be stored")
            self._pipeline.problems.add("database_refuses")
            self._desk.hand_over_own(now)
            self._mailer.wake()
        else:
            self._pipeline.problems.discard("database_refuses")
        news = self._outbox.news()
        watch.told.update(news)
        self._health.told.update(news)
        self._snapshot = self._portrait.take(
            self._pipeline,
            now,
            cases=self._cases,
            post=self._outbox,
            feeders=self._feeders,
            journal=self._journal,
            changed=[
                *(change.incident.room for change in review.changes),
                *(one.room for one in review.outages),
                *(room_of(one.incident) for one in news),
            ],
            mail_proved_s=self._health.proof(now).proved_s,
        )

    def _look_at_ourselves(self, now: float) -> Look:
        """What is wrong with the collector itself, which the pages show at once and operators hear of if it lasts."""
        problems = self._pipeline.problems
        sight = Sight(
            is_fed=not any(feeder.view.trouble and feeder.view.behind_count for feeder in self._feeders),
            unheeded_since_s=self._outbox.unheeded_since_s(),
            sends_mail=self._settings.mail.mode == "smtp",
        )
        problems -= FOUND_HERE
        problems |= self._health.problems(sight, now)
        troubles = [self._health.trouble(code) for code in problems - _OF_ONE_AGENT]
        cloned = self._pipeline.cloned_agents
        troubles += (Trouble("agent_cloned", agent) for agent in cloned)
        troubles += (Trouble("agent_restored", agent) for agent in self._pipeline.restored_agents(now))
        troubles += (Trouble("agent_floods", agent) for agent in self._pipeline.flooding_agents)
        books = self._pipeline.books.items()
        troubles += (
            Trouble("plan_refused", agent, note=self._told_of(agent, book.trouble, now))
            for agent, book in books
            if book.trouble and agent not in cloned
        )
        present = {one.address for contacts in self._view.contacts.values() for one in contacts if one.until_s is None}
        present.update(one.address for one in self._health.operators)
        troubles += (Trouble("recipient_refused", who) for who in self._outbox.refused_addresses() if who in present)
        return self._health.look(troubles, now)

    def _write_dailies(self, look: Look, review: Review, now: float) -> None:
        today = Today(
            rooms=Counter(verdict.level for verdict in review.verdicts.values()),
            waiting_count=self._outbox.waiting_count(),
            refused_count=self._outbox.refused_count(),
            findings=look.findings,
        )
        for daily in look.dailies:
            message = compose_daily(
                daily.recipient,
                today,
                sender=self._settings.mail.sender,
                now=now,
                base_url=self._settings.web.links_url,
                at=self._settings.operators.daily_at,
                missing_at=self._health.missing_at,
            )
            self._outbox.put(daily, message, now)
            self._health.told.queue(daily, now)

    def _told_of(self, agent: str, words: str, now: float) -> str:
        """The first line of what an agent says is wrong, after the room where it stands."""
        room = self._view.room_of(agent, now)
        line = words.partition("\n")[0]
        return f"{room.name} ({room.room}): {line}" if room else line

    def _facts_of(self, name: str) -> RoomFacts:
        room = self._view.rooms.get(name)
        return RoomFacts(
            room=name,
            name=room.name if room else name,
            place=room.place if room else (),
            contacts=self._pipeline.watch.recipients_of(name),
            silence=outage.explanation if (outage := self._pipeline.watch.outages.of(name)) is not None else None,
        )

    def _is_restless(self, room: str, now: float) -> bool:
        return self._pipeline.watch.is_restless(room, now, self._settings.alerts.gather_s)

    def _publish_plans(self) -> None:
        """Leave every agent the plan of its room; again after each connect, since the broker remembers nothing."""
        self._reload_plans()
        if not self._pipeline.broker_connected:
            self._published.clear()
            return
        for agent, one in self._view.agents.items():
            room = self._view.rooms.get(one.room or "")
            plan = plan_for(room.room, room.plan, self._plans) if room is not None else None
            if room is None or plan is None:
                continue
            payload = self._completion.payload(plan, agent, self._pipeline.watch.profile_of(room, plan.plan))
            payload = self._sealing.payload(payload, self._secrets, agent, one.token_sha256)
            if self._published.get(agent) != payload:
                self._inlet.publish_plan(agent, payload)
                self._published[agent] = payload

    def _plans_now(self) -> tuple[object, ...]:
        """Changes when plans must be read anew: with their files, and with the rooms after which these are named."""
        return self._view.version, stamp(self._settings.plans, self._settings.secrets)

    def _reload_plans(self) -> None:
        seen = self._plans_now()
        if seen == self._plans_seen:
            return
        self._plans_seen = seen
        try:
            files = load_files(self._settings, self._view.rooms.values(), self._profiles)
            self._plans, self._secrets = files.plans, files.secrets
            self._pipeline.problems.discard("plans_wrong")
        except SettingsError as error:
            self._pipeline.problems.add("plans_wrong")
            log.error("the plans on disk are wrong, going on with those in force:\n%s", error)  # noqa: TRY400 - an operator's slip

    def _why_not_ready(self) -> tuple[str, ...]:
        """What keeps us from our work, for /readyz."""
        problems = self._pipeline.problems & _STOPS_WORK
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


class Files(NamedTuple):
    """What stands in files of an operator's beside the settings, by name."""

    profiles: dict[str, Profile]
    plans: dict[str, WrittenPlan]
    secrets: dict[str, Secret]


def load_files(
    settings: CollectorSettings, rooms: Iterable[Room] | None, profiles: dict[str, Profile] | None = None
) -> Files:
    """Profiles (those given, where these are in force), plans and secrets; a plan's file is named after one of `rooms`.

    Raises SettingsError with the problems of all files.
    """
    errors: list[SettingsError] = []
    plans: dict[str, WrittenPlan] = {}
    secrets: dict[str, Secret] = {}
    try:
        profiles = profiles or load_profiles(settings.profiles)
    except SettingsError as error:
        errors.append(error)
    try:
        plans = load_plans(settings.plans, profiles, rooms)
    except SettingsError as error:
        errors.append(error)
    try:
        secrets = load_secrets(settings.secrets)
    except SettingsError as error:
        errors.append(error)
    SeveralFilesWrong.raise_any(errors)
    return Files(profiles or {}, plans, secrets)


def load_profiles(path: Path | None) -> dict[str, Profile]:
    """The built-in profiles, or those of a file. Raises SettingsError."""
    if path is None:
        return default_profiles()
    return read_profiles(read_toml(path), source=str(path))


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
