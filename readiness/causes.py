"""Says why a room was silent: the first row of the table that its witnesses bear out, or that nobody knows.

While the room is silent the answer is a guess; once it is back, what its PC measured meanwhile, and how its PC came to
run again, confirm or replace it. Pure: the witnesses are gathered elsewhere (`collector/outages.py`).
"""

import enum
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from readiness.codes import Code


class Cause(enum.StrEnum):
    """Why a room was silent. Each has an entry `outage.` in the catalogue."""

    COLLECTOR = "COLLECTOR"  # our own fault: we could not see
    CLONED = "CLONED"  # two PCs speak with one identity
    PC_ASLEEP = "PC_ASLEEP"
    PC_SWITCHED_OFF = "PC_SWITCHED_OFF"  # by somebody
    MAINTENANCE = "MAINTENANCE"  # an update, or the service was stopped
    UPS_EMPTY = "UPS_EMPTY"  # a power cut that outlasted the battery
    POWER_CUT_NETWORK = "POWER_CUT_NETWORK"  # a power cut; the PC lived on, the router did not
    AREA_POWER = "AREA_POWER"  # a power cut beyond the school
    AREA_LINE = "AREA_LINE"  # the provider, beyond the school
    POWER_CUT = "POWER_CUT"  # of the room or the school
    PC_CRASHED = "PC_CRASHED"
    PC_LOST_POWER = "PC_LOST_POWER"  # the PC alone: unplugged, held down, or hung
    AGENT_CRASHED = "AGENT_CRASHED"
    CREDENTIALS = "CREDENTIALS"
    CABLE = "CABLE"  # the PC's network cable, its switch port, its Wi-Fi
    NO_ADDRESS = "NO_ADDRESS"
    ROUTER = "ROUTER"
    ISP = "ISP"
    DNS = "DNS"
    CAPTIVE_PORTAL = "CAPTIVE_PORTAL"
    UNKNOWN = "UNKNOWN"
    BUDGET_SPENT = "BUDGET_SPENT"  # the plan's bytes for the day

    @property
    def number(self) -> int:
        """Integer that the time series carry; published in docs/series.md, never renumbered."""
        return _NUMBERS[self]


_NUMBERS: Final = {cause: number for number, cause in enumerate(Cause)}


class Certainty(enum.IntEnum):
    """How sure an answer is. There is no sure answer without a witness."""

    NONE = 0
    LIKELY = 1  # a witness speaks for it, and the room has not told its side
    CONFIRMED = 2  # the room has told its side


class Stop(enum.IntEnum):
    """How the PC's run before this one ended, as its operating system remembers it (`previous_stop_code`)."""

    SHUT_DOWN = 1  # orderly, by a person
    UPDATED = 2  # orderly, planned by an installer or an update
    CUT = 3  # without a word: the power went, or the PC hung
    CRASHED = 4  # the operating system itself gave up
    HELD = 5  # the power button was held down


class Witness(enum.StrEnum):
    """One piece of evidence. Each has an entry `witness.` in the catalogue."""

    SAID_GOODBYE = "SAID_GOODBYE"
    WE_WERE_BLIND = "WE_WERE_BLIND"
    TWO_PCS = "TWO_PCS"
    WAS_ON_BATTERY = "WAS_ON_BATTERY"
    ON_BATTERY_MEANWHILE = "ON_BATTERY_MEANWHILE"
    ON_MAINS_MEANWHILE = "ON_MAINS_MEANWHILE"
    BATTERY_OUTLASTED = "BATTERY_OUTLASTED"
    NEIGHBOURS_SILENT = "NEIGHBOURS_SILENT"
    NEIGHBOURS_FINE = "NEIGHBOURS_FINE"
    PC_RAN_ON = "PC_RAN_ON"
    PC_STARTED_ANEW = "PC_STARTED_ANEW"
    PC_SLEPT = "PC_SLEPT"
    STOPPED_IN_ORDER = "STOPPED_IN_ORDER"
    STOPPED_WITHOUT_WORD = "STOPPED_WITHOUT_WORD"
    SYSTEM_CRASHED = "SYSTEM_CRASHED"
    AGENT_STARTED_ANEW = "AGENT_STARTED_ANEW"
    DEVICES_STARTED_ANEW = "DEVICES_STARTED_ANEW"
    DEVICES_RAN_ON = "DEVICES_RAN_ON"
    MEASURED_MEANWHILE = "MEASURED_MEANWHILE"
    NOTHING_MEASURED = "NOTHING_MEASURED"
    RUNG_FAILED = "RUNG_FAILED"
    INTERNET_WORKED = "INTERNET_WORKED"
    WAS_REFUSED = "WAS_REFUSED"


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one silence of one room. Times are Unix seconds; None is what nobody told.

    `since_s` is the room's last word, `until_s` its next. `goodbye` is the reason that it gave, `runtime_s` how long
    its battery was to last when it last spoke. Of the rooms nearby, `silent_near_count` of `near_count` fell silent
    with it, and `silent_far_count` of `far_count` of the rooms of its province that are not near.

    The rest is told once it is back: `boot_s` and `agent_start_s` are when its PC and its agent began to run (the
    same with `_before_s` is what it said of that before), `slept_s` how long the PC slept meanwhile, `stop` how its
    run before ended. Where either started anew, it had gone on measuring for `ran_on_s` until then, and measured
    nothing for the last `dark_s`. `rungs` counts, for moments of the silence, the code of the rung of the way that
    failed, "" where none did. `restarted_count` of `devices_count` devices started anew in the meantime.
    """

    since_s: float
    until_s: float | None = None
    goodbye: str = ""
    blind_until_s: float | None = None
    """Until when we ourselves could not see, if we could not when it began."""
    is_cloned: bool = False
    on_battery: bool | None = None
    runtime_s: float | None = None
    silent_near_count: int = 0
    near_count: int = 0
    silent_far_count: int = 0
    far_count: int = 0
    batteries_near_count: int = 0
    """Of those silent nearby, how many lived on battery when they last spoke, or said so since."""
    boot_s: float | None = None
    boot_before_s: float | None = None
    agent_start_s: float | None = None
    agent_before_s: float | None = None
    ran_on_s: float = 0.0
    dark_s: float = 0.0
    slept_s: float | None = None
    stop: Stop | None = None
    measured_count: int = 0
    rungs: Mapping[str, int] = {}
    was_refused: bool = False
    battery_meanwhile: bool | None = None
    devices_count: int = 0
    restarted_count: int = 0

    @property
    def lasted_s(self) -> float | None:
        """From the last word to the next."""
        return None if self.until_s is None else max(0.0, self.until_s - self.since_s)

    @property
    def is_new_boot(self) -> bool | None:
        """Whether the PC started anew during the silence."""
        return None if self.boot_s is None else is_new_start(self.boot_s, self.boot_before_s, self.since_s)

    @property
    def is_new_agent(self) -> bool | None:
        """Whether the agent started anew during the silence."""
        if self.agent_start_s is None:
            return None
        return is_new_start(self.agent_start_s, self.agent_before_s, self.since_s)

    @property
    def start_s(self) -> float | None:
        """When the PC, else its agent, started anew during the silence; None when neither did."""
        if self.is_new_boot:
            return self.boot_s
        return self.agent_start_s if self.is_new_agent else None

    @property
    def began_before_start(self) -> bool:
        """Whether the silence had begun while the PC ran, and lasted so long before anything started anew that this
        cannot be the reason: somebody restarts a PC that cannot be reached.
        """
        return self.ran_on_s >= _RAN_ON_S and self.ran_on_s >= self.dark_s

    @property
    def failed_rung(self) -> str:
        """The rung that failed at most of the moments at which anything was measured, those of one cause taken
        together; empty when none did.
        """
        by_cause: Counter[Cause | None] = Counter()
        for code, count in self.rungs.items():
            by_cause[_RUNGS.get(code)] += count
        cause, count = max(by_cause.items(), key=lambda one: one[1], default=(None, 0))
        if cause is None or count * 2 <= by_cause.total():
            return ""
        return max((code for code in self.rungs if _RUNGS.get(code) is cause), key=lambda code: self.rungs[code])


def is_new_start(start_s: float, before_s: float | None, since_s: float) -> bool:
    """Whether something that began to run at `start_s` did so in a silence since `since_s`; `before_s` is when it did
    by its word from before.
    """
    is_same = before_s is not None and abs(start_s - before_s) <= _SAME_S
    return start_s > since_s - _CLOSE_S and not is_same


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why, how sure, and by which witnesses for and against."""

    cause: Cause = Cause.UNKNOWN
    certainty: Certainty = Certainty.NONE
    evidence: tuple[Witness, ...] = ()
    against: tuple[Witness, ...] = ()
    rung: str = ""


_CLOSE_S: Final = 90.0
"""Two times that come from different ends of the line may differ by so much and mean the same: a tick and a half."""
_SAME_S: Final = 10.0
"""Two words about one start may differ by so much: no program that the service manager starts again is so quick."""
_RAN_ON_S: Final = 30.0
_BACK_S: Final = 600.0
"""So soon after we could see again a room that was only hidden from us is heard."""
_SLEPT_SHARE: Final = 0.5
_MEASURED_MIN_COUNT: Final = 2
_NEARLY_SHARE: Final = 0.5
"""A battery that was to last for twice the silence cannot have run empty in it."""
_SHORT_S: Final = 180.0
"""So soon after its last word, with a battery that had more to give, the room was not switched off by its battery."""
_NEAR_MIN_COUNT: Final = 3
_AREA_SHARE: Final = 0.6
_QUIET_SHARE: Final = 0.2
"""Of the rooms farther off at most so many may be silent too, or it is no matter of this area."""

_RUNGS: Final = {
    Code.NIC_DOWN.value: Cause.CABLE,
    Code.NO_ADDRESS.value: Cause.NO_ADDRESS,
    Code.LAN_DOWN.value: Cause.ROUTER,
    Code.GATEWAY_DOWN.value: Cause.ROUTER,
    Code.ISP_DOWN.value: Cause.ISP,
    Code.NO_INTERNET.value: Cause.ISP,
    Code.DNS_FAILS.value: Cause.DNS,
    Code.DNS_LIES.value: Cause.DNS,
    Code.INTERNATIONAL_DOWN.value: Cause.ISP,
    Code.MTU_HOLE.value: Cause.ISP,
    Code.CAPTIVE_PORTAL.value: Cause.CAPTIVE_PORTAL,
}
"""What each rung of the way says, the first that fails."""
_NETWORK_GONE: Final = (Code.LAN_DOWN.value, Code.GATEWAY_DOWN.value, Code.NIC_DOWN.value, Code.NO_ADDRESS.value)
_GOODBYES: Final = {
    "suspend": Cause.PC_ASLEEP,
    "shutdown": Cause.PC_SWITCHED_OFF,
    "update": Cause.MAINTENANCE,
    "service_stop": Cause.MAINTENANCE,
    "on_battery_low": Cause.UPS_EMPTY,
    "budget_spent": Cause.BUDGET_SPENT,
}


def explain(silence: Silence) -> Explanation:
    """The first row that applies. Without a witness the answer is UNKNOWN, and says what is missing by its absence."""
    for row in _ROWS:
        found = row(silence)
        if found is not None:
            against = tuple(one for one in _contradicts(found.cause, silence) if one not in found.evidence)
            return msgspec.structs.replace(found, against=against)
    return Explanation(evidence=tuple(_said(silence)))


Row = Callable[[Silence], Explanation | None]


def _by(silence: Silence, cause: Cause, *evidence: Witness, rung: str = "") -> Explanation:
    certainty = Certainty.LIKELY if silence.until_s is None else Certainty.CONFIRMED
    return Explanation(cause=cause, certainty=certainty, evidence=evidence, rung=rung)


def _ours(silence: Silence) -> Explanation | None:
    """The room ran on with its way to the Internet open, and it was we who could not see, or many at once."""
    ran_on = silence.until_s is not None and silence.is_new_boot is False and not silence.goodbye
    if not ran_on or silence.failed_rung or silence.is_new_agent:
        return None
    if _slept_long(silence) or (silence.slept_s or 0.0) > _CLOSE_S:
        return None
    if silence.blind_until_s is not None and (silence.until_s or 0.0) - silence.blind_until_s <= _BACK_S:
        return _by(silence, Cause.COLLECTOR, Witness.WE_WERE_BLIND, Witness.PC_RAN_ON)
    was_open = silence.rungs.get("", 0) * 2 > sum(silence.rungs.values())
    silent_count = silence.silent_near_count + silence.silent_far_count
    most = silent_count >= max(_NEAR_MIN_COUNT, _AREA_SHARE * (silence.near_count + silence.far_count))
    if _is_measured(silence) and was_open and most:
        return _by(silence, Cause.COLLECTOR, Witness.INTERNET_WORKED, Witness.NEIGHBOURS_SILENT)
    return None


def _cloned(silence: Silence) -> Explanation | None:
    """Two PCs speak with one identity."""
    return _by(silence, Cause.CLONED, Witness.TWO_PCS) if silence.is_cloned else None


def _farewell(silence: Silence) -> Explanation | None:
    """The agent said why it went. A PC that shuts down on battery does so for want of power."""
    cause = _GOODBYES.get(silence.goodbye)
    if cause is None:
        return None
    if cause is Cause.PC_SWITCHED_OFF and silence.on_battery:
        return _by(silence, Cause.UPS_EMPTY, Witness.SAID_GOODBYE, Witness.WAS_ON_BATTERY)
    if cause is Cause.PC_SWITCHED_OFF and silence.stop is Stop.UPDATED:
        return _by(silence, Cause.MAINTENANCE, Witness.SAID_GOODBYE, Witness.STOPPED_IN_ORDER)
    return _by(silence, cause, Witness.SAID_GOODBYE)


def _battery(silence: Silence) -> Explanation | None:
    """The last word came from the battery, or what was measured meanwhile did."""
    lived_on = silence.is_new_boot is False
    outlived_it = lived_on or silence.began_before_start  # at first: in the end its battery may be empty, too
    if silence.battery_meanwhile and outlived_it and silence.failed_rung in _NETWORK_GONE:
        if _is_area(silence) and silence.batteries_near_count:
            return _by(silence, Cause.AREA_POWER, Witness.ON_BATTERY_MEANWHILE, Witness.NEIGHBOURS_SILENT)
        return _by(
            silence, Cause.POWER_CUT_NETWORK, Witness.ON_BATTERY_MEANWHILE, Witness.PC_RAN_ON, rung=silence.failed_rung
        )
    if not silence.on_battery:
        return None
    if silence.until_s is None:
        if _is_area(silence) and silence.batteries_near_count:
            return _by(silence, Cause.AREA_POWER, Witness.WAS_ON_BATTERY, Witness.NEIGHBOURS_SILENT)
        return _by(silence, Cause.UPS_EMPTY, Witness.WAS_ON_BATTERY) if not _lasts(silence) else _network_dark(silence)
    if silence.is_new_boot and silence.stop in (None, Stop.CUT, Stop.SHUT_DOWN):
        if _is_area(silence) and silence.batteries_near_count:
            return _by(silence, Cause.AREA_POWER, Witness.WAS_ON_BATTERY, Witness.NEIGHBOURS_SILENT)
        return _by(silence, Cause.UPS_EMPTY, Witness.WAS_ON_BATTERY, Witness.PC_STARTED_ANEW)
    was_open = silence.rungs.get("", 0) * 2 > sum(silence.rungs.values())
    if lived_on and not was_open and silence.failed_rung in ("", *_NETWORK_GONE):
        if _is_area(silence) and silence.batteries_near_count:
            return _by(silence, Cause.AREA_POWER, Witness.WAS_ON_BATTERY, Witness.NEIGHBOURS_SILENT)
        return _by(silence, Cause.POWER_CUT_NETWORK, Witness.WAS_ON_BATTERY, Witness.PC_RAN_ON)
    return None


def _network_dark(silence: Silence) -> Explanation:
    return _by(silence, Cause.POWER_CUT_NETWORK, Witness.WAS_ON_BATTERY, Witness.BATTERY_OUTLASTED)


def _lasts(silence: Silence) -> bool:
    """The battery had so much left that it cannot have been the reason."""
    return silence.runtime_s is not None and silence.runtime_s > _SHORT_S / _NEARLY_SHARE


def _area(silence: Silence) -> Explanation | None:
    """Rooms nearby fell silent together, and those farther off did not."""
    if not _is_area(silence):
        return None
    if silence.until_s is None:
        # A cut of power and one of the line look the same from here, unless a battery spoke.
        if silence.batteries_near_count:
            return _by(silence, Cause.AREA_POWER, Witness.NEIGHBOURS_SILENT, Witness.WAS_ON_BATTERY)
        return None
    if silence.is_new_boot and silence.stop is Stop.CUT:
        return _by(silence, Cause.AREA_POWER, Witness.NEIGHBOURS_SILENT, Witness.STOPPED_WITHOUT_WORD)
    if silence.failed_rung in (Code.ISP_DOWN.value, Code.NO_INTERNET.value):
        return _by(silence, Cause.AREA_LINE, Witness.NEIGHBOURS_SILENT, Witness.RUNG_FAILED, rung=silence.failed_rung)
    return None


def _new_start(silence: Silence) -> Explanation | None:
    """The PC started anew; its own log says how it had stopped, and its devices whether they
    stopped with it.
    """
    if not silence.is_new_boot or silence.began_before_start:
        return None
    anew = Witness.PC_STARTED_ANEW
    if silence.stop is Stop.CRASHED:
        return _by(silence, Cause.PC_CRASHED, anew, Witness.SYSTEM_CRASHED)
    if silence.stop is Stop.SHUT_DOWN:
        return _by(silence, Cause.PC_SWITCHED_OFF, anew, Witness.STOPPED_IN_ORDER)
    if silence.stop is Stop.UPDATED:
        return _by(silence, Cause.MAINTENANCE, anew, Witness.STOPPED_IN_ORDER)
    if silence.stop is Stop.HELD:
        return _by(silence, Cause.PC_LOST_POWER, anew, Witness.STOPPED_WITHOUT_WORD)
    if silence.restarted_count:
        return _by(silence, Cause.POWER_CUT, anew, Witness.DEVICES_STARTED_ANEW)
    if silence.stop is Stop.CUT and silence.devices_count:
        return _by(silence, Cause.PC_LOST_POWER, Witness.STOPPED_WITHOUT_WORD, Witness.DEVICES_RAN_ON)
    return None


def _slept(silence: Silence) -> Explanation | None:
    """The PC ran on, and slept for most of the silence."""
    if silence.is_new_boot is not False or not _slept_long(silence):
        return None
    return _by(silence, Cause.PC_ASLEEP, Witness.PC_RAN_ON, Witness.PC_SLEPT)


def _new_agent(silence: Silence) -> Explanation | None:
    """The PC ran on, and only the agent started anew."""
    if silence.is_new_boot is False and silence.is_new_agent and not silence.began_before_start:
        return _by(silence, Cause.AGENT_CRASHED, Witness.PC_RAN_ON, Witness.AGENT_STARTED_ANEW)
    return None


def _refused(silence: Silence) -> Explanation | None:
    """The way was there, and the broker refused us."""
    if silence.was_refused and not silence.failed_rung:
        return _by(silence, Cause.CREDENTIALS, Witness.WAS_REFUSED)
    return None


def _rung(silence: Silence) -> Explanation | None:
    """The PC went on measuring, and the first rung of the way that failed is the cause."""
    cause = _RUNGS.get(silence.failed_rung)
    if silence.until_s is None or cause is None or not _is_measured(silence):
        return None
    return _by(silence, cause, Witness.MEASURED_MEANWHILE, Witness.RUNG_FAILED, rung=silence.failed_rung)


_ROWS: Final[tuple[Row, ...]] = (
    _ours,
    _cloned,
    _farewell,
    _battery,
    _area,
    _new_start,
    _slept,
    _new_agent,
    _refused,
    _rung,
)


def _slept_long(silence: Silence) -> bool:
    return silence.slept_s is not None and silence.slept_s >= _SLEPT_SHARE * (silence.lasted_s or math.inf)


def _is_measured(silence: Silence) -> bool:
    return silence.measured_count >= _MEASURED_MIN_COUNT


def _is_area(silence: Silence) -> bool:
    """Most rooms nearby fell silent together, and most of those farther off did not."""
    near = silence.silent_near_count >= _NEAR_MIN_COUNT and (
        silence.silent_near_count >= _AREA_SHARE * silence.near_count
    )
    return near and silence.silent_far_count <= _QUIET_SHARE * silence.far_count


def _said(silence: Silence) -> Iterator[Witness]:
    """All that is known, of a silence that it does not explain."""
    if silence.on_battery:
        yield Witness.WAS_ON_BATTERY
    if _is_area(silence):
        yield Witness.NEIGHBOURS_SILENT
    if silence.is_new_boot:
        yield Witness.PC_STARTED_ANEW
    elif silence.is_new_boot is False:
        yield Witness.PC_RAN_ON
    if silence.stop is Stop.CUT:
        yield Witness.STOPPED_WITHOUT_WORD
    if silence.until_s is not None:
        yield Witness.MEASURED_MEANWHILE if _is_measured(silence) else Witness.NOTHING_MEASURED


_POWER: Final = frozenset({Cause.UPS_EMPTY, Cause.POWER_CUT, Cause.POWER_CUT_NETWORK, Cause.AREA_POWER})


def _contradicts(cause: Cause, silence: Silence) -> Iterator[Witness]:
    """What speaks against an answer, for the reader to weigh."""
    if cause in _POWER:
        if silence.battery_meanwhile is False:
            yield Witness.ON_MAINS_MEANWHILE
        if silence.devices_count and not silence.restarted_count:
            yield Witness.DEVICES_RAN_ON
    if cause is Cause.UPS_EMPTY and _lasts(silence) and (silence.lasted_s or 0.0) < (silence.runtime_s or 0.0):
        yield Witness.BATTERY_OUTLASTED
    if cause in (Cause.AREA_POWER, Cause.AREA_LINE):
        return
    if _is_area(silence):
        yield Witness.NEIGHBOURS_SILENT
    elif cause in (Cause.ISP, Cause.POWER_CUT) and silence.near_count >= _NEAR_MIN_COUNT:
        yield Witness.NEIGHBOURS_FINE
