"""The rooms of the demo: made-up schools in real provinces."""

from typing import Final, NamedTuple


class DemoRoom(NamedTuple):
    """One line of the registry's CSV."""

    room: str
    name: str
    province: str
    district: str
    school: str
    contact: str


_PLACES: Final = (
    ("Hà Giang", "Đồng Văn", "THCS Lũng Cú"),
    ("Hà Giang", "Mèo Vạc", "THCS Khâu Vai"),
    ("Cao Bằng", "Bảo Lạc", "THCS Cô Ba"),
    ("Lào Cai", "Bắc Hà", "THCS Bản Phố"),
    ("Lai Châu", "Mường Tè", "THCS Pa Ủ"),
    ("Điện Biên", "Mường Nhé", "THCS Sín Thầu"),
    ("Sơn La", "Sốp Cộp", "THCS Mường Lèo"),
    ("Nghệ An", "Kỳ Sơn", "THCS Na Ngoi"),
    ("Quảng Nam", "Tây Giang", "THCS Ch'Ơm"),
    ("Kon Tum", "Tu Mơ Rông", "THCS Măng Ri"),
    ("Gia Lai", "Kông Chro", "THCS Đăk Pơ Pho"),
    ("Cà Mau", "Ngọc Hiển", "THCS Đất Mũi"),
)
_CONTACTS: Final = ("Thầy Hùng", "Cô Lan", "Thầy Páo", "Cô Mai", "Thầy Dũng", "Cô Thảo", "Thầy Sính", "Cô Hạnh")


def demo_rooms(count: int) -> tuple[DemoRoom, ...]:
    """So many rooms; beyond the places known, further rooms of the same schools."""
    rooms = []
    for number in range(count):
        province, district, school = _PLACES[number % len(_PLACES)]
        more = number // len(_PLACES)
        name = f"Phòng trực tuyến {school}" + (f" ({more + 1})" if more else "")
        contact = _CONTACTS[number % len(_CONTACTS)]
        rooms.append(DemoRoom(f"room-{number + 1:03d}", name, province, district, school, contact))
    return tuple(rooms)
