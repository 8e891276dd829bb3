"""When something is next due for a contact or a collaboration. It only says when; `handlers.time` does what is due."""

from typing import TYPE_CHECKING, Final

from src.router import hours, restraint
from src.router.entities import Collaboration, Contact
from src.router.folds import FLAGGED_CALLBACK
from src.router.model import ALL, Overflow, QueueConfig

if TYPE_CHECKING:
    from src.router.board import Board

SLA_WARNING_SHARE: Final = 0.8
"""A warning is given when this share of a deadline's time has passed."""

BREACHED: Final = 2
"""The stage of a contact whose time to be answered in is over; before that it is warned of."""

OVERFLOWS_MAX: Final = 8
"""A contact overflows so many times at most: queues may send contacts round in a circle."""

LONG_WAIT: Final = "long_wait"

SOONER: Final = frozenset({"waiting", "offered", "parked"})
"""States in which something is due for a contact itself; otherwise it is due for its assignment."""


def contact_due_at(board: "Board", contact: Contact) -> int | None:
    """The earliest of everything that is due for a contact."""
    if contact.state == "parked":
        return returns_at(board, contact)
    policy = board.policy(contact)
    due = _sla_due_at(board, policy, contact)
    flag = flag_due_at(board, contact, policy)
    if flag is not None and (due is None or flag < due):
        due = flag
    if contact.parked_until is not None and (due is None or contact.parked_until < due):
        due = contact.parked_until
    if contact.state != "waiting":
        return due
    for other in (step_due_at(board, contact, contact.step), max_wait_due_at(board, contact), contact.target_until):
        if other is not None and (due is None or other < due):
            due = other
    quiet = board.quiet_for(contact)
    turns_at = None if quiet is None else hours.next_change(quiet, board.now)
    if turns_at is not None and (due is None or turns_at < due):
        due = turns_at
    for each in contact.requirements:
        if each.lapses_at is not None and (due is None or each.lapses_at < due):
            due = each.lapses_at
    for until in contact.bars.values():
        if until > board.now and (due is None or until < due):
            due = until
    return due


def sla_due_at(board: "Board", contact: Contact) -> int | None:
    """When the next warning or breach of the service level comes, unless it is answered before."""
    return _sla_due_at(board, board.policy(contact), contact)


def _sla_due_at(board: "Board", policy: QueueConfig, contact: Contact) -> int | None:
    if contact.answered_at is not None or contact.sla_stage >= BREACHED:
        return None
    within_ms = policy.within_s * 1000
    ms = int(within_ms * SLA_WARNING_SHARE) if contact.sla_stage == 0 else within_ms
    return _waited_at(board, policy, contact, contact.created_at, ms)


def is_in_time(board: "Board", contact: Contact) -> bool:
    """Whether a contact that is answered now for the first time is answered in time."""
    policy = board.policy(contact)
    within_at = _waited_at(board, policy, contact, contact.created_at, policy.within_s * 1000)
    return within_at is None or board.now <= within_at


def _waited_at(board: "Board", policy: QueueConfig, contact: Contact, since: int, ms: int) -> int | None:
    """When a contact has waited for so long; None: never. While its queue is closed, nobody waits.

    Hours are for those who come: who was answered before waits all the time. Who is to be called back does not wait
    while it is quiet.
    """
    if contact.answered_at is not None:
        return since + ms
    quiet = board.quiet_for(contact)
    return waited_at(policy, since, ms) if quiet is None else restraint.after(policy.hours, quiet, since, ms)


def waited_at(policy: QueueConfig, since: int, ms: int) -> int | None:
    """The same, of one who comes."""
    return since + ms if policy.hours is None else hours.after(policy.hours, since, ms)


def flag_due_at(board: "Board", contact: Contact, policy: QueueConfig) -> int | None:
    """When the contact has waited for so long, under this policy of its queue, that it is marked."""
    if LONG_WAIT in contact.flags:
        return None
    return _waited_at(board, policy, contact, contact.entered_at, board.config.settings.wait_flag_s * 1000)


def step_due_at(board: "Board", contact: Contact, done: int) -> int | None:
    """When the next step of the queue is due, after so many."""
    policy = board.policy(contact)
    steps = policy.steps
    if done >= len(steps):
        return None
    return _waited_at(board, policy, contact, contact.entered_at, steps[done].after_s * 1000)


def max_wait_due_at(board: "Board", contact: Contact) -> int | None:
    """When the queue does not keep the contact any longer."""
    policy = board.policy(contact)
    if policy.max_wait_s is None or not can_overflow(board, contact, policy.overflow):
        return None
    return _waited_at(board, policy, contact, contact.entered_at, policy.max_wait_s * 1000)


def can_overflow(board: "Board", contact: Contact, where: Overflow | None) -> bool:
    """Whether this overflow would change anything for the contact."""
    if where is None or contact.overflows >= OVERFLOWS_MAX or contact.target_kind == "pinned":
        return False
    if contact.answered_at is not None and where.action in ("close", "callback"):
        return False  # whoever was being served is not sent away
    if where.action == "close" and FLAGGED_CALLBACK in contact.flags:
        return False  # nor is whoever was promised a call
    if where.action == "queue":
        return where.queue != contact.queue and where.queue in board.config.queues
    if where.action == "teams":
        teams = contact.terms.limit(board.policy(contact).teams)
        return bool(teams) and ALL not in teams and not set(where.teams) <= set(teams)
    return True


def returns_at(board: "Board", contact: Contact) -> int | None:
    """When a parked contact comes back: a little before a promised time, but not in the first half of its parking."""
    assert contact.parked_until is not None
    if contact.park_reason != "promised":
        return contact.parked_until
    before_ms = board.config.settings.park_return_s * 1000
    return contact.parked_until - min(before_ms, max(0, contact.parked_until - contact.updated_at) // 2)


def opens_at(board: "Board", contact: Contact, at: int) -> int | None:
    """When the contact's queue is next open, from a moment on, and its customer may be called back."""
    return restraint.next_opening(board.policy(contact).hours, board.config.settings.restraint.quiet, at)


def collaboration_due_at(collaboration: Collaboration) -> int | None:
    """The next warning or escalation of a collaboration, or the end of asking one agent alone."""
    if collaboration.state == "closed":
        return None
    due = [at for _, at in collaboration_deadlines(collaboration)]
    if collaboration.state == "requested" and collaboration.asked_until is not None:
        due.append(collaboration.asked_until)
    return min(due, default=None)


def collaboration_deadlines(collaboration: Collaboration) -> list[tuple[str, int]]:
    """What is to be told of each deadline next, and when: (`feedback.warning`, at), (`feedback.escalated`, at)."""
    found: list[tuple[str, int]] = []
    for name, by, seconds in (
        ("feedback", collaboration.feedback_by, collaboration.deadlines.feedback_s),
        ("progress", collaboration.progress_by, collaboration.deadlines.progress_s),
        ("lead", collaboration.lead_by, collaboration.deadlines.progress_s),
        ("solution", collaboration.solution_by, collaboration.deadlines.solution_s),
    ):
        if by is None or f"{name}.escalated" in collaboration.told:
            continue
        if f"{name}.warning" in collaboration.told:
            found.append((f"{name}.escalated", by))
        else:
            found.append((f"{name}.warning", by - int((seconds or 0) * 1000 * (1 - SLA_WARNING_SHARE))))
    return found
