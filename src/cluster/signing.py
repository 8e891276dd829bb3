"""What shows that an order and its answer come from processes of the same service, for this process and only once.

A request's signature is over head and digest of its body, so that a stranger is turned away before the body is taken
in. It names both processes and bears a number, which the one that is asked takes once: no clock is needed for that, and
clocks may be wrong. A process has a new name each time it starts, so nothing of one life is good in another. An answer
is signed for the request that it answers.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

MAC: Final = b"x-cordboard-mac"
SENDER: Final = b"x-cordboard-process"
NUMBER: Final = b"x-cordboard-number"
DIGEST: Final = b"x-cordboard-digest"

WINDOW: Final = 4096
"""Numbers may come in another order than they were given, by so many; older ones are taken for repeats."""

NUMBER_DIGITS_MAX: Final = 15


@dataclass(frozen=True, slots=True)
class Head:
    """What is signed of a request, as it stands in its headers. `digest` is of the body (SHA-256, hex)."""

    sender: str
    number: int
    digest: str
    mac: str = ""

    @classmethod
    def read(cls, headers: dict[bytes, bytes]) -> Self | None:
        """As it came; None: it is not all there."""
        try:
            sender, digest, mac = (headers[each].decode("ascii") for each in (SENDER, DIGEST, MAC))
            number = headers[NUMBER].decode("ascii")
        except (KeyError, UnicodeDecodeError):
            return None
        if not number.isdigit() or len(number) > NUMBER_DIGITS_MAX:
            return None
        return cls(sender, int(number), digest, mac)

    def headers(self) -> dict[str, str]:
        """As it travels."""
        found = {SENDER: self.sender, NUMBER: str(self.number), DIGEST: self.digest, MAC: self.mac}
        return {name.decode("ascii"): value for name, value in found.items()}


class Signer:
    """Signs and checks with a key that is derived from the service's secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"cordboard internal 2", sha256)

    def request(self, sender: str, receiver: str, number: int, body: bytes) -> Head:
        """The signed head of a request."""
        head = Head(sender, number, sha256(body).hexdigest())
        return Head(sender, number, head.digest, self._request(head, receiver))

    def knows(self, head: Head, receiver: str) -> bool:
        """Whether a request comes from a process of this service, and is meant for this one."""
        return hmac.compare_digest(head.mac.encode(), self._request(head, receiver).encode())

    def answer(self, head: Head, body: bytes) -> str:
        """The signature of the answer to a request (hex)."""
        return self._mac("answer", head.mac, sha256(body).hexdigest())

    def answers(self, head: Head, body: bytes, mac: str) -> bool:
        """Whether this is the answer to a request."""
        return hmac.compare_digest(mac.encode(), self.answer(head, body).encode())

    def _request(self, head: Head, receiver: str) -> str:
        return self._mac("request", head.sender, receiver, str(head.number), head.digest)

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, "\n".join(parts).encode(), sha256).hexdigest()


class Once:
    """The numbers that each process has used: a number is taken once. It costs some 600 bytes for each process."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def takes(self, sender: str, number: int) -> bool:
        """Whether the number is new; from now on it is not."""
        newest, bits = self._seen.get(sender, (0, 0))
        if number > newest:
            bits = (bits << (number - newest) if number - newest < WINDOW else 0) | 1
            self._seen[sender] = (number, bits & _ALL)
            return True
        place = newest - number
        if place >= WINDOW or bits >> place & 1:
            return False
        self._seen[sender] = (newest, bits | 1 << place)
        return True


_ALL: Final = (1 << WINDOW) - 1
