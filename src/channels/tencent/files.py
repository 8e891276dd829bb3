"""Files on their way to WeChat and WeCom, and from there."""

import re
from hashlib import sha256
from typing import Final

from src.channels.base import Answered, Media

EXTENSIONS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "audio/amr": "amr",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
}
"""What is read off the name of a file."""


def is_file_refused(answer: Answered) -> bool:
    """Whether an answer is no file: errors are said to be `text/plain`, too."""
    kind = answer.headers.get("content-type", "")
    return "json" in kind or "text/plain" in kind or answer.status >= 300  # noqa: PLR2004  # HTTP


def file_name(answer: Answered) -> str | None:
    """What the file is called, if that is said."""
    found = re.search(r'filename="?([^";]{1,256})"?', answer.headers.get("content-disposition", ""))
    return None if found is None else found[1]


def form_of_file(media: Media) -> tuple[bytes, str]:
    """A file as the form that WeChat takes, and the type of that. The name says the type alone: it is not shown."""
    boundary = sha256(media.body).hexdigest()
    name = f"file.{EXTENSIONS.get(media.media_type, 'bin')}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="media"; filename="{name}"\r\n'
        f"Content-Type: {media.media_type}\r\n\r\n"
    )
    return b"".join(
        (head.encode(), media.body, f"\r\n--{boundary}--\r\n".encode())
    ), f"multipart/form-data; boundary={boundary}"
