"""The job that erases a customer: from its turn on nobody knows it any more."""

from dataclasses import dataclass

from src.dispatch import people
from src.dispatch.facts import Customer, ErasureFact, IdentityFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import InUse
from src.router import commands
from src.router.state import State


@dataclass(frozen=True, slots=True)
class EraseCustomer:
    """Erase a customer with all that were merged with it; the result is their ids.

    Customer and identities go with this commit, so that whoever writes next is somebody new. What is kept by contact
    is taken away behind it (`store/privacy.py`). The journal says that it was done, and of which id.
    """

    customer_id: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """The family, with every identity that it is known by."""
        wanted.customers.add(self.customer_id)
        wanted.whole = True

    def run(self, turn: Turn) -> tuple[str, ...]:
        """Decide.

        Raises:
            NotFound: there is no such customer.
            InUse: it has contacts that are open.
        """
        known = turn.known
        members = people.members_of(turn, people.survivor_of(turn, self.customer_id))
        contacts = turn.engine.state.contacts.values()
        still_open = [each.id for each in contacts if each.customer_id in members and each.closed_at is None]
        if still_open:
            raise InUse("the customer has contacts that are open: close them first", contacts=still_open[:20])
        for each in members:
            turn.decide(commands.Note("customer.deleted", each, each))
        turn.facts[:] = [
            fact
            for fact in turn.facts
            if not (isinstance(fact, Customer) and fact.id in members)
            and not (isinstance(fact, IdentityFact) and fact.customer_id in members)
        ]
        for each in members:
            held = known.held.pop(each, ())
            turn.write(ErasureFact(each, turn.now, tuple((fact.type, fact.value) for fact in held)))
            known.customers.pop(each, None)
            known.families.pop(each, None)
        for key in [key for key, owner in known.identities.items() if owner in members]:
            del known.identities[key]
        return members
