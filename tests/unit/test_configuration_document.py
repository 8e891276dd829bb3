"""The file of `cordboard apply`: what is hostile or would be misread is refused by name, with line and column."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.cli.configuration.document import BYTES_MAX, BadDocument, read, write

BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("code", "mark", "text"),
    [
        ("alias", (1, 4), BOMB),
        ("alias", (2, 4), b"a: 1\nb: *a\n"),
        ("merge", (2, 3), b"a:\n  <<: {b: 1}\n"),
        ("tag", (1, 4), b"a: !!python/object:os.system x\n"),
        ("duplicate_key", (3, 3), b"queues:\n  vip: {}\n  vip: {}\n"),
        ("bad_key", (1, 3), b"? [a]\n: 1\n"),
        ("several_documents", (2, 1), b"a: 1\n---\nb: 2\n"),
        ("no_mapping", (1, 1), b"- a\n"),
        ("too_deep", (1, 36), b"a: " + b"[" * 50_000),
        ("not_yaml", (2, 1), b"a: [1\n"),
        ("not_yaml", None, b"a: \x07\n"),
        ("not_utf8", None, b"a: \xff\n"),
        ("too_large", None, b"#" * (BYTES_MAX + 1)),
    ],
)
def test_what_is_hostile_is_refused_by_name(code: str, mark: tuple[int, int] | None, text: bytes) -> None:
    with pytest.raises(BadDocument) as refused:
        read(text)
    assert (code, mark) == (refused.value.code, refused.value.mark)


def test_scalars_are_what_they_look_like() -> None:
    text = "a: [no, on, 09:00, 2026-10-01, 0x10, '5', 5, 1e3, ~, , true, '<<']".replace(" ,", "").encode()
    assert ["no", "on", "09:00", "2026-10-01", "0x10", "5", 5, 1000.0, None, True, "<<"] == read(text).values["a"]
    assert {} == read(b"").values == read(b"# nothing\n").values


def test_places_are_found_also_where_names_hold_dots() -> None:
    document = read(b"queues:\n  a.b:\n    steps:\n    - after_s: 1\n    -   after_s: 2\n")
    assert (5, 9) == document.mark("queues.a.b.steps.1.after_s")
    assert (4, 7) == document.mark("queues.a.b.steps.0.StepBody.drop.0"), "the nearest that there is"
    assert (2, 3) == document.mark("queues.a.b.overflow")
    assert document.mark("") is None


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=12) | st.sampled_from(
    ["no", "~", "1e5", "09", "0o7", "12:30", "<<", "=", "- a", "*a", "&a", "!x", "# c", ".5", "+1", "1_000", "null", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_read_again(values: dict[str, Any]) -> None:
    assert values == read(write(values).encode()).values


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text("[]{}:,-?&*!|>'\"#% \nab<", max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_refused(text: bytes) -> None:
    with suppress(BadDocument):
        assert isinstance(read(text).values, dict)
