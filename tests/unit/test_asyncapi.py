"""The AsyncAPI document: good by AsyncAPI's own schema, whole, and with examples that are true."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from pydantic import TypeAdapter

from src.api import stream
from src.api.asyncapi import document
from src.api.examples import FRAMES, VISITOR_FRAMES
from src.api.forms import events
from src.api.webchat import bodies
from src.delivery import views
from src.dispatch.known import Known
from src.router import events as ev
from src.router.journal import Event
from tests.support.told import check, validator

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCHEMA = json.loads((FIXTURES / "asyncapi-3.1.0.json").read_text("utf-8"))
DOCUMENT = document()


def _kind(model: Any) -> str:
    return str(model.model_fields["type"].annotation.__args__[0])


SAID: list[tuple[str, Any, dict[str, Any]]] = [
    (prefix, model, dict(examples[_kind(model)]))
    for prefix, models, examples in (
        ("stream", (stream.Hello, *stream.FRAME_MODELS), FRAMES),
        ("visitor", (bodies.Hello, *bodies.FRAME_MODELS), VISITOR_FRAMES),
    )
    for model in models
]


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(_references, value.values()))


def test_it_is_good_by_the_official_schema() -> None:
    found = [f"{list(each.instance_path)}: {each.message}" for each in validator_of(SCHEMA).iter_errors(DOCUMENT)]
    assert [] == found
    broken = {**DOCUMENT, "operations": {"post": {"action": "shout", "channel": {"$ref": "#/channels/webhook"}}}}
    assert not validator_of(SCHEMA).is_valid(broken)


def validator_of(schema: Any) -> Any:
    return jsonschema_rs.Draft7Validator(schema)


def test_every_reference_leads_somewhere() -> None:
    for each in _references(DOCUMENT):
        found = DOCUMENT
        for part in each.removeprefix("#/").split("/"):
            assert part in found, each
            found = found[part]


def test_every_type_of_event_has_a_form() -> None:
    assert set(events.DATA) == ev.KNOWN


@pytest.mark.parametrize(("prefix", "model", "example"), SAID)
def test_examples_of_frames_are_good(prefix: str, model: Any, example: dict[str, Any]) -> None:
    kind = _kind(model)
    payload = {"type": kind, **example}
    TypeAdapter(model).validate_python(payload)
    message = DOCUMENT["components"]["messages"][f"{prefix}.say.{kind}"]
    assert [{"payload": payload}] == message["examples"]
    assert validator(message["payload"]).is_valid(payload)
    assert not validator(message["payload"]).is_valid({**payload, "unheard_of": 1})


def test_every_kind_of_frame_has_an_example() -> None:
    kinds = {"stream": FRAMES, "visitor": VISITOR_FRAMES}
    assert {(prefix, kind) for prefix, found in kinds.items() for kind in found} == {
        (prefix, _kind(model)) for prefix, model, _ in SAID
    }


def test_an_event_that_says_something_else_is_noticed() -> None:
    good: dict[str, Any] = {"outcome": "completed", "reason": None}
    for data, seen in ((good, False), (good | {"more": 1}, True), ({"outcome": "completed"}, True)):
        event = Event(1, ev.CONTACT_CLOSED, 0, "c", None, "u", data)
        if seen:
            with pytest.raises(AssertionError):
                check("t", event)
        else:
            check("t", event)


def test_what_the_first_release_wrote_is_read_by_the_same_forms() -> None:
    written = json.loads((FIXTURES / "tenant_0001.json").read_text("utf-8"))["journal"]
    for row in written["rows"]:
        value = dict(zip(written["columns"], row, strict=True))
        event = Event(**{**value, "data": json.loads(value["data"])})
        check("t", event)
        told = msgspec.convert(views.event("t", event, Known(), event.at), events.Event)
        assert events.data_of(told) is not None
