"""UPSs: which one it is. How it is doing is the power probe's to ask (UPS-MIB and makers' trees in `agent.ups`)."""

from collections.abc import Sequence
from typing import Final

from agent.devices.kind import Device, Identity, Told
from agent.devices.table import DESCRIPTION, OBJECT_ID, text
from agent.devices.vendors import vendor_of
from agent.ups import TABLES

_UPS_MIB: Final = "1.3.6.1.2.1.33.1.1"
_MODELS: Final = (
    "1.3.6.1.4.1.318.1.1.1.1.1.1.0",
    "1.3.6.1.4.1.3808.1.1.1.1.1.1.0",
    "1.3.6.1.4.1.935.1.1.1.1.1.1.0",
    "1.3.6.1.4.1.534.1.1.2.0",
    f"{_UPS_MIB}.2.0",
)
_FIRMWARES: Final = (
    "1.3.6.1.4.1.318.1.1.1.1.2.1.0",
    "1.3.6.1.4.1.3808.1.1.1.1.2.1.0",
    f"{_UPS_MIB}.3.0",
    f"{_UPS_MIB}.4.0",
)
_MAKER: Final = f"{_UPS_MIB}.1.0"


class Ups:
    """Any UPS whose tree the power probe knows."""

    name = "ups"
    way = "snmp"
    is_generic = False
    logs_in = False
    signs: Sequence[str] = tuple(sign for table in TABLES for sign in table.sign_oids())

    async def recognise(self, device: Device) -> Identity | None:
        """By its trees, or by a sysObjectID of theirs."""
        object_id = device.system.get(OBJECT_ID)
        kind = object_id if isinstance(object_id, str) else ""
        answered = next((one for one in TABLES if any(sign in device.system for sign in one.sign_oids())), None)
        named = next((one for one in TABLES for root in one.families if f"{kind}.".startswith(f"{root}.")), None)
        table = answered or named
        if table is None or device.snmp is None:
            return None
        answers = await device.snmp.get([*_MODELS, *_FIRMWARES, _MAKER])
        said = {oid: text(answer) for oid, answer in answers.items()}
        return Identity(
            kind=self.name,
            family="ups",
            vendor=vendor_of(kind) or said.get(_MAKER, ""),
            model=_first(said, _MODELS) or text(device.system.get(DESCRIPTION)),
            firmware=_first(said, _FIRMWARES),
            by=table.name if answered is not None else f"sysObjectID {kind}",
        )

    async def ask(self, device: Device) -> Told:
        """Nothing: what it knows of mains and battery is read by the power probe, which weighs it."""
        del device
        return Told()


def _first(said: dict[str, str], oids: Sequence[str]) -> str:
    return next((said[oid] for oid in oids if said.get(oid)), "")


KIND: Final = Ups()
