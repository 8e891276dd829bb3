"""What a client may hear instead of an answer."""

from typing import Any, Final

_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class ClientError(Exception):
    """Everything that this client raises of its own."""


class NoAnswer(ClientError):
    """No answer came: the service is not there, or the connection broke. Whether it did what was asked is unknown."""


class Silent(NoAnswer):
    """The connection is there, and no reply came over it in all the time that one may take."""


class Declined(ClientError):
    """The service refused. `code` is the problem's stable word, `problem` the whole problem document.

    `retry_after_s` is the service's advice when to come again, in seconds.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        retry_after_s: float | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.problem = problem or {}

    @property
    def passing(self) -> bool:
        """Whether the same may be asked again later."""
        return self.status == _TOO_MANY or self.status >= _SERVER_ERROR


class Replaced(ClientError):
    """Another desktop of the same agent has taken over. This one must not connect again of its own accord."""
