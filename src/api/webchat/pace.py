"""How much one visitor may ask for: a bucket for each in the memory of this process, and so many of them at most."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from src.dispatch.ports import Clock
from src.errors import TooFast

MESSAGES_BURST: Final = 20
MESSAGES_PER_S: Final = 0.5
FRAMES_BURST: Final = 60
FRAMES_PER_S: Final = 5.0
FILES_BURST: Final = 5
FILES_PER_S: Final = 1 / 60
ACCOUNT_FILES_BURST: Final = 200
ACCOUNT_FILES_PER_S: Final = 2.0
"""Of all visitors of an account together: strangers can come as many."""
LOOKS_BURST: Final = 20
LOOKS_PER_S: Final = 0.5
VISITORS_MAX: Final = 20_000
"""So many visitors are remembered; those who have been quiet for longest are forgotten first."""

Key = tuple[str, ...]


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


class Pace:
    """Buckets of one kind: `burst` at once, and `per_s` a second in the long run."""

    def __init__(self, clock: Clock, burst: int, per_s: float) -> None:
        self._clock, self._burst, self._per_s = clock, burst, per_s
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()

    def take(self, key: Key) -> None:
        """Take one.

        Raises:
            TooFast: there is none left; it says when there is one.
        """
        now_s = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(self._burst), now_s)
            if len(self._buckets) > VISITORS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.left = min(self._burst, bucket.left + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.left < 1:
            raise TooFast("that is too much at once", retry_after_s=max(1, round((1 - bucket.left) / self._per_s)))
        bucket.left -= 1


class Paces:
    """What is counted of each visitor."""

    def __init__(self, clock: Clock) -> None:
        self.messages = Pace(clock, MESSAGES_BURST, MESSAGES_PER_S)
        self.frames = Pace(clock, FRAMES_BURST, FRAMES_PER_S)
        self.files = Pace(clock, FILES_BURST, FILES_PER_S)
        self.looks = Pace(clock, LOOKS_BURST, LOOKS_PER_S)  # at one progress link
        self.account_files = Pace(clock, ACCOUNT_FILES_BURST, ACCOUNT_FILES_PER_S)
