"""How much one visitor may ask for: a bucket for each in the memory of this process, and so many of them at most."""

from typing import Final

from src.api.buckets import Buckets
from src.dispatch.ports import Clock
from src.errors import TooFast

MESSAGES_BURST: Final = 20
MESSAGES_PER_S: Final = 0.5
FRAMES_BURST: Final = 60
FRAMES_PER_S: Final = 5.0
READS_BURST: Final = 120
READS_PER_S: Final = 10.0
FILES_BURST: Final = 5
FILES_PER_S: Final = 1 / 60
ACCOUNT_FILES_BURST: Final = 200
ACCOUNT_FILES_PER_S: Final = 2.0
"""Of all visitors of an account together: strangers can come as many."""
LOOKS_BURST: Final = 20
LOOKS_PER_S: Final = 0.5
VISITORS_MAX: Final = 20_000
"""So many visitors are remembered; those who have been quiet for longest are forgotten first."""


class Pace:
    """Buckets of one kind: `burst` at once, and `per_s` a second in the long run."""

    def __init__(self, clock: Clock, burst: int, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._buckets = Buckets(clock, VISITORS_MAX)

    def take(self, key: tuple[str, ...]) -> None:
        """Take one.

        Raises:
            TooFast: there is none left; it says when there is one.
        """
        left = self._buckets.take(key, self._burst, self._per_s)
        if left < 0:
            raise TooFast("that is too much at once", retry_after_s=max(1, round(-left / self._per_s)))


class Paces:
    """What is counted of each visitor."""

    def __init__(self, clock: Clock) -> None:
        self.messages = Pace(clock, MESSAGES_BURST, MESSAGES_PER_S)
        self.frames = Pace(clock, FRAMES_BURST, FRAMES_PER_S)
        self.reads = Pace(clock, READS_BURST, READS_PER_S)
        self.files = Pace(clock, FILES_BURST, FILES_PER_S)
        self.looks = Pace(clock, LOOKS_BURST, LOOKS_PER_S)  # at one progress link
        self.account_files = Pace(clock, ACCOUNT_FILES_BURST, ACCOUNT_FILES_PER_S)
