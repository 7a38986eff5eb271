"""POLYCOM-ENDPOINT-MIB: Poly's codecs with VideoOS (Studio X, G7500) and the RealPresence Group series."""

from typing import Final

from agent.devices.table import FigureAt, PartAt, Table
from contract.parts import State

_STATUS: Final = {1: State.DISABLED, 2: State.OK, 3: State.FAILED}
"""PolycomStatus of all its parts: disabled, ok, failed."""

KIND: Final = Table(
    name="poly",
    family="codec",
    mib="POLYCOM-ENDPOINT-MIB",
    vendor="Poly",
    root="1.3.6.1.4.1.13885.101.1",
    sign_oids=(".1.4.0",),
    model=(".1.4.0",),
    firmware=(".1.1.0",),
    parts=(
        PartAt("h323", ".2.7.1.0", _STATUS),
        PartAt("h323_registration", ".2.7.2.0", _STATUS),
        PartAt("sip", ".2.8.1.0", _STATUS),
        PartAt("sip_registration", ".2.8.3.1.2", _STATUS, is_worst=True),
        PartAt("system", ".3.1.0", _STATUS),
        PartAt("microphone", ".3.5.2.1.3", _STATUS),
        PartAt("microphone", ".3.5.1.0", _STATUS, sums=True),
        PartAt("camera", ".3.6.2.1.3", _STATUS),
        PartAt("camera", ".3.6.1.0", _STATUS, sums=True),
        PartAt("network", ".3.10.1.0", _STATUS),
    ),
    figures=(
        FigureAt("if_speed_bps", ".3.10.2.1.4", 1e6),
        # The active calls: a row each, none while idle.
        FigureAt("calls_count", ".4.1.1.58", pick="rows"),
        FigureAt("call_jitter_ms", ".4.1.1.20", also=(".4.1.1.21", ".4.1.1.4", ".4.1.1.5", ".4.1.1.46", ".4.1.1.47")),
        FigureAt("call_latency_ms", ".4.1.1.18", also=(".4.1.1.19",)),
        FigureAt("call_loss_ratio", ".4.1.1.16", 0.01, also=(".4.1.1.17",)),
        FigureAt("call_received_bps", ".4.1.1.56", 1000),
        FigureAt("call_received_bps", ".4.1.1.54", 1000),
        FigureAt("call_sent_bps", ".4.1.1.57", 1000),
        FigureAt("call_sent_bps", ".4.1.1.55", 1000),
    ),
)
