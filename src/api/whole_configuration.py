"""A tenant's whole configuration as one document: read at once, and put at once, all of it or nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from src.api.access import account_fact, account_gone
from src.api.configuration import DEFAULTS, KINDS
from src.api.context import Context, Ctx, Json, OnlyIf
from src.api.external import CONNECTORS_MAX, connector_fact
from src.api.routing import Router
from src.api.schemas import ConfigurationBody, KeptAccountBody, KeptConnectorBody, WebhookBody
from src.api.webhooks import WEBHOOKS_MAX, webhook_fact
from src.delivery import views
from src.delivery.hub import encode
from src.dispatch import jobs, signatures
from src.dispatch.config import SETTINGS_NAME
from src.dispatch.facts import AccountFact, ConfigFact, ConnectorFact, WebhookFact
from src.dispatch.versions import ANY, Named, Precondition, version
from src.errors import InUse, Malformed, PreconditionFailed, Refused, UnknownReference
from src.router import commands
from src.router.model import DEFAULT_QUEUE

router = Router(prefix="/v1/configuration", tags=["configuration"])

_KINDS: Final = {
    "agents": "agent",
    "queues": "queue",
    "tags": "tag",
    "rules": "rule",
    "pilots": "pilot",
    "departments": "department",
    "settings": "settings",
}
"""Sections that the engine decides upon, in the order in which they are put."""

_OTHERS: Final = ("channels", "connectors", "webhooks")

_SHOWN: Final[Mapping[str, type[BaseModel]]] = {
    "channels": KeptAccountBody,
    "connectors": KeptConnectorBody,
    "webhooks": WebhookBody,
}

Key = tuple[str, str]
"""A section, and a name in it."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One entry that will be another: as it is stored, None: it is not; as it will be, None: it is removed.

    `secrets` are the names of those that will be others.
    """

    key: Key
    before: Named | None
    after: Named | None
    secrets: tuple[str, ...] = ()

    @property
    def act(self) -> str:
        """What is done."""
        if self.after is None:
            return "delete"
        return "create" if self.before is None and self.key not in _DEFAULTS else "update"

    @property
    def only_if(self) -> Precondition:
        """It is made only where this is what is stored."""
        return Precondition(absent=True) if self.act == "create" else Precondition((version(self.before),))

    def shown(self) -> views.Json:
        """What will be other, field by field."""
        section, name = self.key
        fields = []
        if self.after is not None:
            create = self.act == "create"
            before = {} if create else _entry(section, self.before or _default(self.key), defaults=True)
            after = _entry(section, self.after, defaults=not create)
            fields = list(_differences(before, after, ""))
        place = "secret" if section == "webhooks" else "secrets.{}"
        fields += [{"field": place.format(each), "from": None, "to": None, "secret": True} for each in self.secrets]
        return {"section": section, "name": name, "act": self.act, "fields": fields}


_DEFAULTS: Final[dict[Key, views.Json]] = {
    ("queues", DEFAULT_QUEUE): DEFAULTS["queue", DEFAULT_QUEUE],
    ("settings", SETTINGS_NAME): DEFAULTS["settings", SETTINGS_NAME],
}


def _default(key: Key) -> ConfigFact:
    return ConfigFact(_KINDS[key[0]], key[1], _DEFAULTS[key])


@router.get("")
async def get_configuration(
    ctx: Ctx, defaults: Annotated[bool, Query(description="also fields that are as they are by default")] = True
) -> Response:
    """The tenant's whole configuration but its keys and its trust in tokens; secrets are null."""
    ctx.principal.need("config:write")
    ctx.principal.need("agents:read")
    stored = await _stored(ctx)
    return Json(_document(stored, defaults=defaults), headers=_tag(stored))


@router.put("")
async def put_configuration(
    body: ConfigurationBody,
    ctx: Ctx,
    only_if: OnlyIf,
    dry_run: Annotated[bool, Query(description="change nothing: say what would be done, or refused")] = False,
    prune: Annotated[bool, Query(description="remove what is missing from the sections that are there")] = False,
) -> Response:
    """Put a whole configuration: all of it, or nothing.

    It is checked as it will be, so its entries may name one another. `changes` are those that were made, field by
    field; with `dry_run`, that would be. Nothing is changed that was changed by somebody else in the meantime.
    """
    ctx.principal.need("config:write")
    if body.agents is not None:
        ctx.principal.need("agents:write")
    stored = await _stored(ctx)
    _insist(only_if, stored)
    changes = [*await _puts(ctx, body, stored), *(_missing(body, stored) if prune else ())]
    _check_bounds(stored, changes)
    applied = await ctx.submit(_job(ctx, changes, dry_run=dry_run))
    if applied and any(each.key[0] == "connectors" for each in changes):
        await ctx.services.connectors.reload()
    now = stored if dry_run else await _stored(ctx)
    answer = {"changes": [each.shown() for each in changes], "applied": applied, "version": _version(now)}
    return Json(answer, headers=_tag(now))


# -- what is stored, and how it is shown -------------------------------------------------------------------------------


async def _stored(ctx: Context) -> dict[Key, Named]:
    """Everything that is stored, in the order of sections and names."""
    queries, found = ctx.services.queries, dict[Key, Named]()
    for section, kind in _KINDS.items():
        for fact in sorted(await queries.config(ctx.tenant, kind), key=lambda each: each.name):
            found[section, fact.name] = fact
    others: Mapping[str, list[Named]] = {
        "channels": list(await queries.accounts(ctx.tenant)),
        "connectors": list(await queries.connectors(ctx.tenant)),
        "webhooks": [fact for fact, _ in await ctx.services.store.webhooks(ctx.tenant)],
    }
    for section, facts in others.items():
        found |= {(section, each.name): each for each in sorted(facts, key=lambda each: each.name)}
    return found


def _tag(stored: Mapping[Key, Named]) -> dict[str, str]:
    """The entity tag of the whole."""
    return {"etag": f'"{_version(stored)}"'}


def _version(stored: Mapping[Key, Named]) -> str:
    return sha256(encode([[*key, version(fact)] for key, fact in stored.items()])).hexdigest()[:32]


def _insist(only_if: Precondition | None, stored: Mapping[Key, Named]) -> None:
    if only_if is None:
        return
    if only_if.absent:
        raise PreconditionFailed("there is a configuration already")
    if only_if.versions is not None and ANY not in only_if.versions and _version(stored) not in only_if.versions:
        raise PreconditionFailed("the configuration has changed since it was read: look at the plan again")


def _document(stored: Mapping[Key, Named], *, defaults: bool) -> views.Json:
    document: dict[str, Any] = {section: {} for section in ("settings", *_KINDS, *_OTHERS)}
    for key in _DEFAULTS:
        document[key[0]][key[1]] = _entry(key[0], _default(key), defaults=defaults)
    for (section, name), fact in stored.items():
        document[section][name] = _entry(section, fact, defaults=defaults)
    return {**document, "settings": document["settings"][SETTINGS_NAME]}


def _entry(section: str, fact: Named, *, defaults: bool) -> views.Json:
    """One entry, as it would be put; its secrets are null."""
    model: type[BaseModel] = KINDS[fact.kind].body if isinstance(fact, ConfigFact) else _SHOWN[section]
    body = (fact.body or {}) if isinstance(fact, ConfigFact) else _body(fact)
    return model.model_validate(body).model_dump(by_alias=True, exclude_defaults=not defaults) | (
        {"secret": None} if section == "webhooks" else {}
    )


def _body(fact: AccountFact | ConnectorFact | WebhookFact) -> views.Json:
    hidden = dict.fromkeys(sorted(fact.secrets))
    if isinstance(fact, AccountFact):
        shown = {"channel": fact.channel, "settings": dict(fact.settings), "queue": fact.queue}
        return {**shown, "secrets": hidden, "enabled": fact.enabled}
    if isinstance(fact, ConnectorFact):
        return {**fact.body, "secrets": hidden}
    kept = ("url", "types", "alarms", "personal", "enabled")
    return {name: fact.body[name] for name in kept if name in fact.body}


def _differences(before: Any, after: Any, path: str) -> Iterator[views.Json]:  # noqa: ANN401  # any JSON values
    if before is None and after and isinstance(after, Mapping):
        before = {}
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield {"field": path, "from": before, "to": after, "secret": False}
        return
    for name in sorted({*before, *after}):
        yield from _differences(before.get(name), after.get(name), f"{path}.{name}" if path else name)


# -- what is to be changed ---------------------------------------------------------------------------------------------


async def _puts(ctx: Context, body: ConfigurationBody, stored: Mapping[Key, Named]) -> list[_Change]:
    """What of the body is not so yet."""
    changes = []
    for key, asked in _asked(body):
        before = stored.get(key)
        with _within(key):
            after = await _fact(ctx, key, asked, before)
        secrets = _new_secrets(ctx, before, after)
        present = before or (_default(key) if key in _DEFAULTS else None)
        if present is None or secrets or _entry(key[0], present, defaults=True) != _entry(key[0], after, defaults=True):
            changes.append(_Change(key, before, after, secrets))
    return changes


def _asked(body: ConfigurationBody) -> Iterator[tuple[Key, BaseModel]]:
    for section in (*_KINDS, *_OTHERS):
        given = getattr(body, section)
        if isinstance(given, BaseModel):
            yield (section, SETTINGS_NAME), given
        else:
            yield from (((section, name), each) for name, each in (given or {}).items())


async def _fact(ctx: Context, key: Key, asked: BaseModel, before: Named | None) -> Named:
    section, name = key
    if isinstance(asked, KeptAccountBody):
        assert before is None or isinstance(before, AccountFact)
        return await account_fact(ctx, name, asked, _given(asked.secrets, before))
    if isinstance(asked, KeptConnectorBody):
        assert before is None or isinstance(before, ConnectorFact)
        fact = connector_fact(ctx, name, asked, before, _given(asked.secrets, before))
        for each in asked.secrets:
            if each not in fact.secrets:
                raise Malformed(
                    "another host is asked than before: this secret must be given anew", field=f"secrets.{each}"
                )
        return fact
    if isinstance(asked, WebhookBody):
        return webhook_fact(ctx, name, asked)
    return ConfigFact(_KINDS[section], name, asked.model_dump(by_alias=True))


def _given(secrets: Mapping[str, str | None], before: AccountFact | ConnectorFact | None) -> dict[str, str]:
    """Those that are given; the others must be there."""
    for name, value in secrets.items():
        if value is None and (before is None or name not in before.secrets):
            raise Malformed("this secret is not stored yet: it must be given", field=f"secrets.{name}")
    return {name: value for name, value in secrets.items() if value is not None}


def _new_secrets(ctx: Context, before: Named | None, after: Named) -> tuple[str, ...]:
    """Names of the secrets that will be others than they are."""
    if isinstance(after, ConfigFact):
        return ()
    kept: Mapping[str, str] = {} if before is None or isinstance(before, ConfigFact) else before.secrets
    unsealed = ctx.services.sealer.open
    return tuple(
        sorted(
            name
            for name, sealed in after.secrets.items()
            if name not in kept or (kept[name] != sealed and unsealed(kept[name]) != unsealed(sealed))
        )
    )


def _missing(body: ConfigurationBody, stored: Mapping[Key, Named]) -> list[_Change]:
    """What is stored, and not in the body's section of it. What is there without having been put stays."""
    return [
        _Change(key, fact, None)
        for key, fact in stored.items()
        if (given := getattr(body, key[0])) is not None and key not in _DEFAULTS and key[1] not in given
    ]


def _check_bounds(stored: Mapping[Key, Named], changes: list[_Change]) -> None:
    """Refuse what no single entry shows: too many, and accounts whose queue will not be there."""
    target = {**stored, **{each.key: each.after for each in changes}}
    there = {key for key, fact in target.items() if fact is not None} | {*_DEFAULTS}
    for section, most in (("connectors", CONNECTORS_MAX), ("webhooks", WEBHOOKS_MAX)):
        if sum(key[0] == section for key in there) > most:
            raise InUse(f"a tenant has at most {most} {section}", field=section)
    for key, fact in target.items():
        if isinstance(fact, AccountFact) and fact.queue is not None and ("queues", fact.queue) not in there:
            raise UnknownReference(f"there is no queue {fact.queue!r}", field=f"channels.{key[1]}.queue")


@contextmanager
def _within(key: Key) -> Iterator[None]:
    """Put the entry's place before the field that is named by what is refused in here."""
    place = key[0] if key[0] == "settings" else ".".join(key)
    try:
        yield
    except Refused as refused:
        field = refused.extra.get("field")
        refused.extra["field"] = f"{place}.{field}" if field else place
        raise


def _job(ctx: Context, changes: list[_Change], *, dry_run: bool) -> jobs.ConfigureAll:
    routing: list[jobs.Configure] = []
    others: list[jobs.Configure | jobs.PutWebhook | jobs.DeleteWebhook] = []
    for each in changes:
        section, name = each.key
        fact = each.after or each.before
        if isinstance(fact, ConfigFact):
            stored = fact if each.after is not None else replace(fact, body=None)
            routing.append(jobs.Configure(_command(fact, gone=each.after is None), stored, each.only_if))
        elif isinstance(fact, WebhookFact):
            first = ctx.services.sealer.seal(signatures.new_secret())
            put = jobs.PutWebhook(fact, first, ctx.actor, each.only_if)
            others.append(jobs.DeleteWebhook(name, ctx.actor, each.only_if) if each.after is None else put)
        else:
            assert fact is not None
            note = commands.Note(f"{section[:-1]}.{'deleted' if each.after is None else 'updated'}", name)
            gone = account_gone(fact) if isinstance(fact, AccountFact) else ConnectorFact(name, {}, {}, deleted=True)
            others.append(jobs.Configure(note, gone if each.after is None else fact, each.only_if))
    return jobs.ConfigureAll(tuple(routing), tuple(others), ctx.actor, dry_run)


def _command(fact: ConfigFact, *, gone: bool) -> commands.Command:
    if not gone:
        return KINDS[fact.kind].command(fact.name, fact.body or {})
    if fact.kind == "agent":
        return commands.DeleteAgent(fact.name)
    kind: Any = fact.kind
    return commands.DeleteNamed(kind, fact.name)
