"""Token buckets in the memory of this process, and so many of them at most."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from src.dispatch.ports import Clock


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


class Buckets:
    """A bucket for each key. Those that have been quiet for longest are forgotten first: they are full."""

    def __init__(self, clock: Clock, buckets_max: int) -> None:
        self._clock, self._max = clock, buckets_max
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def take(self, key: Hashable, burst: int, per_s: float) -> float:
        """Take one of `burst` at once, which come back at `per_s` a second; returns how many are left.

        Less than 0: there was none to take; so much is missing from one.
        """
        now_s = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(burst), now_s)
            if len(self._buckets) > self._max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        left = min(burst, bucket.left + (now_s - bucket.at_s) * per_s)
        bucket.at_s = now_s
        bucket.left = left if left < 1 else left - 1
        return left - 1
