"""The probe `peripherals`, on the machine that the tests run on."""

import asyncio

import pytest

from agent.clock import SystemClock
from agent.peripherals.fitted import Fitted
from agent.probes import load_probe
from agent.probes.peripherals import Peripherals
from agent.taking import take_reading
from contract.outcome import Outcome
from contract.settings import SettingsError


def test_this_machine_says_how_many_parts_it_has() -> None:
    reading = asyncio.run(take_reading("peripherals", Peripherals(), SystemClock())).reading
    assert (reading.outcome, reading.target) == (Outcome.OK, "pc")
    counts = {name for name in reading.values if name.endswith("_count")}
    assert counts == {"cameras_count", "microphones_count", "speakers_count", "screens_count"}
    assert set(reading.values) <= {value.name for value in Peripherals.values}


def test_each_number_that_it_can_bring_is_published() -> None:
    fitted = [Fitted(kind, "x") for kind in ("camera", "microphone", "speaker", "screen") for _ in range(9)]
    assert set(Peripherals().judged(fitted)) == {value.name for value in Peripherals.values}


def test_what_is_expected_must_be_a_part_that_a_pc_can_have() -> None:
    with pytest.raises(SettingsError) as refused:
        load_probe("peripherals", {"expect": ["camera", "printer HP"]}, source="plan")
    assert refused.value.text("en") == (
        "plan: expect[1]: expected a text: one of camera, microphone, speaker, screen, and a piece of its name if it "
        "must be a certain one, got 'printer HP'"
    )
