"""Asks a UPS by SNMP: which trees it has, then all that their tables name. A few requests, never a walk."""

from typing import Final

from agent.probe import ProbeFailed
from agent.snmp import client as snmp
from agent.ups import TABLES
from agent.ups.table import Table
from agent.ups.told import Told, merge
from contract.outcome import Outcome

_OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
_ALARMS_MAX_COUNT: Final = 12


async def ask_ups(device: snmp.Device) -> Told:
    """What the UPS says, all of its trees together. Raises ProbeFailed; ABSENT when it is no UPS, or has lost it."""
    signs = [oid for table in TABLES for oid in table.sign_oids()]
    first = await snmp.get(device, [_OBJECT_ID, *signs])
    answer = first.get(_OBJECT_ID)
    kind = answer if isinstance(answer, snmp.Oid) else ""
    tables = [table for table in TABLES if _has(table, kind, first)]
    told = []
    for table in tables:
        answers = await snmp.get(device, table.oids())
        one = table.read(answers)
        if table.alarms and one.alarms_count:
            one = table.read(answers, await _alarms(device, table))
        told.append(one)
    merged = merge(told)
    if merged.is_deaf:
        raise ProbeFailed(Outcome.ABSENT, f"{device.what}: its network card has lost the UPS")
    if merged == Told():
        named = f"sysObjectID {kind}" if kind else "no sysObjectID"
        raise ProbeFailed(Outcome.ABSENT, f"{device.what}: answers SNMP ({named}), but as no UPS that we know")
    return merged


def _has(table: Table, kind: str, answers: snmp.Answers) -> bool:
    if any(isinstance(answers.get(oid), int) for oid in table.sign_oids()):
        return True
    return any(f"{kind}.".startswith(f"{family}.") for family in table.families)


async def _alarms(device: snmp.Device, table: Table) -> frozenset[str]:
    rows = await snmp.get_rows(device, [table.root + table.alarms], _ALARMS_MAX_COUNT)
    return frozenset(value for row in rows.values() for value in row.values() if isinstance(value, snmp.Oid))
