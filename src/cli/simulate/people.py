"""The people behind the contacts, and whether the service knows them on every channel, and when they come again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from src.cli.simulate.promises import Promise, Promises

LOOKED_AT_MAX: Final = 30
"""So many people who came over several channels are looked at in the end, of each kind."""

_COUNTED: Final = {"customer.merged": "merged", "customer.repeat": "repeats"}


@dataclass(slots=True)
class Known:
    """A person as the answers told it: the customers that its contacts became, by channel, in order."""

    name: str
    tells: str
    came_as: dict[str, list[str]] = field(default_factory=dict)
    contacts: list[str] = field(default_factory=list)

    @property
    def customers(self) -> list[str]:
        """The ids of all customers that it came as, each once."""
        return list(dict.fromkeys(each for ids in self.came_as.values() for each in ids))


class People:
    """What is known of everybody who came. `looked_at` holds the unified views that were read in the end."""

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._known: dict[int, Known] = {}
        self.merged = 0
        self.repeats = 0
        self.suggested = 0
        self.example = ""

    def came(self, person: int, name: str, channel: str, contact: Mapping[str, Any], *, tells: str) -> None:
        """The service took a contact of this person."""
        known = self._known.setdefault(person, Known(name, tells))
        known.came_as.setdefault(channel, []).append(contact["customer_id"])
        known.contacts.append(contact["id"])

    def journalled(self, kind: str) -> None:
        """An event of the journal."""
        name = _COUNTED.get(kind)
        if name is not None:
            setattr(self, name, getattr(self, name) + 1)

    @property
    def several(self) -> int:
        """How many came over several channels."""
        return sum(len(each.came_as) > 1 for each in self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def to_look_at(self, tells: str) -> Iterator[Known]:
        """Some who came over several channels, and told their number so."""
        found = [each for each in self._known.values() if len(each.came_as) > 1 and each.tells == tells]
        found.sort(key=lambda each: len(each.contacts), reverse=True)
        yield from found[:LOOKED_AT_MAX]

    def is_one(self, known: Known, views: list[Mapping[str, Any]]) -> None:
        """Who proves its number on each channel is one customer, whose view holds all its contacts."""
        ids = {each["id"] for each in views}
        if len(ids) != 1:
            self._promises.broken(Promise.ONE_CUSTOMER, f"{known.name} is {', '.join(sorted(ids)) or 'nobody'}")
            return
        view = views[0]
        shown = self._has_all(known, view)
        if not self.example:
            channels = " and ".join(sorted(known.came_as))
            last = view["last_agent_id"] or "nobody yet"
            self.example = f"{known.name} came {len(shown)} times, over {channels}, and was last served by {last}"

    def is_suggested(self, view: Mapping[str, Any]) -> bool:
        """Who types its number in is at most suggested; whether this one is."""
        self.suggested += bool(view["suggestions"])
        return bool(view["suggestions"])

    def is_accepted(self, known: Known, view: Mapping[str, Any]) -> None:
        """A supervisor said that the suggestion is right: the customer has the contacts of both."""
        self.merged += 1
        if len(known.customers) == 2:  # noqa: PLR2004  # over a third channel it is suggested to be a third
            self._has_all(known, view)

    def _has_all(self, known: Known, view: Mapping[str, Any]) -> set[str]:
        """The contacts that a view shows, which must be all of the person's."""
        shown = {each["id"] for each in view["timeline"]["items"]}
        missing = set(known.contacts) - shown
        if missing and view["timeline"]["next_cursor"] is None:
            self._promises.broken(Promise.ONE_CUSTOMER, f"{known.name} lacks contact {missing.pop()}")
        return shown
