"""RTSP, of cameras that let anybody in, or ask who is there, or have too much to do."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Final

import pytest

from agent.devices.kind import Identity, Told
from agent.devices.kinds.rtsp import KIND
from contract.outcome import Outcome
from tests.agent.devices.speaking import HASTY_S, REFUSED, RIGHT, WANTED, WRONG, Behave, ask, babbling, mute, rude

VIDEO: Final = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
BOTH: Final = VIDEO + "m=audio 0 RTP/AVP 0\r\nm=application 0 RTP/AVP 107\r\n"
USER: Final = "viewer"
NONCE: Final = "8b84a3b789283a8bea8da7fa7d41f08b"


def camera(
    description: str = BOTH,
    *,
    hangs_up: bool = False,
    status: int = 200,
    login: str = "",
    options: int = 200,
    cseq: int = 0,
    length: str = "",
) -> Behave:
    """A camera with one stream; `login` is how it asks who is there: Digest with or without qop, or Basic."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            method, url, _ = head.split(" ", 2)
            fields = dict(re.findall(r"(?m)^([A-Za-z-]+): (.*?)\r$", head))
            number = int(fields["CSeq"]) + cseq
            if method == "OPTIONS":
                answer(writer, options, number, {"Server": "MadeUp/1.0", "Public": "OPTIONS, DESCRIBE"})
                continue
            assert fields["Accept"] == "application/sdp"
            if login and not lets_in(login, fields.get("Authorization", ""), url):
                answer(writer, 401, number, {"WWW-Authenticate": login})
                if hangs_up:
                    return
                continue
            body = description if status == 200 else ""
            answer(writer, status, number, {"Content-Length": length or str(len(body))}, body)

    return behave


def answer(writer: asyncio.StreamWriter, status: int, number: int, fields: Mapping[str, str], body: str = "") -> None:
    lines = [f"RTSP/1.0 {status} Whatever", f"CSeq: {number}", *(f"{name}: {one}" for name, one in fields.items())]
    writer.write(("\r\n".join([*lines, "", ""]) + body).encode())


def lets_in(login: str, said: str, url: str) -> bool:
    """As RFC 2617 and 7616 reckon, by hand."""
    if "Digest" not in login:
        return said == "Basic dmlld2VyOm9ubHktdG8tbG9vaw=="
    name = "sha256" if "SHA-256" in login else "md5"

    def h(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    fields = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,]*))', said)}
    a1, a2 = h(f"{USER}:cam:{RIGHT}"), h(f"DESCRIBE:{url}")
    middle = f"{NONCE}:{fields.get('nc')}:{fields.get('cnonce')}:auth" if "qop" in login else NONCE
    return fields.get("uri") == url and fields.get("response") == h(f"{a1}:{middle}:{a2}")


LOGINS: Final = {
    "old digest": f'Digest realm="cam", nonce="{NONCE}", stale="FALSE"',
    "digest": f'Digest realm="cam", qop="auth", nonce="{NONCE}", opaque="1"',
    "sha-256": f'Digest realm="cam", qop="auth,auth-int", algorithm=SHA-256, nonce="{NONCE}"',
    "basic": 'Basic realm="cam"',
    "both": f'Basic realm="cam"\r\nWWW-Authenticate: Digest realm="cam", nonce="{NONCE}"',
}


def test_a_camera_is_recognised_by_any_answer() -> None:
    for status in (200, 401, 404, 453, 503):
        asked = ask(KIND, camera(options=status))
        assert asked.identity == Identity(kind="rtsp", family="camera", model="MadeUp/1.0", by="RTSP")


def test_without_path_and_login_nothing_is_asked_but_whether_it_is_there() -> None:
    assert ask(KIND, camera()).told == Told()
    assert ask(KIND, camera(options=401)).told == Told()


@pytest.mark.parametrize(
    ("description", "states"),
    [
        (VIDEO, {"video1": "OK"}),
        (BOTH, {"video1": "OK", "audio1": "OK"}),
        ("v=0\r\n", {}),
        (VIDEO.replace("\r\n", "\n"), {"video1": "OK"}),
        ("m=video\n" * 9, dict.fromkeys(("video1", "video2", "video3", "video4"), "OK")),
    ],
    ids=["video", "both", "none", "unix", "nine"],
)
def test_a_stream_is_a_part(description: str, states: Mapping[str, str]) -> None:
    assert ask(KIND, camera(description), path="/stream1").states == states


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
def test_a_login_opens_the_stream_however_the_camera_asks(login: str) -> None:
    asked = ask(KIND, camera(login=login), user=USER, password=RIGHT, path="stream1")
    assert asked.states == {"video1": "OK", "audio1": "OK"}


def test_a_camera_that_hangs_up_after_asking_for_the_login_is_called_again() -> None:
    behave = camera(login=LOGINS["digest"], hangs_up=True)
    assert ask(KIND, behave, user=USER, password=RIGHT).states == {"video1": "OK", "audio1": "OK"}
    assert ask(KIND, behave, user=USER, password=WRONG).failure.outcome is Outcome.DENIED


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
def test_a_wrong_password_is_denied_and_told_to_nobody(login: str) -> None:
    failure = ask(KIND, camera(login=login), user=USER, password=WRONG).failure
    assert (failure.outcome, WRONG in failure.detail) == (Outcome.DENIED, False)
    assert failure.detail.endswith(REFUSED)


def test_a_path_without_the_login_that_it_needs_is_denied() -> None:
    failure = ask(KIND, camera(login=LOGINS["digest"]), path="/stream1").failure
    assert failure.outcome is Outcome.DENIED
    assert failure.detail.endswith(WANTED)


def test_a_login_of_another_kind_is_named() -> None:
    failure = ask(KIND, camera(login='Negotiate realm="cam"'), user=USER, password=RIGHT).failure
    assert failure.outcome is Outcome.DENIED
    assert failure.detail.endswith("""wants a login that we do not know: 'Negotiate realm="cam"'""")


def test_a_wrong_path_is_said_and_not_shown_since_it_may_hold_a_password() -> None:
    failure = ask(KIND, camera(status=404), path="/user=a&password=b").failure
    assert failure.outcome is Outcome.ABSENT
    assert failure.detail.endswith("has no stream at the plan's path (404)")


def test_a_camera_that_does_not_know_the_bare_path_is_well() -> None:
    assert ask(KIND, camera(status=404), user=USER, password=RIGHT).told == Told()


@pytest.mark.parametrize("status", [453, 503])
def test_one_that_has_too_much_to_do_is_degraded_and_not_down(status: int) -> None:
    assert ask(KIND, camera(status=status), path="/stream1").states == {"system": "DEGRADED"}
    assert ask(KIND, camera(options=status)).states == {"system": "DEGRADED"}


@pytest.mark.parametrize("length", ["-1", "many", "999999"])
def test_a_length_that_cannot_be_is_nonsense(length: str) -> None:
    failure = ask(KIND, camera(length=length), path="/stream1").failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith(f"the length of a description was expected, and came {length!r}")


def test_an_answer_to_another_question_is_nonsense() -> None:
    failure = ask(KIND, camera(cseq=7)).failure
    assert failure.detail.endswith("CSeq 1 was expected, and came '8'")


async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behave", "sentence"),
    [
        (rude, "closed the connection before it had answered"),
        (babbling, "sent a line of more than 16384 bytes"),
        (web_server, "RTSP was expected, and came 'HTTP/1.0 400 Bad Request'"),
    ],
)
def test_what_goes_wrong_is_said(behave: Behave, sentence: str) -> None:
    failure = ask(KIND, behave).failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith(sentence)


def test_silence_is_a_timeout() -> None:
    assert ask(KIND, mute, timeout_s=HASTY_S).failure.outcome is Outcome.TIMEOUT
