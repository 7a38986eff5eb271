"""The files beside the settings: all that is wrong is said at once, and at a running reload nothing is lost."""

from pathlib import Path

import pytest

from collector.cli import main
from collector.plans import load_plans
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from tests.support.collector import StartCollector
from tests.support.ports import free_port

CaptureText = pytest.CaptureFixture[str]
PLAN = '[[probe]]\nname = "ping"\ntarget = "gateway"\nhost = "192.0.2.1"\n'


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """A folder with a plan for all rooms."""
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "default.toml").write_text(PLAN, encoding="utf-8")
    return folder


@pytest.fixture
def config(plans: Path, tmp_path: Path) -> Path:
    """Settings with these plans and one room."""
    file = tmp_path / "collector.toml"
    file.write_text(f'language = "en"\ndata_dir = "data"\nplans = "{plans}"\n', encoding="utf-8")
    add_room(file, "dong-van-01")
    return file


def add_room(config: Path, room: str) -> None:
    words = ["rooms", "add", room, "--name", "Phòng 1", "--province", "Hà Giang", "--school", "THCS"]
    assert main([*words, "--config", str(config)]) == 0


@pytest.mark.parametrize("command", ["check-config", "run"])
def test_a_plan_named_after_no_room_is_refused_together_with_all_else(
    config: Path, plans: Path, capsys: CaptureText, command: str
) -> None:
    (plans / "dong-van-01.toml").write_text(PLAN, encoding="utf-8")
    (plans / "dong-van-1.toml").write_text('profile = "zoom"\n', encoding="utf-8")
    (plans / "x.toml").write_text(PLAN, encoding="utf-8")
    (config.parent / "profiles.toml").write_text("", encoding="utf-8")
    config.write_text(f'{config.read_text()}profiles = "profiles.toml"\n', encoding="utf-8")
    capsys.readouterr()
    assert main([command, "--config", str(config)]) == 78
    rule = "a plan's file is named after a room of the registry, or default.toml for all others"
    assert capsys.readouterr().err.replace(str(config.parent), "…").splitlines() == [
        "…/profiles.toml: profile: missing; expected a table",
        f"…/plans/dong-van-1.toml: there is no room dong-van-1; {rule}; was dong-van-01.toml meant?",
        f"…/plans/x.toml: there is no room x; {rule}",
    ]


def test_check_config_makes_no_registry_where_there_is_none(plans: Path, tmp_path: Path, capsys: CaptureText) -> None:
    file = tmp_path / "collector.toml"
    file.write_text(f'language = "en"\ndata_dir = "data"\nplans = "{plans}"\n', encoding="utf-8")
    assert main(["check-config", "--config", str(file)]) == 0
    (plans / "dong-van-01.toml").write_text(PLAN, encoding="utf-8")
    assert main(["check-config", "--config", str(file)]) == 78
    assert "there is no room dong-van-01" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_plan_may_bear_the_name_that_the_registry_gives_a_rooms_plan(config: Path, plans: Path) -> None:
    (plans / "island.toml").write_text(PLAN, encoding="utf-8")
    engine = open_database(sqlite_url(config.parent / "data" / "collector.db"))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE room SET plan = 'island'")
    rooms = Registry(engine).rooms()
    engine.dispose()
    assert load_plans(plans, ["zoom-720p"], rooms).keys() == {"default", "island"}


def test_a_reload_goes_on_with_the_plans_in_force_until_the_room_is_there(
    collector: StartCollector, plans: Path
) -> None:
    centre = collector(f"[broker]\nport = {free_port()}\n", top=f'plans = "{plans}"\nlanguage = "en"')
    centre.wait_for(lambda: centre.get("/readyz").is_success)
    assert centre.figure("sansang_problems") == 0
    (plans / "dong-van-01.toml").write_text(PLAN, encoding="utf-8")
    centre.wait_for(lambda: centre.figure("sansang_problems") == 1)
    assert "there is no room dong-van-01" in centre.program.tail()
    assert centre.get("/readyz").is_success
    add_room(centre.config, "dong-van-01")
    centre.wait_for(lambda: centre.figure("sansang_problems") == 0)
