import pytest

from collector.web.words import Words, quantity
from contract.catalogue import Language
from readiness.verdict import Finding, Level
from tests.collector.web import demo


@pytest.mark.parametrize(
    ("name", "number", "vi", "en"),
    [
        ("rtt_avg_ms", 182.605, "183 ms", "183 ms"),
        ("rtt_avg_ms", 1.42, "1,42 ms", "1.42 ms"),
        ("connect_ms", 12_300, "12,3 giây", "12.3 s"),
        ("loss_ratio", 0.083, "8,3 %", "8.3 %"),
        ("loss_ratio", 0.0004, "0,04 %", "0.04 %"),
        ("loss_ratio", 0.0, "0 %", "0 %"),
        ("downlink_bps", 2_744_299.0, "2,74 Mb/s", "2.74 Mb/s"),
        ("downlink_bps", 87_000.0, "87 kb/s", "87 kb/s"),
        ("disk_free_bytes", 143_654_912, "137 MB", "137 MB"),
        ("uptime_s", 356_400.0, "4,1 ngày", "4.1 d"),
        ("runtime_s", 3120.0, "52 phút", "52 min"),
        ("clock_offset_s", -312.4, "-5,2 phút", "-5.2 min"),
        ("tls_left_days", 63.2, "63,2 ngày", "63.2 d"),
        ("input_v", 218.785, "219 V", "219 V"),
        ("on_battery_bool", 1, "có", "yes"),
        ("on_battery_bool", 0, "không", "no"),
        ("status_code", 200, "200", "200"),
        ("process_count", 12_345, "12.345", "12,345"),
        ("no unit", 3, "3", "3"),
    ],
)
def test_a_number_is_written_as_people_write_it(name: str, number: float, vi: str, en: str) -> None:
    assert quantity(name, number, "vi") == vi
    assert quantity(name, number, "en") == en


@pytest.mark.parametrize(
    ("gone_s", "vi", "en"),
    [
        (-30, "vừa xong", "just now"),
        (59, "vừa xong", "just now"),
        (119, "1 phút trước", "1 min ago"),
        (480, "8 phút trước", "8 min ago"),
        (86399, "23 giờ trước", "23 hr ago"),
        (86400 * 2, "2 ngày trước", "2 days ago"),
        (86400 * 30, "4 tuần trước", "4 wk ago"),
    ],
)
def test_how_long_ago_is_rounded_down(gone_s: float, vi: str, en: str) -> None:
    assert Words("vi", demo.NOW_S).ago(demo.NOW_S - gone_s) == vi
    assert Words("en", demo.NOW_S).ago(demo.NOW_S - gone_s) == en


def test_a_time_of_another_day_carries_its_date() -> None:
    words = Words("vi", demo.NOW_S)
    assert words.when(demo.NOW_S - 3600) == "08:30"
    assert words.when(demo.NOW_S - 86400) == "09:30 23/11/2025"


@pytest.mark.parametrize(
    ("target", "vi"),
    [
        ("camera", "Camera"),
        ("camera-2", "Camera 2"),
        ("lesson-zoom", "Nền tảng học trực tuyến (zoom)"),
        ("blackboard", "blackboard"),
        ("device-3", "Thiết bị 3"),
    ],
)
def test_a_target_is_called_by_its_role(target: str, vi: str) -> None:
    assert Words("vi", demo.NOW_S).target(target) == vi


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_finding_newer_than_the_catalogue_is_shown_by_its_code(language: Language) -> None:
    finding = Finding(code="from-the-future", level=Level.UNFIT, target="pc", since_s=0.0)
    words = Words(language, demo.NOW_S)
    assert "from-the-future" in words.sentence(finding)
    assert words.action(finding)
