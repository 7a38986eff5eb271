"""Whether a line carries a bitrate: over a relay that is a line of known bitrate, loss and delay, against the truth."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.probe import ProbeFailed, Values
from agent.probes.sufficiency import Sufficiency
from collector.media.reflecting import Refused
from contract.outcome import Outcome
from tests.support.ports import free_port
from tests.support.reflector import Reflecting
from tests.support.udp_relay import Steady, UdpRelay

PAGE = Path(__file__).parents[3] / "docs" / "sufficiency.md"
ASKED_BPS = 2e6
MOST_BYTES = 3_000_000
CAPACITIES = (0.3e6, 0.5e6, 1e6, 1.5e6, 1.8e6, 2.2e6, 2.5e6, 4e6, 6e6, 10e6)
LOSSES = (0.0, 0.01, 0.03, 0.05)
RTTS_S = (0.02, 0.1, 0.3)
QUEUES_BYTES = (15_000, 40_000, 120_000)


class Line(NamedTuple):
    """A line of the grid; loss is that of each direction."""

    up_bps: float
    down_bps: float
    loss: float
    rtt_s: float
    queue_bytes: int
    seed: int

    def link(self, bps: float, seed: int) -> Steady:
        return Steady(bps=bps, queue_bytes=self.queue_bytes, delay_s=self.rtt_s / 2, loss=self.loss, seed=seed)


class Tried(NamedTuple):
    line: Line
    values: Values

    @property
    def right(self) -> list[bool]:
        """Of each direction, whether the answer is the truth; none is wrong, too."""
        truth = {"up_holds_bool": self.line.up_bps >= ASKED_BPS, "down_holds_bool": self.line.down_bps >= ASKED_BPS}
        return [self.values.get(name) == int(holds) for name, holds in truth.items()]


def grid() -> Iterator[Line]:
    """Each bitrate down with each loss and delay; up another bitrate, so that one direction must not speak for both."""
    for number, (down_bps, loss, rtt_s) in enumerate(itertools.product(CAPACITIES, LOSSES, RTTS_S)):
        up_bps = CAPACITIES[(number * 7 + 3) % len(CAPACITIES)]
        yield Line(up_bps, down_bps, loss, rtt_s, QUEUES_BYTES[number % len(QUEUES_BYTES)], number)


def measure(reflecting: Reflecting, port: int | None = None, **more: Any) -> Values:
    asked: dict[str, Any] = {"up_bps": ASKED_BPS, "down_bps": ASKED_BPS}
    return asyncio.run(Sufficiency(**reflecting.probe(port, **(asked | more))).measure())


def try_line(reflecting: Reflecting, line: Line) -> Tried:
    up, down = line.link(line.up_bps, 2 * line.seed), line.link(line.down_bps, 2 * line.seed + 1)
    with UdpRelay(reflecting.port, up, down) as relay:
        return Tried(line, measure(reflecting, relay.port))


SHORT = [
    Line(10e6, 10e6, 0.0, 0.02, 40_000, 1),
    Line(4e6, 1e6, 0.03, 0.1, 40_000, 2),
    Line(0.5e6, 6e6, 0.05, 0.3, 120_000, 3),
]


@pytest.mark.parametrize("line", SHORT, ids=str)
def test_each_direction_is_answered_for_itself(reflecting: Reflecting, line: Line) -> None:
    tried = try_line(reflecting, line)
    assert tried.right == [True, True], tried
    assert tried.values["used_bytes"] <= MOST_BYTES
    for way, bps in (("up", line.up_bps), ("down", line.down_bps)):
        carried = tried.values[f"{way}_bps"]
        assert carried == ASKED_BPS if bps > ASKED_BPS else carried == pytest.approx(bps, rel=0.25)


@pytest.mark.long
def test_on_a_grid_of_lines_the_answer_is_the_truth(reflecting: Reflecting) -> None:
    tried = [try_line(reflecting, line) for line in grid()]
    write_page(tried)
    rights = [right for one in tried for right in one.right]
    assert sum(rights) >= 0.95 * len(rights), [one for one in tried if not all(one.right)]
    assert max(one.values["used_bytes"] for one in tried) <= MOST_BYTES


def write_page(tried: list[Tried]) -> None:
    rights = [right for one in tried for right in one.right]
    used = sorted(one.values["used_bytes"] for one in tried)
    took = sorted(one.values["took_s"] for one in tried)
    lines = [
        "# Does the line carry the bitrate?",
        "",
        "<!-- Made by tests/agent/probes/test_sufficiency.py with --long. -->",
        "",
        (
            f"What the `sufficiency` probe said of {len(tried)} lines when it was asked for {ASKED_BPS / 1e6:g} Mb/s "
            "both ways, over a relay that delays, loses, and queues as a line of that bitrate would: "
            f"{sum(rights)} of {len(rights)} answers were the truth. A test took {used[len(used) // 2] / 1e6:.2f} MB "
            f"(median; at most {used[-1] / 1e6:.2f}) and {took[len(took) // 2]:.1f} s (at most {took[-1]:.1f}). "
            f"Run on {datetime.now(UTC):%Y-%m-%d}."
        ),
        "",
        (
            "Each line had another bitrate up than down, a queue of 15, 40 or 120 kB, and loss by chance. A cell is "
            "how many answers about lines of that bitrate were right, up and down together."
        ),
        "",
        "| bitrate of the line | " + " | ".join(f"loss {loss:.0%}" for loss in LOSSES) + " |",
        "|---|" + "---|" * len(LOSSES),
    ]
    for bps in CAPACITIES:
        cells = []
        for loss in LOSSES:
            here = [
                right
                for one in tried
                if one.line.loss == loss
                for right, mine in zip(one.right, (one.line.up_bps, one.line.down_bps), strict=True)
                if mine == bps
            ]
            cells.append(f"{sum(here)} of {len(here)}")
        lines.append(f"| {bps / 1e6:g} Mb/s | " + " | ".join(cells) + " |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_one_direction_can_be_asked_for_alone(reflecting: Reflecting) -> None:
    values = measure(reflecting, up_bps=0)
    assert values["down_holds_bool"] == 1
    assert not [name for name in values if name.startswith("up_")]


def test_a_bitrate_beyond_what_the_reflector_gives_is_denied(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match="no test now: too_fast") as failed:
        measure(reflecting, down_bps=90e6)
    assert failed.value.outcome is Outcome.DENIED


def test_an_agent_that_has_spent_its_day_is_denied() -> None:
    reflecting = Reflecting(stream_agent_bytes_per_day=1_000_000)
    try:
        with pytest.raises(ProbeFailed, match="no test now: spent"):
            measure(reflecting)
    finally:
        reflecting.service.stop()


def test_a_wrong_key_is_silence(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match="no answer") as failed:
        measure(reflecting, key="00" * 32)
    assert failed.value.outcome is Outcome.TIMEOUT
    assert reflecting.service.refused[Refused.FORGED] > 0


def test_a_port_where_nobody_listens_is_refused(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed) as failed:
        measure(reflecting, free_port(socket.SOCK_DGRAM))
    assert failed.value.outcome is Outcome.REFUSED
    assert "Connection refused" in failed.value.detail
