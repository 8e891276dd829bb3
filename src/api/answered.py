"""What each operation answers: its form in the OpenAPI document, drawn from the code.

Most are values of `src.api.forms`. What is configured is answered as it was put, with a little added: there the form is
the model of the body, with what it has besides.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from src.api import schemas
from src.api.forms import administration, answers, frames, measures, people

Json = dict[str, Any]

REF: Final = "#/components/schemas/{name}"

_CONTACT: Final = (
    *("post_contact", "get_contact", "patch_contact", "cancel_contact", "return_contact", "park_contact"),
    *("resume_contact", "escalate_contact", "assign_contact", "take_back_contact", "pin_contact"),
    *("list_contacts", "link_common_problem"),
)
_CUSTOMER: Final = (
    *("lookup_customer", "get_customer", "patch_customer", "post_identity", "merge_customers", "unmerge_customer"),
    *("accept_suggestion", "dismiss_suggestion"),
)
_COLLABORATION: Final = (
    *("post_collaboration", "list_contact_collaborations", "list_collaborations", "get_collaboration"),
    *("accept_collaboration", "reply_collaboration", "close_collaboration"),
)

FORMS: Final[Mapping[str, type[msgspec.Struct]]] = {
    **dict.fromkeys(_CONTACT, answers.Contact),
    **dict.fromkeys(("post_message", "get_message", "post_receipt", "list_messages"), answers.Message),
    **dict.fromkeys(("accept", "decline", "complete", "wrap_up_done"), answers.Assignment),
    **dict.fromkeys(("get_assignment", "list_assignments"), answers.Held),
    **dict.fromkeys(_COLLABORATION, answers.Collaboration),
    **dict.fromkeys(("post_media", "get_about"), answers.Media),
    "follow_up_contact": answers.FollowUp,
    "post_contacts": answers.Batch,
    "list_waiting": answers.Outgoing,
    "put_configuration": answers.Configured,
    **dict.fromkeys(_CUSTOMER, people.CustomerView),
    "get_timeline": people.Timeline,
    **dict.fromkeys(("list_conflicts", "settle_conflict"), people.Conflict),
    **dict.fromkeys(("list_reviews", "settle_review"), people.Review),
    **dict.fromkeys(
        (
            *("put_common_problem", "get_common_problem", "list_common_problems"),
            *("solve_common_problem", "reopen_common_problem"),
        ),
        people.CommonProblem,
    ),
    "list_linked_contacts": people.LinkedContact,
    "put_satisfaction": people.Rating,
    "erase_customer": people.Erased,
    "export_customer": people.Exported,
    "get_retention": people.Retention,
    "get_external": people.External,
    "post_progress_link": people.ProgressLink,
    "get_progress": people.Progress,
    **dict.fromkeys(("put_presence", "pause_agent", "unpause_agent"), administration.PresenceTaken),
    **dict.fromkeys(("put_webhook", "get_webhook", "list_webhooks"), administration.WebhookNow),
    "rotate_webhook": administration.WebhookRotated,
    "list_deliveries": administration.Delivery,
    "replay_deliveries": administration.Replayed,
    "list_keys": administration.Key,
    **dict.fromkeys(("post_key", "rotate_key"), administration.KeyMade),
    "post_token": administration.Token,
    "list_audit": administration.AuditLine,
    **dict.fromkeys(("get_token_trust", "put_token_trust"), administration.Trust),
    "rotate_token_secret": administration.TokenSecret,
    "healthz": measures.Alive,
    "readyz": measures.Ready,
    "stats": measures.Stats,
    "compare_pilot": measures.Comparison,
    "list_reports": measures.ReportLine,
    "get_forecast": measures.Forecast,
    "list_rosters": administration.RosterLine,
    "get_trace": measures.Trace,
    "explain_routing": measures.Explanation,
    "get_conversation": frames.Stand,
    "post_visitor_message": frames.Kept,
    "post_visitor_file": frames.Kept,
    "post_visitor_rating": frames.Score,
}
"""By the operation; of a list, the form of each item."""

_NAMED: Final[Mapping[str, tuple[str, type[BaseModel]]]] = {
    "queue": ("Queue", schemas.QueueBody),
    "tag": ("Tag", schemas.TagConfigBody),
    "rule": ("Rule", schemas.RuleBody),
    "pilot": ("Pilot", schemas.PilotBody),
    "department": ("Department", schemas.DepartmentBody),
}

CONFIGURED: Final[Mapping[str, tuple[type[BaseModel], type[msgspec.Struct], tuple[str, ...]]]] = {
    **{
        form: (body, administration.Named, (f"put_{kind}", f"get_{kind}", f"list_{kind}s"))
        for kind, (form, body) in _NAMED.items()
    },
    "Roster": (schemas.RosterBody, administration.Named, ("put_roster", "get_roster")),
    "Settings": (schemas.SettingsBody, administration.Named, ("put_settings", "get_settings")),
    "Agent": (schemas.AgentBody, administration.AgentNow, ("put_agent", "get_agent", "list_agents")),
    "ChannelAccount": (
        schemas.AccountBody,
        administration.AccountNow,
        ("put_account", "get_account", "list_accounts"),
    ),
    "Connector": (
        schemas.ConnectorBody,
        administration.ConnectorNow,
        ("put_connector", "get_connector", "list_connectors"),
    ),
}
"""What is configured: the body that it is put with, what is added where it is shown, and where that is."""

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    **{operation: (form.__name__,) for operation, form in FORMS.items()},
    **{operation: (form,) for form, (_, _, operations) in CONFIGURED.items() for operation in operations},
    "pause_queue": ("Queue",),
    "resume_queue": ("Queue",),
    "get_configuration": ("ConfigurationBody",),
    "transfer_contact": ("Contact", "Outlook"),
    "list_events": ("StreamEvent",),
}
"""By the operation, what its form is called; of several it is one."""


def schema_of(operation: str) -> Json:
    """What an operation answers with; of a list, each item."""
    found: list[Json] = [{"$ref": REF.format(name=each)} for each in _NAMES.get(operation, ())]
    if not found:
        return {"type": "object"}
    return found[0] if len(found) == 1 else {"anyOf": found}


_ADDED: Final = tuple(dict.fromkeys(added for _, added, _ in CONFIGURED.values()))

_OPEN: Final = ("Problem", "Decision", "AuditLine")
"""What holds more than is named, by what it is about."""


def forms() -> Json:
    """The forms as JSON schemas, by their names."""
    found: Json = msgspec.json.schema_components(
        dict.fromkeys((*FORMS.values(), *_ADDED, measures.Outlook)), ref_template=REF
    )[1]
    for name in _OPEN:
        found[name]["additionalProperties"] = True
    return found


def configured() -> Json:
    """What is configured as JSON schemas, by their names, with what they are made of."""
    _, added = msgspec.json.schema_components(_ADDED, ref_template=REF)
    found: Json = {}
    for form, (body, more, _) in CONFIGURED.items():
        found |= _shown(form, body, added[more.__name__])
    return found


def _shown(form: str, body: type[BaseModel], added: Json) -> Json:
    """A body as it is answered: every field of it, and what is added; there may be more in a later release."""
    put = body.model_json_schema(ref_template=REF.replace("{name}", "{model}"), mode="serialization")
    parts = put.pop("$defs", {})
    properties = {**put["properties"], **added["properties"]}
    shown: Json = {"title": form, "type": "object", "properties": properties, "required": list(properties)}
    return {**parts, form: shown | ({"description": put["description"]} if "description" in put else {})}
