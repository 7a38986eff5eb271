"""A room in trouble, and the people who are told: findings, verdicts, incidents, notices."""

from typing import Final

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.incident import Incident
from collector.alerting.letter import RoomFacts
from readiness.verdict import Finding, Level, Verdict, worst

NOW_S: Final = 1_763_943_000.0
"""07:10 on 24 November 2025 in Vietnam."""
DAY_S: Final = 86400.0
ROOM: Final = "lung-cu-1"
PAO: Final = Recipient(address="pao@example.vn", name="Giàng A Páo", language="vi")
LAN: Final = Recipient(address="lan@example.vn", name="Cô Lan", language="vi")
FACTS: Final = RoomFacts(room=ROOM, name="Phòng 1", place=("Hà Giang", "Đồng Văn", "THCS Lũng Cú"))
SENDER: Final = "Sẵn Sàng <sansang@example.vn>"
PAGES: Final = "http://10.0.0.1:8080"


def finding(
    code: str = "NO_INTERNET",
    level: Level = Level.UNFIT,
    target: str = "gateway",
    *,
    since_s: float = NOW_S,
    value: str = "",
    measured: float | None = None,
    needed: float | None = None,
) -> Finding:
    return Finding(
        code=code, level=level, target=target, since_s=since_s, value=value, measured=measured, needed=needed
    )


LOSSY: Final = finding(
    "LINK_LOSSY", target="national", since_s=NOW_S - 600, value="loss_ratio", measured=0.083, needed=0.03
)
CAMERA: Final = finding("CAMERA_LOST", target="camera-2")
SILENT: Final = finding("ROOM_SILENT", Level.UNKNOWN, "pc")
NARROW: Final = finding(
    "LINK_NARROW", Level.DEGRADED, "lesson", value="downlink_bps", measured=2_744_299.0, needed=4_000_000.0
)


def verdict(*findings: Finding, at_s: float = NOW_S, room: str = ROOM) -> Verdict:
    """A verdict by its reasons; FIT without any."""
    level = worst(one.level for one in findings) if findings else Level.FIT
    return Verdict(room=room, level=level, findings=findings, since_s=at_s, judged_s=at_s, profile="zoom-720p")


def incident(
    *findings: Finding, opened_s: float = NOW_S, ended_s: float | None = None, room: str = ROOM, number: int = 1
) -> Incident:
    """An incident by its reasons; one that has ended left the room FIT."""
    findings = findings or (LOSSY, CAMERA)
    level = worst(one.level for one in findings)
    return Incident(
        incident=f"20251124T001000{number:03d}-{room}",
        room=room,
        level=level,
        worst=level,
        findings=findings,
        first_findings=findings,
        opened_s=opened_s,
        confirmed_s=opened_s + 300,
        ended_s=ended_s,
        end_level=None if ended_s is None else Level.FIT,
    )


def notice(
    of: Incident | None = None, reason: Reason = Reason.OPENED, recipient: Recipient = PAO, number: int = 0
) -> Notice:
    of = of or incident()
    return Notice(incident=of, reason=reason, level=of.worst, recipient=recipient, number=number)
