"""Reads the plans that an operator wrote, one file for a room or for all, and turns them into what agents get."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from contract.plan import Plan, look_at_plan
from contract.settings import Problem, SettingsError, read_toml

DEFAULT_NAME: Final = "default"


class WrittenPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its text on the wire (JSON)."""

    plan: Plan
    payload: bytes


def load_plans(folder: Path | None, profiles: Iterable[str]) -> dict[str, WrittenPlan]:
    """All plans of a folder by name: `default.toml`, and `<room>.toml` for a room that differs. None: no plans at all.

    Raises SettingsError with the problems of every file; an unknown profile is one.
    """
    if folder is None:
        return {}
    problems: list[str] = []
    plans: dict[str, WrittenPlan] = {}
    known = tuple(profiles)
    for path in sorted(folder.glob("*.toml")):
        try:
            plans[path.stem] = read_plan_file(path, known)
        except SettingsError as error:
            problems.append(str(error))
            failed = error
    if problems:
        if len(problems) == 1:
            raise failed
        raise SettingsError(str(folder), [Problem("", "settings.several_files", {"all": "\n".join(problems)})])
    return plans


def read_plan_file(path: Path, profiles: tuple[str, ...]) -> WrittenPlan:
    """One plan file, as TOML. Raises SettingsError."""
    raw = read_toml(path)
    plan, problems = look_at_plan(raw, source=str(path))
    if plan.profile not in profiles:
        facts = {"expected": ", ".join(profiles), "got": repr(plan.profile)}
        problems.append(Problem("profile", "settings.unknown_profile", facts))
    if problems:
        raise SettingsError(str(path), problems)
    return WrittenPlan(plan=plan, payload=msgspec.json.encode(raw, order="sorted"))


def plan_for(room: str, named: str, plans: Mapping[str, WrittenPlan]) -> WrittenPlan | None:
    """The plan of a room: the one that the registry names for it, else its own, else the default one, else none."""
    return plans.get(named) or plans.get(room) or plans.get(DEFAULT_NAME)


def stamp(folder: Path | None) -> tuple[tuple[str, int], ...]:
    """Changes when any plan file does: names and times of change."""
    if folder is None:
        return ()
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.toml")))
