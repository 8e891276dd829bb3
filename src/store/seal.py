"""Secrets at rest: sealed with the service's key before they reach a table, opened only to be used."""

import base64
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken

from src.errors import StartupError


class Sealer:
    """Seals short texts with a key derived from the service's secret (any text; Fernet: AES-128-CBC with HMAC)."""

    def __init__(self, secret: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(sha256(b"cordboard sealing " + secret.encode()).digest()))

    def seal(self, text: str) -> str:
        """The sealed form, safe to store."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text again.

        Raises:
            StartupError: sealed with another key.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise StartupError(
                "CORDBOARD_SECRET_KEY is not the key that the stored secrets were sealed with"
            ) from error
