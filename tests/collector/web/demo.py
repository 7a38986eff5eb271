"""A picture of rooms as a province might see them: every level, long names, and some that mean harm."""

import functools
import math
import random
from collections.abc import Sequence
from email.header import Header
from email.message import EmailMessage

from collector.snapshot import AgentView, Health, IncidentView, ReadingView, RoomView, SinkView, Snapshot, Trail
from collector.web.letters import LetterState, LetterView
from contract.outcome import Outcome
from readiness.verdict import Finding, Level, Verdict

NOW_S = 1_763_951_400.0  # 09:30:00 on Monday 24 November 2025 in Vietnam
HOSTILE = """"><script>alert('x')</script><img src=x onerror=alert(1)>&lt;{{ 7*7 }}{0}"""

SCHOOLS = (
    ("Hà Giang", "Đồng Văn", "Trường PTDTBT THCS Lũng Cú"),
    ("Hà Giang", "Đồng Văn", "Trường PTDTBT Tiểu học Sà Phìn"),
    ("Hà Giang", "Mèo Vạc", "Trường THCS Khâu Vai"),
    ("Lào Cai", "Bắc Hà", "Trường PTDTBT THCS Tả Củ Tỷ"),
    ("Lào Cai", "Si Ma Cai", "Trường THCS Sín Chéng"),
    ("Điện Biên", "Mường Nhé", "Trường PTDTBT THCS Nậm Kè"),
    ("Điện Biên", "Tủa Chùa", "Trường Tiểu học Sín Chải"),
    ("Lai Châu", "Sìn Hồ", "Trường PTDTBT THCS Nậm Cuổi"),
    ("Sơn La", "Sốp Cộp", "Trường THCS Mường Lạn"),
    ("Sơn La", "Bắc Yên", "Trường PTDTBT THCS Háng Đồng"),
    ("Cao Bằng", "Bảo Lạc", "Trường THCS Cốc Pàng"),
    ("Cao Bằng", "Hạ Lang", "Trường Tiểu học Lý Quốc"),
    ("Nghệ An", "Kỳ Sơn", "Trường PTDTBT THCS Na Ngoi"),
    ("Nghệ An", "Tương Dương", "Trường THCS Nhôn Mai"),
    ("Quảng Nam", "Tây Giang", "Trường PTDTBT THCS Lý Tự Trọng"),
    ("Quảng Nam", "Nam Trà My", "Trường Tiểu học Trà Linh"),
    ("Kon Tum", "Tu Mơ Rông", "Trường PTDTBT THCS Ngọc Lây"),
    ("Gia Lai", "Kông Chro", "Trường THCS Đăk Pling"),
    ("Gia Lai", "Ia Pa", "Trường Tiểu học Kpă Klơng"),
)

TROUBLES = (
    Finding(
        code="link_down",
        level=Level.UNFIT,
        target="lesson-zoom",
        since_s=NOW_S - 500,
        value="loss_ratio",
        measured=1.0,
        needed=0.05,
    ),
    Finding(
        code="loss",
        level=Level.UNFIT,
        target="lesson-zoom",
        since_s=NOW_S - 1900,
        value="loss_ratio",
        measured=0.083,
        needed=0.05,
    ),
    Finding(code="device_down", level=Level.UNFIT, target="camera", since_s=NOW_S - 86400 * 2),
    Finding(
        code="rtt",
        level=Level.DEGRADED,
        target="lesson-zoom",
        since_s=NOW_S - 4000,
        value="rtt_p50_ms",
        measured=263.0,
        needed=200.0,
    ),
    Finding(
        code="on_battery",
        level=Level.DEGRADED,
        target="ups",
        since_s=NOW_S - 95,
        value="runtime_s",
        measured=1380.0,
        needed=2700.0,
    ),
)


def trail(probe: str, target: str, value: str, *, around: float, spread: float, seed: int) -> Trail:
    """Three hours of one value, minute by minute, with a hole in it."""
    chance = random.Random(seed)
    points = []
    for place in range(180):
        if 60 <= place < 80:
            continue
        wave = math.sin(place / 17) * spread / 2 + chance.uniform(-spread, spread) / 2
        points.append((NOW_S - (180 - place) * 60.0, max(around + wave, 0.0)))
    return Trail(probe=probe, target=target, value=value, points=tuple(points))


def room(place: int, level: Level | None, findings: Sequence[Finding] = (), *, name: str = "") -> RoomView:
    """One room in full, at one level; None is a room that nothing was ever heard of."""
    province, commune, school = SCHOOLS[place % len(SCHOOLS)]
    room_id = f"phong-{place:04}"
    since_s = max((finding.since_s for finding in findings), default=NOW_S - 86400.0 * (place % 9) - 7000)
    verdict = None
    if level is not None:
        verdict = Verdict(
            room=room_id,
            level=level,
            findings=tuple(findings),
            since_s=since_s,
            judged_s=NOW_S - 3,
            profile="zoom-720p",
        )
    heard = level is not None
    return RoomView(
        room=room_id,
        name=name or f"Phòng học trực tuyến {place // len(SCHOOLS) + 1}",
        place=(province, commune, school),
        contact="Thầy Giàng A Páo, 0900 000 000",
        verdict=verdict,
        agents=(_agent(place, level),) if place % 13 != 12 else (),
        readings=_readings(level) if heard else (),
        trails=_trails(place) if heard else (),
        incidents=_incidents(findings, since_s) if findings else (),
        levels=_levels(level, since_s) if level is not None else (),
    )


def _agent(place: int, level: Level | None) -> AgentView:
    if level is None:
        return AgentView(agent=f"may-{place:04}", online=None)
    gone = level is Level.UNKNOWN
    return AgentView(
        agent=f"may-{place:04}",
        online=not gone,
        reason="Will" if gone else "",
        version="0.1.0",
        last_heard_s=NOW_S - (5400 if gone else 12),
        clock_offset_s=-312.4 if place % 5 == 0 else 0.041,
        backlog_count=1284 if gone else 0,
        dropped_total=3 if place % 7 == 0 else 0,
        trouble="spool: disk is full" if place % 11 == 0 else "",
    )


def _readings(level: Level | None) -> tuple[ReadingView, ...]:
    def one(
        probe: str, target: str, role: str, outcome: Outcome = Outcome.OK, detail: str = "", **values: float
    ) -> ReadingView:
        return ReadingView(
            probe=probe,
            target=target,
            role=role,
            outcome=outcome,
            values=dict(values),
            measured_s=NOW_S - 20,
            detail=detail,
        )

    link_cut = level is Level.UNFIT
    return (
        one(
            "host",
            "pc",
            "pc",
            cpu_ratio=0.31,
            memory_free_bytes=2_312_110_080,
            disk_free_ratio=0.42,
            uptime_s=356_400.0,
        ),
        one(
            "ping",
            "gateway",
            "gateway",
            rtt_min_ms=0.8,
            rtt_avg_ms=1.42,
            rtt_p95_ms=3.1,
            rtt_max_ms=5.0,
            loss_ratio=0.0,
        ),
        one(
            "ping",
            "lesson-zoom",
            "lesson",
            rtt_avg_ms=88.4,
            rtt_p95_ms=131.0,
            jitter_ms=12.7,
            loss_ratio=1.0 if link_cut else 0.004,
        ),
        one(
            "dns",
            "dns",
            "dns",
            Outcome.TIMEOUT if link_cut else Outcome.OK,
            "192.0.2.53:53: no answer in 3 s" if link_cut else "",
            **({} if link_cut else {"lookup_ms": 41.0}),
        ),
        one("power", "ups", "ups", charge_ratio=0.97, runtime_s=3120.0, input_v=221.0, on_battery_bool=0),
        one("tcp", "camera", "camera", Outcome.REFUSED, "192.0.2.7:554: connection refused"),
    )


def _trails(place: int) -> tuple[Trail, ...]:
    return (
        trail("ping", "lesson-zoom", "rtt_p50_ms", around=180, spread=90, seed=place),
        trail("ping", "lesson-zoom", "loss_ratio", around=0.02, spread=0.06, seed=place + 1),
        trail("http", "lesson-zoom", "downlink_bps", around=3.1e6, spread=1.2e6, seed=place + 2),
        trail("power", "ups", "input_v", around=219, spread=9, seed=place + 3),
        trail("host", "pc", "cpu_ratio", around=0.4, spread=0.5, seed=place + 4),
        Trail(probe="power", target="ups", value="on_battery_bool", points=((NOW_S - 60, 0), (NOW_S, 1))),
    )


def _incidents(findings: Sequence[Finding], since_s: float) -> tuple[IncidentView, ...]:
    codes = tuple(finding.code for finding in findings)
    return (
        IncidentView(
            incident="i-1",
            level=findings[0].level,
            codes=codes,
            opened_s=since_s,
            ended_s=None,
            told=("thay.pao@lungcu.example", "cntt@hagiang.example"),
        ),
        IncidentView(
            incident="i-0",
            level=Level.UNFIT,
            codes=codes[:1],
            opened_s=NOW_S - 400_000,
            ended_s=NOW_S - 391_000,
            told=(),
        ),
    )


def _levels(level: Level, since_s: float) -> tuple[tuple[float, Level], ...]:
    past = (
        (NOW_S - 86400, Level.FIT),
        (NOW_S - 70000, Level.DEGRADED),
        (NOW_S - 64000, Level.FIT),
        (NOW_S - 41000, Level.UNKNOWN),
        (NOW_S - 37000, Level.UNFIT),
        (NOW_S - 30000, Level.FIT),
    )
    return (*past, (max(since_s, NOW_S - 29000), level))


def health(problems: tuple[str, ...] = ()) -> Health:
    """A collector in the middle of its work."""
    return Health(
        started_s=NOW_S - 190_000,
        version="0.1.0",
        generation="g7f3a9c1",
        broker_connected=not problems,
        problems=problems,
        batches_total=271_420,
        records_total=271_611,
        quarantined_total=2,
        duplicates_total=118,
        journal_bytes=143_654_912,
        journal_last_id=271_611,
        sinks=(
            SinkView(name="sqlite", behind_count=0, refused_total=0),
            SinkView(
                name="influx", behind_count=1_204, refused_total=7, trouble="POST /api/v2/write: connection refused"
            ),
        ),
        outbox_waiting_count=1,
        outbox_refused_count=1,
    )


@functools.cache
def snapshot(rooms_count: int = 86, *, problems: tuple[str, ...] = ()) -> Snapshot:
    """`rooms_count` rooms, some in every kind of trouble, and one whose registry entry was written to do harm."""
    rooms = []
    for place in range(rooms_count):
        if place == 4:
            rooms.append(room(place, Level.UNFIT, [_hostile_finding()], name=HOSTILE))
        elif place % 29 in (1, 9):
            rooms.append(room(place, Level.UNFIT, [TROUBLES[place % 3], TROUBLES[3]]))
        elif place % 23 in (2, 12):
            rooms.append(room(place, Level.DEGRADED, [TROUBLES[3 + place % 2]]))
        elif place % 41 == 6:
            rooms.append(room(place, Level.UNKNOWN))
        elif place % 43 == 11:
            rooms.append(room(place, None))
        else:
            rooms.append(room(place, Level.FIT))
    return Snapshot(taken_s=NOW_S - 2, rooms=tuple(rooms), health=health(problems))


def _hostile_finding() -> Finding:
    return Finding(
        code="device_down", level=Level.UNFIT, target=HOSTILE, since_s=NOW_S - 30, value=HOSTILE, measured=1.0
    )


SUBJECT = "Phòng học trực tuyến 1 (Lũng Cú): không học được, mất đường truyền Internet"


@functools.cache
def mail() -> bytes:
    """A mail as the collector writes them: Vietnamese, text and HTML."""
    message = EmailMessage()
    message["Subject"] = "S"  # put in below: folding by the standard library loses spaces (python/cpython#92081)
    message["From"] = "Sẵn Sàng <sansang@example.org>"
    message["To"] = "thay.pao@lungcu.example"
    message["Date"] = "Mon, 24 Nov 2025 09:21:40 +0700"
    message.set_content("Kính gửi thầy,\n\nPhòng học trực tuyến 1 mất đường truyền Internet từ 09:21.\n\n<b>đậm</b>\n")
    message.add_alternative(
        '<div style="font-family:sans-serif;max-width:560px"><p style="background:#b3261e;color:#fff;padding:12px">'
        "Không học được</p><p>Phòng học trực tuyến 1 mất đường truyền Internet từ 09:21.</p>"
        "<script>parent.document.title='owned'</script></div>",
        subtype="html",
    )
    subject = Header(SUBJECT, "utf-8", header_name="Subject").encode()
    return message.as_bytes().replace(b"Subject: S\n", f"Subject: {subject}\n".encode(), 1)


class Outbox:
    """Letters in every state."""

    def __init__(self) -> None:
        states = (LetterState.WAITING, LetterState.SENT, LetterState.REFUSED, LetterState.MERGED)
        words = (
            "10.0.0.5:587: STARTTLS refused: 454 TLS not available",
            "250 2.0.0 OK queued as 4F2A",
            f"550 5.1.1 no such user {HOSTILE}",
            "",
        )
        self._letters = tuple(
            LetterView(
                letter=str(place),
                subject=SUBJECT if place else "",
                to=("thay.pao@lungcu.example",),
                state=state,
                written_s=NOW_S - 100 - place * 3000,
                tries_count=place + 1,
                server_words=said,
            )
            for place, (state, said) in enumerate(zip(states, words, strict=True))
        )

    def letters(self, limit: int) -> Sequence[LetterView]:
        """The newest."""
        return self._letters[:limit]

    def letter(self, letter: str) -> bytes | None:
        """The same mail for each of them."""
        return mail() if any(one.letter == letter for one in self._letters) else None
