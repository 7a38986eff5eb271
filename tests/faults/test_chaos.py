"""The whole line with real processes, killed and frozen in random order: every sample is stored exactly once."""

from pathlib import Path
from typing import Final

import pytest

from tests.faults.chaos import NOTHING, Chaos, Load
from tests.faults.chaos_agent import SAMPLES_A_READING
from tests.support.line import StartLine
from tests.support.processes import Programs
from tests.support.reliability import Seen

SHORT: Final = Load(agents=2, samples=2_000, kills=15, stops=5, apart_s=1.2, seed=1)
LONG: Final = Load(agents=10, samples=500_000, kills=300, stops=100, apart_s=2.5, seed=2, drained_within_s=600.0)


@pytest.mark.bar("chaos, real processes", load="agents, broker, collector and database killed and frozen at random")
@pytest.mark.parametrize(
    "load", [pytest.param(SHORT, id="20 faults"), pytest.param(LONG, marks=pytest.mark.long, id="400 faults")]
)
def test_every_sample_is_stored_once_and_right_whoever_is_killed_or_frozen(
    load: Load, line: StartLine, tmp_path: Path, programs: Programs, seen: Seen
) -> None:
    chaos = Chaos(load, line, tmp_path, programs)
    chaos.run()
    gaps = chaos.gaps()
    found = NOTHING
    for agent in chaos.agents:
        mine = chaos.found(agent)
        assert mine.is_exact, (agent.name, mine)
        found = found.plus(mine)
        readings_count = mine.samples // SAMPLES_A_READING
        journaled = chaos.journaled(agent)
        assert set(journaled.values()) == {1}
        assert journaled.total() == readings_count
        ledger = chaos.line.ledger(agent.name)
        assert {(one.open_count, one.dropped_count) for one in ledger.accounts} == {(0, 0)}
        assert ledger.stored_count == sum(one.stored_count for one in ledger.accounts) == readings_count
        assert agent.name not in gaps, "no spool was ever full"
    assert found.known >= load.samples
    control = chaos.found(chaos.control)
    assert control.lost > 0
    kills, stops = chaos.count("kill"), chaos.count("stop")
    assert (kills, stops) == (load.kills, load.stops)
    seen(
        f"{kills} SIGKILL, {stops} SIGSTOP: {found.samples:,} samples stored, of {found.known:,} surely made 0 lost,"
        f" 0 doubled, 0 wrong, times within {found.worst_s:.2f} s;"
        f" of {found.unsure:,} that a SIGKILL may have met before they were stored {found.unsure_came:,} came"
    )
    seen(f"an agent that believes the broker lost {control.lost:,} of {control.known:,}")
