"""What travels between processes arrives as it was, and nothing else arrives."""

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from src.api import agents, configuration, contacts, explaining, handling
from src.api.contacts import _render_taken
from src.api.schemas import CompleteBody, ContactPatch
from src.cluster import wire
from src.dispatch import jobs
from src.dispatch.facts import ContactFact
from src.dispatch.inbound import InboundContact
from src.dispatch.orders import Order, Outlook
from src.dispatch.turn import ContactSnapshot, Once
from src.errors import Fenced, InvalidState, Malformed, NotOwner, Overloaded, Refused
from src.profile.identities import Identity
from src.router import commands
from src.router.model import TagRequest, Terms
from src.router.waits import Estimate

if TYPE_CHECKING:
    from types import ModuleType

ORDER: Order[Any] = Order(
    "o1",
    jobs.TakeContact(
        InboundContact(
            "voice",
            "acc",
            "x1",
            Identity("phone", "+8613800138000", "张三"),
            "help 退款",
            (TagRequest("refund", 3), TagRequest("zh")),
            attributes={"a": [1, 2.5, None, True, {"!": "not a kind", "b": {}}], "big": 10**30},
            terms=Terms(agents=("a1", "a2")),
        )
    ),
    Once("scope", "hash", _render_taken, given=False),
)

TRAVELLERS: list[Any] = [
    ORDER,
    Order("o2", Outlook(["c1", "c2"])),
    jobs.OnContact("c1", commands.Cancel("c1"), note="n"),
    agents.Complete("x1", "a1", CompleteBody(note="done", fields={"f": "v"})),
    contacts._Reclassify("c1", ContactPatch(tags=["a", {"tag": "b", "level": 2}], queue="q"), "boss"),  # type: ignore[list-item]
    contacts._TakeMany([ORDER.wanted, Malformed("no", field="x")]),  # type: ignore[list-item]
    jobs.Taken("c1", created=True, message_id="m"),
    ContactSnapshot(
        ("c1", 1, None), None, ContactFact("c1", "voice", "", None, "phone", "+1", None, {}), 3, Estimate(1, 2, 3), ()
    ),
    {"c1": (1, Estimate(10, 20, 30)), "c2": (None, None)},
    partial(_render_taken, jobs.Taken("c1", created=False)),
    {1: "a key that is no text", ("t",): frozenset({2})},
    {1, 2, 3},
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Refused):
        return type(one) is type(other) and (one.detail, one.extra) == (other.detail, other.extra)
    if isinstance(one, partial):
        return (one.func, one.args) == (other.func, other.args)
    if isinstance(one, contacts._TakeMany):
        return all(same(a, b) for a, b in zip(one.each, other.each, strict=True))
    return bool(one == other)


@pytest.mark.parametrize("number", range(len(TRAVELLERS)))
def test_it_arrives_as_it_was(number: int) -> None:
    value = TRAVELLERS[number]
    arrived = wire.load(wire.dump(value))
    assert type(value) is type(arrived)
    assert same(value, arrived)


def test_every_job_may_travel() -> None:
    """`Disconnected` and the like stay in the owner's process, but none is forgotten by mistake."""
    found = 0
    modules: list[ModuleType] = [jobs, agents, configuration, contacts, explaining, handling]
    for module in modules:
        for name, each in inspect.getmembers(module, inspect.isclass):
            if hasattr(each, "wants") and hasattr(each, "run") and each.__module__.startswith(module.__name__):
                assert each in wire._names, f"{module.__name__}.{name} is not @forwardable"
                found += 1
    assert found >= 18


@pytest.mark.parametrize(
    "refusal",
    [
        InvalidState("closed", state="closed"),
        Overloaded("full", retry_after_s=7),
        NotOwner("not mine"),
        Fenced("taken over", in_doubt=True),
        Malformed("bad", errors=[{"field": "a"}]),
    ],
)
def test_a_refusal_keeps_its_class_and_what_it_says(refusal: Refused) -> None:
    arrived = wire.load(wire.dump(refusal))
    assert same(refusal, arrived)
    assert getattr(refusal, "retry_after_s", None) == getattr(arrived, "retry_after_s", None)
    assert getattr(refusal, "in_doubt", None) == getattr(arrived, "in_doubt", None)


def test_defaults_do_not_travel() -> None:
    """A release that added a field understands the last one, and the last one it, while nobody uses what is new."""
    assert b"note" not in wire.dump(jobs.OnContact("c1", commands.Cancel("c1")))
    assert b"note" in wire.dump(jobs.OnContact("c1", commands.Cancel("c1"), note="n"))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xc1",
        wire.dump({"a": 1})[:-1],
        wire._ENCODER.encode({"!": "os.system", "command": "true"}),
        wire._ENCODER.encode({"!": "jobs.TakeContact", "colour": "new"}),
        wire._ENCODER.encode({"!": "function", "function": "builtins.eval"}),
        wire._ENCODER.encode({"!": "function"}),
        wire._ENCODER.encode({"!": ["tuple"]}),
        wire._ENCODER.encode({"!": "tuple", "of": 3}),
        wire._ENCODER.encode({"!": "agents.CompleteBody", "given": {"resolved": []}}),
    ],
)
def test_what_is_not_known_here_does_not_arrive(sent: bytes) -> None:
    with pytest.raises(wire.Untravelled):
        wire.load(sent)


def test_what_may_not_travel_is_told_at_once() -> None:
    with pytest.raises(wire.Untravelled):
        wire.dump(object())
    with pytest.raises(wire.Untravelled):
        wire.dump(lambda: None)
    with pytest.raises(Malformed):
        wire.dump("\ud800")
