"""The installer's acceptance test: measures everything in the plan and judges the room on the spot."""

import asyncio
from collections.abc import Iterator
from typing import Final

from agent.orders import Orders
from agent.taking import Taken, take_reading
from contract.catalogue import Language, say
from contract.moment import Clock
from readiness.judge import judge
from readiness.profile import Profile
from readiness.state import RoomState
from readiness.telling import action, sentence
from readiness.verdict import Verdict

ROUNDS: Final = 3
"""One lost packet is no verdict: the rules want three windows before they call something lost."""


async def measure_room(orders: Orders, clock: Clock, *, rounds: int = ROUNDS) -> list[list[Taken]]:
    """Every probe of the plan, all at once, so many times."""
    names = [job.probe for job in orders.plan.jobs]
    return [
        list(
            await asyncio.gather(
                *(take_reading(name, probe, clock) for name, probe in zip(names, orders.probes, strict=True))
            )
        )
        for _ in range(rounds)
    ]


def judge_room(rounds: list[list[Taken]], profile: Profile, clock: Clock) -> Verdict:
    """The verdict on what was measured just now; the room is called `here`."""
    state = RoomState("here")
    moment = clock.now()
    for taken in (one for measured in rounds for one in measured):
        measured_s = moment.wall_s - (moment.mono_s - taken.began_mono_s)
        state.fold(taken.reading, measured_s, measured_s)
    return judge(profile, state, None, moment.wall_s)


def report(verdict: Verdict, language: Language) -> Iterator[str]:
    """The verdict in sentences: level, then each finding with what to do."""
    yield say(f"checkup.level_{verdict.level.value}", language)
    for finding in verdict.findings:
        yield f"- {sentence(finding, language)}"
        yield f"  {say('checkup.do', language, action=action(finding, language))}"
