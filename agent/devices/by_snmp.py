"""Lets a kind ask its device by SNMP. Imported only when a plan asks for it, since pysnmp takes memory."""

from collections.abc import Mapping, Sequence

from agent.snmp import client as snmp


class Asker:
    """`agent.devices.kind.Snmp` for one device."""

    def __init__(self, device: snmp.Device) -> None:
        self._device = device

    async def warm(self) -> None:
        """Resolve the name and open the socket."""
        await snmp.warm(self._device)

    async def get(self, oids: Sequence[str]) -> Mapping[str, int | str | bytes]:
        """The values of these objects. Raises ProbeFailed."""
        return await snmp.get(self._device, oids)

    async def rows(self, columns: Sequence[str], max_count: int) -> Mapping[str, Mapping[str, int | str | bytes]]:
        """The first rows of a table. Raises ProbeFailed."""
        return await snmp.get_rows(self._device, columns, max_count)
