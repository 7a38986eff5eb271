"""AXIS-VIDEO-MIB: Axis' cameras, encoders and speakers."""

from typing import Final

from agent.devices.table import FigureAt, PartAt, Table
from contract.parts import State

_OK_FAILURE: Final = {1: State.OK, 2: State.FAILED}

KIND: Final = Table(
    name="axis",
    family="camera",
    mib="AXIS-VIDEO-MIB",
    vendor="Axis",
    root="1.3.6.1.4.1.368.4.1",
    families=("1.3.6.1.4.1.368",),
    description=r"^;? *AXIS (?P<model>[^;]+);[^;]*; *(?P<firmware>[^;]+);",
    parts=(
        PartAt("power_supply", ".1.1.3", _OK_FAILURE, is_worst=True),
        PartAt("fan", ".2.1.3", _OK_FAILURE, is_worst=True),
        PartAt("temperature", ".3.1.3", {1: State.OK, 2: State.FAILED, 3: State.DEGRADED}, is_worst=True),
        PartAt("video", ".4.1.2", _OK_FAILURE),
        # Most of its cameras have an audio input, and few have a microphone at it.
        PartAt("audio", ".5.1.2", {1: State.OK, 2: State.DISABLED}),
        PartAt("cover", ".6.1.3", {1: State.OK, 2: State.DEGRADED}, is_worst=True),
        # "Disrupted" is also what it says where no card was ever put in.
        PartAt("storage", ".8.1.3", {1: State.OK, 2: State.DEGRADED}, is_worst=True),
    ),
    figures=(FigureAt("temperature_celsius", ".3.1.4"),),
)
