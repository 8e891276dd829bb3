"""Identities: one normal form for each address of a customer. Must not know where identities are kept.

A strong identity is proven by its channel (WeChat vouches for an openid, the telephone network for a number, a website
for whom it signs); a weak one was typed in. Only strong ones tie a contact to a customer without asking. What a contact
came by is proven by its channel; of what is said beside it, or on a website, only what no person can type in.

| type | what it is | it means one person | a person has |
|---|---|---|---|
| `wechat_openid` | who it is to one account (app) of WeChat | everywhere | one for each account |
| `wechat_unionid` | who it is to all apps of one open platform account | everywhere | one for each of those |
| `wecom_external_userid` | who it is to a company on WeCom | everywhere | one for each company |
| `web_user` | whom a website signs for | at its account | one for each account |
| `external_id` | who it is to the gateway: its own number of the customer | at its account | one for each account |
| `visitor`, `sip_user`, `call` | a browser, a telephone's user, a call without a number | at its account | several |
| `phone` | E.164; strong where a contact came by it, but on websites | everywhere | several |
| `email` | weak, unless whoever hands it in says that it is proven | everywhere | several |
| any other word | a gateway's own; strong where a contact came by it | everywhere | several |

Whoever hands one in may name its `scope` in place of the account: a company, an open platform account, several accounts
with the same numbers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import phonenumbers

from src.errors import Malformed

VALUE_CHARS_MAX: Final = 256

WEAK_TYPES: Final = frozenset({"email"})
"""Types that a person typed in unless somebody says otherwise: they only suggest."""


ACCOUNT_TYPES: Final = frozenset({"sip_user", "call", "web_user"})
"""Types whose values mean something only at one telephone system or website: 1001 is another person at the next."""

PLACED_TYPES: Final = frozenset({"external_id", "visitor"})
"""The same, but the value stays as the gateway knows it: only what it is found by holds the place."""

VOUCHED_TYPES: Final = frozenset(
    {
        "wechat_openid",
        "wechat_unionid",
        "wecom_external_userid",
        "web_user",
        "external_id",
        "visitor",
        "sip_user",
        "call",
    }
)
"""Types that no person types in: systems make them."""

SINGLE_TYPES: Final = frozenset({"wechat_openid", "wechat_unionid", "wecom_external_userid", "web_user", "external_id"})
"""Types of which a person has one, in one scope: two that differ are two persons, as far as anybody can tell."""

SCOPED_TYPES: Final = SINGLE_TYPES | PLACED_TYPES
"""Types that have a scope: the account, where nobody names another."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
TOKEN_TYPES: Final = frozenset({"wechat_openid", "wechat_unionid", "wecom_external_userid"})
"""Types whose values are WeChat's own, and tell nobody anything."""

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """One address of a customer, in normal form once it has passed `normalised`.

    `type` is a word such as `phone`, `wechat_openid` or a gateway's own; `value` the address. `display_name` is what
    the channel calls the person, if it says. `proven`: somebody vouches for it, or nobody does; None: as its type has
    it. `scope` is where a person has only one of it, or where it means that person: the account, or what whoever handed
    it in named; empty if that is not known or has no meaning.
    """

    type: str
    value: str
    display_name: str | None = None
    proven: bool | None = None
    scope: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same identity when it is seen again."""
        placed = self.type in PLACED_TYPES and self.scope
        return (self.type, f"{self.value}@{self.scope}" if placed else self.value)

    @property
    def strong(self) -> bool:
        """Whether it ties a contact to a customer without asking."""
        return self.type not in WEAK_TYPES if self.proven is None else self.proven


def normalised(
    identity: Identity, *, account: str = "", default_region: str | None = None, vouched: bool = True
) -> Identity:
    """The one form under which an identity is stored and found again.

    `vouched` false: nobody but a person says so, so it is weak where its type is one that a person can type in.

    Phone numbers become E.164 (`default_region`, an ISO 3166 code, reads national ones), and an extension follows as
    `;ext=5`, since another one is somebody else; others are stripped of
    surrounding white space; e-mail is lower-cased; what means something only at one account is put apart by `account`.

    Raises:
        Malformed: a value that is empty or too long, a phone number that is none, an e-mail address without its `@`, an
            id of WeChat or WeCom with characters that none has.
    """
    value = identity.value.strip()
    if not value or len(value) > VALUE_CHARS_MAX:
        raise Malformed(f"identity.value must have 1 to {VALUE_CHARS_MAX} characters", field="identity.value")
    if identity.type == "phone":
        value = _e164(value, default_region)
    elif identity.type == "email":
        if _EMAIL.fullmatch(value) is None:
            raise Malformed("identity.value is not an e-mail address", field="identity.value")
        value = value.lower()
    elif identity.type in TOKEN_TYPES and _TOKEN.fullmatch(value) is None:
        raise Malformed(f"identity.value is not a {identity.type}", field="identity.value")
    scope = identity.scope or account
    if identity.type in ACCOUNT_TYPES and scope:
        value = f"{value}@{scope}"
    proven = identity.proven
    if proven is None and not vouched and identity.type not in VOUCHED_TYPES:
        proven = False
    return Identity(identity.type, value, identity.display_name, proven, scope if identity.type in SCOPED_TYPES else "")


def disagreement(some: Iterable[tuple[str, str, str]], others: Iterable[tuple[str, str, str]]) -> str | None:
    """The type, in order of name, of which two persons hold different identities though one person has only one.

    Both are the strong identities of a person, each as type, value and scope. None: they may be the same person.
    """
    held: dict[tuple[str, str], set[str]] = {}
    for kind, value, scope in some:
        if _tells_apart(kind, scope):
            held.setdefault((kind, scope), set()).add(value)
    found = [kind for kind, value, scope in others if value not in held.get((kind, scope), (value,))]
    return min(found, default=None)


def _tells_apart(kind: str, scope: str) -> bool:
    """An id of WeChat of which nobody said to whom it belongs tells nothing."""
    return kind in SINGLE_TYPES and (bool(scope) or kind not in TOKEN_TYPES)


def plain(value: str, scope: str) -> str:
    """The value of an identity as its account knows it, of the one that it is found by."""
    return value.removesuffix(f"@{scope}") if scope else value


def needs_region(identity: Identity) -> bool:
    """Whether its normal form depends on where it is read: it is a telephone number, and has no country code."""
    if identity.type != "phone":
        return False
    try:
        phonenumbers.parse(identity.value.strip(), None)
    except phonenumbers.NumberParseException:
        return True
    return False


def _e164(value: str, default_region: str | None) -> str:
    try:
        number = phonenumbers.parse(value, default_region)
    except phonenumbers.NumberParseException as error:
        raise Malformed("identity.value is not a phone number", field="identity.value") from error
    if not phonenumbers.is_possible_number(number):
        raise Malformed("identity.value is not a phone number", field="identity.value")
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{written};ext={number.extension}" if number.extension else written
