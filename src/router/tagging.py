"""Problem tags: finds in a text which problems it speaks of, by the keywords of each tag. Pure.

How text is compared
    Text and keywords are folded the same way: Unicode NFKC (full-width letters become ordinary ones), case folding,
    any run of white space to one space, and to none beside a Chinese or Japanese character, where it separates no
    words (退 款 is 退款, and iPhone 坏了 is iphone坏了); then traditional Chinese to simplified (OpenCC `t2s`, with its
    phrases: 回覆 becomes 回复). Characters that are half of a surrogate pair count as `?`.

What counts, in this order
    1. *Words.* Where a phrase begins or ends with a letter or digit of a script that separates its words (Latin,
       Greek, Cyrillic), no such letter or digit may stand next to it: `order` is not in `reorder` or `border`, `12315`
       not in `123150`. Chinese is a boundary: `phone` is in 我的phone坏了. Chinese phrases match anywhere.
    2. *The longest phrase is what was said.* A keyword that lies wholly inside a longer keyword, of whichever tag,
       does not count there: 退换货政策 hides the 换货 in it. The longer one must pass rule 1 to hide anything, and
       hides even where rule 3 then takes it out. Keywords that merely overlap all count: 退货 and 货的快递 both do in
       退货的快递. The same keyword in two tags gives both.
    3. *Exceptions.* Where a phrase of a tag's `except_` stands, that tag's keywords that share a character with it do
       not count: 不是来投诉 takes the 投诉 out of 我不是来投诉的, and 投诉你 out of 我不是来投诉你的. A keyword that is
       longer than the exception and contains it is the more precise of the two, and does count. An exception speaks
       for its own tag alone: writing one never changes what another tag finds.

    A tag is found when one of its keywords counts anywhere in the text.

Sources: Aho and Corasick, "Efficient string matching" (1975), for finding every phrase in one pass; Unicode Standard
Annex 15 for NFKC; the OpenCC project for the Chinese tables. `docs/decisions/0002-tag-finding.md` has the reasons.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple
from unicodedata import normalize

from ahocorasick_rs import AhoCorasick
from opencc import OpenCC

from src.errors import Malformed
from src.router.model import TagConfig

TEXT_CHARS_MAX: Final = 4_000
"""Characters of a text that are looked at. What follows is as if it had not been written."""

KEYWORD_CHARS_MAX: Final = 64
"""Characters of a keyword or exception, before and after folding."""

PHRASES_MAX: Final = 50_000
"""Keywords and exceptions of all tags of one finder together."""

_SPACED_SCRIPTS_END: Final = "\u0590"
"""Below it lie Latin, Greek, Cyrillic and Armenian: the scripts that put spaces between words and have cases."""

_UNSPACED: Final = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han characters with their marks of repetition, and kana, as a class of a regular expression."""

_NO_SPACE: Final = re.compile(f"(?<=[{_UNSPACED}]) | (?=[{_UNSPACED}])")


class _Span(NamedTuple):
    """Where a phrase stands in the folded text: from `start` up to, not including, `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a phrase stands for: the tags that it is a keyword of, and those that it is an exception of."""

    keyword_of: tuple[str, ...]
    exception_of: tuple[str, ...]


class TagFinder:
    """Finds problem tags in texts. Built once for a set of definitions; safe to share between threads.

    Raises:
        Malformed: a keyword or exception that is empty, longer than `KEYWORD_CHARS_MAX`, or one phrase too many.
    """

    def __init__(self, definitions: Mapping[str, TagConfig]) -> None:
        keyword_of = _tags_by_phrase((tag, definition.keywords) for tag, definition in definitions.items())
        exception_of = _tags_by_phrase((tag, definition.except_) for tag, definition in definitions.items())
        phrases = sorted(keyword_of.keys() | exception_of.keys())
        if len(phrases) > PHRASES_MAX:
            raise Malformed(f"tags have more than {PHRASES_MAX} keywords and exceptions", field="tags")
        self._meanings = [
            _Meaning(tuple(keyword_of.get(phrase, ())), tuple(exception_of.get(phrase, ()))) for phrase in phrases
        ]
        self._automaton = AhoCorasick(phrases, store_patterns=False) if phrases else None

    def find(self, text: str) -> tuple[str, ...]:
        """The tags of a text, sorted by name. Rules: see the module. Never fails, whatever the text."""
        if self._automaton is None:
            return ()
        folded = fold(text[:TEXT_CHARS_MAX])
        keywords: list[tuple[_Span, Sequence[str]]] = []
        exceptions: dict[str, list[_Span]] = {}
        for phrase, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            if not _at_word_boundaries(folded, start, end):
                continue
            meaning, span = self._meanings[phrase], _Span(start, end)
            if meaning.keyword_of:
                keywords.append((span, meaning.keyword_of))
            for tag in meaning.exception_of:
                exceptions.setdefault(tag, []).append(span)
        excepted = {tag: _Exceptions(spans) for tag, spans in exceptions.items()}
        found: set[str] = set()
        for span, tags in _outermost(keywords):
            found.update(tag for tag in tags if not (tag in excepted and excepted[tag].hide(span)))
        return tuple(sorted(found))


def fold(text: str) -> str:
    """The form in which texts and keywords are compared. At most 18 times as long (NFKC spells ligatures out)."""
    whole = text.encode("utf-8", "replace").decode()
    words = " ".join(normalize("NFKC", whole).casefold().split())
    simplified: str = _simplifier().convert(_NO_SPACE.sub("", words))
    return simplified


@cache
def _simplifier() -> OpenCC:
    """The converter from traditional to simplified Chinese. Made once, when first needed: its tables take 10 ms."""
    return OpenCC("t2s")


def _tags_by_phrase(phrases: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    for tag, raw_phrases in phrases:
        for folded in {_folded_phrase(tag, raw) for raw in raw_phrases}:
            tags.setdefault(folded, []).append(tag)
    return tags


def _folded_phrase(tag: str, raw: str) -> str:
    folded = fold(raw[: KEYWORD_CHARS_MAX + 1])
    if not folded or len(folded) > KEYWORD_CHARS_MAX or len(raw) > KEYWORD_CHARS_MAX:
        raise Malformed(f"a keyword of {tag!r} must have 1 to {KEYWORD_CHARS_MAX} characters", field=f"tags.{tag}")
    return folded


def _at_word_boundaries(text: str, start: int, end: int) -> bool:
    """Whether the phrase at `start` to `end` is not a part of a longer word, on either side."""
    cut_before = start > 0 and _in_word(text[start - 1]) and _in_word(text[start])
    cut_after = end < len(text) and _in_word(text[end - 1]) and _in_word(text[end])
    return not (cut_before or cut_after)


def _in_word(char: str) -> bool:
    return char < _SPACED_SCRIPTS_END and char.isalnum()


def _outermost(matches: list[tuple[_Span, Sequence[str]]]) -> Iterator[tuple[_Span, Sequence[str]]]:
    """The matches that lie inside no other. Equal spans are the same phrase, so no two are equal."""
    furthest_end = 0
    for span, tags in sorted(matches, key=lambda match: (match[0].start, -match[0].end)):
        if span.end > furthest_end:
            yield span, tags
            furthest_end = span.end


class _Exceptions:
    """Where one tag's exceptions stand, ready to be asked in logarithmic time."""

    def __init__(self, spans: Sequence[_Span]) -> None:
        ordered = sorted(spans)
        self._spans = frozenset(ordered)
        self._starts = [span.start for span in ordered]
        # The furthest end of the first n exceptions, at index n.
        self._furthest_ends = list(accumulate((span.end for span in ordered), max, initial=0))

    def hide(self, keyword: _Span) -> bool:
        """Whether an exception overlaps the keyword, other than by lying wholly inside it."""
        reaches_in = self._furthest_end_before(keyword.start) > keyword.start
        reaches_out = self._furthest_end_before(keyword.end) > keyword.end
        return reaches_in or reaches_out or keyword in self._spans

    def _furthest_end_before(self, position: int) -> int:
        return self._furthest_ends[bisect_left(self._starts, position)]
