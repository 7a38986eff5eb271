"""The whole program as its service manager runs it."""

import os
from pathlib import Path

from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from tests.support.collector import StartCollector
from tests.support.ports import free_port


def test_it_comes_up_on_its_defaults_and_ends_politely(collector: StartCollector) -> None:
    centre = collector(f"[broker]\nport = {free_port()}\n")
    centre.wait_for(lambda: centre.get("/readyz").is_success)
    assert centre.get("/healthz").text == "ok\n"
    assert centre.get("/rooms.json").json()["rooms"] == []
    assert centre.program.stop() == 0


def test_a_damaged_journal_is_moved_aside_and_said_so(collector: StartCollector) -> None:
    centre = collector(f"[broker]\nport = {free_port()}\n")
    centre.program.stop()
    journal = centre.folder / "journal.db"
    with journal.open("r+b") as file:
        file.write(os.urandom(8192))
    centre.program.start()
    centre.wait_for(lambda: centre.figure("sansang_problems") == 1)
    assert "Nhật ký của trung tâm bị hỏng" in centre.get("/about").text
    assert centre.get("/readyz").is_success
    assert [path for path in centre.folder.iterdir() if path.name.startswith("journal") and path != journal]


def test_what_was_known_is_known_again_after_a_kill(collector: StartCollector) -> None:
    def add_room(folder: Path) -> None:
        engine = open_database(sqlite_url(folder / "collector.db"))
        Registry(engine).add_room("room-1", name="Phòng 1", province="Lào Cai", school="THCS")
        engine.dispose()

    centre = collector(f"[broker]\nport = {free_port()}\n", prepare=add_room)
    centre.program.kill()
    centre.program.start()
    centre.wait_for(lambda: [room["room"] for room in centre.get("/rooms.json").json()["rooms"]] == ["room-1"])
