"""The centre's data is put back as it was a week ago: agents notice by themselves, and send again what it forgot."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

from collector.ledger import make_ledger
from collector.storage.backup import back_up, restore
from tests.support.reliability import Seen
from tests.support.virtual_rooms import TICK_S, VirtualAgent, VirtualCentre, agent_of, exchange, healthy

BEGAN_S: Final = 1_795_500_000.0
HOUR_S: Final = 3600.0
DRAINS_WITHIN_HOURS: Final = 8
"""All is asked for within minutes and sent as fast as the plan lets it; here the agents look once a minute only."""


class Size(NamedTuple):
    """How much of it: how old the backup is when it is put back, and how often the PCs are switched off and on."""

    rooms: int
    age_hours: float
    reboot_every_hours: float


class World:
    """The centre in a folder, its rooms, and the hour."""

    def __init__(self, folder: Path, rooms: int) -> None:
        self.folder = folder
        self.now = BEGAN_S
        self.rooms = rooms
        (folder / "agents").mkdir()
        self.centre = self.start(folder / "centre")
        self.agents = [
            VirtualAgent(agent_of(number), folder / "agents" / f"{number}.db", self.now, seed=number)
            for number in range(rooms)
        ]
        for agent in self.agents:
            agent.connect(self.now)

    def start(self, folder: Path) -> VirtualCentre:
        centre = VirtualCentre(folder, rooms=self.rooms, now=self.now, keep_s=60 * 86400.0)
        centre.link(self.now)
        return centre

    def live(self, hours: float, *, reboot_every_hours: float = 1e9) -> None:
        for tick in range(1, round(hours * HOUR_S / TICK_S) + 1):
            self.now += TICK_S
            for place, agent in enumerate(self.agents):
                if (tick + 7 * place) % round(reboot_every_hours * HOUR_S / TICK_S) == 0:
                    agent.reboot(self.now)
                agent.measure(self.now, healthy())
            exchange(self.centre, self.agents, self.now)

    def stored(self, agent: VirtualAgent) -> set[tuple[str, int]]:
        return {(kept.epoch, kept.seq) for kept in self.centre.journal.since(0.0) if kept.agent == agent.agent}


@pytest.mark.bar("restored backup", load="the collector's data as it was a week ago, PCs switched off and on each day")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(3, 3.0, reboot_every_hours=1.0), id="3 hours, 3 rooms"),
        pytest.param(Size(4, 168.0, reboot_every_hours=24.0), id="a week, 4 rooms", marks=pytest.mark.long),
    ],
)
def test_a_centre_put_back_as_it_was_asks_for_all_it_forgot_and_gets_it(size: Size, tmp_path: Path, seen: Seen) -> None:
    world = World(tmp_path, size.rooms)
    world.live(1.0)
    back_up(tmp_path / "centre", tmp_path / "backup.tar.gz")
    world.live(size.age_hours, reboot_every_hours=size.reboot_every_hours)
    world.centre.close()
    restore(tmp_path / "backup.tar.gz", tmp_path / "restored")
    world.centre = world.start(tmp_path / "restored")
    forgotten_count = sum(len(agent.made - world.stored(agent)) for agent in world.agents)
    for _ in range(DRAINS_WITHIN_HOURS * 4):
        world.live(0.25)
        if all(agent.is_drained for agent in world.agents):
            break
    lost_count = sum(len(agent.made - world.stored(agent)) for agent in world.agents)
    made_count = sum(len(agent.made) for agent in world.agents)
    evidence = world.centre.journal.evidence([agent.agent for agent in world.agents])
    ledger = make_ledger(evidence, BEGAN_S, world.now)
    counted = sum(account.stored_count for account in ledger.accounts)
    seen(f"{lost_count} lost of {made_count} records, of which the restored centre lacked {forgotten_count}")
    seen(f"the ledger counts {counted} of {sum(agent.readings_count for agent in world.agents)} readings")
    assert forgotten_count >= size.rooms * size.age_hours * HOUR_S / TICK_S
    assert lost_count == 0
    assert all(agent.is_drained for agent in world.agents)
    assert {account.open_count for account in ledger.accounts} == {0}
    assert counted == sum(agent.readings_count for agent in world.agents)
    assert world.centre.journal.gaps() == []
    world.centre.close()
    for agent in world.agents:
        agent.spool.close()
