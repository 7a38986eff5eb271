"""A measured number as people write it, in their language, with the unit that fits its size."""

import math
from typing import Final

from contract.catalogue import Language, say
from contract.parts import State, part_of
from contract.units import unit_of

_SCALES: Final = (
    (("_bps",), 1000.0, ("b/s", "kb/s", "Mb/s", "Gb/s")),
    (("_bytes", "_bytes_total"), 1024.0, ("B", "KB", "MB", "GB", "TB")),
)
_SYMBOLS: Final = {"_ms": "ms", "_v": "V", "_hz": "Hz", "_w": "W", "_celsius": "°C", "_dbm": "dBm"}
_STATES: Final = {state.value: state.name.lower() for state in State}
_TEN_SECONDS_MS: Final = 10_000
_WHOLE_SECONDS_S: Final = 10
_DAY_S: Final = 86400
_DURATIONS: Final = ((172800, _DAY_S, "days"), (5400, 3600, "hours"), (90, 60, "minutes"))


def quantity(value_name: str, number: float, language: Language) -> str:
    """Three digits that count and a unit: `2,74 Mb/s`, `8,3 %`, `45 phút`; the value's name says what it is.

    >>> quantity("loss_ratio", 0.083, "vi"), quantity("rtt_avg_ms", 1234.5, "en")
    ('8,3 %', '1,235 ms')
    """
    unit = unit_of(value_name)
    ending = unit.ending if unit else ""
    if part_of(value_name) is not None and number in _STATES:
        return say(f"part_state.{_STATES[int(number)]}", language)
    if ending == "_bool":
        return say("unit.yes" if number else "unit.no", language)
    if ending in ("_s", "_days"):
        return _duration(number if ending == "_s" else number * _DAY_S, language)
    if ending == "_h":  # what people count in hours, however many: a lamp's, an engine's
        return say("unit.hours", language, number=digits(number, language))
    if ending == "_ms" and abs(number) >= _TEN_SECONDS_MS:  # longer waits are felt in seconds
        return _duration(number / 1000, language)
    if ending == "_ratio":
        return f"{digits(number * 100, language)} %"
    for endings, base, steps in _SCALES:
        if ending in endings:
            place = 0
            while abs(number) >= base and place < len(steps) - 1:
                number, place = number / base, place + 1
            return f"{digits(number, language)} {steps[place]}"
    return f"{digits(number, language)} {_SYMBOLS.get(ending, '')}".strip()


def digits(number: float, language: Language, *, places: int | None = None) -> str:
    """A number with its language's separators; three digits that count unless `places` says how many decimals."""
    size = abs(number)
    if places is None:
        places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4  # noqa: PLR2004 - three digits
    rounded = math.floor(size * 10**places + 0.5) / 10**places
    text = f"{rounded:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if language == "vi":
        text = text.translate({ord(","): ".", ord("."): ","})
    return f"-{text}" if number < 0 and rounded else text


def _duration(number_s: float, language: Language) -> str:
    size_s = abs(number_s)
    for least_s, unit_s, code in _DURATIONS:
        if size_s >= least_s:
            return say(f"unit.{code}", language, number=digits(number_s / unit_s, language, places=1))
    places = 0 if size_s >= _WHOLE_SECONDS_S else None  # nobody acts on a tenth of these
    return say("unit.seconds", language, number=digits(number_s, language, places=places))
