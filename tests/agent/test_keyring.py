"""The keyring: what is sealed for this agent opens, nothing else does, and the PC's own file gives the rest."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest

from agent.cli import main
from agent.keyring import Keyring, keyring_of, unseal
from agent.orders import Orders, PlanFile, read_orders
from agent.probes import load_probe
from agent.probes.device import Device
from agent.settings import load_settings
from agent.taking import take_reading
from collector.sealing import Sealing
from contract.outcome import Outcome
from contract.secret import HIDDEN, Reference, Secret
from contract.settings import SettingsError
from tests.agent.made import MadeProbe, PcClock

TOKEN: Final = "token-of-pc-1"  # noqa: S105 - of this test
CODEC: Final[dict[str, object]] = {
    "name": "device",
    "target": "codec",
    "address": "192.0.2.1",
    "kind": "poly_api",
    "password": {"secret": "codec"},
}


def plan_of(*tables: Mapping[str, object]) -> bytes:
    return msgspec.json.encode({"probe": tables}, order="sorted")


def sealed(plan: bytes, text: str = "hunter2", agent: str = "pc-1", token: str = TOKEN) -> bytes:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return Sealing().payload(plan, {"codec": Secret(text)}, agent, digest)


def reference_of(payload: bytes) -> Reference:
    found = Reference.of(msgspec.json.decode(payload)["probe"][0]["password"])
    assert found is not None
    return found


def orders_of(payload: bytes, keyring: Keyring) -> Orders:
    return read_orders(payload, load_probe, source="plan from the collector", keyring=keyring)


def refusal(payload: bytes, keyring: Keyring) -> str:
    with pytest.raises(SettingsError) as refused:
        orders_of(payload, keyring)
    return refused.value.text("en")


def device_of(orders: Orders) -> Device:
    (probe,) = orders.probes
    assert isinstance(probe, Device)
    return probe


@pytest.mark.parametrize("secret", ["hunter2", "mật khẩu 🔑", "x" * 500], ids=["plain", "letters", "long"])
def test_what_is_sealed_for_an_agent_opens_there(secret: str) -> None:
    payload = sealed(plan_of(CODEC), secret)
    assert secret.encode() not in payload
    orders = orders_of(payload, Keyring("pc-1", TOKEN))
    assert device_of(orders).password == secret
    assert repr(device_of(orders)).count(HIDDEN) == 1
    assert secret not in repr(orders)


def test_a_seal_is_the_one_that_was_agreed_on() -> None:
    """Agents in the field must be able to open what a later collector seals."""
    agreed = Reference("codec", "kN260ysPwxa7CjxKqDs4jCglRGygtNA=")
    assert reference_of(sealed(plan_of(CODEC))) == agreed
    assert unseal(agreed, "pc-1", TOKEN) == "hunter2"


def test_the_same_secret_for_the_same_agent_is_the_same_plan() -> None:
    first, again = sealed(plan_of(CODEC)), sealed(plan_of(CODEC))
    assert first == again
    assert sealed(plan_of(CODEC), "hunter3") != first
    assert sealed(plan_of(CODEC), agent="pc-2") != first
    assert sealed(plan_of(CODEC), token="another") != first  # noqa: S106 - of this test


def changed(text: str) -> str:
    return ("A" if text[0] != "A" else "B") + text[1:]


@pytest.mark.parametrize(
    ("reference", "keyring"),
    [
        (reference_of(sealed(plan_of(CODEC))), Keyring("pc-2", TOKEN)),
        (reference_of(sealed(plan_of(CODEC))), Keyring("pc-1", "another")),
        (reference_of(sealed(plan_of(CODEC))), Keyring("pc-1", "")),
        (reference_of(sealed(plan_of(CODEC)))._replace(name="camera"), Keyring("pc-1", TOKEN)),
        (Reference("codec", changed(reference_of(sealed(plan_of(CODEC))).sealed)), Keyring("pc-1", TOKEN)),
        (Reference("codec", "x"), Keyring("pc-1", TOKEN)),
        (Reference("codec", "à"), Keyring("pc-1", TOKEN)),
        (Reference("codec", "QUJD"), Keyring("pc-1", TOKEN)),
        (Reference("codec", "QUJDREVGR0hJSktMTU5PUA=="), Keyring("pc-1", TOKEN)),
    ],
    ids=["agent", "token", "no token", "name", "changed", "no base64", "no ascii", "short", "empty"],
)
def test_anything_else_does_not_open_and_the_plan_is_refused(reference: Reference, keyring: Keyring) -> None:
    payload = plan_of(CODEC | {"password": {"secret": reference.name, "sealed": reference.sealed}})
    assert refusal(payload, keyring) == (
        f"plan from the collector: probe[0].password: the secret {reference.name} cannot be opened: it is sealed for "
        "another agent, or for this one before it was enrolled anew"
    )


def small_file(folder: Path, more: str = "") -> Path:
    path = folder / "agent.toml"
    path.write_text(
        f'agent = "pc-1"\nlanguage = "en"\ndata_dir = "{folder}"\n{more}'
        f'[broker]\nhost = "127.0.0.1"\ntls = false\ntoken = "{TOKEN}"\n',
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path


def own_file(folder: Path, text: str = 'codec = "of this PC"\n', mode: int = 0o600) -> Path:
    path = folder / "secrets.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_secret_that_the_centre_did_not_send_lies_on_the_pc(tmp_path: Path) -> None:
    keyring = keyring_of(load_settings(small_file(tmp_path)))
    assert refusal(plan_of(CODEC), keyring) == (
        "plan from the collector: probe[0].password: there is no secret codec: the centre sent none, and on this PC "
        f"{tmp_path / 'secrets.toml'} has none"
    )
    own_file(tmp_path)
    assert device_of(orders_of(plan_of(CODEC), keyring)).password == "of this PC"  # noqa: S105 - of this test


def test_what_the_centre_sent_goes_before_the_pcs_own(tmp_path: Path) -> None:
    keyring = Keyring("pc-1", TOKEN, own_file(tmp_path))
    assert device_of(orders_of(sealed(plan_of(CODEC)), keyring)).password == "hunter2"  # noqa: S105 - of this test


def test_the_file_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    own_file(tmp_path / "own")
    settings = load_settings(small_file(tmp_path, 'secrets = "own/secrets.toml"\n'))
    assert device_of(orders_of(plan_of(CODEC), keyring_of(settings))).password == "of this PC"  # noqa: S105 - as above
    with pytest.raises(SettingsError, match=r"secrets: there is no file"):
        load_settings(small_file(tmp_path, 'secrets = "none.toml"\n'))


def test_a_file_that_others_can_read_is_the_one_thing_said(tmp_path: Path) -> None:
    path = own_file(tmp_path, mode=0o644)
    assert refusal(plan_of(CODEC), Keyring("pc-1", TOKEN, path)) == (
        f"plan from the collector: secrets.toml: every user of this machine can read the secret file {path}; "
        f"run: chmod 600 {path}"
    )


def test_all_that_is_wrong_with_a_plan_is_said_at_once(tmp_path: Path) -> None:
    keyring = Keyring("pc-1", TOKEN, own_file(tmp_path))
    camera = {"name": "device", "target": "camera", "address": "192.0.2.2", "password": {"secret": "camera"}}
    ping = {"name": "ping", "target": "gateway"}
    text = refusal(plan_of(CODEC, camera, ping), keyring)
    assert [line.split(": ")[1] for line in text.splitlines()] == ["probe[1].password", "probe[2].address"]


@pytest.mark.parametrize(
    "table",
    [
        {"version": "3", "user": "room", "auth": "sha", "auth_key": "hunt2"},
        {"community": 31415926},
        {"password": ["hunt2"]},
        {"community": "hunt2" * 60},
        {"login": "x", "password": {"a": "hunt2"}},
    ],
    ids=["short", "number", "list", "long", "table"],
)
def test_a_refused_plan_does_not_show_the_secrets_in_it(table: dict[str, object]) -> None:
    text = refusal(plan_of({"name": "device", "target": "codec", "address": "192.0.2.1"} | table), Keyring())
    assert "hunt2" not in text
    assert "31415926" not in text


def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    text = refusal(plan_of(CODEC | {"port": {"secret": "codec"}}), Keyring("pc-1", TOKEN, own_file(tmp_path)))
    assert "of this PC" not in text
    assert "probe[0].port: expected a whole number" in text


def test_what_a_device_repeats_is_neither_in_the_reading_nor_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Repeating(MadeProbe, kw_only=True):
        password: str = Secret("hunter2")

    def break_down() -> None:
        raise ValueError("what is hunter2?")

    reading = asyncio.run(take_reading("made", Repeating(does=break_down), PcClock())).reading
    assert (reading.outcome, reading.detail) == (Outcome.BROKEN, "made gateway: ValueError: what is ***?")
    assert "Traceback" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_plan_on_disk_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    PlanFile(path).keep(b"{}")
    assert path.stat().st_mode & 0o077 == 0


def test_check_config_warns_of_clear_texts_and_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[probe]]\nname = "device"\ntarget = "codec"\nkind = "poly_api"\naddress = "192.0.2.1"\n'
        'password = "hunter2"\n',
        encoding="utf-8",
    )
    assert main(["check-config", "--config", str(small_file(tmp_path)), "--plan", str(plan)]) == 0
    said = capsys.readouterr()
    assert said.err == (
        f"{plan}: probe[0].password: secrets in clear text; move them into the file of secrets, and write "
        '{ secret = "name" } instead\n'
    )
    assert "hunter2" not in said.out
