import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest

from agent.endpoint import Endpoint
from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.probes.power import Power, tell_of_battery
from agent.ups import TABLES
from agent.ups.apcupsd import tell_of_apcupsd
from agent.ups.belief import believe, is_on_battery
from agent.ups.codes import Source
from agent.ups.nut import ask_nut
from agent.ups.told import Told
from contract.outcome import Outcome
from contract.settings import SettingsError
from tests.support.nut import Nut, StartNut, launch_nut
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs
from tests.support.snmpsim import RECORDINGS, SnmpSim, edited, launch_snmpsim, own_recordings

ROOT: Final = Path(__file__).parents[3]
UPS: Final = "1.3.6.1.2.1.33.1"
KIND: Final = "1.3.6.1.2.1.1.2.0"
APC: Final = "1.3.6.1.4.1.318.1.1.1"
CPS: Final = "1.3.6.1.4.1.3808.1.1.1"
MG: Final = "1.3.6.1.4.1.705.1"
XUPS: Final = "1.3.6.1.4.1.534.1"
PPC: Final = "1.3.6.1.4.1.935.1.1.1"
ABSENT: Final = None
"""Expected of a value that must not be there."""

ON_MAINS: Final[Values] = {
    "on_battery_bool": 0,
    "low_battery_bool": 0,
    "battery_charge_ratio": 0.98,
    "battery_runtime_s": 2700,
    "battery_v": 27.2,
    "battery_celsius": 27,
    "input_v": 228,
    "input_hz": 49.9,
    "output_v": 230,
    "load_ratio": 0.21,
    "output_source_code": 3,
    "alarms_count": 0,
}


class Case(NamedTuple):
    """A recording made by editing another, and what a poller must read of it; the rest is as before the edit."""

    changes: Mapping[str, str]
    expected: Mapping[str, float | None]


PHASES: Final = {
    f"{UPS}.{row}.{phase}": "0" for row in ("3.3.1.2", "3.3.1.3", "4.4.1.2", "4.4.1.5") for phase in (2, 3)
}

ALL_BUT_SOURCE: Final = [
    f"{UPS}.{oid}.{1 if '.1.' in oid else 0}"
    for oid in (
        "2.1",
        "2.2",
        "2.3",
        "2.4",
        "2.5",
        "2.7",
        "3.3.1.2",
        "3.3.1.3",
        "4.4.1.2",
        "4.4.1.5",
        "6.1",
        "7.3",
        "9.1",
    )
]
SAYINGS: Final = {
    "mains failed": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "40", f"{UPS}.3.3.1.3.1": "0", f"{UPS}.3.3.1.2.1": "0"},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": 0, "input_hz": ABSENT},
    ),
    "mains failed and left a residue": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "", f"{UPS}.3.3.1.3.1": "3"},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": 3, "input_hz": ABSENT},
    ),
    "battery low": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "900", f"{UPS}.3.3.1.3.1": "0", f"{UPS}.2.1.0": "3", f"{UPS}.2.3.0": "0"},
        {
            "on_battery_bool": 1,
            "output_source_code": 5,
            "input_v": 0,
            "input_hz": ABSENT,
            "low_battery_bool": 1,
            "battery_runtime_s": 0,
        },
    ),
    "inverter that lives on direct current": Case({f"{UPS}.4.1.0": "5"}, {"output_source_code": 5}),
    "status not yet up to date": Case(
        {f"{UPS}.2.2.0": "3", f"{UPS}.3.3.1.3.1": "0"}, {"on_battery_bool": 1, "input_v": 0, "input_hz": ABSENT}
    ),
    "status alone": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "", f"{UPS}.3.3.1.3.1": ""},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": ABSENT},
    ),
    "one witness against one": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": ""}, {"on_battery_bool": ABSENT, "output_source_code": 5}
    ),
    "self-test": Case(
        {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "20", f"{UPS}.7.3.0": "5"},
        {"output_source_code": 5},
    ),
    "self-test told by an alarm": Case(
        {
            f"{UPS}.4.1.0": "5",
            f"{UPS}.2.2.0": "20",
            f"{UPS}.6.1.0": "1",
            f"{UPS}.6.2.1.2.1": f"6|{UPS}.6.3.24",
        },
        {"output_source_code": 5, "alarms_count": 1},
    ),
    "battery bad by alarm": Case(
        {f"{UPS}.6.1.0": "2", f"{UPS}.6.2.1.2.4": f"6|{UPS}.6.3.9", f"{UPS}.6.2.1.2.7": f"6|{UPS}.6.3.1"},
        {"battery_replace_bool": 1, "alarms_count": 2},
    ),
    "alarm rows without alarms": Case({f"{UPS}.6.2.1.2.1": f"6|{UPS}.6.3.1"}, {}),
    "no voltmeter": Case({f"{UPS}.3.3.1.3.1": "0"}, {"input_v": ABSENT}),
    "bypass": Case({f"{UPS}.4.1.0": "4"}, {"output_source_code": 4}),
    "booster": Case({f"{UPS}.4.1.0": "6", f"{UPS}.3.3.1.3.1": "190"}, {"output_source_code": 6, "input_v": 190}),
    "runtime of minus one": Case({f"{UPS}.2.3.0": "-1"}, {"battery_runtime_s": ABSENT}),
    "runtime of 8 ones": Case({f"{UPS}.2.3.0": "255"}, {"battery_runtime_s": ABSENT}),
    "runtime of 16 ones": Case({f"{UPS}.2.3.0": "65535"}, {"battery_runtime_s": ABSENT}),
    "runtime of 31 ones": Case({f"{UPS}.2.3.0": "2147483647"}, {"battery_runtime_s": ABSENT}),
    "runtime of 32 ones": Case({f"{UPS}.2.3.0": "66|4294967295"}, {"battery_runtime_s": ABSENT}),
    "runtime of Windows": Case({f"{UPS}.2.3.0": "71582788"}, {"battery_runtime_s": ABSENT}),
    "runtime of nought on a full battery": Case({f"{UPS}.2.3.0": "0"}, {"battery_runtime_s": ABSENT}),
    "runtime beyond a week": Case({f"{UPS}.2.3.0": "10081"}, {"battery_runtime_s": ABSENT}),
    "charge beyond full": Case({f"{UPS}.2.4.0": "101"}, {"battery_charge_ratio": ABSENT}),
    "charge as Gauge": Case({f"{UPS}.2.4.0": "66|77"}, {"battery_charge_ratio": 0.77}),
    "charge as text": Case({f"{UPS}.2.4.0": "4|77"}, {"battery_charge_ratio": ABSENT}),
    "charge as Null": Case({f"{UPS}.2.4.0": "5|"}, {"battery_charge_ratio": ABSENT}),
    "no thermometer": Case({f"{UPS}.2.7.0": "0"}, {"battery_celsius": ABSENT}),
    "impossible heat": Case({f"{UPS}.2.7.0": "91"}, {"battery_celsius": ABSENT}),
    "frost": Case({f"{UPS}.2.7.0": "-3"}, {"battery_celsius": -3}),
    "tenths of volts": Case(
        {f"{UPS}.3.3.1.3.1": "2360", f"{UPS}.4.4.1.2.1": "2300"}, {"input_v": 236, "output_v": 230}
    ),
    "whole hertz": Case({f"{UPS}.3.3.1.2.1": "50"}, {"input_hz": 50}),
    "hundredths of hertz": Case({f"{UPS}.3.3.1.2.1": "4990"}, {"input_hz": 49.9}),
    "two phases unused": Case(PHASES, {}),
    "three phases": Case(
        {**PHASES, **{f"{UPS}.3.3.1.3.{phase}": str(220 + phase) for phase in (1, 2, 3)}, f"{UPS}.4.4.1.5.2": "64"},
        {"input_v": 221, "load_ratio": 0.64},
    ),
    "three phases, one lost to a residue": Case(
        {**PHASES, f"{UPS}.3.3.1.3.2": "41", f"{UPS}.3.3.1.3.3": "229"}, {"input_v": 41}
    ),
    "negative power": Case({f"{UPS}.4.4.1.4.1": "-26"}, {}),
    "low flag on a full battery": Case({f"{UPS}.2.1.0": "3"}, {"low_battery_bool": ABSENT}),
    "low flag on an empty battery": Case(
        {f"{UPS}.2.1.0": "3", f"{UPS}.2.4.0": "9"}, {"low_battery_bool": 1, "battery_charge_ratio": 0.09}
    ),
    "overload": Case({f"{UPS}.4.4.1.5.1": "131"}, {"load_ratio": 1.31}),
    "a vendor's finer tree beside it": Case(
        {f"{PPC}.4.1.1.0": "2", f"{PPC}.3.2.1.0": "2281", f"{PPC}.4.2.3.0": "24", f"{PPC}.2.2.1.0": "-1"},
        {"input_v": 228.1, "load_ratio": 0.24},
    ),
    "nothing but its source": Case(
        dict.fromkeys(ALL_BUT_SOURCE, ""),
        dict.fromkeys(set(ON_MAINS) - {"on_battery_bool", "output_source_code"}),
    ),
}


def vendors() -> dict[str, tuple[str, Values]]:
    """UPSes with no tree but their vendor's, on the mains and on battery: recordings, and what must be read."""
    cases: dict[str, tuple[str, Values]] = {}

    def add(name: str, objects: Mapping[str, str], expected: Values) -> None:
        cases[name] = (edited("", {KIND: "6|1.3.6.1.4.1.99999", **objects}), expected)

    old_apc = {
        f"{APC}.2.1.1.0": "2", f"{APC}.2.1.2.0": "67|0", f"{APC}.2.2.1.0": "100", f"{APC}.2.2.2.0": "29",
        f"{APC}.2.2.3.0": "67|300000", f"{APC}.2.2.4.0": "1", f"{APC}.2.2.8.0": "-1", f"{APC}.3.2.1.0": "231",
        f"{APC}.3.2.4.0": "50", f"{APC}.4.1.1.0": "2", f"{APC}.4.2.1.0": "230", f"{APC}.4.2.3.0": "31",
        f"{APC}.5.2.3.0": "208",
    }  # fmt: skip
    read: Values = {
        "on_battery_bool": 0, "low_battery_bool": 0, "battery_charge_ratio": 1.0, "battery_celsius": 29,
        "battery_runtime_s": 3000, "battery_replace_bool": 0, "input_v": 231, "input_hz": 50, "output_v": 230,
        "load_ratio": 0.31, "output_source_code": 3,
    }  # fmt: skip
    add("apc without tenths", old_apc, read)
    tenths = {f"{APC}.2.3.1.0": "66|998", f"{APC}.2.3.2.0": "66|295", f"{APC}.2.3.4.0": "272", f"{APC}.3.3.1.0": "2314"}
    finer = {"battery_charge_ratio": 0.998, "battery_celsius": 29.5, "battery_v": 27.2, "input_v": 231.4}
    add("apc with tenths", {**old_apc, **tenths}, {**read, **finer})
    below_window = {**old_apc, f"{APC}.4.1.1.0": "3", f"{APC}.3.2.1.0": "180"}
    sagging = {"on_battery_bool": 1, "output_source_code": 5, "input_v": 180}
    hertz = read["input_hz"]
    dead = {name: value for name, value in read.items() if name != "input_hz"}
    assert hertz == 50
    add("apc on battery below its transfer point", below_window, {**dead, **sagging})
    add("apc with a charge of nought", {**old_apc, f"{APC}.2.2.1.0": "0"},
        {name: value for name, value in read.items() if name != "battery_charge_ratio"})  # fmt: skip
    add("apc trimming", {**old_apc, f"{APC}.4.1.1.0": "12"}, {**read, "output_source_code": 7})
    add("apc with a worn battery", {**old_apc, f"{APC}.2.2.4.0": "2"}, {**read, "battery_replace_bool": 1})

    cps = {
        f"{CPS}.2.1.1.0": "2", f"{CPS}.2.2.1.0": "66|88", f"{CPS}.2.2.2.0": "240", f"{CPS}.2.2.4.0": "67|120000",
        f"{CPS}.2.2.5.0": "1", f"{CPS}.3.2.1.0": "66|2300", f"{CPS}.3.2.4.0": "501", f"{CPS}.3.2.6.0": "1",
        f"{CPS}.4.1.1.0": "2", f"{CPS}.4.2.1.0": "2300", f"{CPS}.4.2.3.0": "24",
    }  # fmt: skip
    read_cps: Values = {
        "on_battery_bool": 0, "low_battery_bool": 0, "battery_charge_ratio": 0.88, "battery_v": 24,
        "battery_runtime_s": 1200, "battery_replace_bool": 0, "input_v": 230, "input_hz": 50.1, "output_v": 230,
        "load_ratio": 0.24, "output_source_code": 3,
    }  # fmt: skip
    add("cyberpower", cps, read_cps)
    add("cyberpower in a blackout", {**cps, f"{CPS}.4.1.1.0": "3", f"{CPS}.3.2.6.0": "5", f"{CPS}.3.2.1.0": ""},
        {name: value for name, value in read_cps.items() if name != "input_v"}
        | {"on_battery_bool": 1, "output_source_code": 5})  # fmt: skip

    mg = {
        f"{MG}.5.1.0": "1132", f"{MG}.5.2.0": "91", f"{MG}.5.5.0": "550", f"{MG}.5.9.0": "2", f"{MG}.5.11.0": "2",
        f"{MG}.5.14.0": "2", f"{MG}.6.2.1.2.1": "2290", f"{MG}.6.2.1.3.1": "500", f"{MG}.6.4.0": "1",
        f"{MG}.7.2.1.2.1": "2300", f"{MG}.7.2.1.4.1": "40", f"{MG}.7.3.0": "2",
    }  # fmt: skip
    read_mg: Values = {
        "on_battery_bool": 0, "low_battery_bool": 0, "battery_replace_bool": 0, "battery_charge_ratio": 0.91,
        "battery_runtime_s": 1132, "battery_v": 55, "input_v": 229, "input_hz": 50, "output_v": 230, "load_ratio": 0.4,
    }  # fmt: skip
    add("mg-snmp", mg, read_mg)
    add("mg-snmp on battery", {**mg, f"{MG}.7.3.0": "1", f"{MG}.6.4.0": "4", f"{MG}.6.2.1.2.1": "20"},
        {name: value for name, value in read_mg.items() if name != "input_hz"}
        | {"on_battery_bool": 1, "input_v": 2})  # fmt: skip
    add("mg-snmp with a worn battery", {**mg, f"{MG}.5.11.0": "1"}, {**read_mg, "battery_replace_bool": 1})

    xups = {
        f"{XUPS}.2.1.0": "1132", f"{XUPS}.2.2.0": "55", f"{XUPS}.2.4.0": "91", f"{XUPS}.2.5.0": "3",
        f"{XUPS}.3.1.0": "500", f"{XUPS}.3.4.1.2.1": "229", f"{XUPS}.4.1.0": "40", f"{XUPS}.4.4.1.2.1": "230",
        f"{XUPS}.4.5.0": "10", f"{XUPS}.10.2.0": "230",
    }  # fmt: skip
    read_xups: Values = {
        "on_battery_bool": 0, "battery_charge_ratio": 0.91, "battery_runtime_s": 1132, "battery_v": 55, "input_v": 229,
        "input_hz": 50, "output_v": 230, "load_ratio": 0.4, "output_source_code": 3,
    }  # fmt: skip
    add("xups saving power", xups, read_xups)
    add("xups discharging while its input is good", {**xups, f"{XUPS}.4.5.0": "5", f"{XUPS}.2.5.0": "2"},
        {**read_xups, "on_battery_bool": 1, "output_source_code": 5})  # fmt: skip

    ppc = {
        f"{PPC}.2.1.1.0": "2", f"{PPC}.2.1.2.0": "0", f"{PPC}.2.2.1.0": "100", f"{PPC}.2.2.2.0": "22",
        f"{PPC}.2.2.3.0": "315", f"{PPC}.2.2.4.0": "0", f"{PPC}.3.2.1.0": "2390", f"{PPC}.3.2.4.0": "500",
        f"{PPC}.4.1.1.0": "2", f"{PPC}.4.2.1.0": "2307", f"{PPC}.4.2.3.0": "2",
    }  # fmt: skip
    read_ppc: Values = {
        "on_battery_bool": 0, "low_battery_bool": 0, "battery_charge_ratio": 1.0, "battery_celsius": 31.5,
        "input_v": 239, "input_hz": 50, "output_v": 230.7, "load_ratio": 0.02, "output_source_code": 3,
    }  # fmt: skip
    add("phoenixtec", ppc, read_ppc)
    add("phoenixtec on battery", {**ppc, f"{PPC}.4.1.1.0": "3", f"{PPC}.2.1.2.0": "7", f"{PPC}.3.2.1.0": "0"},
        {name: value for name, value in read_ppc.items() if name != "input_hz"}
        | {"on_battery_bool": 1, "output_source_code": 5, "input_v": 0})  # fmt: skip
    return cases


VENDORS: Final = vendors()
LOST: Final = {
    "apc card without its ups": {KIND: "6|1.3.6.1.4.1.318.1.3.27", f"{APC}.4.1.1.0": "2", f"{APC}.8.1.0": "2"},
    "ups-mib card without its ups": {
        KIND: f"6|{UPS}",
        f"{UPS}.4.1.0": "3",
        f"{UPS}.6.1.0": "1",
        f"{UPS}.6.2.1.2.1": f"6|{UPS}.6.3.20",
    },
}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("snmp")
    programs = Programs(folder)
    own = own_recordings()
    recordings = {
        **own,
        **{_community(name): edited(own["ups-on-mains"], case.changes) for name, case in SAYINGS.items()},
        **{_community(name): text for name, (text, _) in VENDORS.items()},
        **{_community(name): edited("", objects) for name, objects in LOST.items()},
    }
    yield launch_snmpsim(programs, folder, recordings)
    programs.stop_all()


def _community(name: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", name)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop, and so one SNMP engine, for many measurements, as in the agent."""
    with asyncio.Runner() as shared:
        yield shared


def measure(runner: asyncio.Runner, **settings: object) -> Values:
    return runner.run(load_probe("power", settings).measure())


def fail(runner: asyncio.Runner, **settings: object) -> ProbeFailed:
    with pytest.raises(ProbeFailed) as caught:
        measure(runner, **settings)
    return caught.value


def altered(values: Values, changes: Mapping[str, float | None]) -> Values:
    every: dict[str, Any] = {**values, **changes}
    return {name: value for name, value in every.items() if value is not ABSENT}


@pytest.mark.parametrize("version", ["1", "2c"])
def test_a_ups_on_the_mains_says_all_of_ups_mib(agent: SnmpSim, runner: asyncio.Runner, version: str) -> None:
    values = measure(runner, snmp=agent.address, community="ups-on-mains", version=version)
    assert values == pytest.approx(ON_MAINS)


@pytest.mark.parametrize("name", SAYINGS)
def test_what_a_ups_says_in_ups_mib_is_believed_only_where_it_can_be(
    agent: SnmpSim, runner: asyncio.Runner, name: str
) -> None:
    values = measure(runner, snmp=agent.address, community=_community(name))
    assert values == pytest.approx(altered(ON_MAINS, SAYINGS[name].expected))


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("name", VENDORS)
def test_a_vendors_own_tree_is_enough(agent: SnmpSim, runner: asyncio.Runner, name: str, version: str) -> None:
    values = measure(runner, snmp=agent.address, community=_community(name), version=version)
    assert values == pytest.approx(VENDORS[name][1])


@pytest.mark.parametrize("name", LOST)
def test_a_network_card_that_has_lost_its_ups_says_nothing_of_power(
    agent: SnmpSim, runner: asyncio.Runner, name: str
) -> None:
    failure = fail(runner, snmp=agent.address, community=_community(name))
    assert failure.outcome is Outcome.ABSENT
    assert failure.detail == f"power snmp {agent.address}: its network card has lost the UPS"


def test_what_is_no_ups_is_named(agent: SnmpSim, runner: asyncio.Runner) -> None:
    failure = fail(runner, snmp=agent.address, community="router")
    assert failure.outcome is Outcome.ABSENT
    kind = "sysObjectID 1.3.6.1.4.1.8072.3.2.10"
    assert failure.detail == f"power snmp {agent.address}: answers SNMP ({kind}), but as no UPS that we know"


def test_a_ups_silent_to_snmp_may_still_be_reachable(agent: SnmpSim, runner: asyncio.Runner) -> None:
    failure = fail(runner, snmp=agent.address, community="wrong", timeout_s=0.2)
    silent = "no answer to SNMP; the device may be reachable: wrong community, or SNMP switched off"
    assert (failure.outcome, failure.detail) == (Outcome.TIMEOUT, f"power snmp {agent.address}: {silent}")


def test_every_table_names_what_it_reads_once() -> None:
    for table in TABLES:
        oids = table.oids()
        assert len(set(oids)) == len(oids)
        assert all(oid.startswith(f"{table.root}.") for oid in [*oids, *table.sign_oids()])
        assert len(oids) <= 40  # two requests


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Told(), None),
        (Told(source=Source.OTHER), None),
        (Told(source=Source.NONE), None),
        (Told(source=Source.BATTERY), True),
        (Told(on_battery_s=5.0), True),
        (Told(on_battery_s=0.0), False),
        (Told(source=Source.NORMAL, inputs_v=(0.0,)), None),
        (Told(source=Source.BATTERY, inputs_v=(60.0,), nominal_v=220.0), True),
        (Told(source=Source.BATTERY, inputs_v=(228.0,), on_battery_s=3.0), True),
        (Told(source=Source.BATTERY, inputs_v=(290.0,), transfer_high_v=278.0), True),
        (Told(source=Source.BATTERY, inputs_v=(100.0,)), None),
        (Told(source=Source.NORMAL, is_discharging=True, inputs_v=(232.0,)), False),
        (Told(source=Source.NORMAL, is_discharging=True), False),
        (Told(source=Source.BATTERY, is_testing=True), False),
        (Told(source=Source.BATTERY, is_testing=True, inputs_v=(2.0,)), True),
        (Told(is_on_battery=True, source=Source.NORMAL), True),
    ],
    ids=str,
)
def test_on_battery_is_what_most_witnesses_say(told: Told, expected: bool | None) -> None:  # noqa: FBT001 - parametrized
    assert is_on_battery(told) is expected


DEV: Final = (RECORDINGS / "ups-on-mains.dev").read_text(encoding="utf-8")
NUT_ON_MAINS: Final[Values] = ON_MAINS | {"battery_celsius": 27.5, "battery_replace_bool": 0}
NUT_SAYINGS: Final = {
    "healthy": Case({}, {}),
    "discharging": Case({"ups.status": "OL DISCHRG"}, {}),
    "cut": Case(
        {"ups.status": "OB DISCHRG", "input.voltage": "0.0"},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": 0, "input_hz": ABSENT},
    ),
    "residue": Case(
        {"ups.status": "OB", "input.voltage": "3.4", "battery.charge": "", "battery.runtime": ""},
        {
            "on_battery_bool": 1,
            "output_source_code": 5,
            "input_v": 3.4,
            "input_hz": ABSENT,
            "battery_charge_ratio": ABSENT,
            "battery_runtime_s": ABSENT,
        },
    ),
    "waveform": Case({"ups.status": "OB DISCHRG"}, {"on_battery_bool": 1, "output_source_code": 5}),
    "doubtful": Case({"ups.status": "OB"}, {"on_battery_bool": ABSENT, "output_source_code": 5}),
    "blind": Case(
        {"ups.status": "OB", "input.voltage": ""},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": ABSENT},
    ),
    "low": Case(
        {"ups.status": "OB LB", "input.voltage": "0", "battery.charge": "12"},
        {
            "on_battery_bool": 1,
            "low_battery_bool": 1,
            "battery_charge_ratio": 0.12,
            "output_source_code": 5,
            "input_v": 0,
            "input_hz": ABSENT,
        },
    ),
    "forced": Case(
        {"ups.status": "FSD OB", "input.voltage": "0"},
        {"on_battery_bool": 1, "low_battery_bool": 1, "output_source_code": 5, "input_v": 0, "input_hz": ABSENT},
    ),
    "false low": Case({"ups.status": "OL LB"}, {"low_battery_bool": ABSENT}),
    "worn": Case(
        {"ups.status": "ALARM OL CHRG RB", "ups.alarm": "Replace battery!"},
        {"battery_replace_bool": 1, "alarms_count": 1},
    ),
    "bypass": Case({"ups.status": "OL BYPASS"}, {"output_source_code": 4}),
    "boost": Case({"ups.status": "OL BOOST", "input.voltage": "185"}, {"output_source_code": 6, "input_v": 185}),
    "trim": Case({"ups.status": "OL TRIM"}, {"output_source_code": 7}),
    "off": Case({"ups.status": "OL OFF"}, {"output_source_code": 2}),
    "calibrating": Case({"ups.status": "OB CAL DISCHRG"}, {"output_source_code": 5}),
    "one cell": Case(
        {"battery.charge": "", "battery.runtime": "", "battery.voltage": "2.28"},
        {"battery_charge_ratio": ABSENT, "battery_runtime_s": ABSENT, "battery_v": 2.28},
    ),
    "nonsense": Case(
        {"battery.charge": "255", "battery.runtime": "-1", "battery.temperature": "0", "ups.load": "n/a"},
        {
            "battery_charge_ratio": ABSENT,
            "battery_runtime_s": ABSENT,
            "battery_celsius": ABSENT,
            "load_ratio": ABSENT,
        },
    ),
}


def dump(changes: Mapping[str, str]) -> str:
    """The dump of our UPS with some variables changed; "" takes one away."""
    variables = dict(line.split(": ", 1) for line in DEV.splitlines())
    return "".join(f"{name}: {value}\n" for name, value in (variables | dict(changes)).items() if value)


@pytest.fixture(scope="module")
def upsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nut]:
    folder = tmp_path_factory.mktemp("nut")
    programs = Programs(folder)
    yield launch_nut(programs, folder, {_community(name): dump(case.changes) for name, case in NUT_SAYINGS.items()})
    programs.stop_all()


@pytest.mark.parametrize("name", NUT_SAYINGS)
def test_what_nut_says_is_believed_only_where_it_can_be(upsd: Nut, runner: asyncio.Runner, name: str) -> None:
    values = measure(runner, nut=upsd.address(_community(name)))
    expected = altered(NUT_ON_MAINS, NUT_SAYINGS[name].expected)
    if name == "calibrating":
        expected["on_battery_bool"] = 0
    assert values == pytest.approx(expected)


def test_nut_tells_a_text_as_it_is(upsd: Nut, runner: asyncio.Runner) -> None:
    variables = runner.run(ask_nut(Endpoint(LOOPBACK, upsd.port), "healthy", "nut", 5.0))
    assert variables["ups.model"] == 'Says "yes" \\ no'


def test_a_power_cut_is_followed_to_its_end(nut: StartNut, runner: asyncio.Runner) -> None:
    script = dump({}) + "TIMER 1\nups.status: OB DISCHRG\nTIMER 1\nups.status: OB LB DISCHRG\nTIMER 1\n"
    server = nut({"ups": script})
    wanted = {(0, 0), (1, 0), (1, 1)}
    deadline_s = time.monotonic() + 30
    while wanted and time.monotonic() < deadline_s:
        values = measure(runner, nut=server.address("ups"))
        wanted.discard((int(values["on_battery_bool"]), int(values.get("low_battery_bool", 0))))
        time.sleep(0.1)
    assert wanted == set()


def test_nut_says_what_is_missing(upsd: Nut, nut: StartNut, runner: asyncio.Runner) -> None:
    failure = fail(runner, nut=upsd.address("nobody"))
    assert failure.outcome is Outcome.ABSENT
    assert failure.detail == f"power nut {upsd.address('nobody')}: upsd knows no UPS of this name"
    server = nut({"ups": DEV})
    server.drivers["ups"].stop()
    failure = fail(runner, nut=server.address("ups"))
    assert failure.outcome is Outcome.ABSENT
    assert "or has lost the UPS" in failure.detail
    server.upsd.stop()
    failure = fail(runner, nut=server.address("ups"))
    assert failure.outcome is Outcome.REFUSED
    assert failure.detail == f"power nut {server.address('ups')}: connection refused; the host is alive"


@contextlib.asynccontextmanager
async def talker(*said: bytes, waits: bool = False) -> AsyncIterator[int]:
    """A server that says the same to everybody who asks; then it closes, or waits for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
            writer.write(b"".join(said))
            await writer.drain()
            if waits:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def ask(runner: asyncio.Runner, *said: bytes, waits: bool = False, **settings: str) -> Values | ProbeFailed:
    """What a talker's words are to the probe."""

    async def go() -> Values | ProbeFailed:
        async with talker(*said, waits=waits) as port:
            written = {name: text.replace("PORT", str(port)) for name, text in settings.items()}
            probe = load_probe("power", {**written, "timeout_s": 0.5})
            try:
                return await probe.measure()
            except ProbeFailed as failure:
                return ProbeFailed(failure.outcome, failure.detail.replace(str(port), "PORT"))

    return runner.run(go())


NUT_HEAD: Final = b"BEGIN LIST VAR ups\n"


@pytest.mark.parametrize(
    ("said", "waits", "outcome", "detail"),
    [
        ([], True, Outcome.TIMEOUT, "connected, but no full answer within 0.5 s"),
        ([NUT_HEAD], True, Outcome.TIMEOUT, "connected, but no full answer within 0.5 s"),
        ([], False, Outcome.BROKEN, "closed the connection before it had answered"),
        ([NUT_HEAD, b'VAR ups ups.status "O'], False, Outcome.BROKEN, "closed the connection before it had answered"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], True, Outcome.BROKEN, "this is no upsd: it answered 'SSH-2.0-OpenSSH_9.2'"),
        ([b"ERR ACCESS-DENIED\n"], True, Outcome.DENIED, "upsd denies access"),
        ([b"ERR\n"], True, Outcome.BROKEN, "upsd answered ERR"),
        (
            [b"ERR DATA-STALE\n"],
            True,
            Outcome.ABSENT,
            "upsd has only old data: its driver has lost the UPS",
        ),
        ([b"x" * 40_000], True, Outcome.BROKEN, "sent a line of more than 16384 bytes"),
        ([NUT_HEAD, b'VAR ups a "b"\n' * 1001], True, Outcome.BROKEN, "more than 1000 variables"),
        (
            [NUT_HEAD, b'VAR ups ups.status "WAIT"\nEND LIST VAR ups\n'],
            True,
            Outcome.ABSENT,
            "the driver has no status yet",
        ),
        ([NUT_HEAD, b"END LIST VAR ups\n"], True, Outcome.ABSENT, "the driver has no status yet"),
    ],
    ids=[
        "silence", "half", "closed", "cut", "ssh", "denied", "bare error", "stale", "no line", "flood", "wait", "none"
    ],
)  # fmt: skip
def test_what_is_no_answer_of_nut_is_named(
    runner: asyncio.Runner,
    said: list[bytes],
    waits: bool,  # noqa: FBT001 - parametrized
    outcome: Outcome,
    detail: str,
) -> None:
    failure = ask(runner, *said, waits=waits, nut="127.0.0.1:PORT/ups")
    assert isinstance(failure, ProbeFailed)
    assert (failure.outcome, failure.detail) == (outcome, f"power nut 127.0.0.1:PORT/ups: {detail}")


STATUS: Final = {
    "APC": "001,036,0876", "STATUS": "ONLINE", "LINEV": "228.0 Volts", "LINEFREQ": "49.9 Hz", "LOADPCT": "21.0 Percent",
    "BCHARGE": "98.0 Percent", "TIMELEFT": "45.0 Minutes", "OUTPUTV": "230.0 Volts", "BATTV": "27.2 Volts",
    "ITEMP": "41.0 C", "LOTRANS": "160.0 Volts", "HITRANS": "278.0 Volts", "TONBATT": "0 Seconds", "SELFTEST": "NO",
    "NOMINV": "230 Volts",
}  # fmt: skip
APCUPSD_ON_MAINS: Final = altered(
    ON_MAINS, {"battery_celsius": ABSENT, "battery_replace_bool": 0, "alarms_count": ABSENT}
)
APCUPSD_SAYINGS: Final = {
    "online": Case({}, {}),
    "cut": Case(
        {"STATUS": "ONBATT", "LINEV": "0.0 Volts", "TONBATT": "12 Seconds"},
        {"on_battery_bool": 1, "output_source_code": 5, "input_v": 0, "input_hz": ABSENT},
    ),
    "low": Case(
        {"STATUS": "ONBATT LOWBATT", "TONBATT": "900 Seconds", "BCHARGE": "9.0 Percent"},
        {"on_battery_bool": 1, "low_battery_bool": 1, "battery_charge_ratio": 0.09, "output_source_code": 5},
    ),
    "counting": Case({"NUMXFERS": "3"}, {"transfers_total": 3}),
    "counting nothing": Case({"NUMXFERS": "N/A"}, {}),
    "worn": Case({"STATUS": "ONLINE REPLACEBATT"}, {"battery_replace_bool": 1}),
    "boosting": Case({"STATUS": "BOOST ONLINE", "LINEV": "190.0"}, {"output_source_code": 6, "input_v": 190}),
    "calibrating": Case({"STATUS": "CAL ONBATT", "TONBATT": "5 Seconds"}, {"output_source_code": 5}),
    "unable": Case(
        {"TIMELEFT": "N/A", "BATTV": "N/A", "LINEFREQ": "", "NOMINV": ""},
        {"battery_runtime_s": ABSENT, "battery_v": ABSENT, "input_hz": ABSENT},
    ),
}


def told_by_apcupsd(changes: Mapping[str, str]) -> bytes:
    """The bytes of apcupsd's answer: each line with its length before it, an empty one at the end."""
    lines = [f"{name:<9}: {text}\n".encode() for name, text in (STATUS | dict(changes)).items() if text]
    return b"".join(len(line).to_bytes(2, "big") + line for line in lines) + b"\0\0"


@pytest.mark.parametrize("name", APCUPSD_SAYINGS)
def test_what_apcupsd_says_is_believed_only_where_it_can_be(runner: asyncio.Runner, name: str) -> None:
    case = APCUPSD_SAYINGS[name]
    values = ask(runner, told_by_apcupsd(case.changes), waits=True, apcupsd="127.0.0.1:PORT")
    assert values == pytest.approx(altered(APCUPSD_ON_MAINS, case.expected))


@pytest.mark.parametrize(
    ("said", "outcome", "detail"),
    [
        (told_by_apcupsd({"STATUS": "COMMLOST"}), Outcome.ABSENT, "apcupsd has lost its UPS"),
        (b"\0\0", Outcome.BROKEN, "this is no apcupsd: its answer has no STATUS"),
        (b"\0\x05hello\0\0", Outcome.BROKEN, "this is no apcupsd: its answer has no STATUS"),
        (b"\xff\xffhello", Outcome.BROKEN, "closed the connection before it had answered"),
        (b"\0\x01:" * 300, Outcome.BROKEN, "more than 200 lines"),
    ],
    ids=["deaf", "empty", "stranger", "short", "endless"],
)
def test_what_is_no_answer_of_apcupsd_is_named(
    runner: asyncio.Runner, said: bytes, outcome: Outcome, detail: str
) -> None:
    failure = ask(runner, said, apcupsd="127.0.0.1:PORT")
    assert isinstance(failure, ProbeFailed)
    assert (failure.outcome, failure.detail) == (outcome, f"power apcupsd 127.0.0.1:PORT: {detail}")


def test_an_unheard_of_flag_of_apcupsd_says_nothing() -> None:
    assert believe(tell_of_apcupsd({"STATUS": "NETWORK ERROR"})) == {"low_battery_bool": 0, "battery_replace_bool": 0}


@pytest.mark.parametrize(
    ("percent", "left_s", "is_plugged", "expected"),
    [
        (80, 3600, False, (1, 0.8, 3600.0)),
        (100, psutil.POWER_TIME_UNLIMITED, True, (0, 1.0, None)),
        (50, psutil.POWER_TIME_UNKNOWN, False, (1, 0.5, None)),
        (50, 71582788 * 60, False, (1, 0.5, None)),
        (255, 10, None, (None, None, 10.0)),
    ],
    ids=["battery", "mains", "unknown time", "endless time", "unknown plug and charge"],
)
def test_a_pcs_own_battery_says_what_it_knows(
    percent: float,
    left_s: int,
    is_plugged: bool | None,  # noqa: FBT001 - psutil's
    expected: tuple[float | None, ...],
) -> None:
    values = believe(tell_of_battery(percent, left_s, is_plugged))
    names = ("on_battery_bool", "battery_charge_ratio", "battery_runtime_s")
    assert tuple(values.get(name) for name in names) == expected


def test_without_a_source_it_is_this_pcs_own_battery_or_none(runner: asyncio.Runner) -> None:
    if psutil.sensors_battery() is None:
        failure = fail(runner)
        assert failure.outcome is Outcome.ABSENT
        assert failure.detail == "power: this PC has no battery and no UPS that it knows of"
    else:
        assert "battery_charge_ratio" in measure(runner)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"nut": "a/ups", "snmp": "b"}, "snmp: give nut or snmp, not both"),
        ({"snmp": "a", "apcupsd": "b"}, "apcupsd: give snmp or apcupsd, not both"),
        ({"nut": "192.0.2.1:3493"}, "nut: expected a text: HOST or HOST:PORT, an IPv6 address in brackets, then /UPS"),
        ({"nut": "192.0.2.1:99999/ups"}, "nut: expected a text: HOST or HOST:PORT"),
        ({"snmp": "192.0.2.1:0"}, "snmp: expected a text: HOST or HOST:PORT"),
        ({"snmp": "http://192.0.2.1"}, "snmp: expected a text: HOST or HOST:PORT"),
        ({"snmp": "192.0.2.1", "version": "3"}, 'user: version = "3" needs user'),
        ({"snmp": "192.0.2.1", "community": ""}, "community: expected a text"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_probe("power", settings, source="plan")
    assert str(caught.value).startswith(f"plan: {problem}")


@pytest.mark.parametrize("host", ["ups.school.local", "192.0.2.1", "[2001:db8::1]"])
def test_hosts_of_every_kind_may_be_asked(host: str) -> None:
    for written in ({"snmp": host}, {"snmp": f"{host}:1161"}, {"nut": f"{host}/ups-1"}, {"nut": f"{host}:1/ups"}):
        assert isinstance(load_probe("power", written), Power)


def test_it_is_done_by_the_time_that_it_promises(runner: asyncio.Runner) -> None:
    probe = load_probe("power", {"snmp": f"{LOOPBACK}:{free_port()}", "timeout_s": 0.2, "retries": 2})
    assert probe.longest_s == pytest.approx(1.2)
    began_s = time.monotonic()
    with pytest.raises(ProbeFailed):
        runner.run(probe.measure())
    assert time.monotonic() - began_s < probe.longest_s + 5.0  # a busy machine's share


@pytest.mark.parametrize("source", ["snmp", "nut"])
def test_the_command_line_reads_a_ups(agent: SnmpSim, upsd: Nut, source: str) -> None:
    wanted = {"snmp": [agent.address, "--set", "community=ups-on-mains"], "nut": [upsd.address("healthy")]}[source]
    command = [sys.executable, "-m", "agent", "probe", "power", "--json", "--set", f"{source}={wanted[0]}", *wanted[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert (line["probe"], line["target"], line["outcome"]) == ("power", "ups", "ok")
    assert line["values"] == pytest.approx({"snmp": ON_MAINS, "nut": NUT_ON_MAINS}[source])


# Recordings of real devices, which lie where SANSANG_RECORDINGS says and are not ours to copy. What is expected was
# read by hand, by what each device is known to have been doing.

REAL: Final = Path(os.environ.get("SANSANG_RECORDINGS", ""))
needs_recordings = pytest.mark.skipif(
    "SANSANG_RECORDINGS" not in os.environ, reason="SANSANG_RECORDINGS names no folder of recordings"
)

REAL_SNMP: Final[dict[str, Mapping[str, float | None]]] = {
    "apc_smt750x-nmc2": {
        "on_battery_bool": 0, "battery_charge_ratio": 1.0, "input_v": 119.1, "battery_runtime_s": 109_762,
        "load_ratio": 0, "battery_replace_bool": 0, "battery_v": 54.7, "output_source_code": 3,
        "low_battery_bool": ABSENT, "alarms_count": ABSENT,
    },
    "apc_sua750i": {
        "on_battery_bool": 0, "battery_charge_ratio": 1.0, "input_v": 243.3, "battery_runtime_s": 4380,
        "load_ratio": 0.227, "battery_v": 27.2, "battery_celsius": 36.9, "battery_replace_bool": 0,
    },
    "apc_powerchute": {
        "on_battery_bool": 0, "battery_charge_ratio": 1.0, "input_v": 244, "battery_runtime_s": 7560,
        "load_ratio": 0.31, "battery_v": 27, "input_hz": 50,
    },
    "cyberpower_cp1000pfclcd": {
        "on_battery_bool": 0, "battery_charge_ratio": 1.0, "battery_runtime_s": 1200, "battery_v": 24,
        "input_v": 123, "load_ratio": 0.24, "battery_replace_bool": 1, "low_battery_bool": 0,
    },
    "netmanplus_204": {
        "on_battery_bool": 0, "input_v": 242, "input_hz": 50.1, "battery_charge_ratio": 1.0,
        "battery_runtime_s": 8100, "load_ratio": 0.08, "battery_v": 122.5, "battery_celsius": 37,
        "output_source_code": 3, "output_v": 231,
    },
    "huaweiups_ups2000": {
        "on_battery_bool": 0, "input_v": 233, "input_hz": 50, "battery_charge_ratio": 1.0,
        "battery_runtime_s": ABSENT, "load_ratio": 0.27, "battery_v": 270.7, "battery_celsius": 21,
    },
    "generex-ups_cs141": {
        "on_battery_bool": 0, "output_source_code": 4, "battery_charge_ratio": 1.0, "battery_runtime_s": 32_640,
        "battery_celsius": 25, "input_v": 233, "load_ratio": 0.14, "battery_v": 271.6,
    },
    "deltaups_rfc1628string": {
        "on_battery_bool": 0, "input_v": 236, "output_v": 230, "battery_charge_ratio": 0.29,
        "battery_runtime_s": 20_280, "load_ratio": 0.08, "low_battery_bool": 0, "battery_v": 55.4,
    },
    "dell-ups_tower1000w": {
        "on_battery_bool": 0, "input_v": 232, "input_hz": 49.9, "battery_charge_ratio": 0.98,
        "battery_runtime_s": 1860, "load_ratio": 0.26, "output_v": 233, "battery_v": 38, "battery_celsius": ABSENT,
    },
    "eaton-mgeups_9pxle": {
        "on_battery_bool": 0, "input_v": 229, "battery_charge_ratio": 0.91, "battery_runtime_s": 1132,
        "load_ratio": 0.4, "alarms_count": 0, "battery_v": 55, "battery_replace_bool": 0, "battery_celsius": ABSENT,
    },
    "cetpower": {
        "on_battery_bool": 0, "output_source_code": 5, "input_v": 238, "battery_charge_ratio": 1.0,
        "battery_runtime_s": 360_000, "alarms_count": 0, "battery_celsius": ABSENT, "battery_replace_bool": ABSENT,
    },
    "phoenixtec-power": {
        "on_battery_bool": 0, "output_source_code": 3, "input_v": 239, "battery_charge_ratio": 1.0,
        "battery_runtime_s": ABSENT, "load_ratio": 0.02, "battery_v": 41,
    },
}  # fmt: skip
CUT_UPS_MIB: Final = {f"{UPS}.4.1.0": "5", f"{UPS}.2.2.0": "75", f"{UPS}.3.3.1.3.1": "0", f"{UPS}.2.3.0": "12"}
REAL_CUT: Final[dict[str, Mapping[str, str]]] = {
    "apc_smt750x-nmc2": {f"{APC}.4.1.1.0": "3", f"{APC}.3.3.1.0": "34"},
    "apc_sua750i": {f"{APC}.4.1.1.0": "3", f"{APC}.3.3.1.0": "0", f"{APC}.2.1.2.0": "67|7500"},
    "apc_powerchute": {f"{APC}.4.1.1.0": "3", f"{APC}.3.2.1.0": "0"},
    "cyberpower_cp1000pfclcd": {f"{CPS}.4.1.1.0": "3", f"{CPS}.3.2.1.0": "0", f"{CPS}.3.2.6.0": "5"},
    "netmanplus_204": CUT_UPS_MIB,
    "huaweiups_ups2000": CUT_UPS_MIB,
    "generex-ups_cs141": {**CUT_UPS_MIB, f"{UPS}.3.3.1.3.2": "0", f"{UPS}.3.3.1.3.3": "0"},
    "deltaups_rfc1628string": CUT_UPS_MIB,
    "dell-ups_tower1000w": CUT_UPS_MIB,
    "eaton-mgeups_9pxle": {
        **CUT_UPS_MIB,
        f"{MG}.7.3.0": "1",
        f"{MG}.6.2.1.2.1.0": "0",
        f"{XUPS}.4.5.0": "5",
        f"{XUPS}.3.4.1.2.1": "0",
    },
    "cetpower": CUT_UPS_MIB,
    "phoenixtec-power": {**CUT_UPS_MIB, f"{PPC}.4.1.1.0": "3", f"{PPC}.3.2.1.0": "0", f"{PPC}.2.1.2.0": "75"},
}
REAL_NUT: Final[dict[str, Mapping[str, float | None]]] = {
    "APC__Back-UPS_BK650M2-CH__usbhid-ups__2.8.0__01.dev": {
        "on_battery_bool": 0, "battery_charge_ratio": 1.0, "input_v": 232, "battery_runtime_s": 3618,
        "low_battery_bool": 0, "battery_replace_bool": 0, "output_source_code": 3,
    },
    "APC__Smart-UPS_1000__snmp-ups__2.7.4__01.dev": {
        "on_battery_bool": 1, "input_v": 0, "battery_charge_ratio": 0.93, "battery_runtime_s": 70_680,
        "load_ratio": 0.169, "output_source_code": 5,
    },
    "Eaton__5E650iUSB-AU__usbhid-ups__2.7.1__01.dev": {
        "on_battery_bool": 0, "battery_charge_ratio": 0.35, "battery_runtime_s": 1076, "input_v": 247,
    },
    "Santak__Castle_C1K__blazer_ser__2.7.4__01.dev": {
        "on_battery_bool": 0, "battery_charge_ratio": ABSENT, "battery_runtime_s": ABSENT, "input_v": 231.3,
        "battery_celsius": ABSENT,
    },
    "Eaton__5PX_2000__usbhid-ups__2.7.4__01.dev": {
        "on_battery_bool": 0, "battery_replace_bool": 1, "battery_charge_ratio": 1.0, "battery_runtime_s": 1032,
        "input_v": 235, "alarms_count": 1, "low_battery_bool": 0,
    },
    "PowerWalker__Line-Interactive_VI_2000_LCD__blazer_usb__2.4.3__01.dev": {
        "on_battery_bool": 1, "input_v": 3.4, "battery_charge_ratio": ABSENT, "battery_runtime_s": ABSENT,
        "output_source_code": 5,
    },
    "evolution500.seq": {"on_battery_bool": 0, "battery_charge_ratio": 0.9, "battery_runtime_s": 3690, "input_v": 230},
}  # fmt: skip


@pytest.fixture(scope="module")
def real_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpSim]:
    folder = tmp_path_factory.mktemp("real-snmp")
    programs = Programs(folder)
    texts = {name: (REAL / f"{name}.snmprec").read_text(encoding="latin-1") for name in REAL_SNMP}
    recordings = {**texts, **{f"{name}-cut": edited(texts[name], changes) for name, changes in REAL_CUT.items()}}
    yield launch_snmpsim(programs, folder, recordings)
    programs.stop_all()


@pytest.fixture(scope="module")
def real_upsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nut]:
    folder = tmp_path_factory.mktemp("real-nut")
    programs = Programs(folder)
    dumps = {f"ups{place}": (REAL / "nut" / name).read_text(encoding="utf-8") for place, name in enumerate(REAL_NUT)}
    yield launch_nut(programs, folder, dumps)
    programs.stop_all()


def read_of(values: Values, expected: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: values.get(name) for name in expected}


@needs_recordings
@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("name", REAL_SNMP)
def test_a_real_ups_is_read_rightly_by_snmp(
    real_agent: SnmpSim, runner: asyncio.Runner, name: str, version: str
) -> None:
    values = measure(runner, snmp=real_agent.address, community=name, version=version)
    assert read_of(values, REAL_SNMP[name]) == pytest.approx(REAL_SNMP[name])


@needs_recordings
@pytest.mark.parametrize("name", REAL_CUT)
def test_a_real_ups_whose_recording_was_edited_into_a_power_cut_is_on_battery(
    real_agent: SnmpSim, runner: asyncio.Runner, name: str
) -> None:
    values = measure(runner, snmp=real_agent.address, community=f"{name}-cut")
    assert (values["on_battery_bool"], values["output_source_code"]) == (1, 5)
    assert values["input_v"] == pytest.approx(3.4 if name == "apc_smt750x-nmc2" else 0)
    assert "input_hz" not in values


@needs_recordings
@pytest.mark.parametrize("name", REAL_NUT)
def test_a_real_ups_is_read_rightly_by_nut(real_upsd: Nut, runner: asyncio.Runner, name: str) -> None:
    values = measure(runner, nut=real_upsd.address(f"ups{list(REAL_NUT).index(name)}"))
    assert read_of(values, REAL_NUT[name]) == pytest.approx(REAL_NUT[name])


@needs_recordings
def test_every_real_ups_is_expected_of() -> None:
    own_objects = f"\n{UPS}."
    found = {
        path.stem
        for path in REAL.glob("*.snmprec")
        if own_objects in (text := path.read_text(encoding="latin-1")) or f"\n{APC}." in text
    }
    assert found <= set(REAL_SNMP)
    assert {path.name for path in (REAL / "nut").iterdir()} == set(REAL_NUT)
