"""Links to a customer's progress: signed by the service, kept nowhere, short enough for a text message."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final
from uuid import UUID

from src.errors import Gone, Malformed, NotFound

LINK_CHARS: Final = 76

_FIELDS: Final = Struct(">B16s16sII")
_VERSION: Final = 1
_MAC_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Link:
    """What a link opens: how one contact stands and, with `all_open`, whatever else is open of the same customer.

    Times are seconds since the epoch.
    """

    tenant: str
    contact_id: str
    all_open: bool
    made_at_s: int
    expires_at_s: int


class ProgressLinks:
    """Makes and reads links. `secrets` are the service's own: the first signs, the others are still read."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [hmac.digest(each.encode(), b"cordboard progress", "sha256") for each in secrets]

    def make(self, link: Link) -> str:
        """The link, safe in a URL.

        Raises:
            Malformed: a contact's id that this service did not make.
        """
        try:
            tenant, contact = UUID(link.tenant).bytes, UUID(link.contact_id).bytes
        except ValueError as error:
            raise Malformed("a link can be made for ids of this service only") from error
        kind = _VERSION << 1 | link.all_open
        said = _FIELDS.pack(kind, tenant, contact, link.made_at_s, link.expires_at_s)
        return base64.urlsafe_b64encode(said + _mac(self._keys[0], said)).decode()

    def read(self, text: str, now_ms: int) -> Link:
        """What a link opens.

        Raises:
            NotFound: it is none of ours.
            Gone: it is over.
        """
        try:
            found = base64.urlsafe_b64decode(text) if len(text) == LINK_CHARS and text.isascii() else b""
        except (binascii.Error, ValueError):
            found = b""
        said, mac = found[: _FIELDS.size], found[_FIELDS.size :]
        if len(said) < _FIELDS.size or not any(hmac.compare_digest(mac, _mac(each, said)) for each in self._keys):
            raise NotFound("there is no such link")
        kind, tenant, contact, made_at_s, expires_at_s = _FIELDS.unpack(said)
        if kind >> 1 != _VERSION:
            raise NotFound("there is no such link")
        if expires_at_s * 1000 <= now_ms:
            raise Gone("the link is over")
        return Link(str(UUID(bytes=tenant)), str(UUID(bytes=contact)), bool(kind & 1), made_at_s, expires_at_s)


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")[:_MAC_BYTES]
