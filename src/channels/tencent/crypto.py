"""Signatures and message encryption of WeChat and WeCom. Knows bytes and keys; must not know what a message says.

The scheme, from developers.weixin.qq.com/doc/subscription/guide/dev/push/encryption.md:

    signature  = hex SHA-1 of the concatenation of the sorted parts
    key        = base64 of EncodingAESKey + "=", 32 bytes; the initialisation vector is its first 16
    plaintext  = 16 random bytes, length of the message (4 bytes, big endian), message, receiver id
    ciphertext = base64 of AES-256-CBC of the plaintext, padded by PKCS #7 to a multiple of 32

The receiver id is the app id for an Official Account (and the corp id for WeCom, which uses the same scheme).
"""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from hmac import compare_digest
from typing import Final
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from src.errors import BadSignature, Malformed

ENCODING_AES_KEY_CHARS: Final = 43
RANDOM_BYTES: Final = 16

_IV_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_PAD_BYTES_MAX: Final = 32
_FRAME_BYTES: Final = RANDOM_BYTES + _LENGTH_BYTES


@dataclass(frozen=True, slots=True)
class Opened:
    """A decrypted message, and the number of the key (in the order given) that opened it: the answer takes the same."""

    message: bytes
    key_index: int


def signature_of(*parts: str) -> str:
    """The signature over a token and whatever goes with it, in any order: 40 lower-case hexadecimal digits."""
    joined = "".join(sorted(parts)).encode("utf-8", "surrogatepass")
    return sha1(joined, usedforsecurity=False).hexdigest()


def verify(given: str | None, *parts: str | None) -> None:
    """Compare a signature in constant time.

    Raises:
        BadSignature: it does not fit, or something that it should cover is missing.
    """
    present = [part for part in parts if part]
    if not given or len(present) != len(parts):
        raise BadSignature("the signature, or something that it should cover, is missing")
    if not compare_digest(signature_of(*present).encode(), given.encode("utf-8", "surrogatepass")):
        raise BadSignature("the signature does not fit")


def key_of(encoding_aes_key: str) -> bytes:
    """The 32 bytes that an EncodingAESKey stands for.

    Raises:
        Malformed: it is not 43 characters of base64.
    """
    if len(encoding_aes_key) != ENCODING_AES_KEY_CHARS:
        raise Malformed(f"an EncodingAESKey has {ENCODING_AES_KEY_CHARS} characters")
    return _from_base64(encoding_aes_key + "=", "an EncodingAESKey")


def decrypt(ciphertext: str, keys: Sequence[bytes], receiver: str) -> Opened:
    """Decrypt with the first key that fits. `receiver` is the id that the message must be meant for.

    Call it only after the signature was verified: otherwise its answers tell a stranger about the padding.

    Raises:
        Malformed: this cannot be a ciphertext: no base64, or no whole number of blocks.
        BadSignature: none of the keys opens it, or it is meant for somebody else.
    """
    encrypted = _from_base64(ciphertext, "Encrypt")
    if not encrypted or len(encrypted) % _PAD_BYTES_MAX:
        raise Malformed(f"Encrypt is not a whole number of {_PAD_BYTES_MAX}-byte blocks")
    for index, key in enumerate(keys):
        message = _opened(encrypted, key, receiver.encode())
        if message is not None:
            return Opened(message, index)
    raise BadSignature("the message is not encrypted with this account's key, or is meant for another app")


def encrypt(message: bytes, key: bytes, receiver: str, random16: bytes) -> str:
    """Encrypt a message to `receiver`; `random16` are 16 fresh random bytes."""
    assert len(random16) == RANDOM_BYTES, "the message begins with 16 random bytes"
    plain = random16 + len(message).to_bytes(_LENGTH_BYTES) + message + receiver.encode()
    pad_bytes = _PAD_BYTES_MAX - len(plain) % _PAD_BYTES_MAX
    encryptor = _cipher(key).encryptor()
    return b64encode(encryptor.update(plain + bytes([pad_bytes]) * pad_bytes) + encryptor.finalize()).decode()


@dataclass(frozen=True, slots=True)
class ReplyEnvelope:
    """What surrounds an encrypted passive reply. `timestamp_s` counts from the epoch; `nonce` is ours to choose.

    The plain answers `success` and the empty one are never encrypted.
    """

    token: str
    receiver: str
    timestamp_s: int
    nonce: str


def encrypt_reply(message: bytes, key: bytes, random16: bytes, envelope: ReplyEnvelope, *, as_json: bool) -> bytes:
    """A passive reply as WeChat wants it: encrypted, signed, in XML or JSON like the push that it answers.

    `key` is the one that opened the push (`Opened.key_index`).
    """
    encrypted = encrypt(message, key, envelope.receiver, random16)
    timestamp = str(envelope.timestamp_s)
    signature = signature_of(envelope.token, timestamp, envelope.nonce, encrypted)
    if as_json:
        fields = {
            "Encrypt": encrypted,
            "MsgSignature": signature,
            "TimeStamp": envelope.timestamp_s,
            "Nonce": envelope.nonce,
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return (
        f"<xml><Encrypt>{encrypted}</Encrypt><MsgSignature>{signature}</MsgSignature>"
        f"<TimeStamp>{timestamp}</TimeStamp><Nonce>{escape(envelope.nonce)}</Nonce></xml>"
    ).encode()


def _opened(encrypted: bytes, key: bytes, receiver: bytes) -> bytes | None:
    """The message inside, or None if padding, length and receiver don't all fit: then the key is another one."""
    decryptor = _cipher(key).decryptor()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    pad_bytes = padded[-1]
    plain = padded[:-pad_bytes]
    pad_fits = 1 <= pad_bytes <= _PAD_BYTES_MAX and padded.endswith(bytes([pad_bytes]) * pad_bytes)
    if not pad_fits or len(plain) < _FRAME_BYTES:
        return None
    end = _FRAME_BYTES + int.from_bytes(plain[RANDOM_BYTES:_FRAME_BYTES])
    if end > len(plain) or not compare_digest(plain[end:], receiver):
        return None
    return plain[_FRAME_BYTES:end]


def _cipher(key: bytes) -> Cipher[CBC]:
    return Cipher(AES(key), CBC(key[:_IV_BYTES]))


def _from_base64(text: str, what: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{what} is not base64") from error
