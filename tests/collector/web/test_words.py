import pytest

from collector.web.words import Words
from contract.catalogue import Language
from readiness.verdict import Finding, Level
from tests.collector.web import demo


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
