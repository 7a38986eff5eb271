"""What the agent uses of the school's line today, and what else goes over the PC's network card."""

import asyncio
from typing import Annotated, ClassVar

import msgspec

from agent.probe import Value, Values
from agent.spending.circumstances import look, rates_bps
from contract.settings import Seconds, Target


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Counts bytes as a packet capture on the line would, from the IP header on (RFC 791, RFC 8200): the agent's own
    since midnight of the plan's time zone, and the card's rates over `sample_s` (psutil).

    Asks nobody. By hand only the rates are told: the count is the running agent's.
    """

    target: Target = "pc"
    sample_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 1.0

    values: ClassVar[tuple[Value, ...]] = (
        Value("telemetry_bytes", "Of the connection to the collector today, both ways."),
        Value("probes_bytes", "Of what was measured beyond the school today, both ways."),
        Value("tests_bytes", "Of tests that load the line today, both ways."),
        Value("budget_used_ratio", "Share of the plan's `daily_bytes` that is used; may reach a little above 1."),
        Value("nic_sent_bps", "What the card sent during `sample_s`, everything."),
        Value("nic_received_bps", "What the card received during `sample_s`, everything."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {}

    @property
    def longest_s(self) -> float:
        """The sample, and a moment."""
        return self.sample_s + 2.0

    async def measure(self) -> Values:
        """The rates; the agent adds its count."""
        before = look()
        await asyncio.sleep(self.sample_s)
        sent_bps, received_bps = rates_bps(before, look())
        return {"nic_sent_bps": sent_bps, "nic_received_bps": received_bps}
