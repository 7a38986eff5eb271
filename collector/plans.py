"""Reads the plans that an operator wrote, one file for a room or for all, and turns them into what agents get."""

import difflib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from collector.rooms.registry import Room
from contract.plan import Plan, look_at_plan
from contract.secret import Secret, clear_secrets, look_at_references, read_secrets, references
from contract.settings import Problem, SettingsError, SeveralFilesWrong, read_toml
from contract.stamp import derive_key
from readiness.profile import Profile

log = logging.getLogger(__name__)

DEFAULT_NAME: Final = "default"
_REFLECTED: Final = frozenset({"stamp", "sufficiency", "throughput"})
"""Probes that need a reflector, and a key for it."""
_BY_PROFILE: Final = frozenset({"sufficiency", "link"})
"""Probes of which the room's profile says something."""


class WrittenPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its text on the wire (JSON)."""

    plan: Plan
    payload: bytes


def load_plans(
    folder: Path | None, profiles: Iterable[str] | None, rooms: Iterable[Room] | None = None
) -> dict[str, WrittenPlan]:
    """All plans of a folder by name: `default.toml`, and `<room>.toml` for a room that differs. None: no plans at all.

    Raises SettingsError with the problems of every file; an unknown profile is one, and a name that belongs to none of
    `rooms`, where these are given: what is written for a room must not be lost to a slip of the pen.
    Without `profiles` any is known.
    """
    if folder is None:
        return {}
    plans: dict[str, WrittenPlan] = {}
    errors: list[SettingsError] = []
    known = None if profiles is None else tuple(profiles)
    named = None if rooms is None else {name for room in rooms for name in (room.room, room.plan) if name}
    for path in sorted(folder.glob("*.toml")):
        problems = [] if named is None else list(_look_at_name(path.stem, named))
        try:
            plans[path.stem] = read_plan_file(path, known)
        except SettingsError as error:
            problems += error.problems
        if problems:
            errors.append(SettingsError(str(path), problems))
    SeveralFilesWrong.raise_any(errors)
    return plans


def _look_at_name(name: str, named: Collection[str]) -> Iterator[Problem]:
    if name == DEFAULT_NAME or name in named:
        return
    near = difflib.get_close_matches(name, [*named, DEFAULT_NAME], n=1)
    if near:
        yield Problem("", "registry.plan_of_no_room_near", {"room": name, "nearest": f"{near[0]}.toml"})
    else:
        yield Problem("", "registry.plan_of_no_room", {"room": name})


def read_plan_file(path: Path, profiles: tuple[str, ...] | None) -> WrittenPlan:
    """One plan file, as TOML. Raises SettingsError."""
    raw = read_toml(path)
    plan, problems = look_at_plan(raw, source=str(path))
    if profiles is not None and plan.profile not in profiles:
        facts = {"expected": ", ".join(profiles), "got": repr(plan.profile)}
        problems.append(Problem("profile", "settings.unknown_profile", facts))
    problems += look_at_references(plan.jobs)
    if problems:
        raise SettingsError(str(path), problems)
    return WrittenPlan(plan=plan, payload=msgspec.json.encode(raw, order="sorted"))


def plan_for(room: str, named: str, plans: Mapping[str, WrittenPlan]) -> WrittenPlan | None:
    """The plan of a room: the one that the registry names for it, else its own, else the default one, else none."""
    return plans.get(named) or plans.get(room) or plans.get(DEFAULT_NAME)


def load_secrets(path: Path | None) -> dict[str, Secret]:
    """The secrets at the centre, by name. Raises SettingsError."""
    return {} if path is None else read_secrets(path)


def remarks(plans: Mapping[str, WrittenPlan], secrets: Mapping[str, Secret]) -> Iterator[tuple[str, Problem]]:
    """What an operator should know of the secrets in each plan, though nothing is wrong: the plan's name first."""
    for name, one in plans.items():
        jobs = one.plan.jobs
        if places := clear_secrets(jobs):
            yield name, Problem("", "settings.clear_secret", {"places": ", ".join(places)})
        if missing := sorted({found.name for job in jobs for _, found in references(job)} - secrets.keys()):
            yield name, Problem("", "settings.secrets_not_here", {"names": ", ".join(missing)})


def stamp(folder: Path | None, secrets: Path | None = None) -> tuple[tuple[str, int], ...]:
    """Changes when any plan file does, or the file of secrets: names and times of change."""
    files = [] if folder is None else list(folder.glob("*.toml"))
    files += [secrets] if secrets is not None and secrets.exists() else []
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in files))


class Reach(NamedTuple):
    """Where agents reach the reflector."""

    host: str
    port: int


class Completion:
    """Completes a plan for one agent: what its probes must know to be answered by the reflector, which is the agent's
    own (its key), and what the room's profile says (bitrates, the platforms' servers). What the operator wrote stays.
    """

    def __init__(self, secret: Callable[[], bytes], reach: Reach) -> None:
        """`secret` is asked for with the first plan that needs it."""
        self._ask_secret = secret
        self._secret = b""
        self._reach = reach
        self._known: dict[str, tuple[bytes, Profile, bytes]] = {}

    def payload(self, plan: WrittenPlan, agent: str, profile: Profile) -> bytes:
        """The plan's text for this agent, the same bytes each time as long as nothing changed.

        As the operator wrote it, while the secret cannot be read: the agent refuses what it cannot do, and goes on.
        """
        probes = {job.probe for job in plan.plan.jobs}
        if not probes & (_REFLECTED | _BY_PROFILE):
            return plan.payload
        known = self._known.get(agent)
        if known is not None and known[0] is plan.payload and known[1] is profile:
            return known[2]
        try:
            if probes & _REFLECTED:
                self._secret = self._secret or self._ask_secret()
        except OSError as error:
            log.error("no keys for test packets: %s", error)  # noqa: TRY400 - a disk's refusal, and no fault of ours
            return plan.payload
        raw = msgspec.json.decode(plan.payload, type=dict[str, object])
        tables = msgspec.convert(raw["probe"], list[dict[str, object]])
        raw["probe"] = [self._completed(table, agent) | _of_profile(table, profile) | table for table in tables]
        payload = msgspec.json.encode(raw, order="sorted")
        self._known[agent] = (plan.payload, profile, payload)
        return payload

    def _completed(self, table: dict[str, object], agent: str) -> dict[str, object]:
        more: dict[str, object] = {}
        if table["name"] not in _REFLECTED:
            return more
        if "address" not in table:
            more |= {"address": self._reach.host, "port": self._reach.port}
        if "key" not in table and "ssid" not in table:
            more |= {"key": derive_key(self._secret, agent).hex(), "agent": agent}
        return more


def _of_profile(table: Mapping[str, object], profile: Profile) -> dict[str, object]:
    """What a probe is to measure by the room's kind of lesson."""
    if table["name"] == "sufficiency":
        limits = {limit.metric: limit.degraded or limit.unfit for limit in profile.limits}
        wanted = {"up_bps": limits.get("uplink_bps"), "down_bps": limits.get("downlink_bps")}
        return {name: bps for name, bps in wanted.items() if bps}
    if table["name"] == "link" and profile.servers:
        return {"lesson": list(profile.servers)}
    return {}
