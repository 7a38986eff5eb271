"""Takes a plan whole or refuses it whole, and keeps the last good one on disk."""

import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.keyring import Keyring
from agent.probe import Probe, is_in_hours_only
from contract.plan import Plan, look_at_plan
from contract.secret import references
from contract.settings import Phrase, Problem, SettingsError

LoadProbe = Callable[[str, Mapping[str, object]], Probe]
"""Makes a probe of its name and settings; raises SettingsError."""


class Orders(NamedTuple):
    """A plan with its probes made, place by place, and its fingerprint."""

    plan: Plan
    probes: tuple[Probe, ...]
    fingerprint: str


_EXAMPLE_HOURS = 'hours = ["23:00-05:00"]'
NO_ORDERS = Orders(Plan(tick_s=60.0, profile="", backlog_bps=64_000.0, jobs=()), (), "")


def read_orders(
    payload: bytes,
    load: LoadProbe,
    *,
    source: str,
    toml: bool = False,
    keyring: Keyring = Keyring(),  # noqa: B008 - a frozen value
) -> Orders:
    """The orders in a plan's text, JSON as it travels or TOML as people write it. Raises SettingsError.

    The probes have the secrets that the plan names, the plan's jobs have only the names.
    """
    try:
        raw = (
            tomllib.loads(payload.decode("utf-8-sig")) if toml else msgspec.json.decode(payload, type=dict[str, object])
        )
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        code = "settings.not_toml" if toml else "settings.not_json"
        raise SettingsError(source, [Problem("", code, {"reason": error})]) from error
    plan, problems = look_at_plan(raw, source=source)
    revealed, doubts = keyring.reveal(plan.jobs)
    problems += doubts
    probes: list[Probe] = []
    measured: set[tuple[str, str]] = set()
    for job in revealed:
        if any(references(job)):
            continue  # it lacks a secret, which is said already
        where = f"probe[{job.place}]"
        try:
            probe = load(job.probe, job.settings)
        except SettingsError as error:
            problems += [one._replace(where=f"{where}.{one.where}" if one.where else where) for one in error.problems]
            continue
        probes.append(probe)
        facts: dict[str, object]
        if is_in_hours_only(probe) and not job.hours.windows:
            problems.append(Problem(f"{where}.hours", "settings.needs", {"what": job.probe, "needed": _EXAMPLE_HOURS}))
        elif probe.longest_s > job.every_s and not job.hours.windows:
            facts = {"longest": _seconds(probe.longest_s), "every": _seconds(job.every_s)}
            problems.append(Problem(f"{where}.every_s", "settings.slower_than_its_turn", facts))
        if "target" not in job.settings and (job.probe, probe.target) in measured:
            facts = {"probe": job.probe, "target": probe.target}
            problems.append(Problem(f"{where}.target", "settings.duplicate_target", facts))
        measured.add((job.probe, probe.target))
    if problems:
        raise SettingsError(source, problems)
    return Orders(plan, tuple(probes), fingerprint_of(payload))


def fingerprint_of(payload: bytes) -> str:
    """What tells one plan's text from another, in twelve letters."""
    return hashlib.sha256(payload).hexdigest()[:12]


def _seconds(number: float) -> Phrase:
    return Phrase("plain.seconds", {"number": f"{number:g}"})


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # a plan may hold secrets in clear text


class PlanFile:
    """The last good plan, kept beside the spool so that a PC that starts without a link knows what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        """The plan kept, or None."""
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def keep(self, payload: bytes) -> None:
        """Replace it in one step. Raises OSError."""
        draft = self._path.with_suffix(".draft")
        with open(draft, "wb", opener=_open_private) as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name and no content
        draft.replace(self._path)
