import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from collector.rooms.registry import Registry, RegistryError, digest_of
from collector.rooms.spelling import tag_of
from collector.storage.database import open_database, sqlite_url
from contract.catalogue import LANGUAGES

NOW_S = 1_790_000_000.0
HEADER = "room,name,province,district,school,contact_name,contact_mail,language,profile"
LAO_CAI = "bac-ha-1,Phòng học 1,Tỉnh Lào Cai,Bắc Hà,PTDTBT THCS Bắc Hà,Giàng A Páo,pao@laocai.edu.vn,vi,teams"
HA_GIANG = "dong-van-1,Phòng học 2,Hà Giang,,THCS Đồng Văn,,,,"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(sqlite_url(tmp_path / "collector.db"))
    yield made
    made.dispose()


@pytest.fixture
def registry(engine: Engine) -> Registry:
    return Registry(engine)


@pytest.fixture
def two_rooms(registry: Registry) -> Registry:
    registry.add_room("bac-ha-1", name="Phòng 1", province="Lào Cai", school="THCS Bắc Hà")
    registry.add_room("dong-van-1", name="Phòng 2", province="Hà Giang", school="THCS Đồng Văn")
    return registry


def csv_of(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "rooms.csv"
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", ","), ("utf-8-sig", ","), ("utf-8-sig", ";"), ("utf-8", "\t")],
    ids=["commas", "byte order mark", "semicolons of a Vietnamese Excel", "tabs"],
)
def test_a_file_of_rooms_is_taken_over_with_its_vietnamese_names(
    encoding: str, mark: str, registry: Registry, tmp_path: Path
) -> None:
    lines = [line.replace(",", mark) for line in (HEADER, LAO_CAI, HA_GIANG, "")]
    report = registry.import_rooms(csv_of(tmp_path, *lines, encoding=encoding), NOW_S)
    assert report.bad == ()
    assert report.added == ("bac-ha-1", "dong-van-1")
    room = registry.room("bac-ha-1")
    assert room.place == ("Tỉnh Lào Cai", "Bắc Hà", "PTDTBT THCS Bắc Hà")
    assert (room.name, room.province, room.profile) == ("Phòng học 1", "lao-cai", "teams")
    assert [(c.name, c.address, c.language) for c in registry.contacts_of("bac-ha-1", NOW_S)] == [
        ("Giàng A Páo", "pao@laocai.edu.vn", "vi")
    ]
    assert registry.contacts_of("dong-van-1", NOW_S) == ()


def test_letters_and_marks_that_a_mac_writes_apart_are_joined(registry: Registry, tmp_path: Path) -> None:
    apart = "Lào Cai"
    registry.import_rooms(csv_of(tmp_path, "room,name,province,school", f"bac-ha-1,P1,{apart},THCS"), NOW_S)
    assert registry.room("bac-ha-1").place[0] == "Lào Cai"


def test_the_same_file_again_changes_nothing(registry: Registry, tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER, LAO_CAI, HA_GIANG)
    registry.import_rooms(path, NOW_S)
    before = registry.view()
    report = registry.import_rooms(path, NOW_S + 60)
    assert report.unchanged == ("bac-ha-1", "dong-van-1")
    after = registry.view(before)
    assert (after.rooms, after.contacts) == (before.rooms, before.contacts)


def test_a_corrected_file_renames_the_room_and_ends_the_old_contact(registry: Registry, tmp_path: Path) -> None:
    registry.import_rooms(csv_of(tmp_path, HEADER, LAO_CAI, HA_GIANG), NOW_S)
    corrected = LAO_CAI.replace("Phòng học 1", "Phòng máy").replace("Giàng A Páo,pao@", "Lò Thị Mai,mai@")
    report = registry.import_rooms(csv_of(tmp_path, HEADER, corrected, HA_GIANG), NOW_S + 60)
    assert (report.updated, report.unchanged) == (("bac-ha-1",), ("dong-van-1",))
    assert registry.room("bac-ha-1").name == "Phòng máy"
    assert [c.name for c in registry.contacts_of("bac-ha-1", NOW_S + 30)] == ["Giàng A Páo"]
    assert [c.name for c in registry.contacts_of("bac-ha-1", NOW_S + 60)] == ["Lò Thị Mai"]


def test_a_file_without_a_contact_column_leaves_the_contacts_alone(registry: Registry, tmp_path: Path) -> None:
    registry.import_rooms(csv_of(tmp_path, HEADER, LAO_CAI), NOW_S)
    registry.import_rooms(csv_of(tmp_path, "room,name,province,school", "bac-ha-1,X,Lào Cai,Y"), NOW_S + 1)
    assert [c.name for c in registry.contacts_of("bac-ha-1", NOW_S + 2)] == ["Giàng A Páo"]
    assert registry.room("bac-ha-1").profile == "teams"


def test_two_spellings_of_a_province_are_one(registry: Registry, tmp_path: Path) -> None:
    lines = ["room,name,province,school", "room-1,A,Tỉnh Lào Cai,S1", "room-2,B,LÀO CAI,S2", "room-3,C,Lào Cai,S3"]
    registry.import_rooms(csv_of(tmp_path, *lines), NOW_S)
    assert {room.place[0] for room in registry.rooms()} == {"Lào Cai"}


COLUMNS = "room, name, province, district, commune, school, contact_name, contact_mail, language, profile"


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        pytest.param([""], [f"line 1: the header is missing; the columns are: {COLUMNS}"], id="empty file"),
        pytest.param([LAO_CAI], [f"line 1: the header is missing; the columns are: {COLUMNS}"], id="no header"),
        pytest.param(["room,name,school"], ["line 1: the header has no column province"], id="missing column"),
        pytest.param(
            [HEADER + ",phone"], [f"line 1: there is no column phone; the columns are: {COLUMNS}"], id="unknown column"
        ),
        pytest.param([HEADER + ",name"], ["line 1: the column name stands there twice"], id="column twice"),
        pytest.param([HEADER, LAO_CAI + ",x"], ["line 2: 10 cells, but the header has 9"], id="too many cells"),
        pytest.param(
            [HEADER, "bac-ha-1,,Lào Cai,,,,,,"], ["line 2: name is empty", "line 2: school is empty"], id="empty"
        ),
        pytest.param(
            [HEADER, "Bắc Hà,P1,Lào Cai,,S,,,,"],
            ["line 2: Bắc Hà cannot be an id; an id has 3 to 32 characters of a-z, 0-9 and -, the first not -"],
            id="bad id",
        ),
        pytest.param(
            [HEADER, LAO_CAI, "", LAO_CAI], ["line 4: room bac-ha-1 stands in line 2 already"], id="room twice"
        ),
        pytest.param([HEADER, "room-1,P1,***,,S,,,,"], ['line 2: "***" is no province\'s name'], id="no province"),
        pytest.param(
            [HEADER, LAO_CAI.replace("pao@", "páo@")],
            ['line 2: "páo@laocai.edu.vn" is no e-mail address'],
            id="bad address",
        ),
        pytest.param(
            [HEADER, "room-1,P1,Lào Cai,,S,Giàng A Páo,,,"],
            ["line 2: Giàng A Páo has no e-mail address (column contact_mail)"],
            id="contact without address",
        ),
        pytest.param(
            [HEADER, LAO_CAI.replace(",vi,", ",fr,")],
            ["line 2: there is no language fr; choose one of vi, en"],
            id="bad language",
        ),
        pytest.param(
            [HEADER, LAO_CAI.replace("teams", "skype")],
            ["line 2: there is no profile skype; choose one of teams, zoom"],
            id="bad profile",
        ),
        pytest.param(
            [HEADER, f"room-1,{'x' * 201},Lào Cai,,S,,,,"], ["line 2: name is longer than 200 characters"], id="long"
        ),
        pytest.param(
            [HEADER, "room-1,P\x07,Lào Cai,,S,,,,"],
            ["line 2: a character that cannot be printed: 'P\\x07'"],
            id="control character",
        ),
        pytest.param([HEADER, '"room-1,P1'], ["line 2: not valid CSV: unexpected end of data"], id="open quote"),
        pytest.param(
            [HEADER, LAO_CAI, "x,P1,Lào Cai,,S,,,,", HA_GIANG, "room-1,P1,,,S,,,,"],
            [
                "line 3: x cannot be an id; an id has 3 to 32 characters of a-z, 0-9 and -, the first not -",
                "line 5: province is empty",
            ],
            id="several at once",
        ),
    ],
)
def test_bad_lines_are_reported_together_and_nothing_is_imported(
    lines: list[str], sentences: list[str], registry: Registry, tmp_path: Path
) -> None:
    report = registry.import_rooms(csv_of(tmp_path, *lines), NOW_S, profiles={"teams", "zoom"})
    assert [bad.sentence("en") for bad in report.bad] == sentences
    assert all(bad.sentence("vi").startswith("dòng ") for bad in report.bad)
    assert registry.rooms() == ()


def test_a_file_of_an_old_encoding_is_refused_with_the_way_out(registry: Registry, tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER, "room-1,Tin hoc,Hà Giang,,S,,,,", encoding="latin-1")
    with pytest.raises(RegistryError, match=r'line 2: not UTF-8; in Excel, save it as "CSV UTF-8"'):
        registry.import_rooms(path, NOW_S)


def test_a_missing_file_is_refused_with_the_systems_reason(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"nowhere.csv: No such file"):
        registry.import_rooms(tmp_path / "nowhere.csv", NOW_S)


def test_three_thousand_rooms_are_imported_in_seconds(registry: Registry, tmp_path: Path) -> None:
    lines = [
        f"room-{n},P{n},Tỉnh {n % 17},Huyện {n % 170},Trường {n % 1500},Thầy {n},t{n}@x.vn,vi," for n in range(3000)
    ]
    path = csv_of(tmp_path, HEADER, *lines)
    began_s = time.process_time()
    assert len(registry.import_rooms(path, NOW_S).added) == 3000
    assert time.process_time() - began_s < 20


def test_an_agent_stands_in_the_room_that_its_dates_say(two_rooms: Registry) -> None:
    assert two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S)
    assert two_rooms.move_agent("pc-1", "dong-van-1", NOW_S + 100) == "bac-ha-1"
    two_rooms.revoke_agent("pc-1", NOW_S + 200)
    where = [two_rooms.room_of("pc-1", NOW_S + after_s) for after_s in (-50, 0, 99, 100, 199, 200, 1000)]
    assert where == ["bac-ha-1", "bac-ha-1", "bac-ha-1", "dong-van-1", "dong-van-1", None, None]
    view = two_rooms.view()
    seen = [view.room_of("pc-1", NOW_S + after_s) for after_s in (0, 150, 300)]
    assert [room and room.province for room in seen] == ["lao-cai", "ha-giang", None]
    assert not view.is_welcome("pc-1")
    assert view.agents_in("dong-van-1") == ()


def test_adding_an_agent_twice_is_harmless(two_rooms: Registry) -> None:
    assert two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S)
    assert not two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S + 5)
    assert len(two_rooms.standings("pc-1")) == 1


def test_moving_an_agent_to_where_it_stands_changes_no_dates(two_rooms: Registry) -> None:
    two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S)
    two_rooms.move_agent("pc-1", "bac-ha-1", NOW_S + 5)
    assert [(s.from_s, s.until_s) for s in two_rooms.standings("pc-1")] == [(NOW_S, None)]


@pytest.mark.parametrize(
    ("agent", "room", "sentence"),
    [
        ("pc-9", "bac-ha-2", "there is no room bac-ha-2; the nearest is bac-ha-1"),
        ("pc-9", "zzz", "there is no room zzz"),
        ("PC 9", "bac-ha-1", "PC 9 cannot be an id; an id has 3 to 32 characters of a-z, 0-9 and -, the first not -"),
        ("collector", "bac-ha-1", "the id collector is the collector's own; choose another"),
        ("gone", "bac-ha-1", "agent gone was revoked and cannot come back; a PC in its place needs a new id"),
        (
            "pc-1",
            "dong-van-1",
            "agent pc-1 stands in room bac-ha-1; to move it, run: sansang-collector agents move pc-1 --room dong-van-1",
        ),
    ],
    ids=["near room", "no room", "bad id", "reserved", "revoked", "elsewhere"],
)
def test_an_agent_that_cannot_be_added_is_refused_with_the_reason(
    agent: str, room: str, sentence: str, two_rooms: Registry
) -> None:
    two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S)
    two_rooms.add_agent("gone", "bac-ha-1", NOW_S)
    two_rooms.revoke_agent("gone", NOW_S)
    version = two_rooms.version()
    with pytest.raises(RegistryError) as caught:
        two_rooms.add_agent(agent, room, NOW_S + 1)
    assert str(caught.value) == sentence
    assert all(caught.value.text(language) for language in LANGUAGES)
    assert two_rooms.version() == version


def test_an_unknown_agent_is_reported_with_the_nearest_one(two_rooms: Registry) -> None:
    two_rooms.add_agent("dongvan-01", "bac-ha-1", NOW_S)
    with pytest.raises(RegistryError, match="there is no agent dongvan-1; the nearest is dongvan-01"):
        two_rooms.revoke_agent("dongvan-1", NOW_S)
    assert two_rooms.room_of("dongvan-1", NOW_S) is None


@pytest.mark.parametrize(
    ("room", "name", "province", "sentence"),
    [
        ("bac-ha-1", "P1", "Lào Cai", "there is a room bac-ha-1 already; a room's id is never used again"),
        ("x", "P1", "Lào Cai", "x cannot be an id"),
        ("new-room", "P1", "!", '"!" is no province'),
        ("new-room", "P\n1", "Lào Cai", "cannot be printed"),
    ],
    ids=["taken", "bad id", "no province", "line break"],
)
def test_a_room_that_cannot_be_added_is_refused_with_the_reason(
    room: str, name: str, province: str, sentence: str, two_rooms: Registry
) -> None:
    with pytest.raises(RegistryError, match=sentence):
        two_rooms.add_room(room, name=name, province=province, school="S")


def test_only_the_present_token_of_a_welcome_agent_is_known(two_rooms: Registry) -> None:
    two_rooms.add_agent("pc-1", "bac-ha-1", NOW_S)
    assert not two_rooms.view().knows_token("pc-1", "")
    two_rooms.set_credential("pc-1", token_sha256=digest_of("first"), certificate_serial="a1")
    two_rooms.set_credential("pc-1", token_sha256=digest_of("second"), certificate_serial="b2")
    view = two_rooms.view()
    assert [view.knows_token("pc-1", token) for token in ("first", "second", "")] == [False, True, False]
    assert not view.knows_token("pc-2", "second")
    assert two_rooms.revoke_agent("pc-1", NOW_S).certificate_serial == "b2"
    assert not two_rooms.view().knows_token("pc-1", "second")


def test_a_change_by_another_program_is_noticed_and_no_change_costs_no_reload(
    two_rooms: Registry, engine: Engine
) -> None:
    view = two_rooms.view()
    assert two_rooms.view(view) is view
    other_engine = open_database(str(engine.url))
    Registry(other_engine).add_agent("pc-1", "bac-ha-1", NOW_S)
    other_engine.dispose()
    fresh = two_rooms.view(view)
    assert fresh is not view
    assert fresh.is_welcome("pc-1")
    assert not view.is_welcome("pc-1")


def test_a_contact_is_replaced_from_a_day_on(two_rooms: Registry) -> None:
    two_rooms.set_contact("bac-ha-1", NOW_S, name="Páo", address="pao@x.vn")
    two_rooms.set_contact("bac-ha-1", NOW_S + 10, name="Mai", address="mai@x.vn", language="en")
    view = two_rooms.view()
    assert [[c.name for c in view.contacts_of("bac-ha-1", NOW_S + at)] for at in (-1, 5, 10)] == [[], ["Páo"], ["Mai"]]
    assert two_rooms.contacts_of("bac-ha-1", NOW_S + 10) == view.contacts_of("bac-ha-1", NOW_S + 10)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Lào Cai", "lao-cai"),
        ("Tỉnh Đắk Lắk", "dak-lak"),
        ("Thành phố Huế", "hue"),
        ("TP. Hồ Chí Minh", "ho-chi-minh"),
        ("TP Cần Thơ", "can-tho"),
        ("Bà Rịa - Vũng Tàu", "ba-ria-vung-tau"),
        ("Thừa Thiên–Huế", "thua-thien-hue"),  # noqa: RUF001 - the dash that people write
        ("  ĐIỆN BIÊN ", "dien-bien"),
        ("***", ""),
    ],
)
def test_a_provinces_name_becomes_a_tag_of_plain_letters(name: str, tag: str) -> None:
    assert tag_of(name) == tag
