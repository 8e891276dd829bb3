"""What the settings and secrets of voice accounts have in common, whichever telephone system they are of."""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

import phonenumbers

from src.errors import Malformed

SETTING_CHARS_MAX: Final = 256


def check_strings(where: str, given: Mapping[str, object], *, known: frozenset[str], needed: Collection[str]) -> None:
    """Look at names and values of `settings` or `secrets`.

    Raises:
        Malformed: one is unknown, missing, or no short printable text; `field` names it.
    """
    for name, value in given.items():
        if name not in known:
            raise Malformed(f"voice accounts of this kind have no such {where}", field=f"{where}.{name}")
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= SETTING_CHARS_MAX:
            raise Malformed(f"{name} must be 1 to {SETTING_CHARS_MAX} printable characters", field=f"{where}.{name}")
    for name in needed:
        if name not in given:
            raise Malformed(f"{name} is missing", field=f"{where}.{name}")


def check_calls(settings: Mapping[str, object], phones: str) -> None:
    """Look at what all systems have: `default_region`, `phones` (else as given here), `trunk`, `ring`.

    Raises:
        Malformed: one is unusable.
    """
    if settings.get("default_region", "CN") not in phonenumbers.SUPPORTED_REGIONS:
        raise Malformed("default_region must be an ISO 3166 code, such as CN", field="settings.default_region")
    if "{phone}" not in str(settings.get("phones", phones)):
        raise Malformed("phones must say where the agent's telephone goes: {phone}", field="settings.phones")
    if "{number}" not in str(settings.get("trunk", "{number}")):
        raise Malformed("trunk must say where the customer's number goes: {number}", field="settings.trunk")
    if settings.get("ring", "offer") not in ("offer", "accept"):
        raise Malformed("ring must be offer or accept", field="settings.ring")


def check_url(settings: Mapping[str, object], name: str) -> None:
    """Look at an address over http or https, if it is there.

    Raises:
        Malformed: it is none, or holds a credential, a query or a fragment.
    """
    if name not in settings:
        return
    try:
        parts = urlsplit(str(settings[name]))
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise Malformed(f"{name} must be an http or https address without a query", field=f"settings.{name}")
