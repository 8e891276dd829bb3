"""What a file is, by its first bytes; nothing else that is said of it is believed. Reads no file and keeps none."""

import re
from dataclasses import dataclass
from typing import Final

from src.errors import Malformed

MEDIA_BYTES_MAX: Final = 20 * 1024 * 1024
NAME_CHARS_MAX: Final = 128
UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"
LOOKED_AT: Final = 512

_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"#!SILK", "audio/silk"),
    (0, b"\x02#!SILK", "audio/silk"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
"""Where a type shows, and by what; the first that fits counts. Documents of today's office programs are zips."""

_PROGRAMS: Final = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!/")

KINDS: Final = {"image": "image/", "voice": "audio/", "video": "video/", "file": ""}
"""By kind of message, what the type of its file begins with."""

_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]+')
"""What no name of a file may hold: control characters, what paths are made of, what turns the reading direction."""


_RUN: Final = re.compile(
    r"\.(apk|app|bat|chm|cmd|com|cpl|dll|exe|hta|html?|jar|jse?|lnk|mht(ml)?|ms[ci]|php|pif|ps1|py|reg|sc[fr]|sh|shtml"
    r"|svgz?|swf|url|vb[es]?|ws[fh]|xht(ml)?|xml|xsl)$",
    re.IGNORECASE,
)
"""Endings that make a machine run what is opened, whatever is in it."""

_ENDINGS: Final = {
    TEXT: "txt",
    "image/jpeg": "jpg",
    "image/png": "png",
    "application/pdf": "pdf",
    "application/zip": "zip",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file is: its type, and a name that is safe to show and to save under."""

    media_type: str
    name: str | None


def look(body: bytes, name: str | None, *, kind: str = "file") -> Looked:
    """What a file is.

    Raises:
        Malformed: it is empty, too large, a program, or nothing of this kind.
    """
    if not body:
        raise Malformed("the file is empty", field="body")
    if len(body) > MEDIA_BYTES_MAX:
        raise Malformed(f"a file may have at most {MEDIA_BYTES_MAX} bytes", field="body")
    media_type = type_of(body)
    if body.startswith(_PROGRAMS):
        raise Malformed("programs are not taken", field="body")
    if not media_type.startswith(KINDS[kind]):
        raise Malformed(f"this is no {kind}, but {media_type}", field="body")
    return Looked(media_type, _harmless(clean_name(name), media_type))


def type_of(body: bytes) -> str:
    """The type that the first bytes show; of what is none that is known: text, or bytes."""
    for place, signature, media_type in _SIGNATURES:
        if body.startswith(signature, place) and (media_type != "audio/wav" or body.startswith(b"RIFF")):
            return media_type
    head = body[:LOOKED_AT]
    if any(each < 9 or 13 < each < 32 for each in head):  # noqa: PLR2004  # control characters that no text has
        return UNKNOWN
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if len(head) < LOOKED_AT or error.start < LOOKED_AT - 4:
            return UNKNOWN
    return TEXT


def _harmless(name: str | None, media_type: str) -> str | None:
    """A name under which the file is opened as what it is: `page.html` that is text becomes `page.html.txt`."""
    if name is None or not _RUN.search(name):
        return name
    ending = "." + _ENDINGS.get(media_type, "bin")
    return name[-(NAME_CHARS_MAX - len(ending)) :] + ending


def clean_name(name: str | None) -> str | None:
    """A name without path, control characters and other tricks; None where nothing is left of it."""
    if name is None:
        return None
    last = re.split(r"[/\\]", name)[-1]
    cleaned = _UNFIT.sub("_", last).strip(" .")[-NAME_CHARS_MAX:]
    return cleaned.encode("utf-8", "replace").decode() or None
