"""Secrets at the centre: sealed for each agent, never sent as they are, and what an operator is told about them."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import pytest

from agent.keyring import unseal
from collector.cli import main
from collector.plans import load_plans, stamp
from collector.sealing import Sealing
from collector.settings import load_settings
from contract.secret import Reference, Secret
from contract.settings import SettingsError

DIGEST: Final = hashlib.sha256(b"token").hexdigest()
SECRETS: Final = {"codec": Secret("hunter2"), "snmp": Secret("corridor")}
PLAN: Final = """
[[probe]]
name = "device"
target = "codec"
address = "192.0.2.1"
password = { secret = "codec" }
community = { secret = "snmp" }

[[probe]]
name = "device"
target = "camera"
address = "192.0.2.2"
password = { secret = "camera" }
"""


def payload_of(folder: Path) -> bytes:
    (folder / "default.toml").write_text(PLAN, encoding="utf-8")
    return load_plans(folder, ["zoom-720p"])["default"].payload


def test_what_the_centre_has_is_sealed_and_the_rest_stays_a_name(tmp_path: Path) -> None:
    plan = payload_of(tmp_path)
    payload = Sealing().payload(plan, SECRETS, "pc-1", DIGEST)
    assert b"hunter2" not in payload
    assert b"corridor" not in payload
    codec, camera = msgspec.json.decode(payload)["probe"]
    for setting, secret in (("password", "hunter2"), ("community", "corridor")):
        found = Reference.of(codec.pop(setting))
        assert found is not None
        assert unseal(found, "pc-1", "token") == secret
    assert codec == {"name": "device", "target": "codec", "address": "192.0.2.1"}
    assert camera["password"] == {"secret": "camera"}


def test_a_plan_is_sealed_once_for_each_agent_until_something_changes(tmp_path: Path) -> None:
    plan, sealing = payload_of(tmp_path), Sealing()
    first = sealing.payload(plan, SECRETS, "pc-1", DIGEST)
    assert sealing.payload(plan, SECRETS, "pc-2", DIGEST) != first
    assert sealing.payload(plan, SECRETS, "pc-1", DIGEST) is first
    assert sealing.payload(plan, dict(SECRETS), "pc-1", DIGEST) == first, "read again, and the same"
    assert sealing.payload(plan, {**SECRETS, "codec": Secret("hunter3")}, "pc-1", DIGEST) != first
    other = hashlib.sha256(b"enrolled anew").hexdigest()
    assert sealing.payload(plan, SECRETS, "pc-1", other) != first


def test_nothing_is_sealed_for_an_agent_without_a_token(tmp_path: Path) -> None:
    plan = payload_of(tmp_path)
    assert Sealing().payload(plan, SECRETS, "pc-1", "") is plan


def test_a_plan_without_secrets_is_sent_as_it_is() -> None:
    plan = b'{"probe":[{"name":"ping","target":"gateway","address":"192.0.2.1"}]}'
    assert Sealing().payload(plan, SECRETS, "pc-1", DIGEST) is plan


def configured(folder: Path, plan: str = PLAN) -> Path:
    (folder / "plans").mkdir()
    (folder / "plans" / "default.toml").write_text(plan, encoding="utf-8")
    (folder / "secrets.toml").write_text('codec = "hunter2"\nsnmp = "corridor"\n', encoding="utf-8")
    (folder / "secrets.toml").chmod(0o600)
    config = folder / "collector.toml"
    config.write_text('language = "en"\nplans = "plans"\nsecrets = "secrets.toml"\n', encoding="utf-8")
    return config


def test_check_config_tells_which_secrets_each_pc_must_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", str(configured(tmp_path))]) == 0
    assert capsys.readouterr().err == (
        "default.toml: the centre does not have the secrets camera: secrets.toml on each PC must have them\n"
    )


@pytest.mark.parametrize(("lang", "word"), [("vi", "bí mật viết thẳng"), ("en", "secrets in clear text")])
def test_check_config_warns_of_clear_texts_and_shows_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str, word: str
) -> None:
    plan = '[[probe]]\nname = "device"\ntarget = "codec"\naddress = "192.0.2.1"\npassword = "hunter2"\n'
    assert main(["check-config", "--config", str(configured(tmp_path, plan)), "--lang", lang]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("default.toml: probe[0].password: ")
    assert word in said.err
    assert "hunter2" not in said.err + said.out


def test_check_config_refuses_a_bad_file_of_secrets_and_a_bad_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, PLAN.replace('"codec" }', '"Co dec" }'))
    (tmp_path / "secrets.toml").write_text("codec = 31415926\n", encoding="utf-8")
    assert main(["check-config", "--config", str(config)]) == 78
    said = capsys.readouterr().err
    assert "secrets.toml: codec: must be a text in quotes that is not empty" in said
    assert "probe[0].password.secret: expected a text: 1 to 64 characters" in said
    assert "31415926" not in said


def test_the_file_of_secrets_must_be_private_and_lie_beside_no_plans(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (tmp_path / "secrets.toml").chmod(0o644)
    with pytest.raises(SettingsError, match=r"secrets: every user of this machine can read the secret file"):
        load_settings(config)
    (tmp_path / "secrets.toml").chmod(0o600)
    (tmp_path / "secrets.toml").rename(tmp_path / "plans" / "secrets.toml")
    config.write_text('plans = "plans"\nsecrets = "plans/secrets.toml"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"secrets: the file of secrets must not lie in the folder of plans"):
        load_settings(config)


def test_a_changed_secret_is_noticed(tmp_path: Path) -> None:
    configured(tmp_path)
    plans, secrets = tmp_path / "plans", tmp_path / "secrets.toml"
    before = stamp(plans, secrets)
    assert stamp(plans, secrets) == before
    secrets.write_text('codec = "hunter3"\n', encoding="utf-8")
    assert stamp(plans, secrets) != before
    secrets.unlink()
    assert stamp(plans, secrets) == stamp(plans)
