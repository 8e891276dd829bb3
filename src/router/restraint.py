"""When a customer may be turned to unasked: quiet hours, and how often. Pure: the moment is given.

Times are milliseconds since the epoch. Quiet hours are those in which `hours.is_open` says yes of them. Where both the
hours of a queue and quiet hours count, None stands for hours that limit nothing.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from src.router import hours
from src.router.model import Hours, Restraint

_HORIZON_MS: Final = hours.HORIZON_DAYS * hours.MINUTES_PER_DAY * 60_000


class Hold(NamedTuple):
    """Why a customer is left in peace now, and when it may be turned to; None: not as far as can be seen."""

    reason: Literal["quiet_hours", "too_many_outreaches"]
    until: int | None


def is_quiet(quiet: Hours | None, at: int) -> bool:
    """Whether it is quiet at a moment."""
    return quiet is not None and hours.is_open(quiet, at)


def next_opening(opens: Hours | None, quiet: Hours | None, at: int) -> int | None:
    """The first moment, from this one on, that is open and not quiet; None: there is none within the horizon."""
    horizon = at + _HORIZON_MS
    while at <= horizon:
        begin = at if opens is None else hours.next_opening(opens, at)
        if begin is None or quiet is None or not hours.is_open(quiet, begin):
            return begin
        end = hours.next_change(quiet, begin)
        if end is None:
            return None
        at = end
    return None


def after(opens: Hours | None, quiet: Hours | None, at: int, ms: int) -> int | None:
    """When it has been open, and not quiet, for so many milliseconds since a moment; None as with `next_opening`."""
    if quiet is None:
        return at + ms if opens is None else hours.after(opens, at, ms)
    if not ms:
        return at
    horizon = at + _HORIZON_MS
    while at <= horizon:
        begin = next_opening(opens, quiet, at)
        if begin is None:
            return None
        changes = [hours.next_change(each, begin) for each in (opens, quiet) if each is not None]
        end = min((each for each in changes if each is not None), default=None)
        if end is None or begin + ms <= end:
            return begin + ms
        ms -= end - begin
        at = end
    return None


def hold(restraint: Restraint, now: int, outreaches: Sequence[int]) -> Hold | None:
    """Why nothing may be begun with a customer now that was turned to at these moments; None: it may be."""
    reason: Literal["quiet_hours", "too_many_outreaches"]
    if is_quiet(restraint.quiet, now):
        reason = "quiet_hours"
    elif _is_full(restraint, now, outreaches):
        reason = "too_many_outreaches"
    else:
        return None
    return Hold(reason, _allowed_at(restraint, now, outreaches))


def _is_full(restraint: Restraint, at: int, outreaches: Sequence[int]) -> bool:
    most, since = restraint.outreach_max, at - restraint.outreach_within_s * 1000
    return most is not None and sum(each > since for each in outreaches) >= most


def _allowed_at(restraint: Restraint, now: int, outreaches: Sequence[int]) -> int | None:
    if not restraint.outreach_max and restraint.outreach_max is not None:
        return None
    free = now
    if _is_full(restraint, now, outreaches):
        assert restraint.outreach_max is not None
        last = sorted(outreaches, reverse=True)[restraint.outreach_max - 1]
        free = last + restraint.outreach_within_s * 1000
    return next_opening(None, restraint.quiet, free)
