"""The stamp probe against a real reflector, over a relay that loses, delays, repeats, and spoils as it is told."""

import asyncio
import itertools
import logging
import random
import socket
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.media.packets import Burst, Wire, send_burst
from agent.orders import read_orders
from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.probes.stamp import Stamp
from agent.taking import take_reading
from contract import stamp
from contract.outcome import Outcome
from contract.settings import SettingsError
from tests.support.ports import free_port
from tests.support.reflector import Reflecting
from tests.support.udp_relay import Steady, UdpRelay

with warnings.catch_warnings():
    # scapy reads the system's routes when it is imported, and warns of a machine that has none.
    warnings.simplefilter("ignore")
    from scapy.contrib import stamp as scapys

QUICK: dict[str, Any] = {"packets_per_s": 200.0, "duration_s": 1.0, "timeout_s": 1.0}


def measure(reflecting: Reflecting, port: int | None = None, **more: Any) -> Values:
    return asyncio.run(Stamp(**reflecting.probe(port, **(QUICK | more))).measure())


def through(
    reflecting: Reflecting,
    up: Steady | None = None,
    down: Steady | None = None,
    spoil: Callable[[bytes, bool], list[bytes]] | None = None,
    **more: Any,
) -> Values:
    with UdpRelay(reflecting.port, up or Steady(), down or Steady(), spoil=spoil) as relay:
        return measure(reflecting, relay.port, **more)


def test_a_good_line_is_measured_whole(reflecting: Reflecting) -> None:
    values = measure(reflecting)
    assert set(values) <= {value.name for value in Stamp.values}
    assert values["send_late_p95_ms"] >= 0
    assert values["sent_count"] == values["received_count"] >= 150
    assert values["loss_ratio"] == values["loss_forward_ratio"] == values["loss_backward_ratio"] == 0.0
    assert 0 < values["rtt_min_ms"] < 5, "stamped by the kernel, and not by whoever got round to it"
    assert values["audio_mos"] > 3.5


def test_the_delay_is_the_lines(reflecting: Reflecting) -> None:
    values = through(reflecting, Steady(delay_s=0.03), Steady(delay_s=0.05))
    assert 80 <= values["rtt_min_ms"] < 95


def test_loss_is_found_in_its_direction(reflecting: Reflecting) -> None:
    values = through(reflecting, Steady(loss=0.2, seed=1), Steady(loss=0.05, seed=2), duration_s=2.0)
    assert values["loss_forward_ratio"] == pytest.approx(0.2, abs=0.08)
    assert values["loss_backward_ratio"] == pytest.approx(0.05, abs=0.05)
    assert values["loss_low_ratio"] < values["loss_ratio"] < values["loss_high_ratio"]


def test_variation_is_found_in_its_direction(reflecting: Reflecting) -> None:
    chance = random.Random(1)

    class Wavering(Steady):
        def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
            del size_bytes
            return at_ns + round(chance.random() * 80e6)

    values = through(reflecting, None, Wavering())
    assert values["pdv_backward_p95_ms"] > 60
    assert values["pdv_backward_p95_ms"] > 2 * values["pdv_forward_p95_ms"]
    assert values["pdv_p95_ms"] == values["pdv_backward_p95_ms"]
    assert values["reorder_ratio"] > 0.1


def test_repeats_on_the_way_back_receive_nothing(reflecting: Reflecting) -> None:
    values = through(reflecting, spoil=lambda packet, is_up: [packet] if is_up else [packet, packet])
    assert values["received_count"] == values["sent_count"]
    assert values["duplicate_count"] >= values["sent_count"] // 2


def test_repeats_on_the_way_there_are_answered_once(reflecting: Reflecting) -> None:
    values = through(reflecting, spoil=lambda packet, is_up: [packet, packet] if is_up else [packet])
    assert (values["received_count"], values["duplicate_count"]) == (values["sent_count"], 0)


def test_an_answer_after_the_timeout_is_lost_and_counted_as_late(reflecting: Reflecting) -> None:
    turns = itertools.count()

    class SometimesSlow(Steady):
        def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
            del size_bytes
            return at_ns + (1_700_000_000 if next(turns) % 10 == 0 else 0)

    values = through(reflecting, down=SometimesSlow(), timeout_s=1.0)
    assert values["late_count"] == values["sent_count"] - values["received_count"] > 0


def test_spoilt_answers_are_lost(reflecting: Reflecting) -> None:
    def spoil(packet: bytes, is_up: bool) -> list[bytes]:  # noqa: FBT001 - the relay's shape
        if is_up or stamp.decode_request(packet).seq % 2:
            return [packet]
        return [packet[:50] + bytes([packet[50] ^ 1]) + packet[51:]]

    values = through(reflecting, spoil=spoil)
    assert values["loss_ratio"] == pytest.approx(0.5, abs=0.05)
    assert values["loss_forward_ratio"] == 0.0


def test_a_silence_without_a_key_says_what_may_be_the_reason(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match="no key was given, and a reflector answers only whom it knows"):
        through(reflecting, key="", timeout_s=0.2, duration_s=0.2)


def test_a_line_without_end_of_loss_is_a_timeout_with_its_figures(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match=r"none of \d+ packets was answered") as failed:
        through(reflecting, Steady(loss=1.0), timeout_s=0.2, duration_s=0.2)
    assert failed.value.outcome is Outcome.TIMEOUT
    assert (failed.value.values["loss_ratio"], failed.value.values["received_count"]) == (1.0, 0)
    assert "audio_mos" not in failed.value.values


def test_a_port_where_nobody_listens_is_refused(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match="Connection refused") as failed:
        measure(reflecting, free_port(socket.SOCK_DGRAM), duration_s=0.2, timeout_s=0.2)
    assert failed.value.outcome is Outcome.REFUSED


def test_a_key_that_is_not_ours_is_silence(reflecting: Reflecting) -> None:
    with pytest.raises(ProbeFailed, match="was answered"):
        measure(reflecting, key="00" * 32, duration_s=0.2, timeout_s=0.2)


def test_a_packet_is_as_long_as_asked_for(reflecting: Reflecting) -> None:
    lengths: set[int] = set()

    def note(packet: bytes, is_up: bool) -> list[bytes]:  # noqa: FBT001 - the relay's shape
        del is_up
        lengths.add(len(packet))
        return [packet]

    through(reflecting, spoil=note, size_bytes=333, duration_s=0.2)
    assert lengths == {333}


def test_without_a_key_a_listed_ssid_is_measured() -> None:
    reflecting = Reflecting(ssids=(77,))
    try:
        values = measure(reflecting, key="", agent=None, ssid=77)
    finally:
        reflecting.service.stop()
    assert values["loss_ratio"] == 0.0


def test_scapy_reads_what_the_probe_sends() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10.0)
        burst = Burst(count=3, interval_s=0.001, size_bytes=100, wait_s=0.0, ssid=9)
        with Wire("127.0.0.1", socket.AF_INET, sock.getsockname()[1]) as wire:
            send_burst(wire, burst, threading.Event())
        theirs = [scapys.STAMPSessionSenderTestUnauthenticated(sock.recv(2048)) for _ in range(3)]
    assert [(one.seq, one.ssid, one.err_estimate.Z) for one in theirs] == [(0, 9, 0), (1, 9, 0), (2, 9, 0)]
    assert theirs[0].ts <= theirs[1].ts <= theirs[2].ts
    assert theirs[0].ts == pytest.approx(time.time() + 2_208_988_800, abs=60)
    assert [tlv.type for tlv in theirs[0].tlv_objects] == [1]


# A busy PC


class BusyWire:
    """A wire whose PC does nothing else for a while, now and then."""

    def __init__(self) -> None:
        self.sent_at_ns: list[int] = []

    def send(self, packet: bytes) -> bool:
        del packet
        if len(self.sent_at_ns) % 10 == 5:
            time.sleep(0.1)
        self.sent_at_ns.append(time.perf_counter_ns())
        return True

    def receive(self, within_s: float) -> None:
        time.sleep(min(within_s, 0.005))


def test_a_busy_pc_makes_up_for_no_pause_by_a_flood() -> None:
    wire = BusyWire()
    burst = Burst(count=40, interval_s=0.01, size_bytes=100, wait_s=0.0)
    sent = send_burst(wire, burst, threading.Event())  # type: ignore[arg-type]  # a wire as far as the sender sees
    at_ns = wire.sent_at_ns
    crowded = [three - one for one, three in zip(at_ns, at_ns[4:], strict=False)]
    # Two intervals may be made up for; five packets then take at least two.
    assert min(crowded) > 0.015 * 1e9
    assert max(sent.late_ns) > 50e6, "and it says how late it was"


def test_a_pc_that_is_too_busy_sends_fewer() -> None:
    class Stuck(BusyWire):
        def send(self, packet: bytes) -> bool:
            time.sleep(0.2)
            return super().send(packet)

    burst = Burst(count=100, interval_s=0.01, size_bytes=100, wait_s=0.0)
    sent = send_burst(Stuck(), burst, threading.Event())  # type: ignore[arg-type]  # as above
    assert 5 <= len(sent.echoes) <= 20


def test_a_measurement_that_nobody_waits_for_ends(reflecting: Reflecting) -> None:
    def media() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "media"]

    async def give_up() -> None:
        probe = Stamp(**reflecting.probe(**(QUICK | {"duration_s": 60.0})))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(probe.measure(), 0.3)

    asyncio.run(give_up())
    deadline_s = time.monotonic() + 10
    while media():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


# The key


def test_the_key_shows_nowhere(reflecting: Reflecting, caplog: pytest.LogCaptureFixture) -> None:
    settings = reflecting.probe(**QUICK)
    with caplog.at_level(logging.DEBUG):
        taken = asyncio.run(take_reading("stamp", Stamp(**settings), SystemClock()))
        text = f"{taken} {Stamp(**settings)!r} {caplog.text}"
        payload = b'tick_s = 60\n[[probe]]\nname = "stamp"\ntarget = "lesson"\naddress = "x"\nkey = "0123secret"\n'
        with pytest.raises(SettingsError) as refused:
            read_orders(payload, load_probe, source="plan", toml=True)
    assert taken.reading.outcome is Outcome.OK
    assert settings["key"] not in text
    assert "0123secret" not in str(refused.value)
    assert "32 or more hexadecimal digits" in str(refused.value)
