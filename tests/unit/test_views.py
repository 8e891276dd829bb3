"""How values look from outside."""

import pytest

from src.delivery.views import rfc3339


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, None),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (-62_135_596_800_001, None),
        (-(2**62), None),
        (2**53 - 1, None),
        (None, None),
    ],
)
def test_a_time_is_shown_wherever_there_is_a_date_for_it(at: int | None, shown: str | None) -> None:
    assert shown == rfc3339(at)
