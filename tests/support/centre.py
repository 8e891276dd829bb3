"""An engine on a clock that stands still until it is moved, with short words for what happens in a contact centre."""

from dataclasses import replace
from itertools import count
from typing import Any

from src.router import commands as c
from src.router.engine import Engine
from src.router.journal import Event
from src.router.model import AgentConfig, ChannelLimit, QueueConfig, Settings, TagRequest

CHATS = {"chat": ChannelLimit(25, 4), "voice": ChannelLimit(100, 1)}


class Centre:
    """An engine, its clock, and what it has told."""

    def __init__(self) -> None:
        ids = count()
        self.engine = Engine(lambda: f"as{next(ids):04d}")
        self.now = 1_000_000
        self.events: list[Event] = []

    def do(self, command: c.Command) -> list[Event]:
        told = self.engine.decide(command, self.now).events
        self.events.extend(told)
        return told

    def later(self, seconds: float) -> list[str]:
        """Let time pass, deadline by deadline; give the types of what happened."""
        end, told = self.now + int(seconds * 1000), list[Event]()
        while (due := self.engine.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            told += self.do(c.Tick())
        self.now = end
        return [each.type for each in told]

    def agent(self, name: str, status: str = "available", **config: Any) -> None:
        """Put an agent, by default with room for four chats or one call, and say its presence."""
        self.do(c.PutAgent(AgentConfig(**({"id": name, "channels": CHATS} | config))))
        self.do(c.SetPresence(name, status))  # type: ignore[arg-type]

    def contact(self, name: str, *tags: str, channel: str = "chat", **more: Any) -> str | None:
        """Receive a contact; give its offer, if there is one."""
        asked = tuple(TagRequest(each) for each in tags)
        self.do(c.Receive(name, f"k-{name}", channel, tags=asked, **more))
        return self.assignment_id(name)

    def holder(self, name: str) -> str | None:
        assignment_id = self.engine.state.contacts[name].assignment_id
        return None if assignment_id is None else self.engine.state.assignments[assignment_id].agent_id

    def assignment_id(self, name: str) -> str | None:
        contact = self.engine.state.contacts.get(name)
        return None if contact is None else contact.assignment_id

    def queue(self, name: str = "default", **policy: Any) -> None:
        """Put a queue of this policy."""
        self.do(c.PutQueue(QueueConfig(name, **policy)))

    def settings(self, **changed: Any) -> None:
        """Put the tenant's settings."""
        self.do(c.PutSettings(replace(Settings(), **changed)))

    def accept(self, name: str) -> str:
        """Whoever is offered the contact takes it."""
        assignment_id = self.assignment_id(name)
        assert assignment_id is not None, f"{name} is not offered"
        self.do(c.Accept(assignment_id))
        return assignment_id

    def active(self, name: str, *tags: str, **more: Any) -> str:
        """Receive a contact, and have it taken by whoever is offered it; give who that is."""
        self.contact(name, *tags, **more)
        self.accept(name)
        holder = self.holder(name)
        assert holder is not None
        return holder

    def decline(self, name: str) -> None:
        """Whoever is offered the contact does not take it."""
        assignment_id = self.assignment_id(name)
        assert assignment_id is not None
        self.do(c.Decline(assignment_id))

    def state(self, name: str) -> str:
        """What state the contact is in; what has ended is closed."""
        contact = self.engine.state.contacts.get(name)
        return "closed" if contact is None else contact.state

    def told(self, *types: str) -> list[Event]:
        """The events of these types so far."""
        return [each for each in self.events if each.type in types]
