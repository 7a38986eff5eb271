"""Names that travel: agents, rooms, probes, targets and their roles, MQTT topics."""

import functools
import re
from typing import Final, NamedTuple

_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,31}")
_PROBE = re.compile(r"[a-z][a-z0-9_]{1,31}")
_TARGET = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")
_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

ROLES: Final = (
    "pc", "nic", "gateway", "isp", "national", "international", "dns", "lesson", "collector",
    "codec", "camera", "microphone", "speaker", "dsp", "screen", "projector", "ups", "router", "switch", "device",
)  # fmt: skip
"""What a target is to the room. A target's name begins with its role: `camera`, `camera-2`, `lesson-zoom`."""

ID_RULE: Final = "rule.id"
TARGET_RULE: Final = "rule.target"
PROBE_RULE: Final = "rule.probe"
"""Catalogue codes of what such names must be."""


def is_id(text: str) -> bool:
    """Whether text may be the id of an agent or a room (see ID_RULE)."""
    return _ID.fullmatch(text) is not None


def is_probe_name(text: str) -> bool:
    """Whether text may be the name of a probe, which is also its measurement in the time series."""
    return _PROBE.fullmatch(text) is not None


def is_target(text: str) -> bool:
    """Whether text may name a target (see TARGET_RULE)."""
    return _TARGET.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether text may be a tag's value: free text never is, a backslash could forge labels."""
    return _TAG.fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)  # asked of the same few names for every room, again and again
def role_of(target: str) -> str:
    """The role that a target's name begins with, else `device`.

    >>> role_of("camera-2"), role_of("lesson.zoom"), role_of("blackboard")
    ('camera', 'lesson', 'device')
    """
    head = re.split(r"[-_.:]", target, maxsplit=1)[0]
    return head if head in ROLES else "device"


class Topic(NamedTuple):
    """`sansang/v1/<agent>/<up|down>/<what>`."""

    agent: str
    way: str
    what: str

    def __str__(self) -> str:
        return f"sansang/v1/{self.agent}/{self.way}/{self.what}"


UP = ("batch", "state")
DOWN = ("ack", "plan", "command")


def parse_topic(text: str) -> Topic | None:
    """The topic's parts, or None when it is none of ours: the agent is believed from here and nowhere else."""
    match text.split("/"):
        case ["sansang", "v1", agent, "up" | "down" as way, what] if is_id(agent):
            return Topic(agent, way, what) if what in (UP if way == "up" else DOWN) else None
    return None
