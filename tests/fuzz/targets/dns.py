"""A name server's answer: addresses, or nonsense, and never a question without end."""

import struct
from typing import Final

from agent.probes.dns import _is_answer_to, _Nonsense, _outcome_of, _query, _read

WORDS: Final = (b"\xc0\x0c", b"\0\1\0\1", b"\0\x1c\0\1", b"\x81\x80", b"\x83\x80", b"\xff\xff", b"\x3f", b"\0\0")
_QUESTION: Final = _query(7, "zoom.us", "A")


def inputs() -> list[bytes]:
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 1])
    alias = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 300, 2) + b"\xc0\x0c"
    return [
        _message(2, alias + answer),
        _message(3, answer * 3),
        _message(0, b"", 0x8183),
        _message(0, b"", 0x8182),
        struct.pack("!6H", 7, 0x8181, 0, 0, 0, 0),
    ]


def _message(answers_count: int, rest: bytes, flags: int = 0x8180) -> bytes:
    return struct.pack("!6H", 7, flags, 1, answers_count, 0, 0) + _QUESTION[12:] + rest


def take(data: bytes) -> bool:
    if not _is_answer_to(data, _QUESTION):
        return False
    is_good = True
    for kind in ("A", "AAAA"):
        try:
            answer = _read(data, len(_QUESTION), kind)
        except _Nonsense:
            is_good = False
            continue
        assert len(answer.addresses) <= len(data) // 12
        if answer.rcode:
            _outcome_of(answer.rcode)
    return is_good
