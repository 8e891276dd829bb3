"""What is begun with a customer unasked, and whether it may be now: quiet hours, and how often within some time.

Outreaches are follow-ups, call-backs that were promised, from when they were answered, and questions how it was. What
answers to something that the customer does is none: messages in a contact, greetings, what queues say of themselves.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from src.dispatch.turn import Turn
from src.errors import Conflict, QuietHours, TooManyOutreaches
from src.router import restraint
from src.router.restraint import Hold


def hold(turn: Turn, members: Sequence[str]) -> Hold | None:
    """Why nothing may be begun now with these customers, who are one; None: it may.

    It takes a job that wants their `outreach`.
    """
    moments = [at for each in members for at in turn.known.outreach.get(each, ())]
    return restraint.hold(turn.engine.config.settings.restraint, turn.now, moments)


def begun(turn: Turn, customer_id: str) -> None:
    """Let the jobs after this one know of an outreach that was begun in this batch."""
    turn.known.outreach[customer_id] = (*turn.known.outreach.get(customer_id, ()), turn.now)


def refusal(held: Hold) -> Conflict:
    """The same as an answer to whoever wanted to begin something."""
    allowed_at = None
    if held.until is not None:
        allowed_at = datetime.fromtimestamp(held.until / 1000, UTC).isoformat(timespec="milliseconds")
        allowed_at = allowed_at.replace("+00:00", "Z")
    if held.reason == "quiet_hours":
        return QuietHours("the customer is left in peace at this hour", allowed_at=allowed_at)
    return TooManyOutreaches("the customer was turned to often enough lately", allowed_at=allowed_at)
