"""What else went on while a test loaded the line, so that a busy PC or a weak Wi-Fi is not taken for a bad provider."""

import time
from typing import Final, NamedTuple

import psutil

from agent.network.nic import choose_card
from agent.network.wifi import signal_dbm
from agent.probe import Value, Values

CIRCUMSTANCES: Final = (
    Value("competing_sent_bps", "What others on this PC sent meanwhile."),
    Value("competing_received_bps", "What others on this PC received meanwhile."),
    Value("wifi_bool", "Whether the PC was on Wi-Fi."),
    Value("busy_cpu_ratio", "Share of the PC's processors that was busy meanwhile."),
)
"""Values that every test of the line brings besides its own."""


class Look(NamedTuple):
    """The PC's counters at one moment (perf_counter's seconds)."""

    at_s: float
    card: str
    sent_bytes: int
    received_bytes: int
    busy_s: float
    cpu_s: float


def look() -> Look:
    """The counters now."""
    card = choose_card()
    counters = psutil.net_io_counters(pernic=True).get(card)
    times = psutil.cpu_times()
    spent = {name: float(getattr(times, name)) for name in times._fields}
    for counted_elsewhere in ("guest", "guest_nice"):  # Linux counts them in user and nice too
        spent.pop(counted_elsewhere, None)
    total_s = sum(spent.values())
    idle_s = spent["idle"] + spent.get("iowait", 0.0)
    sent_bytes, received_bytes = (counters.bytes_sent, counters.bytes_recv) if counters else (0, 0)
    return Look(time.perf_counter(), card, sent_bytes, received_bytes, total_s - idle_s, total_s)


def rates_bps(before: Look, after: Look) -> tuple[float, float]:
    """What the card sent and received between two looks."""
    lasted_s = max(1e-3, after.at_s - before.at_s)
    return (
        max(0, after.sent_bytes - before.sent_bytes) * 8 / lasted_s,
        max(0, after.received_bytes - before.received_bytes) * 8 / lasted_s,
    )


def between(before: Look, after: Look, *, own_sent_bytes: int, own_received_bytes: int) -> Values:
    """The values of CIRCUMSTANCES, less what the test itself sent and received. Nothing where the card changed."""
    values: Values = {"wifi_bool": int(signal_dbm(after.card) is not None)} if after.card else {}
    if (cpu_s := after.cpu_s - before.cpu_s) > 0:
        values["busy_cpu_ratio"] = min(1.0, max(0.0, (after.busy_s - before.busy_s) / cpu_s))
    if after.card and after.card == before.card:
        lasted_s = max(1e-3, after.at_s - before.at_s)
        sent_bps, received_bps = rates_bps(before, after)
        values["competing_sent_bps"] = max(0.0, sent_bps - own_sent_bytes * 8 / lasted_s)
        values["competing_received_bps"] = max(0.0, received_bps - own_received_bytes * 8 / lasted_s)
    return values
