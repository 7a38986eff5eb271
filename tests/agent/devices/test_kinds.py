"""Every kind by SNMP, asked of a device that answers anything at all."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.devices import kind_names, load_kind
from agent.devices.kind import Device, Kind
from agent.devices.parts import FIGURES
from contract.parts import PART_NAMES

TABLES = [name for name in kind_names() if load_kind(name).way == "snmp"]
RANGES = {figure.name: figure for figure in FIGURES}

numbers = st.one_of(
    st.integers(-3, 12), st.sampled_from([-1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, -(1 << 31), (1 << 64) - 1])
)
texts = st.one_of(st.binary(max_size=12), st.sampled_from([b"15 PERCENT", b"-1", b"wan", b"/rom", b"1e999 C", b"\xff"]))
oids = st.sampled_from(["1.3.6.1.2.1.25.2.1.2", "1.3.6.1.2.1.25.2.1.4", "0.0", "1.3.6.1.4.1.9"])
answers = st.one_of(numbers, texts, oids)
indexes = st.sampled_from(["0", "1", "2", "9", "1.1", "1.2", "4294967295"])


class Liar:
    """An SNMP agent that says whatever it is given, and leaves out the rest."""

    def __init__(self, said: st.DataObject) -> None:
        self._said = said

    async def get(self, oids: Sequence[str]) -> Mapping[str, int | str | bytes]:
        return {oid: self._said.draw(answers) for oid in oids if self._said.draw(st.booleans())}

    async def rows(self, columns: Sequence[str], max_count: int) -> Mapping[str, Mapping[str, int | str | bytes]]:
        rows = self._said.draw(st.lists(indexes, unique=True, max_size=min(4, max_count)))
        return {index: await self.get(columns) for index in rows}


async def ask(kind: Kind, device: Device) -> None:
    assert device.snmp is not None
    device = msgspec.structs.replace(device, system=await device.snmp.get(["1.3.6.1.2.1.1.2.0", *kind.signs]))
    await kind.recognise(device)
    told = await kind.ask(device)
    assert set(told.parts) <= PART_NAMES
    for name, number in told.figures.items():
        assert math.isfinite(number)
        assert RANGES[name].low <= number <= RANGES[name].high


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=30, deadline=None)
@given(said=st.data())
def test_no_answer_breaks_a_kind_or_becomes_what_cannot_be(name: str, said: st.DataObject) -> None:
    device = Device(host="192.0.2.1", what="device", timeout_s=1.0, snmp=Liar(said))
    asyncio.run(ask(load_kind(name), device))
