"""Where the provinces lie: by the tag that the registry makes of their names, both those before and after July 2025."""

from typing import Final, NamedTuple


class Province(NamedTuple):
    """A province's seat, in degrees; good enough for a dot on a map of the country."""

    name: str
    latitude: float
    longitude: float


PROVINCES: Final = {
    "an-giang": Province("An Giang", 10.37, 105.43),
    "ba-ria-vung-tau": Province("Bà Rịa - Vũng Tàu", 10.50, 107.17),
    "bac-giang": Province("Bắc Giang", 21.27, 106.19),
    "bac-kan": Province("Bắc Kạn", 22.15, 105.83),
    "bac-lieu": Province("Bạc Liêu", 9.29, 105.72),
    "bac-ninh": Province("Bắc Ninh", 21.18, 106.06),
    "ben-tre": Province("Bến Tre", 10.24, 106.38),
    "binh-dinh": Province("Bình Định", 13.78, 109.22),
    "binh-duong": Province("Bình Dương", 10.98, 106.65),
    "binh-phuoc": Province("Bình Phước", 11.54, 106.90),
    "binh-thuan": Province("Bình Thuận", 10.93, 108.10),
    "ca-mau": Province("Cà Mau", 9.18, 105.15),
    "can-tho": Province("Cần Thơ", 10.03, 105.78),
    "cao-bang": Province("Cao Bằng", 22.67, 106.26),
    "da-nang": Province("Đà Nẵng", 16.07, 108.22),
    "dak-lak": Province("Đắk Lắk", 12.67, 108.04),
    "dak-nong": Province("Đắk Nông", 12.00, 107.69),
    "dien-bien": Province("Điện Biên", 21.39, 103.02),
    "dong-nai": Province("Đồng Nai", 10.95, 106.82),
    "dong-thap": Province("Đồng Tháp", 10.46, 105.63),
    "gia-lai": Province("Gia Lai", 13.98, 108.00),
    "ha-giang": Province("Hà Giang", 22.82, 104.98),
    "ha-nam": Province("Hà Nam", 20.54, 105.91),
    "ha-noi": Province("Hà Nội", 21.03, 105.85),
    "ha-tinh": Province("Hà Tĩnh", 18.34, 105.90),
    "hai-duong": Province("Hải Dương", 20.94, 106.33),
    "hai-phong": Province("Hải Phòng", 20.86, 106.68),
    "hau-giang": Province("Hậu Giang", 9.78, 105.47),
    "ho-chi-minh": Province("Hồ Chí Minh", 10.78, 106.70),
    "hoa-binh": Province("Hòa Bình", 20.81, 105.34),
    "hue": Province("Huế", 16.46, 107.60),
    "hung-yen": Province("Hưng Yên", 20.65, 106.05),
    "khanh-hoa": Province("Khánh Hòa", 12.24, 109.19),
    "kien-giang": Province("Kiên Giang", 10.01, 105.08),
    "kon-tum": Province("Kon Tum", 14.35, 108.00),
    "lai-chau": Province("Lai Châu", 22.39, 103.46),
    "lam-dong": Province("Lâm Đồng", 11.94, 108.44),
    "lang-son": Province("Lạng Sơn", 21.85, 106.76),
    "lao-cai": Province("Lào Cai", 22.48, 103.97),
    "long-an": Province("Long An", 10.53, 106.41),
    "nam-dinh": Province("Nam Định", 20.43, 106.17),
    "nghe-an": Province("Nghệ An", 18.68, 105.68),
    "ninh-binh": Province("Ninh Bình", 20.25, 105.97),
    "ninh-thuan": Province("Ninh Thuận", 11.56, 108.99),
    "phu-tho": Province("Phú Thọ", 21.32, 105.40),
    "phu-yen": Province("Phú Yên", 13.09, 109.31),
    "quang-binh": Province("Quảng Bình", 17.47, 106.62),
    "quang-nam": Province("Quảng Nam", 15.57, 108.47),
    "quang-ngai": Province("Quảng Ngãi", 15.12, 108.80),
    "quang-ninh": Province("Quảng Ninh", 20.95, 107.08),
    "quang-tri": Province("Quảng Trị", 16.82, 107.10),
    "soc-trang": Province("Sóc Trăng", 9.60, 105.97),
    "son-la": Province("Sơn La", 21.33, 103.91),
    "tay-ninh": Province("Tây Ninh", 11.31, 106.10),
    "thai-binh": Province("Thái Bình", 20.45, 106.34),
    "thai-nguyen": Province("Thái Nguyên", 21.59, 105.85),
    "thanh-hoa": Province("Thanh Hóa", 19.81, 105.78),
    "thua-thien-hue": Province("Thừa Thiên Huế", 16.46, 107.60),
    "tien-giang": Province("Tiền Giang", 10.36, 106.36),
    "tra-vinh": Province("Trà Vinh", 9.93, 106.34),
    "tuyen-quang": Province("Tuyên Quang", 21.82, 105.21),
    "vinh-long": Province("Vĩnh Long", 10.25, 105.97),
    "vinh-phuc": Province("Vĩnh Phúc", 21.31, 105.60),
    "yen-bai": Province("Yên Bái", 21.72, 104.91),
}
