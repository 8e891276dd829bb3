"""What a queue does with a contact that nobody can take now: steps, overflow, opening hours, splitting.

It changes what a contact asks for, never who gets it.
"""

from itertools import islice
from typing import Any, Final

from src.router import events as ev
from src.router import hours
from src.router.board import Board, need_of
from src.router.classify import relaxed
from src.router.deadlines import can_overflow, max_wait_due_at, opens_at
from src.router.entities import FOREVER, Contact, own_terms_json, requirements_json, terms_json
from src.router.fit import Need
from src.router.folds import FLAGGED_ASKED_ALL, FLAGGED_CALLBACK
from src.router.model import ALL, Overflow, Requirement, Step, Terms
from src.router.splitting import parted

RESERVED_MAX: Final = 1_000
"""So many contacts at the head of a queue are looked through for one that the reserve may not take yet."""


def keep(board: Board, contact: Contact) -> None:
    """Begin to keep a contact that nobody can take now. It may move on at once: a step, another queue, a split."""
    if contact.target_agent_id is not None and not board.index.reach(board.need(contact)).anyone:
        board.release_target(contact, "target_unavailable")  # the agent does not fit any more
        return
    policy = board.policy(contact)
    closed = policy.hours.closed if policy.hours is not None and is_closed(board, contact) else None
    if _send_on(board, contact, closed, "closed"):
        return
    waited_at = max_wait_due_at(board, contact)
    if waited_at is not None and waited_at <= board.now and _send_on(board, contact, policy.overflow, "max_wait"):
        return
    if _is_full(board, contact):
        first = _first_in_turn(board, contact)
        if _send_on(board, first, policy.overflow, "max_length") and first is contact:
            return
    if contact.bars and FLAGGED_ASKED_ALL not in contact.flags and _asked_all(board, contact):
        board.tell(ev.CONTACT_FLAGGED, contact, flag=FLAGGED_ASKED_ALL)
    if contact.target_agent_id is None:
        if policy.split and split(board, contact):
            return
        if contact.step < len(policy.steps) and board.is_open(contact) and skip(board, contact):
            return
    arrived = board.arrivals.pop(contact.id, None)
    if arrived is not None:
        _tell_wait(board, contact, arrived)


def _tell_wait(board: Board, contact: Contact, arrived: str) -> None:
    """What a contact that has come to its queue may expect; who is new is told, all are held against what comes."""
    position = board.index.position(contact.id) or 1
    if board.index.length(contact.queue) == 1:
        is_open = not (is_closed(board, contact) or board.config.queue(contact.queue).paused)
        board.waits.begins(contact.queue, board.now, is_open=is_open)
    told = board.estimate(contact, position)
    if told is not None:
        board.waits.told(contact.id, told, board.now)
    if arrived == ev.CONTACT_RECEIVED:
        estimate = None if told is None else {"wait_s": told.wait_s, "low_s": told.low_s, "high_s": told.high_s}
        data = {"queue": contact.queue, "position": position, "estimate": estimate}
        board.emit(ev.CONTACT_WAITING, data, contact=contact)


def _send_on(board: Board, contact: Contact, where: Overflow | None, reason: str) -> bool:
    """Overflow; a contact that waits for one agent is first tried on all the others."""
    if not can_overflow(board, contact, where):
        return False
    if contact.target_agent_id is not None:
        board.release_target(contact, "target_overflowed")
        return True
    return overflow(board, contact, where, reason)


def _first_in_turn(board: Board, contact: Contact) -> Contact:
    """Whom the overflow of a full queue concerns: the reserve is opened to whoever waits longest, not to the last."""
    policy = board.policy(contact)
    where = policy.overflow
    if where is None or where.action != "teams":
        return contact
    for contact_id in islice(board.index.waiting_in(contact.queue), RESERVED_MAX):
        each = board.state.contacts[contact_id]
        if each.state == "waiting" and board.policy(each) is policy and can_overflow(board, each, where):
            return each
    return contact


def _asked_all(board: Board, contact: Contact) -> bool:
    """Whether everybody who could take the contact has been asked as often as the queue allows."""
    need = board.need(contact)
    rest = without(need, contact)
    return rest is not need and not board.index.reach(rest).present and board.index.reach(need).present


def without(need: Need, contact: Contact) -> Need:
    """The same need, without the agents that are not asked again for this contact."""
    for_good = [agent_id for agent_id, until in contact.bars.items() if until >= FOREVER] if contact.bars else ()
    return need.without(for_good) if for_good else need


def drop_lapsed(board: Board, contact: Contact) -> bool:
    """Forget requirements whose time is over."""
    for each in contact.requirements:
        if each.lapses_at is not None and each.lapses_at <= board.now:
            break
    else:
        return False
    left = tuple([each for each in contact.requirements if each.lapses_at is None or each.lapses_at > board.now])
    board.reclassify(contact, "requirement_lapsed", requirements=requirements_json(left))
    return True


def is_closed(board: Board, contact: Contact) -> bool:
    """Whether the contact's queue has hours, and they are over."""
    policy = board.policy(contact)
    if contact.answered_at is not None:
        return False  # it did not come now
    return policy.hours is not None and not hours.is_open(policy.hours, board.now)


def _is_full(board: Board, contact: Contact) -> bool:
    """Whether the contact, which has just come and waits already, is one too many."""
    length = board.policy(contact).max_length
    if length is None or contact.id not in board.arrivals or contact.answered_at is not None:
        return False
    return board.index.length(contact.queue) > length


# -- steps -------------------------------------------------------------------------------------------------------------


def step(board: Board, contact: Contact, upto: int, reason: str) -> None:
    """Take the steps of the queue up to this number."""
    steps = board.policy(contact).steps
    need = Loosened.of(contact)
    for each in steps[contact.step : upto]:
        need = need.after(each, board.policy(contact).teams)
    taken = [(number, each.alarm) for number, each in enumerate(steps[contact.step : upto], contact.step + 1)]
    board.say_need(ev.CONTACT_RELAXED, contact, **need.json(), step=upto, reason=reason)
    for number, alarm in taken:
        if alarm is not None:
            board.alarm(contact, alarm, step=number)


def skip(board: Board, contact: Contact) -> bool:
    """Go on at once to the first step at which somebody who is present could fit, if nobody could before."""
    if board.index.reach(without(board.need(contact), contact)).present:
        return False
    policy = board.policy(contact)
    need = Loosened.of(contact)
    for number, each in enumerate(policy.steps[contact.step :], contact.step + 1):
        need = need.after(each, policy.teams)
        if board.index.reach(without(need.need(contact.channel, policy.teams), contact)).present:
            step(board, contact, number, "nobody_fits")
            return True
    return False


class Loosened:
    """What a contact would ask for after some steps of its queue."""

    def __init__(
        self, requirements: tuple[Requirement, ...], language: str | None, terms: Terms, priority: int
    ) -> None:
        self.requirements, self.language, self.terms, self.priority = requirements, language, terms, priority

    @classmethod
    def of(cls, contact: Contact) -> "Loosened":
        """What it asks for now."""
        return cls(contact.requirements, contact.language, contact.terms, contact.priority)

    def after(self, each: Step, queue_teams: tuple[str, ...]) -> "Loosened":
        """What it asks for after one more step."""
        loosened = relaxed(each, self.requirements, self.language, self.terms, queue_teams)
        return Loosened(
            loosened.requirements,
            loosened.language,
            _widened(self.terms, queue_teams, loosened.add_teams, any_team=loosened.any_team),
            self.priority + each.priority,
        )

    def need(self, channel: str, queue_teams: tuple[str, ...]) -> Need:
        """The same, as the index asks for it."""
        return need_of(channel, self.requirements, self.language, queue_teams, self.terms)

    def json(self) -> dict[str, Any]:
        """The same, as events say it."""
        return {
            "requirements": requirements_json(self.requirements),
            "language": self.language,
            "terms": terms_json(self.terms),
            "priority": self.priority,
        }


def _widened(terms: Terms, queue_teams: tuple[str, ...], add: tuple[str, ...], *, any_team: bool) -> Terms:
    """The same terms with further teams; where any team may take it already, there is nothing to add."""
    teams = terms.limit(queue_teams)
    if any_team:
        teams = (ALL,)
    elif teams and add:
        teams = tuple(dict.fromkeys(teams + add))
    else:
        return terms
    return Terms(terms.agents, terms.not_agents, terms.teams, terms.not_teams, widened=teams)


# -- overflow ----------------------------------------------------------------------------------------------------------


def overflow(board: Board, contact: Contact, where: Overflow | None, reason: str) -> bool:
    """Do what the queue says of contacts that it does not keep; false if that changes nothing."""
    if where is None or not can_overflow(board, contact, where):
        return False
    said: dict[str, Any] = {
        "action": where.action,
        "from_queue": contact.queue,
        "reason": reason,
        "message": where.message or None,
    }
    if where.action == "queue":
        said["queue"] = where.queue
        said["ask_again"] = True
        said["terms"] = own_terms_json(contact.terms)
    elif where.action == "teams":
        teams = _widened(contact.terms, board.policy(contact).teams, where.teams, any_team=False)
        said["terms"] = terms_json(teams)
    board.say_need(ev.CONTACT_OVERFLOWED, contact, **said)
    if where.message:
        queued = {"message_id": board.new_id(), "kind": "text", "by": f"queue:{contact.queue}"}
        board.emit(ev.MESSAGE_QUEUED, queued, contact=contact)
    if where.action == "callback":
        later = board.now + where.callback_after_s * 1000
        until = opens_at(board, contact, board.now if is_closed(board, contact) else later) or later
        parked = {"assignment_id": None, "until": until, "reason": "callback", "by": None, "ask_again": True}
        board.emit(ev.CONTACT_PARKED, parked, contact=contact)
        if FLAGGED_CALLBACK not in contact.flags:
            board.tell(ev.CONTACT_FLAGGED, contact, flag=FLAGGED_CALLBACK)
    elif where.action == "close":
        board.close(contact, "overflowed", where.reason)
    return True


# -- splitting ---------------------------------------------------------------------------------------------------------


def split(board: Board, contact: Contact) -> bool:
    """Give a contact that no agent covers alone a lead for the larger part, and leave the rest to be shared."""
    found = parted(board, contact)
    if found is None:
        return False
    marked = requirements_json(found.mark(contact.requirements))
    board.reclassify(contact, "split", requirements=marked)
    return True
