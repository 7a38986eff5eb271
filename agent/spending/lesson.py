"""Tells whether a lesson is on, which no test may disturb: by the plan's hours, the codec's call, the PC's traffic.

Pure but for `programs_in_meeting`, which asks the system which programs run (psutil).
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import psutil

MEDIA_BPS: Final = 150_000.0
"""From here on, both ways at once, traffic is somebody's picture or voice; downloads go one way."""
_CALL_LASTS_S: Final = 300.0
"""So long a codec's word that it is in a call counts, or that it is in none."""
_MEETING_PROGRAMS: Final = frozenset({
    "zoom", "cpthost", "zoomopener", "teams", "ms-teams", "webexmta", "ciscocollabhost", "atmgr", "webex", "skype",
    "lync", "meet", "jitsi", "bluejeans", "vidyodesktop",
})  # fmt: skip
"""Programs in which people meet, without the ending of their file. That one runs is no meeting: it may wait for one."""


class Call(NamedTuple):
    """What a codec last said: whether it is in a call, and when (the PC's monotonic time)."""

    is_active: bool
    said_mono_s: float


def is_on(
    *,
    in_hours: bool,
    calls: Iterable[Call],
    programs: Collection[str],
    sent_bps: float,
    received_bps: float,
    now_mono_s: float,
) -> bool:
    """Whether anything shows a lesson: one sign is enough, since a test that waits costs less than a lesson disturbed.

    `programs` are those of the PC that people meet in; the two rates are those of its network card.
    """
    if in_hours or any(call.is_active and now_mono_s - call.said_mono_s <= _CALL_LASTS_S for call in calls):
        return True
    return bool(programs) and min(sent_bps, received_bps) >= MEDIA_BPS


def programs_in_meeting() -> list[str]:
    """Names of running programs in which people meet. A few milliseconds."""
    names = (str(process.info["name"] or "") for process in psutil.process_iter(["name"]))
    return sorted({name for name in names if name.lower().removesuffix(".exe") in _MEETING_PROGRAMS})
