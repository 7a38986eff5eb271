import asyncio
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from agent.probe import ProbeFailed
from agent.probes.host import Host
from contract.outcome import Outcome


def measure(**settings: object) -> dict[str, int | float]:
    return asyncio.run(Host(**settings).measure())  # type: ignore[arg-type] # as a plan's settings come


def test_every_figure_has_the_name_that_is_promised() -> None:
    assert set(measure(sample_s=0.1)) <= {value.name for value in Host.values}


def test_the_figures_are_those_of_this_pc() -> None:
    values = measure(sample_s=0.2)
    assert 0 <= values["cpu_ratio"] <= 1
    assert values["memory_free_bytes"] == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert values["disk_free_bytes"] == pytest.approx(shutil.disk_usage("/").free, rel=0.2)
    assert values["agent_rss_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert values["agent_cpu_s"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_uptime_is_the_kernels_own() -> None:
    kernel_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    assert measure(sample_s=0.1)["uptime_s"] == pytest.approx(kernel_s, abs=5)


def test_a_busy_processor_reads_busy() -> None:
    async def busy() -> dict[str, int | float]:
        task = asyncio.create_task(Host(sample_s=0.5).measure())
        await asyncio.sleep(0)
        await asyncio.to_thread(sum, range(20_000_000))
        return await task

    assert asyncio.run(busy())["cpu_ratio"] > 0.5 / (psutil.cpu_count() or 1) * 0.5


def test_a_named_card_is_the_one_that_is_read() -> None:
    before_bytes = sent_over_loopback_bytes()
    values = measure(sample_s=0.1, nic="lo")
    assert values["nic_up_bool"] == 1
    assert "nic_speed_bps" not in values  # loopback has none, and none is not 0
    assert before_bytes <= values["nic_sent_bytes_total"] <= sent_over_loopback_bytes()  # others use it meanwhile


def sent_over_loopback_bytes() -> int:
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def test_a_card_that_is_not_there_is_absent_and_the_rest_is_measured_all_the_same() -> None:
    with pytest.raises(ProbeFailed, match=r"^host: there is no network card eth99; there are .*lo") as caught:
        measure(sample_s=0.1, nic="eth99")
    assert caught.value.outcome is Outcome.ABSENT
    assert "memory_free_ratio" in caught.value.values
