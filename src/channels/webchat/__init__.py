"""Webchat: the one channel whose other end is ours too, a visitor's browser. It does no I/O and keeps nothing.

`site` reads an account's settings and the answers to its form, `signed` checks what a website says of its users,
`tokens` are what visitors come with, `files` looks at what they send. The requests and sockets themselves are served
by `api/webchat`; how they speak is written down in `docs/webchat.md`.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from src.channels.base import Account, Outbound, Reach, Sent
from src.channels.webchat.signed import KEY_CHARS_MIN, Claim, user_of
from src.channels.webchat.site import site_of
from src.dispatch.inbound import Identity
from src.errors import Malformed

SECRET_CHARS_MAX: Final = 256

_SECRETS: Final = frozenset({"identity_key", "previous_identity_key", "directline_secret"})


class Webchat:
    """Websites with a chat.

    Settings: see `site`. Secrets: `identity_key` (the website signs its users with it), `previous_identity_key` (still
    accepted while keys are changed), `directline_secret` (a Direct Line client's, to begin conversations with).
    """

    name: ClassVar[str] = "webchat"

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """See `Channel.check`."""
        site = site_of(settings)
        for name, value in secrets.items():
            if name not in _SECRETS:
                raise Malformed("webchat accounts have no such secret", field=f"secrets.{name}")
            if not isinstance(value, str) or not value.isascii() or not value.isprintable():
                raise Malformed(f"{name} must be printable ASCII characters", field=f"secrets.{name}")
            if not KEY_CHARS_MIN <= len(value) <= SECRET_CHARS_MAX:
                wanted = f"{KEY_CHARS_MIN} to {SECRET_CHARS_MAX} characters"
                raise Malformed(f"{name} must have {wanted}", field=f"secrets.{name}")
        if "previous_identity_key" in secrets and "identity_key" not in secrets:
            raise Malformed("there is a previous key but no current one", field="secrets.identity_key")
        if site.signed_only and "identity_key" not in secrets:
            raise Malformed("only signed visitors may come, and there is no key", field="secrets.identity_key")

    def admit(self, claim: Claim | None, account: Account, visitor_id: str, now_ms: int) -> Identity:
        """See `Hosts.admit`."""
        if claim is not None:
            return user_of(claim, account.secrets, now_ms)
        if site_of(account.settings).signed_only:
            raise Malformed("this website's visitors must be signed in", field="identity")
        return Identity("visitor", visitor_id)

    async def send(self, message: Outbound, account: Account, reach: Reach) -> Sent:  # noqa: ARG002  # nobody is called
        """See `Sends.send`. What is stored is kept for the visitor, whose browser says when it has it."""
        return Sent()


CHANNEL: Final = Webchat()
