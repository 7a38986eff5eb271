import re
from pathlib import Path

import pytest

import collector.web

CSS = (Path(collector.web.__file__).parent / "static" / "site.css").read_text(encoding="utf-8")
LEVELS = ("fit", "degraded", "unknown", "unfit")
PAIRS = [
    *((ink, ground) for ink in ("ink", "soft", "brand") for ground in ("paper", "surface")),
    *((level, ground) for level in LEVELS for ground in ("surface", "paper", f"{level}-tint")),
    *(("on", ground) for ground in (*LEVELS, "brand")),
    *((ink, f"{level}-tint") for ink in ("ink", "soft") for level in LEVELS),
]


def _colours(dark: bool) -> dict[str, str]:  # noqa: FBT001 - one of two palettes
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", CSS.split("@media", 1)[0]))
    block = CSS.split("@media (prefers-color-scheme: dark) {", 1)[1].split("\n}\n", 1)[0]
    return {**light, **dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))} if dark else light


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_stands_out_from_its_ground_as_wcag_aa_asks(ink: str, ground: str, dark: bool) -> None:  # noqa: FBT001
    colours = _colours(dark)
    lighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
