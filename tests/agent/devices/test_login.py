"""Digest and Basic, held against the examples of RFC 2617 and RFC 7616, and against what servers may ask instead."""

import hashlib
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.devices.login import Challenge, Digest, Login, best_of, challenges_in

OLD: Final = (
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
NEW: Final = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
UTF: Final = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, charset=UTF-8, userhash=true, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"'
)
OWN: Final = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def digest(header: str, login: Login, own_nonce: str) -> Digest:
    best = best_of(header)
    assert best is not None
    return Digest(login, best, own_nonce)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - Digest's own


def fields(header: str) -> dict[str, str]:
    assert header.startswith("Authorization: Digest ")
    return {name: quoted or bare for name, quoted, bare in re.findall(r'([\w*]+)=(?:"([^"]*)"|([^,\s]+))', header)}


def test_the_example_of_rfc_2617_is_answered_as_it_is_there() -> None:
    answer = digest(OLD, Login("Mufasa", "Circle Of Life"), "0a4f113b").answer("GET", "/dir/index.html")
    assert answer == (
        'Authorization: Digest username="Mufasa", realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
        'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_are_answered_as_they_are_there(algorithm: str, response: str) -> None:
    one = digest(NEW.format(algorithm=algorithm), Login("Mufasa", "Circle of Life"), OWN)
    said = fields(one.answer("GET", "/dir/index.html"))
    assert (said["response"], said["algorithm"], said["nc"]) == (response, algorithm, "00000001")


def test_a_hashed_user_is_that_of_rfc_7616_as_its_erratum_has_it() -> None:
    said = fields(digest(UTF, Login("J\u00e4s\u00f8n Doe", "Secret, or not?"), OWN).answer("GET", "/doe.json"))
    assert said["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert said["userhash"] == "true"


def test_the_weakest_of_several_challenges_never_wins() -> None:
    both = f'Basic realm="x"\n{NEW.format(algorithm="MD5")}\n{NEW.format(algorithm="SHA-256")}'
    in_one_line = both.replace("\n", ", ")
    for header in (both, in_one_line):
        best = best_of(header)
        assert best is not None
        assert (best.scheme, best.fields["algorithm"]) == ("digest", "SHA-256")
    assert best_of('Basic realm="Digest nonce=1"') == Challenge("basic", {"realm": "Digest nonce=1"})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Negotiate",
        "Bearer abc==",
        'Digest realm="x"',
        'Digest realm="x", nonce="n", algorithm=SHA-1',
        'Digest realm="x", nonce="n", qop="auth-int"',
    ],
)
def test_what_cannot_be_answered_is_not_guessed(header: str) -> None:
    assert best_of(header) is None


def test_a_nonce_is_used_again_with_a_higher_count() -> None:
    one = digest(OLD, Login("Mufasa", "Circle Of Life"), "0a4f113b")
    answers = [fields(one.answer("GET", "/dir/index.html")) for _ in range(3)]
    assert [said["nc"] for said in answers] == ["00000001", "00000002", "00000003"]
    assert len({said["response"] for said in answers}) == 3


def test_a_session_hashes_the_nonces_into_the_user() -> None:
    """Reckoned by hand: H(H(user:realm:password):nonce:cnonce) in place of the first hash (RFC 7616 3.4.2)."""
    user = md5(md5("u:r:p") + ":n:c")
    reckoned = md5(f"{user}:n:00000001:c:auth:{md5('GET:/')}")
    one = digest('Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess', Login("u", "p"), "c")
    assert fields(one.answer("GET", "/"))["response"] == reckoned


def test_a_name_that_would_break_the_header_is_written_so_that_it_does_not() -> None:
    plain = 'Digest realm="r", nonce="n"'
    assert 'username="a\\"b\\\\c"' in digest(plain, Login('a"b\\c', "p"), "c").answer("GET", "/")
    assert "username*=UTF-8''gi%C3%A1o%20vi%C3%AAn" in digest(plain, Login("gi\u00e1o vi\u00ean", "p"), "c").answer(
        "GET", "/"
    )
    split = digest(plain, Login("a\r\nX: y", "p"), "c").answer("GET", "/")
    assert "\n" not in split


@pytest.mark.parametrize(("said", "is_stale"), [("TRUE", True), ("true", True), ("FALSE", False), ("", False)])
def test_a_nonce_that_is_too_old_is_no_wrong_password(said: str, is_stale: bool) -> None:  # noqa: FBT001 - a case
    (one,) = challenges_in(f'Digest nonce="n", stale={said}' if said else 'Digest nonce="n"')
    assert one.is_stale is is_stale


@given(st.text(max_size=200))
def test_no_header_breaks_the_reader(header: str) -> None:
    best = best_of(header)
    if best is not None and best.scheme == "digest":
        assert Digest(Login("u", "p"), best).answer("GET", "/").startswith("Authorization: Digest ")
