"""Secrets at rest: sealed with the service's key before they reach a table, opened only to be used."""

import base64
from collections.abc import Sequence
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from src.errors import StartupError


class Sealer:
    """Seals short texts with a key derived from the service's secret (any text; Fernet: AES-128-CBC with HMAC).

    `previous` are secrets from before: what was sealed with them is still opened, nothing new is sealed with them.
    """

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        self._fernet = MultiFernet([_fernet(each) for each in (secret, *previous)])

    def seal(self, text: str) -> str:
        """The sealed form, safe to store."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text again.

        Raises:
            StartupError: sealed with a key that is not known.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise StartupError(
                "CORDBOARD_SECRET_KEY is not the key that the stored secrets were sealed with"
            ) from error


def _fernet(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(sha256(b"cordboard sealing " + secret.encode()).digest()))
