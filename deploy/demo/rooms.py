"""The rooms of the demo: made-up schools in real provinces."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from collector.alerting.gathering import FEWEST


class DemoRoom(NamedTuple):
    """One line of the registry's CSV."""

    room: str
    name: str
    province: str
    district: str
    school: str
    contact: str
    mail: str


_PLACES: Final = (
    ("Hà Giang", "Đồng Văn", "THCS Lũng Cú"),
    ("Hà Giang", "Mèo Vạc", "THCS Khâu Vai"),
    ("Cao Bằng", "Bảo Lạc", "THCS Cô Ba"),
    ("Lào Cai", "Bắc Hà", "THCS Bản Phố"),
    ("Lai Châu", "Mường Tè", "THCS Pa Ủ"),
    ("Điện Biên", "Mường Nhé", "THCS Sín Thầu"),
    ("Sơn La", "Sốp Cộp", "THCS Mường Lèo"),
    ("Nghệ An", "Kỳ Sơn", "THCS Na Ngoi"),
    ("Gia Lai", "Kông Chro", "THCS Đăk Pơ Pho"),
    ("Kon Tum", "Tu Mơ Rông", "THCS Măng Ri"),
    ("Gia Lai", "Kông Chro", "THCS Đăk Pling"),
    ("Gia Lai", "Kông Chro", "THCS Yang Trung"),
)
_OFFICE: Final = ("Kông Chro", "Phòng GD Kông Chro", "phonggd-kongchro@example.vn")
"""A district whose rooms all have the same person to answer for them."""
_CONTACTS: Final = ("Thầy Hùng", "Cô Lan", "Thầy Páo", "Cô Mai", "Thầy Dũng", "Cô Thảo", "Thầy Sính", "Cô Hạnh")


def demo_rooms(count: int) -> tuple[DemoRoom, ...]:
    """So many rooms; beyond the places known, further rooms of the same schools."""
    rooms = []
    for number in range(count):
        province, district, school = _PLACES[number % len(_PLACES)]
        more = number // len(_PLACES)
        name = f"Phòng trực tuyến {school}" + (f" ({more + 1})" if more else "")
        room = f"room-{number + 1:03d}"
        contact, mail = _CONTACTS[number % len(_CONTACTS)], f"{room}@example.vn"
        if district == _OFFICE[0]:
            _, contact, mail = _OFFICE
        rooms.append(DemoRoom(room, name, province, district, school, contact, mail))
    return tuple(rooms)


def office_rooms(rooms: Sequence[DemoRoom]) -> tuple[int, ...]:
    """The numbers of the rooms of that district; none where the demo has too few rooms for it."""
    numbers = tuple(number for number, room in enumerate(rooms) if room.district == _OFFICE[0])
    return numbers if len(numbers) >= FEWEST else ()
