"""What the collector tells an agent to do: probes, their targets, and how often.

An agent refuses a plan whole when any part is invalid, and goes on with the one it has.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec

from contract import names
from contract.hours import Hours, Window, cover_the_week, find_zone, parse_window
from contract.settings import Phrase, Problem, Seconds, SettingsError, build

DAILY_BYTES: Final = 200_000_000
"""What a room may use of its line in a day where its plan says nothing else."""
Interval = Annotated[Seconds, msgspec.Meta(ge=1, le=86400)]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One probe with its settings, every so often. `settings` are the probe's own, checked by the agent that has it."""

    probe: str
    every_s: float
    settings: dict[str, object]
    place: int = 0
    """Where it stands in the plan, for the sentence about what is wrong with it."""
    in_lessons: bool = False
    """Whether a test that loads the line may run during a lesson too."""
    hours: Hours = Hours()
    """Where there are any: it is taken once in each, and `every_s` says nothing."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one agent does.

    `backlog_bps` is the share of the line that old records may take, and `quiet_hours` is when they take none.
    """

    tick_s: float
    profile: str
    backlog_bps: float
    jobs: tuple[Job, ...]
    quiet_hours: Hours = Hours()
    daily_bytes: int | None = None
    """What may cross the line in one day of the plan's time zone, headers and all; None before there is a plan."""
    time_zone: ZoneInfo | None = None


class _WrittenPlan(msgspec.Struct, frozen=True, kw_only=True):
    tick_s: Interval = 60.0
    profile: str = "zoom-720p"
    backlog_bps: Annotated[float, msgspec.Meta(ge=1000, le=1e9)] = 64_000.0
    quiet_hours: tuple[str, ...] = ()
    time_zone: str = "Asia/Ho_Chi_Minh"
    daily_bytes: Annotated[int, msgspec.Meta(ge=5_000_000, le=10**12)] = DAILY_BYTES
    probe: tuple[dict[str, object], ...] = ()


class _WrittenJob(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{1,31}\Z", description=names.PROBE_RULE)]
    every_s: Interval
    in_lessons: bool = False
    hours: tuple[str, ...] = ()


def look_at_plan(raw: Mapping[str, object], *, source: str) -> tuple[Plan, list[Problem]]:
    """The plan in a parsed table (TOML on disk, JSON on the wire; docs/protocol.md), as far as it can be read, and what
    is wrong with it as far as that shows without knowing the probes: each reader has more to check.

    Each `[[probe]]` holds `name`, `every_s` (a multiple of `tick_s`, which it is by default) or `hours`, and the
    probe's own settings. Raises SettingsError where nothing can be read.
    """
    written = build(raw, _WrittenPlan, source=source)
    problems: list[Problem] = []
    zone = find_zone(written.time_zone)
    if zone is None:
        problems.append(_unexpected("time_zone", "expect.time_zone", written.time_zone))
    jobs = tuple(_jobs(written, zone, source, problems))
    problems.extend(_repeated_targets(jobs))
    plan = Plan(
        tick_s=written.tick_s,
        profile=written.profile,
        backlog_bps=written.backlog_bps,
        jobs=jobs,
        quiet_hours=_quiet_hours(written, zone, problems),
        daily_bytes=written.daily_bytes,
        time_zone=zone,
    )
    return plan, problems


def _quiet_hours(written: _WrittenPlan, zone: ZoneInfo | None, problems: list[Problem]) -> Hours:
    hours = _hours(written.quiet_hours, zone, "quiet_hours", problems)
    if cover_the_week(hours.windows):
        problems.append(Problem("quiet_hours", "settings.always_quiet", {}))
    return hours


def _hours(texts: Iterable[str], zone: ZoneInfo | None, where: str, problems: list[Problem]) -> Hours:
    windows: list[Window] = []
    for place, text in enumerate(texts):
        window = parse_window(text)
        if window is None:
            problems.append(_unexpected(f"{where}[{place}]", "expect.hours", text))
        else:
            windows.append(window)
    return Hours(tuple(windows), zone)


def _unexpected(where: str, expected: str, got: str) -> Problem:
    return Problem(where, "settings.expected", {"expected": Phrase(expected, {}), "got": repr(got)})


def _jobs(written: _WrittenPlan, zone: ZoneInfo | None, source: str, problems: list[Problem]) -> Iterator[Job]:
    for place, table in enumerate(written.probe):
        where = f"probe[{place}]"
        head: dict[str, object] = {
            "every_s": written.tick_s,
            **{key: table[key] for key in _OURS if key in table},
        }
        try:
            job = build(head, _WrittenJob, source=source)
        except SettingsError as error:
            problems.extend(problem._replace(where=f"{where}.{problem.where}") for problem in error.problems)
            continue
        if job.hours and "every_s" in table:
            problems.append(Problem(f"{where}.hours", "settings.hours_and_every", {}))
        turns = job.every_s / written.tick_s
        if abs(turns - round(turns)) > 1e-9:  # noqa: PLR2004 - float noise of "1.5" and the like
            facts = {"value": Phrase("plain.seconds", {"number": f"{job.every_s:g}"}),
                     "tick": Phrase("plain.seconds", {"number": f"{written.tick_s:g}"})}  # fmt: skip
            problems.append(Problem(f"{where}.every_s", "settings.not_a_multiple", facts))
        settings = {key: value for key, value in table.items() if key not in _OURS}
        yield Job(
            probe=job.name,
            every_s=job.every_s,
            settings=settings,
            place=place,
            in_lessons=job.in_lessons,
            hours=_hours(job.hours, zone, f"{where}.hours", problems),
        )


_OURS: Final = ("name", "every_s", "in_lessons", "hours")
"""What a plan says of any probe; the rest are the probe's own settings."""


def _repeated_targets(jobs: tuple[Job, ...]) -> Iterator[Problem]:
    seen: set[tuple[str, object]] = set()
    for job in jobs:
        target = job.settings.get("target")
        if isinstance(target, str) and names.is_target(target):
            if (job.probe, target) in seen:
                facts = {"probe": job.probe, "target": target}
                yield Problem(f"probe[{job.place}].target", "settings.duplicate_target", facts)
            seen.add((job.probe, target))
