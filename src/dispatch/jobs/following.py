"""Going on with a customer over another channel: a chat is followed up by a call, a call by a message."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from src.dispatch import outreach, remarks
from src.dispatch.facts import ContactFact, IdentityFact, RemarkFact
from src.dispatch.jobs.inbound import Taken, responsible
from src.dispatch.known import Wanted
from src.dispatch.people import insist_on, members_of, survivor_of, whole
from src.dispatch.turn import Turn
from src.errors import Conflict, Forbidden, Malformed, NotFound
from src.profile.identities import PLACED_TYPES, plain
from src.router import commands
from src.router import events as ev
from src.router.entities import Assignment, Contact
from src.router.model import TagRequest
from src.router.state import State

REACHED_AT: Final = {
    "voice": ("phone",),
    "sms": ("phone",),
    "webchat": ("web_user", "visitor"),
    "wechat": ("wechat_openid",),
}
"""The types of identities at which a customer is reached over a channel, where those are not called as it is."""


ONE_ACCOUNTS: Final = frozenset({"wechat_openid", "web_user", "visitor"})
"""The types of identities with which somebody is reached at one account alone, the one in their scope."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A new contact in the conversation of `contact_id`, open or closed, with which an agent reaches the customer.

    `channel` None: the one that the customer prefers, if it is reached there, else that of the contact. `identity`
    (type, value) is one that the customer has; None: the one by which it is usually reached there. `account` empty: the
    one at which it is known by that, if it means something at one account alone, which is one of `accounts`, those that
    are configured here. `agent_id` None:
    whoever answers for the contact, or had it last. `acting`: the agent that asks, for itself alone. `by` is who asks.
    `urgent` says why it is done also where the customer is to be left in peace; None: then it is not.
    """

    contact_id: str
    channel: str | None
    account: str
    external_id: str | None
    identity: tuple[str, str] | None
    text: str | None
    agent_id: str | None
    acting: str | None
    by: str = ""
    urgent: str | None = None
    accounts: tuple[str, ...] = ()

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        wanted.whole = wanted.outreach = True
        if self.external_id is not None and self.channel is not None:
            wanted.external_contacts.add((self.channel, self.account, self.external_id))

    def run(self, turn: Turn) -> Taken:
        """Open it.

        Raises:
            NotFound: there is no such contact.
            Gone: its customer was erased.
            Malformed: the customer has no such identity, or none for this channel or account; nobody has had the
                contact.
            Forbidden: an agent asks for another, or for a contact that is another's now.
            Conflict: `external_id` is that of a contact in another conversation.
            AgentUnavailable: the agent is not there, or does not serve the channel.
            QuietHours, TooManyOutreaches: the customer is left in peace now, and it is not urgent.
        """
        contact = _contact(turn, self.contact_id)
        agent_id = self._agent(turn, contact)
        earlier = turn.known.facts.get(contact.id)
        conversation_id = contact.id if earlier is None else earlier.conversation_id or contact.id
        known = turn.known.external_contacts.get((self.channel or "", self.account, self.external_id or ""))
        if known is not None:
            if turn.known.facts[known].conversation_id != conversation_id:
                raise Conflict("this external_id is that of a contact in another conversation")
            return Taken(known, created=False)
        members = members_of(turn, survivor_of(turn, insist_on(turn, contact.id)))
        profile = whole([turn.known.customers[each] for each in members])
        held = [each for member in members for each in turn.known.held.get(member, ())]
        channel, identity = self._reached(held, profile.preferred_channel, contact, earlier)
        account = self._account(channel, identity, contact)
        hold = outreach.hold(turn, members)
        if hold is not None and self.urgent is None:
            raise outreach.refusal(hold)
        fact = ContactFact(
            id=turn.new_id(),
            channel=channel,
            account=account,
            external_id=self.external_id,
            identity_type=identity.type,
            identity_value=_address(identity),
            text=self.text,
            attributes={} if earlier is None else earlier.attributes,
            conversation_id=conversation_id,
            outbound=True,
        )
        queue = contact.queue if contact.queue in turn.engine.config.queues else None
        turn.decide(
            commands.Receive(
                contact_id=fact.id,
                customer_id=identity.customer_id,  # who answers comes as this member of the family
                channel=channel,
                account=account,
                tags=tuple(TagRequest(each) for each in contact.tags),
                language=contact.language,
                queue=queue,
                tier=profile.tier,
                attributes=fact.attributes,
                customer_attributes=profile.attributes,
                continues=contact.id,
                responsible_id=agent_id,
                outbound=True,
                urgent=self.urgent is not None,
            )
        )
        turn.write(fact)
        turn.opened(identity.customer_id, fact)
        outreach.begun(turn, identity.customer_id)
        rule = "quiet_hours" if turn.engine.config.settings.restraint.quiet is not None else None
        rule = rule if hold is None else hold.reason  # what is urgent is held back by none that are yet to come either
        if rule is not None and self.urgent is not None:
            remark_id = remarks.PREFIX + turn.new_id()
            data = {"rule": rule, "by": self.by, "reason": remark_id}
            turn.decide(commands.Record(ev.OUTREACH_URGENT, identity.customer_id, data, fact.id))
            turn.write(RemarkFact(remark_id, fact.id, self.urgent, turn.now))
        return Taken(fact.id, created=True, snapshot=turn.snapshot(fact.id))

    def _agent(self, turn: Turn, contact: Contact) -> str:
        """Who is to reach the customer."""
        answers = responsible(turn, contact.id) or _had_it(turn, contact)
        if self.acting is not None and (self.agent_id not in (None, self.acting) or answers != self.acting):
            raise Forbidden("the contact is not yours")
        agent_id = self.agent_id or answers
        if agent_id is None:
            raise Malformed("nobody has had this contact: name an agent", field="agent_id")
        return agent_id

    def _reached(
        self, held: Sequence[IdentityFact], preferred: str | None, contact: Contact, earlier: ContactFact | None
    ) -> tuple[str, IdentityFact]:
        """Over which channel, and at which address; over the contact's own at the one that it came by."""
        if self.channel is not None:
            return self.channel, self._identity(held, self.channel)
        if preferred is not None:
            with contextlib.suppress(Malformed):
                found = self._identity(held, preferred)
                if self.identity is None or _suits(preferred, found):
                    return preferred, found
        came_by = None if earlier is None else (earlier.identity_type, earlier.identity_value)
        own = next((each for each in held if (each.type, _address(each)) == came_by), None)
        if self.identity is None and own is not None:
            return contact.channel, own
        return contact.channel, self._identity(held, contact.channel)

    def _account(self, channel: str, identity: IdentityFact, contact: Contact) -> str:
        """At which account; one at which the address means somebody else, or nobody, is refused."""
        if self.channel is None and not self.account and channel == contact.channel:
            return contact.account
        if identity.type not in ONE_ACCOUNTS or identity.scope not in self.accounts:
            return self.account
        if self.account not in ("", identity.scope):
            raise Malformed(f"the customer is not known at the account {self.account!r}", field="account")
        return identity.scope

    def _identity(self, held: Sequence[IdentityFact], channel: str) -> IdentityFact:
        """At which address; one at the account before others, a proven one before one that was typed in, the newest."""

        def rank(each: IdentityFact) -> tuple[bool, bool, int, str]:
            return (bool(each.scope) and each.scope == self.account, each.strong, each.created_at, each.value)

        by_age = sorted(held, key=rank, reverse=True)
        if self.identity is not None:
            named = ((each, (each.type, each.value), (each.type, _address(each))) for each in by_age)
            found = next((each for each, *names in named if self.identity in names), None)
            if found is None:
                raise Malformed("the customer has no such identity", field="identity")
            return found
        found = next((each for each in by_age if _suits(channel, each)), None)
        if found is None:
            raise Malformed(f"no address is known at which the customer is reached by {channel}", field="identity")
        return found


def _suits(channel: str, identity: IdentityFact) -> bool:
    """Whether it is an address of the kind at which a customer is reached over a channel."""
    if channel in REACHED_AT:
        return identity.type in REACHED_AT[channel]
    return identity.type == channel or identity.type.startswith(f"{channel}_")


def _address(identity: IdentityFact) -> str:
    """What its channel calls the customer: without the account, which is the contact's."""
    return plain(identity.value, identity.scope) if identity.type in PLACED_TYPES else identity.value


def _contact(turn: Turn, contact_id: str) -> Contact:
    contact = turn.engine.state.contact(contact_id) or turn.archive().contacts.get(contact_id)
    if contact is None:
        raise NotFound("there is no such contact")
    return contact


def _had_it(turn: Turn, contact: Contact) -> str | None:
    """Who had a contact last that nobody answers for now."""
    row = None if contact.assignment_id is None else turn.known.assignments.get(contact.assignment_id)
    return contact.previous_agent_id if row is None else Assignment.from_row(row).agent_id
