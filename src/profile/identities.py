"""Identities: one normal form for each address of a customer. Must not know where identities are kept.

A strong identity is proven by its channel (WeChat vouches for an openid, the telephone network for a number); a weak
one was typed in. Only strong ones tie a contact to a customer without asking.
"""

from dataclasses import dataclass
from typing import Final

import phonenumbers

from src.errors import Malformed

VALUE_CHARS_MAX: Final = 256

WEAK_TYPES: Final = frozenset({"email"})
"""Types that a person typed in: they only suggest. All others a channel or a gateway vouches for."""


ACCOUNT_TYPES: Final = frozenset({"sip_user", "call", "web_user"})
"""Types whose values mean something only at one telephone system or website: 1001 is another person at the next."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One address of a customer, in normal form once it has passed `normalised`.

    `type` is a word such as `phone`, `wechat_openid` or a gateway's own; `value` the address. `display_name` is what
    the channel calls the person, if it says.
    """

    type: str
    value: str
    display_name: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same identity when it is seen again."""
        return (self.type, self.value)

    @property
    def strong(self) -> bool:
        """Whether it ties a contact to a customer without asking."""
        return self.type not in WEAK_TYPES


def normalised(identity: Identity, *, account: str = "", default_region: str | None = None) -> Identity:
    """The one form under which an identity is stored and found again.

    Phone numbers become E.164 (`default_region`, an ISO 3166 code, reads national ones); others are stripped of
    surrounding white space; e-mail is lower-cased; what means something only at one account is put apart by `account`.

    Raises:
        Malformed: a value that is empty or too long, or a phone number that is none.
    """
    value = identity.value.strip()
    if not value or len(value) > VALUE_CHARS_MAX:
        raise Malformed(f"identity.value must have 1 to {VALUE_CHARS_MAX} characters", field="identity.value")
    if identity.type == "phone":
        value = _e164(value, default_region)
    elif identity.type == "email":
        value = value.lower()
    elif identity.type in ACCOUNT_TYPES and account:
        value = f"{value}@{account}"
    return Identity(identity.type, value, identity.display_name)


def _e164(value: str, default_region: str | None) -> str:
    try:
        number = phonenumbers.parse(value, default_region)
    except phonenumbers.NumberParseException as error:
        raise Malformed("identity.value is not a phone number", field="identity.value") from error
    if not phonenumbers.is_possible_number(number):
        raise Malformed("identity.value is not a phone number", field="identity.value")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
