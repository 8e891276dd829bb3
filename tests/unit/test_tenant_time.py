"""A tenant's time never stands still, whatever is done to clocks."""

from itertools import pairwise

from src.dispatch.clock import TenantTime

HOUR_MS = 3_600_000


class Hand:
    """Two clocks that are set by hand."""

    def __init__(self) -> None:
        self.wall_ms = 1_700_000_000_000
        self.at_s = 5.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.at_s

    def pass_s(self, seconds: float) -> None:
        self.wall_ms += int(seconds * 1000)
        self.at_s += seconds


def test_it_is_the_wall_clocks_time_and_follows_it_ahead() -> None:
    hand = Hand()
    time = TenantTime(hand)
    time.not_before(hand.wall_ms - 10)
    assert hand.wall_ms == time.now_ms()
    hand.pass_s(10)
    assert hand.wall_ms == time.now_ms()
    hand.wall_ms += HOUR_MS
    assert hand.wall_ms == time.now_ms()


def test_where_the_clock_is_put_back_it_goes_on_and_is_caught_up_with() -> None:
    hand = Hand()
    time = TenantTime(hand)
    before = time.now_ms()
    hand.wall_ms -= 60_000
    assert before == time.now_ms()
    seen = [before]
    for _ in range(700):
        hand.pass_s(1)
        seen.append(time.now_ms())
    assert all(later - earlier >= 900 for earlier, later in pairwise(seen))
    assert hand.wall_ms == seen[-1]


def test_it_begins_where_the_journal_ends() -> None:
    hand = Hand()
    time = TenantTime(hand)
    time.not_before(hand.wall_ms + HOUR_MS)
    assert hand.wall_ms + HOUR_MS == time.now_ms()
    hand.pass_s(10)
    assert 9_000 <= time.now_ms() - (hand.wall_ms - 10_000 + HOUR_MS) <= 10_000
