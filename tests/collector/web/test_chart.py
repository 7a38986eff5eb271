import re
from xml.etree import ElementTree as ET

import pytest

from collector.snapshot import Trail
from collector.web.chart import Span, chart, spans, strip
from collector.web.words import Words
from readiness.verdict import Level
from tests.collector.web import demo

WORDS = Words("vi", demo.NOW_S)


def _trail(*points: tuple[float, float], value: str = "rtt_avg_ms", target: str = "gateway") -> Trail:
    return Trail(probe="ping", target=target, value=value, points=tuple((demo.NOW_S + at_s, n) for at_s, n in points))


def _parsed(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - drawn by ourselves a moment ago


@pytest.mark.parametrize(
    "trail",
    [
        pytest.param(_trail((0, 5)), id="one point"),
        pytest.param(_trail((0, 0), (60, 0)), id="all zero"),
        pytest.param(_trail((0, 0), (60, 0), value="loss_ratio"), id="no loss"),
        pytest.param(_trail((0, 220), (60, 220), value="input_v"), id="flat"),
        pytest.param(_trail((0, -5.5), (60, 7), value="clock_offset_s"), id="below zero"),
        pytest.param(_trail((0, -80), (60, -80), value="signal_dbm"), id="flat below zero"),
        pytest.param(_trail((0, 1e-9), (60, 1e12), value="in_bps"), id="far apart"),
        pytest.param(_trail((0, 1), (0, 2), (0, 3)), id="one instant"),
        pytest.param(_trail((0, 1), (60, 0), value="on_battery_bool"), id="yes and no"),
        pytest.param(_trail((0, 1), target=demo.HOSTILE), id="hostile name"),
    ],
)
@pytest.mark.parametrize("needed", [None, 0.0, 200.0], ids=["no limit", "limit 0", "limit 200"])
def test_a_chart_is_sound_and_stays_within_its_frame(trail: Trail, needed: float | None) -> None:
    drawn = _parsed(chart(trail, needed, WORDS))
    places = [
        tuple(float(number) for number in pair.split(","))
        for line in drawn.iter("polyline")
        for pair in line.attrib["points"].split()
    ]
    places += [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter("circle")]
    assert places
    in_frame = trail.value != "on_battery_bool" or needed in (None, 0.0)
    for across, up in places:
        assert 54 <= across <= 332
        assert 10 <= up <= 110
    if needed is not None and in_frame:
        limit = next(line for line in drawn.iter("line") if line.attrib["class"] == "limit")
        assert 10 <= float(limit.attrib["y1"]) <= 110
    assert 2 <= len([line for line in drawn.iter("line") if line.attrib["class"] == "grid"]) <= 6


def test_a_chart_without_points_is_nothing() -> None:
    assert chart(_trail(), None, WORDS) == ""


def test_a_pause_breaks_the_line() -> None:
    minutes = [*range(10), *range(40, 50)]
    drawn = _parsed(chart(_trail(*((minute * 60.0, 5.0) for minute in minutes)), None, WORDS))
    assert len(list(drawn.iter("polyline"))) == 2


def test_a_state_is_drawn_in_steps() -> None:
    drawn = _parsed(chart(_trail((0, 0), (60, 1), value="on_battery_bool"), None, WORDS))
    corners = next(drawn.iter("polyline")).attrib["points"].split()
    assert corners == ["54.0,110.0", "332.0,110.0", "332.0,10.0"]


def test_equal_neighbours_are_one_stretch_and_the_last_lasts_until_now() -> None:
    levels = ((0.0, Level.FIT), (10.0, Level.FIT), (20.0, Level.UNFIT))
    assert spans(levels, 50.0) == [Span(Level.FIT, 0.0, 20.0), Span(Level.UNFIT, 20.0, 50.0)]
    assert spans((), 50.0) == []


def test_the_strip_reads_without_colour() -> None:
    levels = tuple(
        (demo.NOW_S + 60 * level, level) for level in (Level.FIT, Level.DEGRADED, Level.UNFIT, Level.UNKNOWN)
    )
    drawn = _parsed(strip(levels, demo.NOW_S + 300, WORDS))
    tall = {rect.attrib["class"]: float(rect.attrib["height"]) for rect in drawn.iter("rect")}
    assert tall["fit"] < tall["degraded"] < tall["unknown"] < tall["unfit"]
    said = drawn.attrib["aria-label"]
    assert re.search("Sẵn sàng;.*Cần chú ý;.*Không học được;.*Chưa rõ", said)
