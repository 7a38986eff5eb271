"""The model of the spool and the real one do the same, so that what holds over the model holds over the real one."""

import random
from pathlib import Path

import pytest

from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import SpoolLimits
from tests.simulation.agent_disk import AgentDisk, AnySpool, MemoryDisk, SqliteDisk

HOUR_S = 3600.0
LIMITS = SpoolLimits(max_bytes=4 << 20, max_age_s=20 * HOUR_S)


class Bench:
    """One disk, worked by the same hand as another."""

    def __init__(self, disk: AgentDisk) -> None:
        self.disk = disk
        self.spool: AnySpool | None = None

    def open(self, boot: str, mono_s: float) -> None:
        self.spool = self.disk.open(boot=boot, mono_s=mono_s)

    @property
    def opened(self) -> AnySpool:
        assert self.spool is not None
        return self.spool

    def shown(self) -> list[tuple[object, ...]]:
        return [
            (
                epoch.low,
                epoch.next_seq,
                epoch.acked_upto,
                epoch.made_count,
                epoch.dropped_count,
                epoch.read(1, max_count=1000, max_bytes=1 << 20),
            )
            for epoch in self.opened.epochs
        ]


@pytest.mark.parametrize("seed", range(6))
def test_the_model_of_a_spool_does_what_the_real_one_does(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    real = SqliteDisk(tmp_path / "real", LIMITS)
    both = Bench(MemoryDisk(LIMITS, random.Random(seed), may_lie=False)), Bench(real)
    boot, mono_s = "boot-0", 10.0
    for one in both:
        one.open(boot, mono_s)
    for step in range(250):
        mono_s += chance.expovariate(1 / 900.0)
        chosen = chance.random()
        if chosen < 0.7:
            taken = Moment(boot=boot, mono_s=round(mono_s, 3), wall_s=1.8e9 + step)
            readings = tuple(Reading(probe="ping", target=f"device-{place}") for place in range(chance.randint(1, 5)))
            record = Record(taken=taken, readings=readings)
            numbers = {one.opened.put(record, mono_s=mono_s) for one in both}
            assert len(numbers) == 1
        elif chosen < 0.9:
            place = chance.randrange(len(both[0].opened.epochs))
            upto = chance.randrange(both[0].opened.epochs[place].next_seq)
            for one in both:
                one.opened.epochs[place].acknowledge(upto, mono_s=mono_s)
        elif chosen < 0.92:
            for one in both:
                one.disk.freeze()
        else:
            if chosen > 0.95:
                boot, mono_s = f"boot-{step}", chance.uniform(5.0, 20.0)
            for one in both:
                one.disk.kill()
                if chosen > 0.98:
                    one.disk.thaw()
                one.open(boot, mono_s)
        assert both[0].shown() == both[1].shown(), f"step {step}"
    real.close()
