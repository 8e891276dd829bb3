"""Bodies about who and what may come in: channel accounts, keys, tokens."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from src.api.schemas.base import Attributes, Body, ChannelName, Name, Short


class AccountBody(Body):
    """A channel account. Secrets are written, never read back; one that is null is removed."""

    channel: ChannelName
    settings: Attributes = {}
    secrets: Annotated[dict[Name, Short | None], Field(max_length=20)] = {}
    queue: Name | None = None
    enabled: bool = True


Scope = Literal[
    "contacts:write", "contacts:read", "agents:write", "agents:read", "config:write", "events:read", "admin"
]


class KeyBody(Body):
    """A new API key. `requests_per_s` is what it may ask for; null: as the service says for every key."""

    name: Short
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=7)]
    requests_per_s: Annotated[int, Field(ge=1, le=100_000)] | None = None


class RotateBody(Body):
    """How long the secret before stays good beside the new one."""

    overlap_s: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400


Algorithm = Literal["HS256", "RS256", "ES256"]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,1990}$")]


class TrustBody(Body):
    """Which agent tokens a tenant takes.

    HS256 is by the tenant's secret, which also signs the tokens that this service mints; RS256 and ES256 are by the
    keys at `jwks_url`. Where they are set, tokens by those must name `issuer` and `audience`.
    """

    algorithms: Annotated[list[Algorithm], Field(min_length=1, max_length=3)] = ["HS256"]
    jwks_url: Url | None = None
    issuer: Short | None = None
    audience: Short | None = None

    @model_validator(mode="after")
    def _whole(self) -> "TrustBody":
        if (self.jwks_url is None) != (set(self.algorithms) == {"HS256"}):
            raise ValueError("jwks_url goes with RS256 or ES256, and these with jwks_url")
        return self


class TokenBody(Body):
    """A new agent token."""

    agent_id: Name
    role: Literal["agent", "supervisor"] = "agent"
    ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
