"""Webhooks as they are configured, and what became of what they were to be told."""

from dataclasses import dataclass, replace

from src.dispatch.facts import Actor, AuditFact, DeliveryFact, WebhookCursor, WebhookFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.dispatch.versions import Precondition
from src.errors import InvalidState, NotFound
from src.router.commands import Note
from src.router.events import WEBHOOK_DISABLED
from src.router.state import State

CURRENT = "current"
PREVIOUS = "previous"
"""Names of a webhook's secrets: the one that it signs with, and the one from before, which signs too for a while."""


@dataclass(frozen=True, slots=True)
class PutWebhook:
    """Make or change a webhook. What it signs with stays, where the fact holds nothing new.

    One that is made is told what comes after this, and signs with `first` where it was given no secret.
    """

    fact: WebhookFact
    first: str
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        """The webhook as it is stored."""
        wanted.webhooks.add(self.fact.name)

    def check(self, turn: Turn) -> None:
        """Compare with what is stored.

        Raises:
            PreconditionFailed: it is not what the caller has seen.
        """
        if self.only_if is not None:
            self.only_if.check(turn.known.webhooks.get(self.fact.name))

    def run(self, turn: Turn) -> tuple[WebhookFact, bool]:
        """Write it; true if there was none."""
        self.check(turn)
        name, before = self.fact.name, turn.known.webhooks.get(self.fact.name)
        turn.decide(Note("webhook.updated", name))
        if before is None:
            fact = replace(self.fact, secrets=self.fact.secrets or {CURRENT: self.first}, since=turn.engine.state.seq)
            turn.write(WebhookCursor(name, fact.since))
        else:
            body = {**self.fact.body, "previous_until": before.body["previous_until"]}
            given = self.fact.secrets
            fact = replace(self.fact, secrets=given or before.secrets, since=before.since, body=body)
        turn.write(fact)
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "webhook.updated", name))
        return fact, before is None


@dataclass(frozen=True, slots=True)
class RotateWebhook:
    """Give a webhook a new (sealed) secret; with the one from before it signs for `overlap_s` more."""

    name: str
    sealed: str
    overlap_s: int
    by: Actor

    def wants(self, wanted: Wanted, _: State) -> None:
        """The webhook as it is stored."""
        wanted.webhooks.add(self.name)

    def run(self, turn: Turn) -> WebhookFact:
        """Write it."""
        before = _found(turn, self.name)
        secrets = {CURRENT: self.sealed, PREVIOUS: before.secrets[CURRENT]}
        fact = replace(
            before, secrets=secrets, body={**before.body, "previous_until": turn.now + self.overlap_s * 1000}
        )
        turn.decide(Note("webhook.updated", self.name))
        turn.write(fact)
        more = {"overlap_s": self.overlap_s}
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "webhook.rotated", self.name, more))
        return fact


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Remove a webhook; what it has not taken goes with it."""

    name: str
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        """The webhook as it is stored."""
        wanted.webhooks.add(self.name)

    def check(self, turn: Turn) -> None:
        """Compare with what is stored.

        Raises:
            NotFound: there is none.
            PreconditionFailed: it is not what the caller has seen.
        """
        before = _found(turn, self.name)
        if self.only_if is not None:
            self.only_if.check(before)

    def run(self, turn: Turn) -> None:
        """Write that it is gone; what is left of its deliveries is swept up later."""
        self.check(turn)
        before = _found(turn, self.name)
        turn.decide(Note("webhook.deleted", self.name))
        turn.write(replace(before, deleted=True))
        turn.write(WebhookCursor(self.name, 0, deleted=True))
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "webhook.deleted", self.name))


@dataclass(frozen=True, slots=True)
class DisableWebhook:
    """Switch a webhook off that wants nothing more, or has not been there for days."""

    name: str
    reason: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """The webhook as it is stored."""
        wanted.webhooks.add(self.name)

    def run(self, turn: Turn) -> None:
        """Write it, if that is news."""
        before = turn.known.webhooks.get(self.name)
        if before is not None and before.body["enabled"]:
            turn.decide(Note(WEBHOOK_DISABLED, self.name, reason=self.reason))
            turn.write(replace(before, body={**before.body, "enabled": False}))


@dataclass(frozen=True, slots=True)
class KeepDeliveries:
    """How far a webhook has come, and what it has not taken (or has, after all): one commit, so that nothing is lost.

    `since` tells a webhook from one of the same name that was removed before.
    """

    cursor: WebhookCursor
    since: int
    deliveries: tuple[DeliveryFact, ...] = ()

    def wants(self, wanted: Wanted, _: State) -> None:
        """Whether the webhook is still there."""
        wanted.webhooks.add(self.cursor.webhook)

    def run(self, turn: Turn) -> None:
        """Write it, unless the webhook is gone."""
        found = turn.known.webhooks.get(self.cursor.webhook)
        if found is not None and found.since == self.since:
            turn.write(self.cursor)
            for each in self.deliveries:
                turn.write(each)


@dataclass(frozen=True, slots=True)
class Replay:
    """Try again what was given up: at once, and for as long as anything that is new."""

    name: str
    dead: tuple[DeliveryFact, ...]
    by: Actor

    def wants(self, wanted: Wanted, _: State) -> None:
        """Whether the webhook is still there."""
        wanted.webhooks.add(self.name)

    def run(self, turn: Turn) -> int:
        """Write that they are pending; returns how many."""
        if not _found(turn, self.name).body["enabled"]:
            raise InvalidState("the webhook is switched off: enable it first", state="disabled")
        for each in self.dead:
            turn.write(replace(each, state="pending", attempts=0, since=turn.now, due_at=turn.now))
        turn.hooked = True
        more = {"events": len(self.dead)}
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "webhook.replayed", self.name, more))
        return len(self.dead)


def _found(turn: Turn, name: str) -> WebhookFact:
    found = turn.known.webhooks.get(name)
    if found is None:
        raise NotFound(f"there is no webhook {name!r}")
    return found
