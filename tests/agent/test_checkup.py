"""The acceptance test of a room: all of its plan is measured, and the verdict stands at once."""

import asyncio
import time
from collections.abc import Callable

import pytest

from agent.checkup import ROUNDS, judge_room, measure_room, report
from agent.orders import Orders, read_orders
from agent.probe import ProbeFailed, Values
from contract.catalogue import LANGUAGES, Language, say
from contract.moment import Moment
from contract.outcome import Outcome
from readiness.profile import default_profiles
from readiness.verdict import Level, Verdict
from tests.agent.made import MadeProbe, PcClock, loads, plan_of

PROFILE = default_profiles()["h323-720p"]


class PassingClock(PcClock):
    """Time passes between two looks at it."""

    def now(self) -> Moment:
        self.mono_s += 0.1
        self.wall_s += 0.1
        return super().now()


def pinged(*, lost: int = 0, rtt_ms: float = 20.0) -> Callable[[], Values]:
    values: Values = {"sent_count": 10, "received_count": 10 - lost, "loss_ratio": lost / 10}
    if lost < 10:
        values |= {"rtt_p50_ms": rtt_ms, "jitter_ms": 1.0}
    return lambda: dict(values)


def denied() -> Values:
    raise ProbeFailed(Outcome.DENIED, "ping 10.0.0.1: operation not permitted")


def judged(**targets: Callable[[], Values]) -> Verdict:
    """The verdict on a room in which `ping` finds its targets so; a target's _ stands for -."""
    names = [name.replace("_", "-") for name in targets]
    return checked(orders_of(names, targets), PassingClock())


def checked(orders: Orders, clock: PassingClock) -> Verdict:
    return judge_room(asyncio.run(measure_room(orders, clock)), PROFILE, clock)


def orders_of(names: list[str], targets: dict[str, Callable[[], Values]]) -> Orders:
    """One probe called ping for each target."""
    makes = {name: MadeProbe(target=name, does=does) for name, does in zip(names, targets.values(), strict=True)}
    payload = plan_of(*({"name": "ping", "target": name} for name in names))
    return read_orders(payload, lambda _name, settings: makes[str(settings["target"])], source="plan")


def codes(verdict: Verdict) -> list[str]:
    return [finding.code for finding in verdict.findings]


def test_a_room_where_all_that_was_measured_is_well_is_fit() -> None:
    verdict = judged(lesson_zoom=pinged(), codec=pinged(), gateway=pinged())
    assert (verdict.level, codes(verdict)) == (Level.FIT, [])


@pytest.mark.parametrize(
    ("targets", "level", "first"),
    [
        ({"lesson": pinged(rtt_ms=350.0)}, Level.DEGRADED, "LINK_SLOW"),
        ({"lesson": pinged(rtt_ms=900.0)}, Level.UNFIT, "LINK_SLOW"),
        ({"lesson": pinged(), "codec": pinged(lost=10)}, Level.UNFIT, "CODEC_LOST"),
        ({"lesson": denied, "codec": pinged()}, Level.UNKNOWN, "MEASUREMENT_FAILS"),
        ({"codec": pinged()}, Level.UNKNOWN, "NO_READING"),
    ],
    ids=["slow", "far too slow", "no codec", "not allowed", "not asked"],
)
def test_what_is_wrong_shows_within_the_rounds_of_one_visit(
    targets: dict[str, Callable[[], Values]], level: Level, first: str
) -> None:
    verdict = judged(**targets)
    assert (verdict.level, codes(verdict)[0]) == (level, first)


def test_every_probe_is_measured_in_every_round_and_all_of_a_round_at_once() -> None:
    made = MadeProbe(takes_s=0.2)
    payload = plan_of(*({"name": "made", "target": f"device-{number}"} for number in range(20)))
    orders = read_orders(payload, loads(made=made), source="plan")
    began_s = time.monotonic()
    rounds = asyncio.run(measure_room(orders, PassingClock()))
    assert time.monotonic() - began_s < 20 * 0.2
    assert [len({one.reading.target for one in measured}) for measured in rounds] == [20] * ROUNDS


def test_a_clock_that_is_wrong_by_decades_changes_no_verdict() -> None:
    orders = orders_of(["lesson"], {"lesson": pinged(rtt_ms=350.0)})
    assert codes(checked(orders, PassingClock(wall_s=1e9))) == codes(checked(orders, PassingClock())) == ["LINK_SLOW"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_verdict_is_reported_with_what_to_do(language: str) -> None:
    verdict = judged(lesson=pinged(rtt_ms=350.0), codec=pinged(lost=10))
    lines = list(report(verdict, "vi" if language == "vi" else "en"))
    told = {
        "vi": "KHÔNG HỌC ĐƯỢC: phòng chưa dùng được cho buổi học trực tuyến.",
        "en": "UNFIT: the room cannot hold a live lesson.",
    }
    assert lines[0] == told[language]
    assert len(lines) == 1 + 2 * len(verdict.findings)
    assert [line.startswith("- ") for line in lines[1::2]] == [True] * len(verdict.findings)
    todo = {"vi": "  Việc cần làm: ", "en": "  What to do: "}[language]
    assert [line.startswith(todo) for line in lines[2::2]] == [True] * len(verdict.findings)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_checkup_calls_a_level_what_the_pages_call_it(language: Language, level: Level) -> None:
    word = say(f"page.level.{level.name.lower()}", language).upper()
    verdict = Verdict(room="here", level=level, findings=(), since_s=0.0, judged_s=0.0, profile="")
    assert next(report(verdict, language)).startswith(f"{word}: ")


def test_a_fit_room_needs_one_line() -> None:
    assert list(report(judged(lesson=pinged()), "en")) == ["FIT: the room is ready for a live lesson."]
