"""The messages that must decode for ever, as a place to begin."""

from pathlib import Path


def golden(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "golden").glob(pattern))]
