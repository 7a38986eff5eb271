"""Numbers and targets as people write them."""

import pytest

from contract.catalogue import LANGUAGES, entries
from contract.names import ROLES
from contract.quantity import quantity


@pytest.mark.parametrize(
    ("name", "number", "vi", "en"),
    [
        ("rtt_avg_ms", 182.605, "183 ms", "183 ms"),
        ("rtt_avg_ms", 1.42, "1,42 ms", "1.42 ms"),
        ("connect_ms", 12_300, "12 giây", "12 s"),
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
        ("lamp_used_h", 2950, "2.950 giờ", "2,950 h"),
        ("camera2_status_code", 2.0, "hỏng", "failed"),
        ("camera2_status_code", 9, "9", "9"),
        ("lamp_used_h", 0.5, "0,5 giờ", "0.5 h"),
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


def test_every_role_has_its_word() -> None:
    assert [role for role in ROLES if set(entries().get(f"role.{role}", ())) != set(LANGUAGES)] == []
