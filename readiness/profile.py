"""What one kind of lesson needs of a room: its devices, its signals, its limits; read from one file."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from contract.names import ROLES, is_probe_name
from contract.settings import Phrase, Problem, Seconds, SettingsError, Size, build
from contract.units import unit_of
from readiness.metrics import METRICS, Metric, Worse

PACKAGED: Final = "profiles.toml"
_LESSON_MIN: Final = 45.0


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a metric makes a room DEGRADED or UNFIT, in the metric's unit; None where it never does.

    `worse` is the bad direction; a figure equal to the limit breaks it when more is worse, and keeps it when less is.
    """

    metric: str
    worse: Worse
    degraded: float | None = None
    unfit: float | None = None
    source: str = ""


class Signal(NamedTuple):
    """Something that must have been measured: by any of some probes, on any target of a role."""

    probes: tuple[str, ...]
    role: str


class Check(NamedTuple):
    """A limit beside the metric that it limits."""

    metric: Metric
    limit: Limit


class Profile(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One kind of lesson. `devices` are roles that it cannot do without: it is UNFIT while none of one role works.

    `signals` are what must have been measured lately for any other verdict than UNKNOWN. `needs_dns` says that no
    lesson begins without name resolution (a codec that dials by address does without). `lesson_min` is how many
    minutes a battery has to last. `calls` are the protocols that a codec may be called by, `sip` and `h323`: one that
    is configured to be registered and is not degrades the room, and makes it UNFIT when `needs_registration`.
    `udp_ports` names the ports that its media need, as whoever opens them is told. `servers` are the meeting platforms'
    own (HOST:PORT, TCP): a plan's `link` probe that names none is given these.
    """

    name: str
    title_vi: str
    title_en: str
    devices: frozenset[str]
    signals: tuple[Signal, ...]
    limits: tuple[Limit, ...]
    lesson_min: float = _LESSON_MIN
    needs_dns: bool = False
    calls: frozenset[str] = frozenset()
    needs_registration: bool = False
    udp_ports: str = ""
    servers: tuple[str, ...] = ()

    def checks(self, probe: str, role: str) -> tuple[Check, ...]:
        """What to judge a probe's values of a target of the role by."""
        found = self._checks.get((probe, role))
        if found is None:
            found = self._checks[probe, role] = tuple(
                Check(metric, limit)
                for limit in self.limits
                if (metric := METRICS[limit.metric]).is_of(probe) and metric.applies_to(role)
            )
        return found

    @functools.cached_property
    def _checks(self) -> dict[tuple[str, str], tuple[Check, ...]]:
        return {}


class _NumberLimit(msgspec.Struct, frozen=True, kw_only=True):
    source: Annotated[str, msgspec.Meta(min_length=1)]
    degraded: float | None = None
    unfit: float | None = None


class _SecondsLimit(msgspec.Struct, frozen=True, kw_only=True):
    source: Annotated[str, msgspec.Meta(min_length=1)]
    degraded: Seconds | None = None
    unfit: Seconds | None = None


class _SizeLimit(msgspec.Struct, frozen=True, kw_only=True):
    source: Annotated[str, msgspec.Meta(min_length=1)]
    degraded: Size | None = None
    unfit: Size | None = None


_WrittenLimit = _NumberLimit | _SecondsLimit | _SizeLimit
_SIGNAL_RULE: Final = 'probes and a role, such as "ping lesson" or "ping|tcp codec"'
_ServerText = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9.-]{1,253}:[1-9][0-9]{0,4}\Z", description="HOST:PORT, such as zoom.us:443")
]
_SignalText = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_|]+ [a-z]+\Z", description=_SIGNAL_RULE)]


class _WrittenProfile(msgspec.Struct, frozen=True, kw_only=True):
    title_vi: Annotated[str, msgspec.Meta(min_length=1)]
    title_en: Annotated[str, msgspec.Meta(min_length=1)]
    signals: tuple[_SignalText, ...]
    devices: tuple[str, ...] = ()
    lesson_min: Annotated[float, msgspec.Meta(gt=0, le=600)] = _LESSON_MIN
    needs_dns: bool = False
    calls: tuple[Literal["sip", "h323"], ...] = ()
    needs_registration: bool = False
    udp_ports: Annotated[str, msgspec.Meta(max_length=300)] = ""
    servers: tuple[_ServerText, ...] = ()
    limits: dict[str, object] = {}


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    profile: dict[str, object]
    common: dict[str, object] = {}


def read_profiles(raw: Mapping[str, object], source: str) -> dict[str, Profile]:
    """The profiles in a parsed file, by name; each takes the limits under `common` and may replace them.

    Raises SettingsError with every problem of the file.
    """
    written = build(raw, _Written, source=source)
    problems: list[Problem] = []
    common = _read_limits(written.common, "common", source, problems)
    profiles = {}
    for name, table in written.profile.items():
        where = f"profile.{name}"
        try:
            one = build(_table(table, source), _WrittenProfile, source=source)
        except SettingsError as error:
            problems.extend(_below(where, problem) for problem in error.problems)
            continue
        problems.extend(_look_at_roles(one, where))
        own = _read_limits(one.limits, f"{where}.limits", source, problems)
        profiles[name] = Profile(
            name=name,
            title_vi=one.title_vi,
            title_en=one.title_en,
            devices=frozenset(one.devices),
            signals=tuple(Signal(tuple(probes.split("|")), role) for probes, role in map(str.split, one.signals)),
            limits=tuple({**common, **own}.values()),
            lesson_min=one.lesson_min,
            needs_dns=one.needs_dns,
            calls=frozenset(one.calls),
            needs_registration=one.needs_registration,
            udp_ports=one.udp_ports,
            servers=one.servers,
        )
    if not written.profile:
        problems.append(Problem("profile", "settings.missing", {"expected": Phrase("expect.table", {})}))
    if problems:
        raise SettingsError(source, problems)
    return profiles


def default_profiles() -> dict[str, Profile]:
    """The profiles that come with the program.

    Reading a file packaged with the code is reading the code: it is there, and the same, wherever this module is.
    What an operator writes instead is read by whoever owns the settings, and handed to `read_profiles`.
    """
    text = resources.files("readiness").joinpath(PACKAGED).read_text(encoding="utf-8")
    return read_profiles(tomllib.loads(text), PACKAGED)


def _table(raw: object, source: str) -> Mapping[str, object]:
    if isinstance(raw, Mapping):
        return raw
    facts = {"expected": Phrase("expect.table", {}), "got": repr(raw)}
    raise SettingsError(source, [Problem("", "settings.expected", facts)])


def _below(where: str, problem: Problem) -> Problem:
    return problem._replace(where=f"{where}.{problem.where}" if problem.where else where)


def _look_at_roles(written: _WrittenProfile, where: str) -> Iterator[Problem]:
    for place, role in enumerate(written.devices):
        if role not in ROLES:
            yield _unknown_role(f"{where}.devices[{place}]", role)
    if not written.signals:  # a room of which nothing must be known would be fit without any reading
        yield Problem(f"{where}.signals", "settings.missing", {"expected": _signal_phrase()})
    for place, text in enumerate(written.signals):
        probes, role = text.split()
        if role not in ROLES:
            yield _unknown_role(f"{where}.signals[{place}]", role)
        if not all(map(is_probe_name, probes.split("|"))):
            facts = {"expected": _signal_phrase(), "got": repr(text)}
            yield Problem(f"{where}.signals[{place}]", "settings.expected", facts)


def _signal_phrase() -> Phrase:
    return Phrase("expect.text_rule", {"rule": _SIGNAL_RULE})


def _unknown_role(where: str, got: str) -> Problem:
    facts = {"expected": Phrase("expect.one_of", {"choices": ", ".join(ROLES)}), "got": repr(got)}
    return Problem(where, "settings.expected", facts)


def _read_limits(tables: Mapping[str, object], where: str, source: str, problems: list[Problem]) -> dict[str, Limit]:
    limits = {}
    for name, table in tables.items():
        here = f"{where}.{name}"
        metric = METRICS.get(name)
        if metric is None:
            problems.append(Problem(here, "settings.unknown_metric", {"known": ", ".join(METRICS)}))
            continue
        try:
            written: _WrittenLimit = build(_table(table, source), _shape_of(metric), source=source)
        except SettingsError as error:
            problems.extend(_below(here, problem) for problem in error.problems)
            continue
        found = [Problem(here, "settings.impossible_limit", {"reason": why}) for why in _impossible(metric, written)]
        problems.extend(found)
        if not found:
            limits[name] = Limit(
                metric=name,
                worse=metric.worse,
                degraded=written.degraded,
                unfit=written.unfit,
                source=written.source,
            )
    return limits


def _shape_of(metric: Metric) -> type[_NumberLimit | _SecondsLimit | _SizeLimit]:
    unit = unit_of(metric.name)
    ending = unit.ending if unit else ""
    return _SecondsLimit if ending == "_s" else _SizeLimit if ending == "_bytes" else _NumberLimit


def _impossible(metric: Metric, written: _WrittenLimit) -> Iterator[Phrase]:
    if written.degraded is None and written.unfit is None:
        yield Phrase("limit.empty", {})
    for bound in (written.degraded, written.unfit):
        if bound is None:
            continue
        if metric.name.endswith("_ratio") and metric.name != "load_ratio" and not 0 <= bound <= 1:
            yield Phrase("limit.not_a_share", {"bound": f"{bound:g}"})
        elif bound < 0:
            yield Phrase("limit.negative", {"bound": f"{bound:g}"})
    if written.degraded is None or written.unfit is None:
        return
    is_less_strict = written.unfit < written.degraded if metric.worse == "above" else written.unfit > written.degraded
    if is_less_strict:
        yield Phrase(f"limit.{metric.worse}", {"degraded": f"{written.degraded:g}", "unfit": f"{written.unfit:g}"})
