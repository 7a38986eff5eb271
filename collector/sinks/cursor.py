"""A number that outlives the process: how far of the journal a database surely has."""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def load_cursor(path: Path) -> int:
    """The journal id in the file; 0 without one, or with a damaged one, since feeding again is harmless."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        log.warning("the cursor %s cannot be read (%s): feeding everything again", path, error)
        return 0
    if not text.isdecimal():
        log.warning("the cursor %s is damaged: feeding everything again", path)
        return 0
    return int(text)


def save_cursor(path: Path, fed_id: int) -> None:
    """Write it so that a crash leaves the old number or the new one. Raises OSError."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="ascii") as file:
        file.write(f"{fed_id}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
