"""Whom the service believes when it calls others over TLS."""

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    """The authorities of the system, or of `SSL_CERT_FILE`; read once, for that takes a tenth of a second."""
    return ssl.create_default_context()
