"""Bodies about connectors: ways to other systems that know of customers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from src.api.schemas.base import Body, Short, plain_json

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
Pointer = Annotated[str, StringConstraints(max_length=256)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,4094}[!-~])?$")]


class LearnBody(Body):
    """What of an answer is kept with the customer, so that tiers and rules go by it: JSON pointers into the answer.

    An attribute is a plain value of at most 256 characters, or a list of these.
    """

    tier: Pointer | None = None
    preferred_agent_id: Pointer | None = None
    attributes: Annotated[dict[Short, Pointer], Field(max_length=20)] = {}


class ConnectorBody(Body):
    """How another system is asked about a customer, and what is shown of its answer.

    `url` and `body` (with POST: JSON) hold placeholders: `{customer.id}`, `{customer.tier}`, `{identity.TYPE}` (what a
    channel vouches for alone) and `{attribute.NAME}`; a customer without one of them is not asked for. `secrets` are
    headers that are written and never read back. Each try may take `timeout_s`; only a request that is `idempotent`
    (null: GET is, POST is not) is tried again, `retries` times. An answer is fresh for `fresh_s`, and shown as stale
    for `stale_s` more. `view` picks from it: a JSON pointer, `{"each": POINTER, "take": NUMBER, "item": VIEW}` for a
    list, or an object of these. What `learn` names is kept with the customer, and judged by.
    """

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    method: Literal["GET", "POST"] = "GET"
    body: Annotated[dict[str, Any] | None, AfterValidator(plain_json)] = None
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=20)] = {}
    secrets: Annotated[dict[HeaderName, HeaderValue], Field(max_length=20)] = {}
    timeout_s: Annotated[float, Field(ge=0.05, le=30)] = 3.0
    retries: Annotated[int, Field(ge=0, le=3)] = 1
    idempotent: bool | None = None
    fresh_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    stale_s: Annotated[int, Field(ge=0, le=604_800)] = 3_600
    view: Annotated[Any, AfterValidator(plain_json)] = ""
    learn: LearnBody = LearnBody()
    enabled: bool = True
