"""Every parser that faces strangers over the saved corpus, and over what comes of bending it: it refuses or takes.

The corpus is what `make test-fuzz` has found to reach something new, and what once broke something.
"""

import random
from collections.abc import Iterator
from typing import Final

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, tried

BENT: Final = 200
"""So many times is each file bent, the same way every time."""

INTERESTING: Final = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"[" * 3000,
    b"9" * 5000,
    b"-1",
    b"1e999",
    b"<![CDATA[",
    b"\\ud800",
)


def bent(data: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(BENT):
        place, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        yield data[:place] + chance.choice((b"", data[place:end] * 2, *INTERESTING)) + data[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_taken_or_refused(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files, "a target has a corpus"
    for number, file in enumerate(files):
        data = file.read_bytes()
        tried(TARGETS[name], data)
        for each in bent(data, number):
            tried(TARGETS[name], each)


def test_every_corpus_has_a_target() -> None:
    assert {each.name for each in CORPUS.iterdir()} == set(TARGETS)
