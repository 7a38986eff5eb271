import re

import httpx
from hypothesis import given
from hypothesis import strategies as st

from collector.samples import samples_of
from collector.sinks.lines import Lines
from contract.reading import Reading
from tests.collector.sinks.made import kept, sample
from tests.support.victoria_metrics import StartVictoriaMetrics

TRICKY = st.text(st.sampled_from('ab-_.:1 ,=\\"\n\té#'), max_size=8) | st.text(max_size=8)


def split(text: str, at: str) -> list[str]:
    """The parts of a text between unescaped separators, as InfluxDB's grammar has them."""
    return re.split(rf"(?<!\\){at}", text)


def parse(line: str) -> tuple[str, dict[str, str], dict[str, str], int]:
    head, body, when_ms = split(line, " ")
    measurement, *tags = split(head, ",")
    return measurement, pairs(tags), pairs(split(body, ",")), int(when_ms)


def pairs(texts: list[str]) -> dict[str, str]:
    found = [split(text, "=") for text in texts]
    assert all(len(pair) == 2 for pair in found)
    assert len({name for name, _ in found}) == len(found)
    return {pair[0]: pair[1] for pair in found}


def test_a_sample_is_one_line() -> None:
    written = Lines().line(sample(1_790_000_000.125, rtt_avg_ms=1.5, sent_count=10))
    assert written == (
        "ping,agent=pc-1,province=lao-cai,role=gateway,room=room-1,target=gateway rtt_avg_ms=1.5,sent_count=10i"
        " 1790000000125"
    )


def test_a_tag_that_is_not_known_is_absent() -> None:
    bare = sample()._replace(room="", province="", role="", reason="link_down")
    assert Lines().line(bare).startswith("ping,agent=pc-1,reason=link_down,target=gateway ")


def test_the_head_of_a_series_is_not_mistaken_for_anothers() -> None:
    lines = Lines()
    written = [lines.line(sample(target=target, room=room)) for target in ("isp", "dns") for room in ("r-1", "r-2")] * 2
    assert written[:4] == written[4:]
    assert len(set(written)) == 4


@given(
    texts=st.tuples(TRICKY, TRICKY, TRICKY, TRICKY, TRICKY),
    values=st.dictionaries(st.text("a_,= \\", max_size=4).map("{}_ms".format), st.floats(), max_size=4),
    detail=TRICKY,
    own=st.booleans(),
)
def test_whatever_the_texts_a_line_says_what_was_meant(
    *, texts: tuple[str, str, str, str, str], values: dict[str, float], detail: str, own: bool
) -> None:
    room, province, agent, probe, target = texts
    reading = Reading(probe="verdict" if own else probe, target=target, values=values, detail=detail)
    entry = kept(reading, room=room, province=province, agent="collector" if own else agent)
    for one in samples_of(entry).samples:
        measurement, tags, fields, when_ms = parse(Lines().line(one))
        meant = {
            "agent": one.agent,
            "province": one.province,
            "reason": one.reason,
            "role": one.role,
            "room": one.room,
            "target": one.target,
        }
        assert (measurement, when_ms) == (one.measurement, one.measured_ms)
        assert tags == {name: text for name, text in meant.items() if text}
        numbers = {name: int(text[:-1]) if text.endswith("i") else float(text) for name, text in fields.items()}
        assert numbers == one.fields


NUMBERS = (0.0, 1e-9, 1e16, -123456789.125, 1e18, 0.1, 10**18, -5, 2**53 + 1.0)


def test_a_real_database_reads_every_number_and_tag_as_it_was(victoria_metrics: StartVictoriaMetrics) -> None:
    database = victoria_metrics()
    every_letter = "azAZ09_.:-"
    fields = {f"n{place}_ms": number for place, number in enumerate(NUMBERS)}
    one = sample(target=every_letter)._replace(fields=fields)
    httpx.post(
        f"{database.url}/api/v2/write?precision=ms", content=Lines().encode([one]), trust_env=False
    ).raise_for_status()
    stored = {series.metric.pop("__name__"): series for series in database.series('{room="room-1"}')}
    assert {name: series.values for name, series in stored.items()} == {
        f"ping_n{place}_ms": [number] for place, number in enumerate(NUMBERS)
    }
    tags = {"agent": "pc-1", "province": "lao-cai", "role": "gateway", "room": "room-1", "target": every_letter}
    assert [(series.metric, series.timestamps) for series in stored.values()] == [(tags, [one.measured_ms])] * len(
        NUMBERS
    )
