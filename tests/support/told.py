"""What the service tells, held against the forms that it names: no field missing, unknown or of another kind."""

from typing import Any, Final

import jsonschema_rs

from src.api.asyncapi import document
from src.api.forms import events
from src.delivery import views
from src.dispatch.known import Known
from src.errors import Refused, StoreUnreachable
from src.router.journal import Event
from tests.support.answered import closed
from tests.support.service import Client

COMPONENTS: Final[Any] = document()["components"]
_PAGE: Final = 1_000


_SCHEMAS: Final = closed(COMPONENTS["schemas"])


def validator(schema: Any) -> Any:
    """Of what is sent as this schema of the document."""
    return jsonschema_rs.Draft202012Validator(
        {**closed(schema), "components": {"schemas": _SCHEMAS}}, validate_formats=True
    )


EVENTS: Final = {
    kind: (
        validator({"$ref": "#/components/schemas/Event"}),
        validator(COMPONENTS["messages"][kind]["payload"]["allOf"][1]["properties"]["data"]),
    )
    for kind in events.DATA
}


def check_event(told: Any) -> None:
    """An event as it is told."""
    envelope, data = EVENTS[told["type"]]
    for checked, value in ((envelope, told), (data, told["data"])):
        for error in checked.iter_errors(value):
            raise AssertionError(f"{told['type']}: {list(error.instance_path)}: {error.message}")


def check(tenant: str, event: Event, known: Known | None = None) -> None:
    """An event of the journal."""
    check_event(views.event(tenant, event, known or Known(), event.at))


async def check_journal(client: Client, tenant: str) -> None:
    """All that a tenant has been told, read anew; nothing where the test has taken the database away."""
    hub, store = client.services.hub, client.services.store
    after = 0
    try:
        while page := await store.events(tenant, after, _PAGE):
            known = Known()
            await hub.join(tenant, page, known)
            for each in page:
                check(tenant, each, known)
            after = page[-1].seq
    except (Refused, StoreUnreachable):
        return
