"""Secrets: what a plan writes in their place, how their file is read, and that nothing shows them."""

from pathlib import Path

import msgspec
import pytest

from contract.plan import look_at_plan
from contract.secret import (
    HIDDEN,
    Reference,
    Secret,
    clear_secrets,
    hide,
    hushed,
    look_at_references,
    read_secrets,
    redact,
    references,
)
from contract.settings import Problem, SettingsError


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    login_name: str = ""
    password: str = ""


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_secret_is_a_text_and_is_not_shown() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2"  # noqa: S105 - the very secret of this test
    assert f"{secret}".encode() == b"hunter2"
    shown = [repr(secret), repr(Asking(password=secret)), repr({"password": secret}), f"{secret!r}"]
    assert not [text for text in shown if "hunter2" in text]


def test_a_secret_is_never_written_as_json_by_mistake() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Asking(password=Secret("hunter2")))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"secret": "codec"}, Reference("codec")),
        ({"secret": "codec", "sealed": "QUJD"}, Reference("codec", "QUJD")),
        ("codec", None),
        ({}, None),
        ({"sealed": "QUJD"}, None),
        ({"secret": 7}, None),
        ({"secret": "codec", "sealed": 7}, None),
        ({"secret": "codec", "more": "x"}, None),
        (["secret"], None),
    ],
    ids=repr,
)
def test_a_reference_is_told_from_other_settings(setting: object, expected: Reference | None) -> None:
    assert Reference.of(setting) == expected


def test_names_and_clear_texts_are_found_in_a_plan() -> None:
    plan, problems = look_at_plan(
        {
            "probe": [
                {"name": "snmp", "target": "router", "community": "public"},
                {"name": "device", "target": "codec", "password": {"secret": "codec"}, "community": "corridor"},
                {"name": "device", "target": "camera", "password": {"secret": "Ca mera"}, "path": "live"},
            ]
        },
        source="plan",
    )
    assert problems == []
    assert [(name, found.name) for job in plan.jobs for name, found in references(job)] == [
        ("password", "codec"),
        ("password", "Ca mera"),
    ]
    assert clear_secrets(plan.jobs) == ("probe[1].community",)
    (problem,) = look_at_references(plan.jobs)
    assert problem.sentence("en") == (
        "probe[2].password.secret: expected a text: 1 to 64 characters of a-z, 0-9, _ and -, the first no sign, "
        "got 'Ca mera'"
    )


def test_a_file_of_secrets_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.toml", 'codec = "hunter2"\ncamera-2 = "mật khẩu"\n')
    assert read_secrets(path) == {"codec": "hunter2", "camera-2": "mật khẩu"}


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ('codec = "hunter2"\n', 0o644, "every user of this machine can read the secret file {path}"),
        ("", 0o600, "the file {path} is empty"),
        ("codec = 31415926\n", 0o600, "codec: must be a text in quotes that is not empty"),
        ('codec = ""\n', 0o600, "codec: must be a text in quotes that is not empty"),
        ('[codec]\npassword = "hunter2"\n', 0o600, "codec: must be a text in quotes that is not empty"),
        ('"Ca mera" = "hunter2"\n', 0o600, "got 'Ca mera'"),
        ('codec = hunter2"\n', 0o600, "not valid TOML"),
    ],
    ids=["open", "empty", "number", "nothing", "table", "name", "toml"],
)
def test_a_file_of_secrets_that_is_wrong_is_refused_and_not_shown(
    tmp_path: Path, text: str, mode: int, expected: str
) -> None:
    path = write(tmp_path / "secrets.toml", text, mode)
    with pytest.raises(SettingsError) as refused:
        read_secrets(path)
    for sentence in (refused.value.text("vi"), refused.value.text("en"), str(refused.value)):
        assert "hunter2" not in sentence
        assert "31415926" not in sentence
    assert expected.format(path=path) in refused.value.text("en")


def test_settings_that_are_secrets_by_name_are_hidden() -> None:
    hidden = hide({"password": "hunter2", "address": "10.0.0.1", "community": 7})
    assert repr(hidden) == "{'password': ***, 'address': '10.0.0.1', 'community': 7}"


def test_what_was_got_is_not_said_of_a_secret() -> None:
    facts = {"expected": "a text", "got": "31415926"}
    assert hushed(Problem("password", "settings.expected", facts)).facts == facts | {"got": HIDDEN}
    assert hushed(Problem("address", "settings.expected", facts)).facts == facts


@pytest.mark.parametrize(
    "said",
    [
        "login: admin, password: hunter'2",
        f"came {'hunter' + chr(39) + '2'!r}",
        f"came {b'x hunter' + bytes([39]) + b'2'!r}",
        "Authorization: Basic YWRtaW46aHVudGVyJzI=",
    ],
)
def test_what_a_device_repeats_of_a_login_is_cut_out(said: str) -> None:
    text = redact(said, Asking(login_name="admin", password=Secret("hunter'2")))
    assert HIDDEN in text
    assert "hunter" not in text
    assert "YWRtaW46aHVudGVyJzI" not in text


def test_a_text_without_secrets_stays_as_it_is() -> None:
    said = "device 10.0.0.1: refused the password"
    assert redact(said, Asking(login_name="admin", password=Secret("1"))) == said
    assert redact(said, Asking(login_name="admin", password="refused")) == said  # noqa: S106 - an ordinary text
    assert redact(said, object()) == said
