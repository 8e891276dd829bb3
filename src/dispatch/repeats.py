"""Customers who come again with the same matter: the contact is marked, and put before who watches over quality.

A contact is a repeat by a tag that the customer had with so many contacts within a while before it. It is judged when
it comes, and when it gets other tags: then those that came behind it as well. Where two customers turn out to be one,
those of their contacts are judged that are open. A mark stays: it says what was known then, and somebody settles it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from src.dispatch.facts import ReviewFact
from src.dispatch.known import Tagged, Wanted
from src.dispatch.people import members_of, survivor_of
from src.dispatch.turn import Turn
from src.router import commands
from src.router import events as ev
from src.router.entities import Contact
from src.router.state import State


def before(turn: Turn, members: Sequence[str], at: int) -> list[Tagged]:
    """The contacts of a customer, by its family, after which one that came at this moment may be a repeat."""
    return _before(turn, turn.lately(members), at)


def _before(turn: Turn, lately: Sequence[Tagged], at: int) -> list[Tagged]:
    since = at - turn.engine.config.settings.repeat_window_s * 1000
    return [each for each in lately if each.tags and since <= each.created_at <= at]


def tags_repeated(turn: Turn, lately: Sequence[Tagged]) -> frozenset[str]:
    """The tags with which one more contact is a repeat."""
    counted = Counter(tag for each in lately for tag in set(each.tags))
    enough = turn.engine.config.settings.repeat_count - 1
    return frozenset(tag for tag, count in counted.items() if count >= enough)


def mark(turn: Turn, contact: Contact, lately: Sequence[Tagged], repeated: Iterable[str]) -> bool:
    """Mark a contact that has any of these tags, unless it has been; whether it is marked now.

    One that its queue did not keep has closed already, and is put before who watches over quality all the same.
    """
    tags = tuple(tag for tag in contact.tags if tag in repeated)
    if not tags:
        return False
    earlier = tuple(each.contact_id for each in lately if not {*tags}.isdisjoint(each.tags))
    said: commands.Command = commands.MarkRepeat(contact.id, tags, earlier)
    if contact.state == "closed":
        data = {"tags": list(tags), "earlier": list(earlier)}
        said = commands.Record(ev.CUSTOMER_REPEAT, contact.customer_id, data, contact.id)
    if turn.decide(said).events:
        turn.write(ReviewFact(contact.id, "repeat", contact.customer_id, tags, earlier, turn.now))
    return True


def retagged(turn: Turn, contact: Contact) -> None:
    """An open contact has other tags now: judge it anew, and the open ones of its customer that came behind it.

    Where none of these is a repeat, it may be the one by which it shows that others are, which have closed since.
    """
    members = members_of(turn, survivor_of(turn, contact.customer_id))
    window_ms = turn.engine.config.settings.repeat_window_s * 1000
    lately = turn.lately(members)
    others = [each for each in lately if each.contact_id != contact.id]
    behind = [each.contact_id for each in others if _order(each) > (contact.created_at, contact.id)]
    open_ones = [contact, *filter(None, map(turn.engine.state.contacts.get, behind))]
    marked = [_judged(turn, one, lately) for one in open_ones]
    if not any(marked):
        around = [each for each in others if abs(each.created_at - contact.created_at) <= window_ms]
        mark(turn, contact, around, tags_repeated(turn, around))


def want_joined(wanted: Wanted, state: State, customer_ids: Iterable[str]) -> None:
    """What must be known where these may turn out to be one."""
    open_ones = [each.created_at for customer_id in customer_ids for each in state.open_of(customer_id)]
    wanted.lately(min(open_ones, default=state.at))


def joined(turn: Turn, customer_id: str) -> None:
    """Somebody has made this customer one with another: judge anew what is open of theirs."""
    members = members_of(turn, survivor_of(turn, customer_id))
    open_ones = [each for member in members for each in turn.engine.state.open_of(member)]
    lately = turn.lately(members)
    for one in sorted(open_ones, key=lambda each: (each.created_at, each.id)):
        _judged(turn, one, lately)


def _judged(turn: Turn, one: Contact, found: Sequence[Tagged]) -> bool:
    lately = [each for each in _before(turn, found, one.created_at) if _order(each) < (one.created_at, one.id)]
    return mark(turn, one, lately, tags_repeated(turn, lately))


def _order(each: Tagged) -> tuple[int, str]:
    return (each.created_at, each.contact_id)
