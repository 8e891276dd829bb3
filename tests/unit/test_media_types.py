"""What files are, by their first bytes, and what becomes of their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.dispatch.media import MEDIA_BYTES_MAX, NAME_CHARS_MAX, clean_name, look, type_of
from src.errors import Malformed


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"\xff\xd8\xff\xe0 jpeg", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt", "audio/wav"),
        (b"#!AMR\n", "audio/amr"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        ("您好".encode() * 300, "text/plain"),
        (b"<svg onload=alert(1)>", "text/plain"),
        (b"<html><script>", "text/plain"),
        (b"\0\1\2", "application/octet-stream"),
        (b"\xff\xfe\xfd", "application/octet-stream"),
    ],
)
def test_a_type_is_what_the_first_bytes_show(body: bytes, media_type: str) -> None:
    assert media_type == type_of(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "file"),
        (b"MZ\x90\0", "file"),
        (b"\x7fELF", "file"),
        (b"#!/bin/sh\n", "file"),
        (b"<svg>", "image"),
        (b"%PDF-1.7", "image"),
        (b"\x89PNG\r\n\x1a\n", "voice"),
        (b"x" * (MEDIA_BYTES_MAX + 1), "file"),
    ],
)
def test_what_is_not_taken(body: bytes, kind: str) -> None:
    with pytest.raises(Malformed):
        look(body, "a", kind=kind)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        (None, None),
        ("发票.pdf", "发票.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("a\0b\r\nSet-Cookie: x", "a_b_Set-Cookie_ x"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("...", None),
        ('"><script>', "_script_"),
        ("x" * 1000 + ".pdf", "x" * (NAME_CHARS_MAX - 4) + ".pdf"),
        ("half \ud800", "half ?"),
    ],
)
def test_a_name_is_safe_to_show_and_to_save_under(given_name: str | None, kept: str | None) -> None:
    assert kept == clean_name(given_name)


@given(st.text(max_size=300))
def test_no_name_is_a_path_or_turns_the_line(name: str) -> None:
    cleaned = clean_name(name)
    assert cleaned is None or not set(cleaned) & set('/\\:*?"<>|\0\r\n\u202e')


@given(st.binary(max_size=600))
def test_any_bytes_have_a_type_that_no_browser_runs(body: bytes) -> None:
    assert not {"html", "svg", "javascript", "xml"} & set(type_of(body).replace("/", "-").split("-"))


@pytest.mark.parametrize(
    ("given_name", "body", "kept"),
    [
        ("page.html", b"<script>alert(1)</script>", "page.html.txt"),
        ("picture.SVG", b"<svg onload='alert(1)'/>", "picture.SVG.txt"),
        ("photo.exe", b"\xff\xd8\xff\xe0", "photo.exe.jpg"),
        ("archive.jar", b"PK\x03\x04", "archive.jar.zip"),
        ("odd.js", b"\x00\x01", "odd.js.bin"),
        ("x" * 200 + ".html", b"text", "x" * 119 + ".html.txt"),
        ("report.docx", b"PK\x03\x04", "report.docx"),
        ("table.csv", b"a,b", "table.csv"),
        ("html", b"text", "html"),
        (None, b"text", None),
    ],
)
def test_a_file_is_opened_as_what_it_is(given_name: str | None, body: bytes, kept: str | None) -> None:
    assert kept == look(body, given_name).name
