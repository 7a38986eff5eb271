"""Turns the integers and codes of the series into words and colours: no colour stands without its word."""

from typing import Any, Final

from contract.names import ROLES
from contract.outcome import Outcome
from contract.units import UNITS
from grafana.edition import Edition
from grafana.provinces import PROVINCES
from readiness.codes import Code
from readiness.verdict import Level

Json = dict[str, Any]

COLOURS: Final = {
    Level.FIT: "#17694a",
    Level.DEGRADED: "#875000",
    Level.UNKNOWN: "#4b5268",
    Level.UNFIT: "#b3261e",
}
"""Those of the collector's pages (collector/web/static/site.css). Grafana writes on them in white."""
GOOD: Final = COLOURS[Level.FIT]
DOUBTFUL: Final = COLOURS[Level.DEGRADED]
BAD: Final = COLOURS[Level.UNFIT]
PLAIN: Final = "#2f6db5"

GRAFANA_UNITS: Final = {
    "_bytes_total": "decbytes",
    "_total": "none",
    "_bytes": "decbytes",
    "_count": "none",
    "_bool": "none",
    "_code": "none",
    "_ratio": "percentunit",
    "_ms": "ms",
    "_s": "s",
    "_h": "h",
    "_days": "d",
    "_bps": "bps",
    "_v": "volt",
    "_hz": "hertz",
    "_w": "watt",
    "_celsius": "celsius",
    "_dbm": "dBm",
    "_r": "none",
    "_mos": "none",
}
"""What Grafana calls the units that a value's name may end in."""


def unit_of(value_name: str) -> str:
    """Grafana's unit for a value, from its name.

    >>> unit_of("rtt_p50_ms"), unit_of("loss_ratio")
    ('ms', 'percentunit')
    """
    return next(GRAFANA_UNITS[unit.ending] for unit in UNITS if value_name.endswith(unit.ending))


def _mapped(words: dict[str, tuple[str, str]]) -> list[Json]:
    """A value mapping: value -> (word, colour); no colour when empty."""
    options = {
        value: {"text": word, "index": index, **({"color": colour} if colour else {})}
        for index, (value, (word, colour)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


def levels(edition: Edition) -> list[Json]:
    """For `level_code`, by its published numbers."""
    return _mapped({str(level.value): (level_word(level, edition), COLOURS[level]) for level in Level})


def severities(edition: Edition) -> list[Json]:
    """For the severity that queries make of a level, 0 best to 3 worst, so that a maximum is the worst."""
    ordered = sorted(Level, key=lambda level: level.severity)
    return _mapped({str(level.severity): (level_word(level, edition), COLOURS[level]) for level in ordered})


def level_word(level: Level, edition: Edition) -> str:
    """A level as the collector's pages call it."""
    return edition.say(f"page.level.{level.name.lower()}")


def reasons(edition: Edition) -> list[Json]:
    """For the tag `reason`: why, in a few words."""
    return _mapped({code.value: (_capital(edition.say(f"cause.{code}")), "") for code in Code})


def actions(edition: Edition) -> list[Json]:
    """For the tag `reason` again: who does what now."""
    return _mapped({code.value: (edition.say(f"action.{code}"), "") for code in Code})


def roles(edition: Edition) -> list[Json]:
    """For the tag `role`."""
    return _mapped({role: (edition.say(f"role.{role}"), "") for role in ROLES})


def outcomes(edition: Edition) -> list[Json]:
    """For `outcome_code`."""
    colours = {Outcome.OK: GOOD, Outcome.TIMEOUT: BAD, Outcome.UNREACHABLE: BAD, Outcome.REFUSED: BAD}
    return _mapped(
        {
            str(outcome.code): (_capital(edition.say(f"page.outcome.{outcome}")), colours.get(outcome, DOUBTFUL))
            for outcome in Outcome
        }
    )


def provinces() -> list[Json]:
    """For the tag `province`: the name with its marks, the same in every language."""
    return _mapped({tag: (province.name, "") for tag, province in PROVINCES.items()})


def yes_no(edition: Edition, *, yes: str, no: str) -> list[Json]:
    """For a value ending in `_bool`, with the colours of its 1 and its 0."""
    return _mapped({"0": (_capital(edition.say("unit.no")), no), "1": (_capital(edition.say("unit.yes")), yes)})


def answers(edition: Edition) -> list[Json]:
    """For `loss_ratio` of a device: it answers, some answers are lost, or it answers nothing."""
    return [
        *_mapped({"0": (edition.say("word.answers"), GOOD), "1": (edition.say("word.silent"), BAD)}),
        {
            "type": "range",
            "options": {
                "from": 0,
                "to": 0.999999,
                "result": {"text": edition.say("word.answers_partly"), "color": DOUBTFUL, "index": 2},
            },
        },
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
