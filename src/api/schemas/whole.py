"""The body that holds a tenant's whole configuration."""

from typing import Annotated

from pydantic import Field

from src.api.schemas.access import AccountBody
from src.api.schemas.agents import AgentBody
from src.api.schemas.base import Body, Name
from src.api.schemas.connectors import ConnectorBody, HeaderName, HeaderValue
from src.api.schemas.policies import DepartmentBody, PilotBody, RuleBody, SettingsBody, TagConfigBody
from src.api.schemas.queues import QueueBody
from src.api.schemas.webhooks import WebhookBody


class KeptAccountBody(AccountBody):
    """A channel account, of which a secret that is null stays as it is."""


class KeptConnectorBody(ConnectorBody):
    """A connector, of which a secret that is null stays as it is."""

    secrets: Annotated[dict[HeaderName, HeaderValue | None], Field(max_length=20)] = {}  # type: ignore[assignment]


class ConfigurationBody(Body):
    """A tenant's whole configuration, section by section. A section that is left out, or null, is left as it is.

    In a section that is there, each entry is the whole of it, as it would be put by itself. Secrets are never read
    back: where one is null, or left out, it stays as it is.
    """

    settings: SettingsBody | None = None
    queues: dict[Name, QueueBody] | None = None
    tags: dict[Name, TagConfigBody] | None = None
    rules: dict[Name, RuleBody] | None = None
    pilots: dict[Name, PilotBody] | None = None
    departments: dict[Name, DepartmentBody] | None = None
    agents: dict[Name, AgentBody] | None = None
    channels: dict[Name, KeptAccountBody] | None = None
    connectors: dict[Name, KeptConnectorBody] | None = None
    webhooks: dict[Name, WebhookBody] | None = None
