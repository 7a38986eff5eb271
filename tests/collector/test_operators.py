"""The collector tells its operators about itself: real broker, real relay, the real program."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from contract.messages import State, encode_small
from tests.support.collector import QUICK, RunningCollector, StartCollector
from tests.support.mosquitto import StartMosquitto
from tests.support.mqtt import Connect
from tests.support.smtp import Delivered, Relay, StartRelay

OPERATOR: Final = "kien@sogd.example.vn"


def one_room(folder: Path) -> None:
    engine = open_database(sqlite_url(folder / "collector.db"))
    registry = Registry(engine)
    registry.add_room("dong-van-01", name="Phòng 1", province="Hà Giang", school="THCS Đồng Văn")
    registry.set_contact("dong-van-01", time.time(), name="Lan", address="lan@example.vn", language="vi")
    registry.add_agent("dongvan-pc1", "dong-van-01", time.time())
    engine.dispose()


def settings(relay: Relay, broker_port: int, *, operators: str = f'["Kiên <{OPERATOR}>"]') -> str:
    return (
        f'[broker]\nmode = "mqtt"\nhost = "127.0.0.1"\nport = {broker_port}\n'
        f'[mail]\nmode = "smtp"\nhost = "{relay.host}"\nport = {relay.port}\nsecurity = "none"\n'
        'sender = "Sẵn Sàng <sansang@example.vn>"\nbounces_to = "thu-tra-lai@sogd.example.vn"\n'
        f"[operators]\nmail = {operators}\n"
        f"{QUICK}"
    )


def reasons(letters: list[Delivered]) -> list[str]:
    return [one.message["X-Sansang-Reason"] for one in letters]


def await_letters(centre: RunningCollector, relay: Relay, count: int) -> list[Delivered]:
    centre.wait_for(lambda: len(relay.letters) >= count)
    return relay.letters[:count]


def test_a_lost_broker_is_told_to_the_operators_once_and_so_is_its_return(
    collector: StartCollector, mosquitto: StartMosquitto, mail_relay: StartRelay
) -> None:
    broker, relay = mosquitto(), mail_relay()
    centre = collector(settings(relay, broker.port), prepare=one_room)
    (daily,) = await_letters(centre, relay, 1)
    assert (daily.to, daily.message["X-Sansang-Reason"]) == ((OPERATOR,), "daily")
    assert daily.sender == "thu-tra-lai@sogd.example.vn", "a bounce reaches a person"
    centre.wait_for(lambda: centre.figure("sansang_mail_proven_bool") == 1)
    assert centre.figure("sansang_mail_proof_age_seconds") < 600
    broker.program.kill()
    _, lost = await_letters(centre, relay, 2)
    centre.wait_for(lambda: centre.figure("sansang_problems") == 1)
    broker.program.start()
    _, _, back = await_letters(centre, relay, 3)
    centre.wait_for(lambda: centre.figure("sansang_problems") == 0)
    centre.wait_for(lambda: centre.figure("sansang_outbox_waiting") == 0)
    assert reasons(relay.letters) == ["daily", "opened", "ended"]
    assert {one.to for one in relay.letters} == {(OPERATOR,)}, "no mail about a room"
    assert lost.message["Subject"].startswith("[Sẵn Sàng] Trung tâm giám sát: KHÔNG làm được việc")
    assert back.message["In-Reply-To"] == lost.message["Message-ID"]


def test_a_database_that_refuses_is_told_past_it_and_told_once(
    collector: StartCollector, mosquitto: StartMosquitto, mail_relay: StartRelay
) -> None:
    broker, relay = mosquitto(), mail_relay()
    centre = collector(settings(relay, broker.port), prepare=one_room)
    await_letters(centre, relay, 1)
    centre.wait_for(lambda: centre.figure("sansang_mail_proven_bool") == 1)
    holding = sqlite3.connect(centre.folder / "collector.db", isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    broker.program.kill()  # so that there is an incident to be stored
    _, told = await_letters(centre, relay, 2)
    assert told.message["X-Sansang-Reason"] == "opened"
    holding.execute("ROLLBACK")
    holding.close()
    broker.program.start()
    await_letters(centre, relay, 3)
    centre.wait_for(lambda: centre.figure("sansang_problems") == 0)
    centre.wait_for(lambda: centre.figure("sansang_outbox_waiting") == 0)
    assert reasons(relay.letters) == ["daily", "opened", "ended"]
    assert "250 2.0.0 taken" in centre.get("/letters").text


def test_an_address_that_refuses_for_good_is_told_to_the_operators_and_all_others_get_theirs(
    collector: StartCollector, mosquitto: StartMosquitto, mail_relay: StartRelay
) -> None:
    broker, relay = mosquitto(), mail_relay()
    relay.then("RCPT", "550 5.1.1 no such user")  # the first daily mail's
    centre = collector(
        settings(relay, broker.port, operators=f'["nobody@example.vn", "Kiên <{OPERATOR}>"]'), prepare=one_room
    )
    letters = await_letters(centre, relay, 3)
    assert [(one.to[0], one.message["X-Sansang-Reason"]) for one in letters[:1]] == [(OPERATOR, "daily")]
    (told,) = [one for one in letters if one.to == (OPERATOR,) and one.message["X-Sansang-Reason"] == "opened"]
    text = told.message.get_body(("plain",))
    assert text is not None
    assert "nobody@example.vn" in text.get_content()
    assert centre.figure("sansang_outbox_refused") == 1
    assert "550 5.1.1 no such user" in centre.get("/letters").text


def test_a_refused_plan_is_told_with_the_agents_room_and_what_is_wrong(
    collector: StartCollector, mosquitto: StartMosquitto, mail_relay: StartRelay, connect: Connect
) -> None:
    broker, relay = mosquitto(), mail_relay()
    centre = collector(settings(relay, broker.port), prepare=one_room)
    await_letters(centre, relay, 1)
    refused = State(state="online", refused="plan: probe[2].address: missing\nplan: probe[3]: no such key")
    agent = connect(broker.host, broker.port)
    assert agent.publish("sansang/v1/dongvan-pc1/up/state", encode_small(refused), retain=True)
    _, told = await_letters(centre, relay, 2)
    text = told.message.get_body(("plain",))
    assert text is not None
    said = " ".join(text.get_content().split())
    assert "Agent dongvan-pc1 từ chối" in said
    assert "Phòng 1 (dong-van-01): plan: probe[2].address: missing" in said
    assert "probe[3]" not in said
