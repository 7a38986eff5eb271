"""Dashboards are whole: current, in both languages, with nothing overlapping, unexplained or out of date."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import dev
from collector.rooms.spelling import tag_of
from contract.catalogue import LANGUAGES
from grafana import texts, words
from grafana.edition import DIALECTS, EDITIONS, Dialect, Edition
from grafana.generate import HERE, documents, main, stale
from grafana.panel import WIDTH
from grafana.provinces import PROVINCES
from readiness.codes import Code
from readiness.verdict import Level
from tests.grafana.asking import Json
from tests.grafana.boards import asking_panels, boards, every_board, panels

CURRENT_TYPES: Final = {"stat", "table", "timeseries", "state-timeline", "geomap", "bargauge", "text", "row"}
"""Panels of Grafana 10 to 13's core; graph, singlestat, table-old and worldmap are gone or going."""

BOARDS: Final = pytest.mark.parametrize(
    ("edition", "name"), every_board(), ids=lambda one: one if isinstance(one, str) else "-".join(one)
)


def test_every_file_is_what_the_generator_makes() -> None:
    assert [path.name for path in stale(HERE, {HERE / path: text for path, text in documents()})] == []


def test_the_command_writes_what_it_checks_and_links_to_the_collector_it_is_told(tmp_path: Path) -> None:
    arguments = ["--into", str(tmp_path), "--collector", "https://sansang.example/"]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    text = (tmp_path / "dashboards" / "vi" / "promql" / "1-today.json").read_text(encoding="utf-8")
    assert "https://sansang.example/rooms/" in text
    (tmp_path / "dashboards" / "vi" / "promql" / "9-gone.json").write_text("{}", encoding="utf-8")
    assert main([*arguments, "--check"]) == 1


def test_dev_checks_the_dashboards() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "grafana.generate", "--check"], cwd=dev.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "grafana" in dev.COMMANDS


@BOARDS
def test_no_panels_overlap_and_none_leaves_the_grid(edition: Edition, name: str) -> None:
    board = boards(edition)[name]
    laid = [panel for panel in board["panels"] if not panel.get("collapsed")]
    groups = [laid, *(panel["panels"] for panel in board["panels"] if panel.get("panels"))]
    for group in groups:
        taken: dict[tuple[int, int], str] = {}
        for panel in group:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= WIDTH
            for cell in itertools.product(
                range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
            ):
                assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
                taken[cell] = panel["title"]


@BOARDS
def test_ids_are_unique_and_types_are_current(edition: Edition, name: str) -> None:
    board = boards(edition)[name]
    ids = [panel["id"] for panel in panels(board)]
    assert len(set(ids)) == len(ids)
    assert {panel["type"] for panel in panels(board)} <= CURRENT_TYPES
    assert 39 <= board["schemaVersion"] <= 41


def test_uids_are_unique_and_short_enough() -> None:
    uids = [boards(edition)[name]["uid"] for edition, name in every_board()]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 40


@BOARDS
def test_every_panel_says_what_it_shows_in_what_unit_and_what_to_do_when_it_is_empty(
    edition: Edition, name: str
) -> None:
    for panel in panels(boards(edition)[name]):
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["description"]
        if panel["type"] != "text":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"]
            assert defaults["noValue"]
            if panel["type"] != "stat":
                assert len(defaults["noValue"]) > 30, f"{panel['title']}: too short to say what to do"


@BOARDS
def test_every_link_leads_to_a_dashboard_of_the_same_edition_and_keeps_the_time(edition: Edition, name: str) -> None:
    board = boards(edition)[name]
    known = {f"/d/{other['uid']}" for other in boards(edition).values()}
    assert {link["url"] for link in board["links"]} == known - {f"/d/{board['uid']}"}
    assert all(link["keepTime"] and link["includeVars"] for link in board["links"])
    within = set(re.findall(r'"(/d/[^"?]+)\?([^"]*)"', json.dumps(board)))
    assert {url for url, _ in within} <= known
    assert all("${__url_time_range}" in query and "${province:queryparam}" in query for _, query in within)


@BOARDS
def test_every_colour_that_means_a_state_has_a_word(edition: Edition, name: str) -> None:
    for panel in panels(boards(edition)[name]):
        if panel["type"] != "state-timeline":
            continue
        mappings = panel["fieldConfig"]["defaults"]["mappings"]
        results = [
            result
            for mapping in mappings
            for result in (
                mapping["options"].values() if mapping["type"] == "value" else [mapping["options"]["result"]]
            )
        ]
        assert results
        assert all(result["text"] and result["color"] for result in results)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_both_languages_ask_the_same(dialect: Dialect) -> None:
    def asked(edition: Edition) -> list[tuple[str, ...]]:
        return [
            tuple(target.get("expr") or target["query"] for target in panel["targets"])
            for board in boards(edition).values()
            for panel in asking_panels(board)
        ]

    vi, en = (asked(Edition(language, dialect)) for language in LANGUAGES)
    assert vi == en


def test_no_text_lacks_a_language_and_none_is_there_for_nothing() -> None:
    assert [code for code, entry in texts.entries().items() if set(entry) != set(LANGUAGES)] == []
    assert [code for code, entry in texts.entries().items() if not all(text.strip() for text in entry.values())] == []
    source = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*.py"))
    made = {"today.fit", "today.degraded", "today.unknown", "today.unfit"}  # by a level's name
    unused = [
        code
        for code in texts.entries()
        if (plain := code.removesuffix(".help")) not in made
        and not re.search(rf'["{{]{re.escape(plain)}["}}]', source)
        and not plain.startswith(("variable.", "alert.", "series.", "bandwidth."))
        and not plain.endswith(".title")
    ]
    assert unused == []


def test_vietnamese_is_not_english() -> None:
    same = {code for code, entry in texts.entries().items() if entry["vi"] == entry["en"]}
    assert same <= set()


def test_every_reason_has_its_words_on_the_dashboards() -> None:
    for language in LANGUAGES:
        edition = Edition(language, "promql")
        for words_of in (words.reasons, words.actions):
            (mapping,) = words_of(edition)
            assert mapping["options"].keys() == {code.value for code in Code}


def test_levels_have_the_colours_of_the_collectors_pages() -> None:
    style = (dev.ROOT / "collector" / "web" / "static" / "site.css").read_text(encoding="utf-8")
    light = style.partition("prefers-color-scheme: dark")[0]
    for level in Level:
        assert f"--{level.name.lower()}: {words.COLOURS[level]};" in light


def test_provinces_go_by_the_tag_that_the_registry_makes_of_their_names() -> None:
    assert {tag: tag_of(place.name) for tag, place in PROVINCES.items()} == {tag: tag for tag in PROVINCES}
    for place in PROVINCES.values():
        assert 8 < place.latitude < 24
        assert 102 < place.longitude < 110


def test_dashboards_need_no_data_source_but_their_own() -> None:
    def sources(thing: object) -> set[str]:
        if isinstance(thing, dict):
            own = {thing["datasource"]["uid"]} if isinstance(thing.get("datasource"), dict) else set()
            return own.union(*map(sources, thing.values()))
        return set().union(*map(sources, thing)) if isinstance(thing, list) else set()

    for edition in EDITIONS:
        for board in boards(edition).values():
            assert sources(board) == {edition.source["uid"]}


def test_a_panel_is_left_out_only_where_the_dialect_cannot_answer() -> None:
    def titles(dialect: Dialect) -> dict[str, set[str]]:
        return {
            name: {panel["title"] for panel in panels(board)} for name, board in boards(Edition("en", dialect)).items()
        }

    promql, influxql = titles("promql"), titles("influxql")
    missing = {name: promql[name] - influxql[name] for name in promql}
    assert missing["today"] == {"Map by province"}
    assert missing["fleet"] == {
        "Broker connected", "Collector's problems", "Last review was", "Letters waiting", "Letters refused",
        "Messages quarantined", "Database behind the journal", "Records a second", "Size of the journal",
    }  # fmt: skip
    assert missing["province"] == {"Trend by day"}
    assert [name for name, lost in missing.items() if lost] == ["today", "fleet", "province"]


def test_a_board_is_json_that_grafana_can_load_and_no_variable_expands_in_it() -> None:
    def walk(thing: Json | list[Json] | str) -> None:
        assert "$SANSANG" not in json.dumps(thing)

    for edition, name in every_board():
        walk(json.loads(json.dumps(boards(edition)[name])))
