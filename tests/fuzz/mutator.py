"""Spoils good inputs, the same way for the same seed; what libFuzzer does with a compass, this does by chance."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_LONGEST_BYTES: Final = 1 << 16
_EDGES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x22, 0x5C, 0x0A)


def spoilt(inputs: Sequence[bytes], words: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many inputs: the good ones first, then each made of one of them by a few changes."""
    yield from inputs[:count]
    chance = random.Random(seed)
    for _ in range(count - len(inputs)):
        data = bytearray(chance.choice(inputs))
        for _ in range(min(8, 1 + int(chance.expovariate(0.6)))):
            chance.choice(_CHANGES)(data, chance, words, inputs)
        yield bytes(data[:_LONGEST_BYTES])


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _stretch(data: bytearray, chance: random.Random) -> slice:
    begin = _place(data, chance)
    return slice(begin, begin + int(chance.expovariate(0.1)) + 1)


def _flip(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _edge(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(_EDGES)


def _cut(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    del data[_stretch(data, chance)]


def _end(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    del data[_place(data, chance) :]


def _repeat(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    stretch = _stretch(data, chance)
    data[stretch] = data[stretch] * chance.choice((2, 3, 50, 400))


def _say(data: bytearray, chance: random.Random, words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    place = _place(data, chance)
    data[place:place] = chance.choice(words)


def _replace(data: bytearray, chance: random.Random, words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    data[_stretch(data, chance)] = chance.choice(words)


def _scatter(data: bytearray, chance: random.Random, _words: Sequence[bytes], _inputs: Sequence[bytes]) -> None:
    data[_stretch(data, chance)] = chance.randbytes(chance.randrange(12))


def _splice(data: bytearray, chance: random.Random, _words: Sequence[bytes], inputs: Sequence[bytes]) -> None:
    other = chance.choice(inputs)
    data[_place(data, chance) :] = other[chance.randrange(len(other) + 1) :]


_Change = Callable[[bytearray, random.Random, Sequence[bytes], Sequence[bytes]], None]
_CHANGES: Final[tuple[_Change, ...]] = (_flip, _edge, _cut, _end, _repeat, _say, _replace, _scatter, _splice)
