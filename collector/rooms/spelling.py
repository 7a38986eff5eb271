"""Spells the names of places one way, however people wrote them."""

import re
import unicodedata
from typing import Final

_RANK: Final = re.compile(r"^(tỉnh|thành phố|tp\.?)\s+", re.IGNORECASE)


def tag_of(name: str) -> str:
    """A province's name as a tag: ASCII, without its rank; empty when nothing is left.

    >>> tag_of("Lào Cai"), tag_of("Tỉnh Đắk Lắk"), tag_of("TP. Hồ Chí Minh")
    ('lao-cai', 'dak-lak', 'ho-chi-minh')
    """
    plain = _RANK.sub("", unicodedata.normalize("NFC", name).strip().lower()).replace("đ", "d")
    unmarked = "".join(sign for sign in unicodedata.normalize("NFD", plain) if not unicodedata.combining(sign))
    return re.sub(r"[^a-z0-9]+", "-", unmarked).strip("-")[:64]


def tidy(text: str) -> str:
    """Without spaces that say nothing; a letter and its marks are one sign, as a Mac does not write them."""
    return " ".join(unicodedata.normalize("NFC", text).split())
