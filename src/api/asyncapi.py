"""The AsyncAPI 3 document: what goes over `/v1/stream`, over a visitor's socket and to webhooks, drawn from the code.

What comes in are the models that the sockets read with, what goes out are `src.api.forms`. Seen from the service, which
`receive`s what a desktop says.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from src.api import stream
from src.api.examples import FRAMES, VISITOR_FRAMES
from src.api.forms import events, frames
from src.api.forms.answers import Json
from src.api.webchat import bodies
from src.api.webchat import socket as visitor

VERSION: Final = "3.1.0"
_REF: Final = "#/components/schemas/"

_SAYS: Final = (stream.Hello, *stream.FRAME_MODELS)
_VISITOR_SAYS: Final = (bodies.Hello, *bodies.FRAME_MODELS)
_NO_REPLY: Final = frozenset({"hello", "ping"})

_STREAM: Final = """\
The first frame is `hello`, within 10 s. Then come `welcome`, what was missed since `after`, and what happens, each
event once and in order: `prev` is always the number that was read last. An agent's socket is its presence lease.
Frames with a `ref` are answered by a `reply` that bears it.

Closes: 4000 no hello in time, 4001 the credential is not good or has ended, 4002 `session.replaced` (another desktop of
this agent; do not come back), 4008 read too slowly (resume), 1012 the service restarts (resume), 1013 too much to do;
the reason says after how many seconds to come back."""
_VISITOR: Final = """\
The first frame is `hello`, within 10 s, with the token of `POST /channels/webchat/{account}/session`. What is not
answered by `kept` is said again under the same `id`. docs/webchat.md has the whole.

Closes: 4000 no hello in time, 4001 the token, 4008 read too slowly (resume), 4029 too much, 1012 the service restarts,
1013 too much to do."""
_WEBHOOK: Final = """\
Posted to the address of `PUT /v1/webhooks/{id}` and signed by Standard Webhooks; at least once, in order for each
`contact_id` (else `agent_id`, else `customer_id`), tried again over three days. Any 2xx takes it, 410 switches the
webhook off. `webhook-id` is the event's `id`: the same one again is a repeat."""


_WEBHOOK_HEADERS: Final[Json] = {
    "type": "object",
    "description": "Of a webhook; on the stream there are none.",
    "properties": {
        "webhook-id": {"type": "string", "description": "the event's id"},
        "webhook-timestamp": {"type": "string", "description": "when it was posted, in seconds since the epoch"},
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`; one for each secret",
        },
    },
}


def document() -> Json:
    """The document."""
    schemas: Json = {}
    data = _forms(schemas, events.DATA.values())
    to_desktops = _forms(schemas, frames.STREAM.values())
    to_visitors = _forms(schemas, frames.VISITOR.values())
    told = {kind: _event(kind, data[form]) for kind, form in events.DATA.items()}
    messages = {
        **{f"stream.{each}": _sent(each, to_desktops[form], form) for each, form in frames.STREAM.items()},
        **{f"visitor.{each}": _sent(each, to_visitors[form], form) for each, form in frames.VISITOR.items()},
        **{f"stream.say.{_kind(each)}": _said(each, FRAMES) for each in _models(schemas, _SAYS, "Stream")},
        **{
            f"visitor.say.{_kind(each)}": _said(each, VISITOR_FRAMES)
            for each in _models(schemas, _VISITOR_SAYS, "Visitor")
        },
        **told,
    }
    schemas["StreamEvent"] = _any_event(data)
    schemas["WebhookHeaders"] = _WEBHOOK_HEADERS
    schemas["EventFrame"]["properties"]["event"] = {"$ref": f"{_REF}StreamEvent"}
    names = list(messages)
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Cordboard",
            "version": "1",
            "description": "Events, desktops and visitors. The REST interface is in openapi.yaml.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "service": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "description": "As `make run` starts it; `wss` behind whatever ends TLS.",
            },
            "receiver": {"host": "receiver.example", "protocol": "https", "description": "Where a webhook points to."},
        },
        "channels": {
            "stream": _channel("/v1/stream", "service", _STREAM, names, "stream.", stream.SUBPROTOCOL),
            "visitor": _channel(
                "/channels/webchat/{account}/socket", "service", _VISITOR, names, "visitor.", visitor.SUBPROTOCOL
            )
            | {"parameters": {"account": {"description": "the webchat account's name"}}},
            "webhook": _channel(None, "receiver", _WEBHOOK, list(told), ""),
        },
        "operations": _operations(names, list(told)),
        "components": {
            "messages": messages,
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An agent's or supervisor's token, or a key with `events:read`: as a header,"
                    " or as `token` of hello.",
                }
            },
        },
    }


def event_schemas() -> Json:
    """The schemas of events by name, for the OpenAPI document: `StreamEvent` is any of them."""
    schemas: Json = {}
    data = _forms(schemas, events.DATA.values())
    return schemas | {"StreamEvent": _any_event(data)} | _defined(events.Event)


def _defined(*forms: type[msgspec.Struct]) -> Json:
    return msgspec.json.schema_components(forms, ref_template=_REF + "{name}")[1]


def _forms(schemas: Json, forms: Iterable[type[msgspec.Struct]]) -> dict[type[msgspec.Struct], Json]:
    """Put the schemas of these, and of what they hold, among the others; gives how each is referred to."""
    found = list(dict.fromkeys(forms))
    shown, definitions = msgspec.json.schema_components(found, ref_template=_REF + "{name}")
    schemas |= definitions
    return dict(zip(found, shown, strict=True))


def _models(schemas: Json, models: tuple[type[BaseModel], ...], prefix: str) -> tuple[type[BaseModel], ...]:
    """The same of what comes in; names begin with who says it."""
    asked = [(each, "validation") for each in models]
    _, whole = models_json_schema(asked, ref_template=f"{_REF}{prefix}{{model}}")  # type: ignore[arg-type]
    schemas |= {f"{prefix}{name}": each for name, each in whole["$defs"].items()}
    return models


def _kind(model: type[BaseModel]) -> str:
    return str(model.model_fields["type"].annotation.__args__[0])  # type: ignore[union-attr]


def _summary(documented: type) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _said(model: type[BaseModel], examples: Mapping[str, Mapping[str, Any]]) -> Json:
    prefix = "Visitor" if model.__module__ == bodies.__name__ else "Stream"
    kind = _kind(model)
    return {
        "name": kind,
        "summary": _summary(model),
        "payload": {"$ref": f"{_REF}{prefix}{model.__name__}"},
        "examples": [{"payload": {"type": kind, **examples[kind]}}],
    }


def _sent(kind: str, form: Json, documented: type) -> Json:
    payload = {"allOf": [form, {"required": ["type"], "properties": {"type": {"const": kind}}}]}
    return {"name": kind, "summary": _summary(documented), "payload": payload}


def _event(kind: str, form: Json) -> Json:
    told = {"properties": {"type": {"const": kind}, "data": form}}
    return {
        "name": kind,
        "summary": _summary(events.DATA[kind]),
        "headers": {"$ref": f"{_REF}WebhookHeaders"},
        "payload": {"allOf": [{"$ref": f"{_REF}Event"}, told]},
    }


def _any_event(data: Mapping[type[msgspec.Struct], Json]) -> Json:
    """The envelope, with the data that belongs to its type. A type that is not named may come later."""
    by_form: dict[type[msgspec.Struct], list[str]] = {}
    for kind, form in events.DATA.items():
        by_form.setdefault(form, []).append(kind)
    known = [
        {"properties": {"type": {"enum": kinds}, "data": data[form]}, "title": kinds[0]}
        for form, kinds in by_form.items()
    ]
    return {"allOf": [{"$ref": f"{_REF}Event"}, {"oneOf": known}]}


def _channel(
    address: str | None, server: str, description: str, names: list[str], begins: str, protocol: str | None = None
) -> Json:
    found = [each for each in names if each.startswith(begins)]
    shown: Json = {
        "address": address,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "description": description,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in found},
    }
    if protocol is not None:
        header = {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"type": "string", "const": protocol}}}
        shown["bindings"] = {"ws": {"method": "GET", "headers": header}}
    return shown


def _operations(names: list[str], told: list[str]) -> Json:
    def of(channel: str, *found: str) -> list[Json]:
        return [{"$ref": f"#/channels/{channel}/messages/{each}"} for each in found]

    shown: Json = {}
    for channel, who in (("stream", "a desktop, supervisor or integrator"), ("visitor", "a visitor's browser")):
        says = [each for each in names if each.startswith(f"{channel}.say.")]
        hears = [each for each in names if each.startswith(f"{channel}.") and each not in says]
        acts = [each for each in says if each.rpartition(".")[2] not in _NO_REPLY]
        at = {"$ref": f"#/channels/{channel}"}
        shown[f"{channel}.open"] = {
            "action": "receive",
            "channel": at,
            "summary": f"How {who} begins.",
            "messages": of(channel, f"{channel}.say.hello"),
            "reply": {"channel": at, "messages": of(channel, f"{channel}.welcome")},
        }
        shown[f"{channel}.ping"] = {
            "action": "receive",
            "channel": at,
            "summary": "Whether anybody is there.",
            "messages": of(channel, f"{channel}.say.ping"),
            "reply": {"channel": at, "messages": of(channel, f"{channel}.pong")},
        }
        answers = ["reply"] if channel == "stream" else ["kept", "rated", "refused", "snapshot"]
        shown[f"{channel}.act"] = {
            "action": "receive",
            "channel": at,
            "summary": f"What {who} says.",
            "messages": of(channel, *acts),
            "reply": {"channel": at, "messages": of(channel, *(f"{channel}.{each}" for each in answers))},
        }
        shown[f"{channel}.tell"] = {
            "action": "send",
            "channel": at,
            "summary": f"What {who} hears.",
            "messages": of(channel, *hears),
        }
    shown["stream.open"]["security"] = [{"$ref": "#/components/securitySchemes/bearer"}]
    shown["webhook.post"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/webhook"},
        "summary": "Events as they are posted.",
        "messages": of("webhook", *told),
    }
    return shown
