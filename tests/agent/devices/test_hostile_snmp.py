"""Devices whose SNMP is sound and whose answers are not: of wrong types, without end, doubled, huge, or none at all."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api, rfc1902

from agent.clock import SystemClock
from agent.devices.parts import FIGURES
from agent.probes import load_probe
from agent.taking import take_reading
from contract.outcome import Outcome
from contract.parts import PART_NAMES, STATUS, Recognition
from contract.reading import Reading
from tests.support.ports import LOOPBACK

V2C: Final[Any] = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
Oid = tuple[int, ...]
Objects = list[tuple[Oid, Any]]
Vary = Callable[[str, list[Oid], int, Any], Objects]
"""What to answer to a request of this kind (`GetRequestPDU`, …) for these objects, so many times over; the answer's PDU
may be changed too.
"""


def always(value: Any) -> Vary:
    """Has every object there can be, all of them this value; a walk never ends."""

    def vary(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
        del pdu
        if kind == "GetRequestPDU":
            return [(oid, value) for oid in asked]
        objects, at = [], asked
        for _ in range(repeat):
            at = [(*oid[:-1], oid[-1] + 1) if len(oid) > 14 else (*oid, 1) for oid in at]
            objects += [(oid, value) for oid in at]
        return objects[:40]

    return vary


def stuck(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
    """What follows an object is that object again."""
    del kind, pdu
    return [(oid, rfc1902.Integer32(1)) for oid in asked] * repeat


def doubled(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
    """Each object twice, with two values."""
    del kind, repeat, pdu
    return [(oid, rfc1902.Integer32(number)) for oid in asked for number in (1, 2)]


def foreign(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
    """Objects that nobody asked for."""
    del kind, repeat, pdu
    return [((1, 3, 6, 1, 2, 1, 99, number), rfc1902.Integer32(1)) for number, _ in enumerate(asked)]


def empty(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
    """No object at all."""
    del kind, asked, repeat, pdu
    return []


def long_names(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
    """Object ids as long as they may be, with numbers as large as they may be."""
    del kind, repeat, pdu
    return [(oid + (0xFFFFFFFF,) * (120 - len(oid)), rfc1902.Integer32(1)) for oid in asked]


def failing(status: int, index: int) -> Vary:
    """Answers every request with an error, about an object that there may not be."""

    def vary(kind: str, asked: list[Oid], repeat: int, pdu: Any) -> Objects:
        del kind, repeat
        V2C.apiPDU.set_error_status(pdu, status)
        V2C.apiPDU.set_error_index(pdu, index)
        return [(oid, rfc1902.Null("")) for oid in asked]

    return vary


NOTHING: Final = {
    "null": always(rfc1902.Null("")), "foreign": foreign, "empty": empty,
    "too big": failing(1, 0), "genErr of the 999th": failing(5, 999), "noSuchName of none": failing(2, 0),
}  # fmt: skip
"""Answers in which nothing is said."""
SENTINELS: Final = {
    "-1": always(rfc1902.Integer32(-1)),
    "all ones": always(rfc1902.Gauge32(0xFFFFFFFF)),
    "all ones of 64": always(rfc1902.Counter64((1 << 64) - 1)),
    "no more ticks": always(rfc1902.TimeTicks(0xFFFFFFFF)),
}
TEXTS: Final = {
    "n/a": always(rfc1902.OctetString(b"n/a")),
    "not UTF-8": always(rfc1902.OctetString(b"\xff\xfe\x00\x80" * 8)),
    "huge": always(rfc1902.OctetString(b"A" * 3000)),
    "more than a float": always(rfc1902.OctetString(b"1e999")),
    "an object id": always(rfc1902.ObjectIdentifier((1, 3, 6, 1, 4, 1, 9, 1, 1))),
    "an address": always(rfc1902.IpAddress("1.2.3.4")),
    "opaque": always(rfc1902.Opaque(b"\x9f\x78\x04\x42\xc8\x00\x00")),
}
NUMBERS: Final = {
    "0": always(rfc1902.Integer32(0)), "1": always(rfc1902.Integer32(1)), "2": always(rfc1902.Integer32(2)),
    "stuck": stuck, "doubled": doubled, "long names": long_names,
}  # fmt: skip
REFUSALS: Final = {"noAccess": failing(6, 1), "inconsistentName": failing(18, 1)}
ALL: Final = {**NOTHING, **SENTINELS, **TEXTS, **NUMBERS, **REFUSALS}
RANGES: Final = {figure.name: figure for figure in FIGURES}
BESIDE: Final = {"recognition_code", "response_ms", "if_errors_total", "if_discards_total"}


class Agent(asyncio.DatagramProtocol):
    """An SNMP agent that answers so."""

    def __init__(self, vary: Vary) -> None:
        self._vary = vary
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked, _ = decoder.decode(data, asn1Spec=V2C.Message())
        request, answer = V2C.apiMessage.get_pdu(asked), V2C.apiMessage.get_response(asked)
        pdu, kind = V2C.apiMessage.get_pdu(answer), type(request).__name__
        oids = [tuple(oid) for oid, _ in V2C.apiPDU.get_varbinds(request)]
        repeat = int(request[2]) if kind == "GetBulkRequestPDU" else 1
        objects = self._vary(kind, oids, repeat, pdu)
        V2C.apiPDU.set_varbinds(pdu, [(rfc1902.ObjectName(oid), value) for oid, value in objects])
        said = encoder.encode(answer)
        if len(said) < 60_000:  # more than a datagram holds is not sent, as a device would not
            self._transport.sendto(said, addr)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as shared:
        yield shared


def measure(runner: asyncio.Runner, vary: Vary, probe: str, **settings: object) -> Reading:
    async def run() -> Reading:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Agent(vary), local_addr=(LOOPBACK, 0))
        try:
            port = transport.get_extra_info("sockname")[1]
            given = {"target": "codec", "address": LOOPBACK, "port": port, "timeout_s": 1.0, "retries": 0, **settings}
            return (await take_reading(probe, load_probe(probe, given), SystemClock())).reading
        finally:
            transport.close()

    return runner.run(run())


@pytest.mark.parametrize("how", ALL)
@pytest.mark.parametrize(("probe", "kind"), [("device", ""), ("device", "poly"), ("snmp", "")])
def test_no_answer_breaks_a_probe_or_becomes_a_value_that_cannot_be(
    runner: asyncio.Runner, caplog: pytest.LogCaptureFixture, probe: str, kind: str, how: str
) -> None:
    reading = measure(runner, ALL[how], probe, **({"kind": kind} if kind else {}))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "no result within" not in reading.detail, "it was cut off from outside"
    if how not in REFUSALS and how != "huge":
        assert reading.outcome is Outcome.OK, reading.detail
    for name, number in reading.values.items():
        assert math.isfinite(number)
        if name in RANGES:
            assert RANGES[name].low <= number <= RANGES[name].high
        else:
            assert name in BESIDE or name.removesuffix(STATUS) in PART_NAMES


@pytest.mark.parametrize("how", [*SENTINELS, *NOTHING])
def test_what_stands_for_not_knowing_is_no_value(runner: asyncio.Runner, how: str) -> None:
    allowed = {"response_ms", "recognition_code", "calls_count", "call_active_bool"}
    for probe in ("device", "snmp"):
        assert measure(runner, ALL[how], probe).values.keys() <= allowed
    codec = measure(runner, ALL[how], "device", kind="poly").values
    assert codec.keys() <= allowed


@pytest.mark.parametrize("kind", ["poly", "axis", "hikvision", "epson"])
@pytest.mark.parametrize("how", NOTHING)
def test_a_device_that_has_nothing_of_its_kind_is_not_taken_for_one(
    runner: asyncio.Runner, kind: str, how: str
) -> None:
    """Somebody else may have its address; a codec that is in no call would be well."""
    values = measure(runner, NOTHING[how], "device", kind=kind).values
    assert values.keys() == {"recognition_code", "response_ms"}
    assert values["recognition_code"] == Recognition.UNIDENTIFIED
