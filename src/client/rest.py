"""The REST interface, call by call: for gateways, desktops, integrators and administrators.

Bodies are the models of `src.api.schemas`, or plain JSON of the same shape; answers are `src.api.forms`. A call that
this class does not name is made by `once` or `patiently`, which all of them go through.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import BaseModel

from src.api.forms.answers import Assignment, Configured, Contact, Customer, Held, Json, Message, Outgoing
from src.api.forms.events import Event
from src.api.forms.measures import Forecast, ReportLine
from src.api.forms.people import CommonProblem, LinkedContact
from src.client.http import Http, Query
from src.client.stream import Desktop, Stream

if TYPE_CHECKING:
    from src.api.schemas import AgentBody, ContactBody, ReceiptBody
    from src.api.schemas.messages import AnyMessage

TOKEN_TTL_S: Final = 3600
TOKEN_SPARE_S: Final = 300
"""So long before its end a token is taken for spent."""

JOURNAL_PAGE: Final = 1_000
JOURNAL_WAIT_S: Final = 30

Kind = Literal[
    "queues", "tags", "rules", "pilots", "departments", "connectors", "channels", "common-problems", "rosters"
]
"""Kinds of configuration, and of what is kept like it, that are put under a name."""

Given = BaseModel | Mapping[str, Any]
T = TypeVar("T")


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


class Client(Http):
    """One credential's calls. Every method but `once` repeats what may be repeated, for up to a minute.

    Raises (all methods):
        NoAnswer: no answer came; whether it was done is unknown.
        Declined: the service refused, with a stable `code`.
    """

    # -- gateways -----------------------------------------------------------------------------------------------

    async def post_contact(self, contact: "ContactBody | Mapping[str, Any]") -> Contact:
        """Take in a contact. The same `external_id` again gives the same contact."""
        external_id = contact.external_id if isinstance(contact, BaseModel) else contact.get("external_id")
        return (await self.patiently("POST", "/v1/contacts", contact, keyed=external_id is None)).read(Contact)

    async def post_contacts(self, contacts: "Sequence[ContactBody | Mapping[str, Any]]") -> list[Json]:
        """Take in up to 500; each is answered on its own: `{"status", "contact"}` or `{"status", "problem"}`."""
        items = [
            each.model_dump(by_alias=True, exclude_unset=True) if isinstance(each, BaseModel) else each
            for each in contacts
        ]
        found: list[Json] = (await self.patiently("POST", "/v1/contacts:batch", {"items": items})).body["items"]
        return found

    async def get_contact(self, contact_id: str) -> Contact:
        """One contact."""
        return (await self.patiently("GET", f"/v1/contacts/{_part(contact_id)}")).read(Contact)

    def list_contacts(self, **narrowed: str) -> AsyncIterator[Contact]:
        """All contacts, or those of a `state`, `queue`, `channel`, `customer_id`, `agent_id` or `tag`."""
        return self._pages("/v1/contacts", Contact, **narrowed)

    async def patch_contact(self, contact_id: str, change: Given) -> Contact:
        """Change what a contact needs while it waits."""
        return (await self.patiently("PATCH", f"/v1/contacts/{_part(contact_id)}", change)).read(Contact)

    async def cancel_contact(self, contact_id: str, reason: str = "abandoned") -> Contact:
        """The customer has gone."""
        return await self.act_on_contact(contact_id, "cancel", {"reason": reason})

    async def post_message(self, contact_id: str, message: "AnyMessage | Mapping[str, Any]") -> Message:
        """Add the customer's message to a contact, or (`"from": "agent"`) write to the customer."""
        return (await self.patiently("POST", f"/v1/contacts/{_part(contact_id)}/messages", message)).read(Message)

    def list_messages(self, contact_id: str) -> AsyncIterator[Message]:
        """A contact's conversation, oldest first."""
        return self._pages(f"/v1/contacts/{_part(contact_id)}/messages", Message)

    async def waiting_messages(self, channel: str | None = None) -> AsyncIterator[Outgoing]:
        """Messages that wait for a gateway to send them, in order."""
        place = 0
        while True:
            answer = await self.patiently("GET", "/v1/messages", query={"channel": channel, "after": place})
            found = [msgspec.json.decode(each, type=Outgoing) for each in answer.read(_Page).items]
            if not found:
                return
            for each in found:
                yield each
                place = each.place

    async def post_receipt(self, message_id: str, receipt: "ReceiptBody | Mapping[str, Any]") -> Message:
        """Say what became of a message: `{"state": "sent", "receipt": "…"}`."""
        return (await self.patiently("POST", f"/v1/messages/{_part(message_id)}/receipt", receipt)).read(Message)

    # -- desktops, supervisors ----------------------------------------------------------------------------------

    async def presence(self, agent_id: str, status: str, reason: str | None = None, lease_s: int = 3600) -> Json:
        """Say whether an agent without a socket takes contacts, for so many seconds."""
        body = {"status": status, "lease_s": lease_s} | ({} if reason is None else {"reason": reason})
        said: Json = (await self.patiently("PUT", f"/v1/agents/{_part(agent_id)}/presence", body)).body
        return said

    async def assignments(self, agent_id: str, state: str | None = None, wait_s: int = 0) -> list[Held]:
        """An agent's open offers and assignments; with `wait_s`, answered once there is one."""
        path = f"/v1/agents/{_part(agent_id)}/assignments"
        page = (await self.patiently("GET", path, query={"state": state, "wait_s": wait_s})).read(_Page)
        return [msgspec.json.decode(each, type=Held) for each in page.items]

    async def get_assignment(self, assignment_id: str) -> Held:
        """One offer or assignment, also when it has ended."""
        return (await self.patiently("GET", f"/v1/assignments/{_part(assignment_id)}")).read(Held)

    async def act_on_assignment(
        self,
        assignment_id: str,
        act: Literal["accept", "decline", "complete", "wrap_up_done"],
        body: Given | None = None,
    ) -> Assignment:
        """Take an offer or not, end an assignment or the work after it."""
        return (await self.patiently("POST", f"/v1/assignments/{_part(assignment_id)}/{act}", body)).read(Assignment)

    async def act_on_contact(
        self,
        contact_id: str,
        act: Literal["cancel", "transfer", "return", "park", "resume", "escalate", "assign", "take_back", "pin"],
        body: Given | None = None,
    ) -> Contact:
        """What is done with a contact by hand."""
        return (await self.patiently("POST", f"/v1/contacts/{_part(contact_id)}/{act}", body)).read(Contact)

    def desktop(self, agent_id: str, *, role: str = "agent", **options: Any) -> Desktop:
        """An agent's stream, with tokens that this credential gets for it (scope `agents:write`)."""
        return Desktop(self.url, self.tokens(agent_id, role), **options)

    def tokens(self, agent_id: str, role: str = "agent") -> Callable[[], Awaitable[str]]:
        """A function that gives a token of an agent, a new one when the last is nearly spent."""
        token, until_s = "", 0.0

        async def fresh() -> str:
            nonlocal token, until_s
            if time.monotonic() > until_s:
                asked = {"agent_id": agent_id, "role": role, "ttl_s": TOKEN_TTL_S}
                until_s = time.monotonic() + TOKEN_TTL_S - TOKEN_SPARE_S
                token = (await self.patiently("POST", "/v1/tokens", asked)).body["token"]
            return token

        return fresh

    # -- integrators --------------------------------------------------------------------------------------------

    def stream(self, after: int | None = None, **options: Any) -> Stream:
        """Every event behind a number, over one socket (scope `events:read`)."""
        return Stream(self.url, self.credential, after=after, **options)

    async def events(self, after: int = 0, limit: int = 100, wait_s: int = 0) -> list[Event]:
        """Events behind a number, in order; with `wait_s`, answered once there is one."""
        page = (
            await self.patiently("GET", "/v1/events", query={"after": after, "limit": limit, "wait_s": wait_s})
        ).read(_Page)
        return [msgspec.json.decode(each, type=Event) for each in page.items]

    async def journal(self, after: int = 0) -> AsyncIterator[Event]:
        """Every event behind a number, for ever."""
        while True:
            for event in await self.events(after, JOURNAL_PAGE, JOURNAL_WAIT_S):
                yield event
                after = event.seq

    def reports(self, **asked: str) -> AsyncIterator[ReportLine]:
        """What became of contacts: `period` (`day`, `week`, `month`), `by`, `from`, `until`, `time_zone`."""
        return self._pages("/v1/reports", ReportLine, **asked)

    async def forecast(self, queue: str, since: str, **asked: Query) -> Forecast:
        """What a queue is to expect from a time (RFC 3339) on: `hours`, `interval_s`, `weeks`, `time_zone`."""
        query: dict[str, Query] = {"queue": queue, "from": since, **asked}
        return (await self.patiently("GET", "/v1/forecast", query=query)).read(Forecast)

    async def lookup_customer(self, kind: str, value: str, account: str = "") -> Json:
        """A customer by an identity: the whole view."""
        query = {"type": kind, "value": value, "account": account or None}
        found: Json = (await self.patiently("GET", "/v1/customers:lookup", query=query)).body
        return found

    async def get_customer(self, customer_id: str) -> Json:
        """A customer: the whole view."""
        found: Json = (await self.patiently("GET", f"/v1/customers/{_part(customer_id)}")).body
        return found

    async def patch_customer(self, customer_id: str, change: Given) -> Customer:
        """Change a customer's tier, preferred agent, attributes, tags."""
        return (await self.patiently("PATCH", f"/v1/customers/{_part(customer_id)}", change)).read(Customer)

    async def trace(self, contact_id: str) -> list[Json]:
        """Why a contact went where it went: every decision, oldest first."""
        found: list[Json] = (await self.patiently("GET", f"/v1/contacts/{_part(contact_id)}/trace")).body["decisions"]
        return found

    async def link_common_problem(self, contact_id: str, name: str) -> Contact:
        """Link a contact, open or closed, to a common problem, instead of any before."""
        path = f"/v1/contacts/{_part(contact_id)}/common-problem"
        return (await self.patiently("POST", path, {"name": name})).read(Contact)

    async def unlink_common_problem(self, contact_id: str) -> None:
        """Link a contact to no common problem any more."""
        await self.patiently("DELETE", f"/v1/contacts/{_part(contact_id)}/common-problem")

    def linked_contacts(self, name: str) -> AsyncIterator[LinkedContact]:
        """The contacts that are linked to a common problem, newest first."""
        return self._pages(f"/v1/common-problems/{_part(name)}/contacts", LinkedContact)

    async def solve_common_problem(self, name: str, note: str | None = None) -> CommonProblem:
        """Give the department's answer to a common problem."""
        path = f"/v1/common-problems/{_part(name)}/solve"
        return (await self.patiently("POST", path, {"note": note})).read(CommonProblem)

    async def reopen_common_problem(self, name: str) -> CommonProblem:
        """Take the answer back."""
        return (await self.patiently("POST", f"/v1/common-problems/{_part(name)}/reopen")).read(CommonProblem)

    # -- administrators -----------------------------------------------------------------------------------------

    async def put_agent(self, agent_id: str, agent: "AgentBody | Mapping[str, Any]") -> Json:
        """Make or change an agent."""
        return await self._json("PUT", f"/v1/agents/{_part(agent_id)}", agent)

    def list_agents(self) -> AsyncIterator[Json]:
        """All agents, with presence and load."""
        return self._pages("/v1/agents", dict[str, Any])

    async def put(self, kind: Kind, name: str, body: Given) -> Json:
        """Make or change a piece of configuration."""
        return await self._json("PUT", f"/v1/{kind}/{_part(name)}", body)

    async def get(self, kind: Kind, name: str) -> Json:
        """One piece of configuration."""
        return await self._json("GET", f"/v1/{kind}/{_part(name)}")

    def list_all(self, kind: Kind) -> AsyncIterator[Json]:
        """All of a kind of configuration."""
        return self._pages(f"/v1/{kind}", dict[str, Any])

    async def delete(self, kind: Kind | Literal["agents"], name: str) -> None:
        """Remove a piece of configuration."""
        await self.patiently("DELETE", f"/v1/{kind}/{_part(name)}")

    async def settings(self) -> Json:
        """The tenant's settings."""
        return await self._json("GET", "/v1/settings")

    async def put_settings(self, settings: Given) -> Json:
        """Replace the tenant's settings."""
        return await self._json("PUT", "/v1/settings", settings)

    async def configuration(self, *, defaults: bool = True) -> tuple[Json, str]:
        """The tenant's whole configuration, and its version; without `defaults` only what is other than by default."""
        answer = await self.patiently("GET", "/v1/configuration", query={"defaults": defaults})
        return answer.body, answer.headers["etag"].strip('"')

    async def put_configuration(
        self, document: Given, *, dry_run: bool = False, prune: bool = False, version: str | None = None
    ) -> Configured:
        """Put a whole configuration, all of it or nothing; `dry_run`: say what would change.

        With `version` only where that is still what there is. It is asked once: with no answer, ask for a dry run.
        """
        headers = None if version is None else {"if-match": f'"{version}"'}
        query: dict[str, Query] = {"dry_run": dry_run, "prune": prune}
        return (await self.once("PUT", "/v1/configuration", document, query=query, headers=headers)).read(Configured)

    async def make_key(self, name: str, scopes: list[str]) -> str:
        """Make an API key, and give it: it is told this once."""
        key: str = (await self._json("POST", "/v1/keys", {"name": name, "scopes": scopes}))["key"]
        return key

    # -- what they share ----------------------------------------------------------------------------------------

    async def _json(self, method: str, path: str, body: Given | None = None) -> Json:
        found: Json = (await self.patiently(method, path, body)).body
        return found

    async def _pages(self, path: str, form: type[T], **query: str) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = (await self.patiently("GET", path, query={"cursor": cursor, **query})).read(_Page)
            for each in page.items:
                yield msgspec.json.decode(each, type=form)
            cursor = page.next_cursor
            if cursor is None:
                return


def _part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
