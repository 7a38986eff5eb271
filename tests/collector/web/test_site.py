import re
import time

import httpx
import msgspec
import pytest

from collector.snapshot import Snapshot, Trail
from collector.web.rooms_json import RoomsDocument
from contract.catalogue import LANGUAGES, entries
from contract.outcome import Outcome
from readiness.verdict import Level
from tests.collector.web import demo
from tests.collector.web.conftest import Serve
from tests.collector.web.html_check import HtmlCheck

PAGES = (
    "/",
    "/?province=L%C3%A0o%20Cai",
    "/?province=Nowhere",
    "/rooms/phong-0000",
    "/rooms/phong-0001",
    "/rooms/phong-0002",
    "/rooms/phong-0004",
    "/rooms/phong-0006",
    "/rooms/phong-0011",
    "/rooms/phong-0054",
    "/letters",
    "/letters/1",
    "/about",
    "/nowhere",
)
EMPTY = Snapshot(taken_s=demo.NOW_S, rooms=(), health=demo.health())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_sound_html_in_both_languages(site: httpx.Client, path: str, language: str) -> None:
    page = HtmlCheck(site.get(path, params={"lang": language} if "?" not in path else None).text)
    assert page.faults == []
    assert page.all("html") == [{"lang": language if "?" not in path else "vi"}]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("snapshot", [None, EMPTY], ids=["starting", "no rooms"])
def test_pages_without_rooms_say_what_to_do(serve: Serve, snapshot: Snapshot | None, path: str, language: str) -> None:
    answer = serve(snapshot).get(path, headers={"Cookie": f"lang={language}"})
    page = HtmlCheck(answer.text)
    assert page.faults == []
    assert answer.status_code in (200, 404)
    if path == "/":
        told = {"starting": entries()["page.starting"], "no rooms": entries()["page.wall.empty"]}
        assert told["no rooms" if snapshot else "starting"][language] in page.text


def test_the_wall_puts_first_who_needs_somebody(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/").text)
    sections = [attrs["id"] for attrs in page.all("section")]
    assert sections == ["unfit", "unknown", "degraded", "fit"]
    tiles = [str(attrs["class"]) for attrs in page.all("li") if "tile" in str(attrs.get("class"))]
    assert tiles == sorted(tiles, key=["tile unfit", "tile unknown", "tile degraded", "tile fit"].index)
    assert len(tiles) == 86


def test_each_tile_says_its_level_in_words_beside_shape_and_colour(site: httpx.Client) -> None:
    html = site.get("/").text
    for level, word in (("unfit", "Không học được"), ("unknown", "Chưa rõ"), ("degraded", "Cần chú ý")):
        tiles = re.findall(rf'<li class="tile {level}">.*?</li>', html, re.DOTALL)
        assert tiles
        for tile in tiles:
            assert word in tile
            assert f'href="#i-{level}"' in tile


def test_the_wall_narrows_to_one_province(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/", params={"province": "Hà Giang"}).text)
    rooms = [attrs["href"] for attrs in page.all("a") if str(attrs["href"]).startswith("/rooms/")]
    wanted = [f"/rooms/{room.room}" for room in demo.snapshot().rooms if room.place[0] == "Hà Giang"]
    assert sorted(map(str, rooms)) == sorted(wanted)


def test_a_room_without_a_verdict_stands_among_the_unknown_and_says_what_to_do(site: httpx.Client) -> None:
    assert demo.snapshot().rooms[11].verdict is None
    unknown = re.search(r'<section class="group unknown".*?</section>', site.get("/").text, re.DOTALL)
    assert unknown is not None
    assert "/rooms/phong-0011" in unknown[0]
    assert "sansang-agent doctor" in site.get("/rooms/phong-0011").text


def test_a_room_without_an_agent_says_how_to_give_it_one(serve: Serve) -> None:
    room = msgspec.structs.replace(demo.room(11, None), agents=())
    site = serve(msgspec.structs.replace(EMPTY, rooms=(room,)))
    assert "sansang-collector agents add MÃ-MÁY --room phong-0011" in site.get("/rooms/phong-0011").text


@pytest.mark.parametrize("path", ["/", "/rooms/phong-0004", "/letters", "/?province=" + "%22%3E%3Cscript%3E"])
def test_hostile_text_is_shown_as_text(site: httpx.Client, path: str) -> None:
    answer = site.get(path)
    page = HtmlCheck(answer.text)
    assert [attrs["src"] for attrs in page.all("script")] == [page.all("script")[0]["src"]]
    assert page.all("img") == []
    if "?" not in path:
        assert demo.HOSTILE in page.text


def test_a_hostile_reading_is_shown_as_text(serve: Serve) -> None:
    room = demo.room(0, Level.FIT)
    reading = msgspec.structs.replace(
        room.readings[0], detail=demo.HOSTILE, probe=demo.HOSTILE, target=demo.HOSTILE, outcome=Outcome.BROKEN
    )
    trail = msgspec.structs.replace(room.trails[0], target=demo.HOSTILE, value=demo.HOSTILE)
    agent = msgspec.structs.replace(room.agents[0], reason=demo.HOSTILE, trouble=demo.HOSTILE, version=demo.HOSTILE)
    room = msgspec.structs.replace(
        room, place=(demo.HOSTILE, "x"), readings=(reading,), trails=(trail,), agents=(agent,), contact=demo.HOSTILE
    )
    site = serve(msgspec.structs.replace(EMPTY, rooms=(room,)))
    for path in ("/", "/rooms/phong-0000"):
        page = HtmlCheck(site.get(path).text)
        assert page.faults == []
        assert len(page.all("script")) == 1
        assert page.all("img") == []
        assert demo.HOSTILE in page.text


@pytest.mark.parametrize("path", [*PAGES, "/rooms.json", "/metrics", "/healthz", "/readyz", "/letters/1/raw.eml"])
def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(site: httpx.Client, path: str) -> None:
    answer = site.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self';" in policy
    assert ("'unsafe-inline'" in policy) == (path == "/letters/1")
    assert "script-src 'self' 'unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_names_anything_elsewhere(site: httpx.Client, path: str) -> None:
    page = HtmlCheck(site.get(path).text)
    links = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert [link for link in links if not str(link).startswith(("/", "#", "data:image/svg+xml,"))] == []


def test_style_and_script_are_served_for_ever_under_the_name_of_their_content(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/").text)
    files = [str(page.all("script")[0]["src"])]
    files += [str(attrs["href"]) for attrs in page.all("link") if attrs["rel"] == "stylesheet"]
    assert len(files) == 2
    for file in files:
        answer = site.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert not re.search(r"https?://|@import|url\(", answer.text)
    assert site.get("/static/site.css").status_code == 404


def test_the_language_is_vietnamese_until_chosen_and_then_remembered(site: httpx.Client) -> None:
    first = site.get("/", headers={"Accept-Language": "en"})
    assert 'lang="vi"' in first.text
    assert first.headers["Content-Language"] == "vi"
    chosen = site.get("/", params={"lang": "en"})
    assert "rooms are ready" in chosen.text
    later = site.get("/rooms/phong-0001")  # the client keeps cookies, as a browser does
    assert HtmlCheck(later.text).all("html") == [{"lang": "en"}]
    back = site.get("/about", params={"lang": "vi"})
    assert HtmlCheck(back.text).all("html") == [{"lang": "vi"}]
    assert HtmlCheck(site.get("/").text).all("html") == [{"lang": "vi"}]


def test_the_switch_keeps_the_page_and_its_filter(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/", params={"province": "Lào Cai"}).text)
    switch = next(attrs for attrs in page.all("a") if attrs.get("class") == "tongue")
    assert switch["href"] == "/?province=L%C3%A0o+Cai&lang=en"


def test_an_unknown_language_is_ignored(site: httpx.Client) -> None:
    answer = site.get("/", params={"lang": "xx"})
    assert answer.headers["Content-Language"] == "vi"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/rooms/no-such", "/letters/99", "/letters/99/raw.eml", "/x/y", "/static/../site.py"])
def test_what_is_not_there_is_said_in_words(site: httpx.Client, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 404
    assert "Không có trang này" in answer.text


def test_pages_take_nothing(site: httpx.Client) -> None:
    answer = site.post("/", content=b"x")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert "Trang này chỉ để xem" in answer.text


@pytest.mark.parametrize("path", ["/", "/rooms/phong-0001", "/letters", "/rooms.json", "/healthz", "/metrics"])
def test_head_answers_without_a_body(site: httpx.Client, path: str) -> None:
    answer = site.head(path)
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) > 0


def test_times_are_vietnams_and_said_both_ways(site: httpx.Client) -> None:
    vi = site.get("/rooms/phong-0001").text
    assert '<time datetime="2025-11-24T01:58:20Z" title="08:58:20 24/11/2025">31 phút trước</time>' in vi
    en = site.get("/rooms/phong-0001", params={"lang": "en"}).text
    assert '<time datetime="2025-11-24T01:58:20Z" title="08:58:20 24/11/2025">31 min ago</time>' in en


def test_a_picture_that_is_no_longer_renewed_is_shown_with_a_warning(serve: Serve) -> None:
    warning = "Bộ thu chưa xem xét lại các phòng từ 09:29"
    assert warning not in serve(demo.snapshot()).get("/").text
    assert warning in serve(demo.snapshot(), now_s=demo.NOW_S + 600).get("/").text


def test_trouble_of_the_collector_is_shown_on_every_page(serve: Serve) -> None:
    site = serve(demo.snapshot(problems=("made-up",)))
    for path in ("/", "/rooms/phong-0000", "/letters"):
        assert "Bộ thu đang có 1 trục trặc" in site.get(path).text
    assert "made-up" in site.get("/about").text


def test_the_system_page_says_when_mail_was_proven_last_and_warns_without(serve: Serve) -> None:
    taken = demo.snapshot(1)
    page = serve(taken).get("/about").text
    assert '<div class="warn"><dt>Thư mỗi ngày được nhận lần cuối</dt><dd>chưa lần nào: không chắc' in page
    health = msgspec.structs.replace(taken.health, mail_proved_s=demo.NOW_S - 3600)
    page = serve(msgspec.structs.replace(taken, health=health)).get("/about").text
    assert "<div><dt>Thư mỗi ngày được nhận lần cuối</dt><dd>08:30:00 24/11/2025 (1 giờ trước)</dd></div>" in page


def test_a_page_refreshes_itself_with_and_without_script(site: httpx.Client) -> None:
    html = site.get("/").text
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in html
    assert 'data-now="09:30:00"' in html
    lost = next(attrs for attrs in HtmlCheck(html).all("p") if attrs.get("id") == "lost")
    assert "{time}" in str(lost["data-says"])
    assert "hidden" in lost


def test_the_room_page_shows_what_was_measured_and_what_is_needed(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/rooms/phong-0001").text)
    for said in ("Đo được", "Ngưỡng", "Thầy Giàng A Páo", "may-0001", "thay.pao@lungcu.example", "0.1.0", "zoom-720p"):
        assert said in page.text
    charts = [str(attrs["aria-label"]) for attrs in page.all("svg") if attrs.get("class") == "chart"]
    assert len(charts) == 6
    assert all("mới nhất" in label for label in charts)
    assert len([attrs for attrs in page.all("line") if attrs.get("class") == "limit"]) == 2


def test_a_chart_that_ends_in_the_past_says_so_and_stands_back(serve: Serve) -> None:
    one = demo.room(1, Level.UNKNOWN)
    trails = [(demo.NOW_S - 5400, 30.0), (demo.NOW_S - 20, 30.0), (demo.NOW_S - 5400, 3000.0)]
    made = [
        Trail(probe="ping", target=f"camera-{place}", value="rtt_p50_ms", points=((last_s - pause_s, 1), (last_s, 2)))
        for place, (last_s, pause_s) in enumerate(trails)
    ]
    one = msgspec.structs.replace(one, trails=tuple(made), silent_after_s=180.0)
    page = HtmlCheck(serve(msgspec.structs.replace(demo.snapshot(), rooms=(one,))).get("/rooms/phong-0001").text)
    # The third is measured every 50 minutes: the latest is what there can be.
    assert [attrs.get("class") for attrs in page.all("figure") if attrs.get("class") != "history"] == [
        "old",
        None,
        None,
    ]
    assert "lúc 08:00: 2 ms" in page.text


def test_a_goodbye_is_told_in_words_and_cells_bear_their_label_for_narrow_screens(serve: Serve) -> None:
    one = demo.room(1, Level.UNFIT, demo.TROUBLES[:1])
    agents = tuple(msgspec.structs.replace(agent, online=False, reason="service_stop") for agent in one.agents)
    one = msgspec.structs.replace(one, agents=agents)
    page = HtmlCheck(serve(msgspec.structs.replace(demo.snapshot(), rooms=(one,))).get("/rooms/phong-0001").text)
    assert "(phần mềm đo đã dừng)" in page.text
    assert "service_stop" not in page.text
    labels = [attrs["data-label"] for attrs in page.all("td") if "data-label" in attrs]
    assert labels[:5] == ["Tình trạng", "Lý do", "Bắt đầu", "Kết thúc", "Đã báo cho"]
    assert all(labels)


def test_a_letter_is_shown_as_its_reader_sees_it(site: httpx.Client) -> None:
    page = HtmlCheck(site.get("/letters/1").text)
    assert demo.SUBJECT in page.text
    assert "<b>đậm</b>" in page.text
    assert "09:21:40 24/11/2025" in page.text
    frame = page.all("iframe")[0]
    assert frame["sandbox"] is None  # present and empty: no script, no form, no way out
    assert "background:#b3261e" in str(frame["srcdoc"])
    assert len(page.all("script")) == 1
    raw = site.get("/letters/1/raw.eml")
    assert raw.content == demo.mail()
    assert raw.headers["Content-Type"] == "message/rfc822"
    assert raw.headers["Content-Disposition"].startswith("attachment")


def test_the_list_of_letters_repeats_the_servers_words(site: httpx.Client) -> None:
    text = HtmlCheck(site.get("/letters").text).text
    for said in ("Đang chờ gửi", "Đã gửi", "Bị từ chối", "Gộp vào thư khác", "454 TLS not available", "550 5.1.1"):
        assert said in text


def test_rooms_json_has_its_published_shape(site: httpx.Client) -> None:
    answer = site.get("/rooms.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = msgspec.json.decode(answer.content, type=RoomsDocument)
    assert document.taken_s == demo.NOW_S - 2
    assert len(document.rooms) == 86
    first, lost, silent = document.rooms[0], document.rooms[1], document.rooms[11]
    assert (first.level, first.level_code, first.findings) == ("FIT", 0, ())
    assert (lost.level, lost.level_code) == ("UNFIT", 2)
    assert (lost.findings[0].code, lost.findings[0].measured, lost.findings[0].needed) == ("loss", 0.083, 0.05)
    assert (silent.level, silent.level_code, silent.since_s) == ("UNKNOWN", 3, None)
    raw = answer.json()["rooms"][1]
    assert list(raw) == [
        "room", "name", "place", "level", "level_code", "since_s", "judged_s", "profile", "findings", "agents",
    ]  # fmt: skip
    assert list(raw["findings"][0]) == [
        "code", "level", "level_code", "target", "since_s", "sentence", "action", "value", "measured", "needed",
    ]  # fmt: skip
    assert list(raw["agents"][0]) == [
        "agent", "online", "version", "last_heard_s", "clock_offset_s", "backlog_count", "dropped_total",
    ]  # fmt: skip
    assert set(raw["findings"][0]["sentence"]) == set(LANGUAGES)


def test_rooms_json_is_whole_before_the_first_review(serve: Serve) -> None:
    assert serve(None).get("/rooms.json").json() == {"taken_s": None, "rooms": []}


def test_readyz_lists_what_is_wrong_and_healthz_does_not_care(serve: Serve) -> None:
    site = serve(None, problems=("the broker is not connected", "the journal is full"))
    assert site.get("/healthz").text == "ok\n"
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.text == "the broker is not connected\nthe journal is full\n"
    assert serve(None).get("/readyz").status_code == 200


def test_a_thousand_rooms_stay_light(serve: Serve) -> None:
    site = serve(demo.snapshot(1000))
    site.get("/")  # compiles the template, fills the caches of times
    taken_s = []
    for _ in range(5):
        begun_s = time.process_time()
        answer = site.get("/", headers={"Accept-Encoding": "identity"})
        taken_s.append(time.process_time() - begun_s)
    assert len(answer.content) < 1_000_000
    assert min(taken_s) < 0.3  # the aim is 0.1; neighbours on the machine cost processor time too, but not each time
    assert len(answer.text.split('<li class="tile ')) == 1001
