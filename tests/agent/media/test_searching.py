"""The search for what a line carries, against lines of known bitrate."""

import pytest

from agent.media.searching import Carries, search
from agent.media.sufficing import Answer, Found

MOST_BPS = 20_000_000


class Line:
    """Carries so much, and remembers what it was asked."""

    def __init__(self, bps: float) -> None:
        self.bps = bps
        self.asked: list[int] = []

    def attempt(self, bps: int) -> Found | None:
        self.asked.append(bps)
        holds = bps <= self.bps
        return Found(Answer.HOLDS if holds else Answer.NARROW, min(self.bps, bps), 0.0)


def any_bitrate(_: int) -> bool:
    return True


@pytest.mark.parametrize(
    ("bps", "found", "asked"),
    [
        (0.4e6, Carries(0.4e6, is_most=True), [1_000_000]),
        (2.5e6, Carries(2.5e6, is_most=True), [1_000_000, 3_000_000]),
        (12e6, Carries(12e6, is_most=True), [1_000_000, 3_000_000, 9_000_000, MOST_BPS]),
        (90e6, Carries(20e6, is_most=False), [1_000_000, 3_000_000, 9_000_000, MOST_BPS]),
    ],
)
def test_it_steps_up_until_a_stream_does_not_fit(bps: float, found: Carries, asked: list[int]) -> None:
    line = Line(bps)
    assert search(line.attempt, any_bitrate, MOST_BPS) == found
    assert line.asked == asked


def test_it_stops_where_the_next_stream_would_cost_too_much() -> None:
    line = Line(50e6)
    assert search(line.attempt, lambda bps: bps < 5e6, MOST_BPS) == Carries(3e6, is_most=False)
    assert search(line.attempt, lambda _: False, MOST_BPS) is None


def test_what_cannot_be_said_ends_it_with_what_held() -> None:
    answers = iter([Found(Answer.HOLDS, 1e6, 0.0), Found(Answer.OPEN, 0.0, 0.0)])
    assert search(lambda _: next(answers), any_bitrate, MOST_BPS) == Carries(1e6, is_most=False)
    assert search(lambda _: None, any_bitrate, MOST_BPS) is None


def test_a_faster_stream_that_loses_more_makes_no_line_narrower_than_what_held() -> None:
    answers = iter([Found(Answer.HOLDS, 1e6, 0.0), Found(Answer.NARROW, 0.8e6, 0.4)])
    assert search(lambda _: next(answers), any_bitrate, MOST_BPS) == Carries(1e6, is_most=True)
