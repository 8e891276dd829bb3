"""The service does what its OpenAPI document says, whatever it is sent: schemathesis' checks, operation by operation.

`make test-rest` sends some hundred cases to each operation, good ones and bad ones; the ordinary tests a few, the same
every time.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from tests.integration.test_tenants_apart import things_of_the_first
from tests.support.service import ADMIN_KEY, Client

CASES: Final = int(os.environ.get("CORDBOARD_TEST_REST", "0"))
"""So many for each operation and kind; 0: a few, always the same."""

CASES_OF_ALL: Final = 2

SPARED: Final = {"ignored_auth", "use_after_free", "ensure_resource_availability", "object_level_authorization"}
"""Checks that need a history of requests, or a credential that they may leave out: other tests are about these."""

CONFIG: Final = {
    "checks": {
        # What a schema cannot say is refused all the same: a queue that is not there, deadlines in the wrong order.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "401", "403", "404", "409", "410", "412", "415", "422", "429"]
        },
    },
}
SLOW: Final = ("wait_s", "refresh")
"""What makes a request wait."""

CHECKS: Final = [
    each
    for name in schemathesis.checks.CHECKS.get_all_names()
    if name not in SPARED
    for each in schemathesis.checks.CHECKS.get_by_names([name])
]


def attack(url: str, document: dict[str, Any], ids: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Send cases to every operation; returns how many, and by operation and check the first that failed."""
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(CONFIG))
    found: dict[str, str] = {}
    sent = 0
    for number, result in enumerate(schema.get_all_operations()):
        operation: Any = result
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if CASES or number % 2 == (mode is GenerationMode.POSITIVE):
                sent += _attack_one(url, operation.ok(), mode, ids, found)
    return sent, found


def _attack_one(url: str, operation: Any, mode: GenerationMode, ids: Mapping[str, str], found: dict[str, str]) -> int:
    sent = 0

    @settings(
        max_examples=CASES or CASES_OF_ALL,
        deadline=None,
        derandomize=not CASES,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def run(case: Any, known: bool) -> None:
        nonlocal sent
        if known and mode is GenerationMode.POSITIVE:
            case.path_parameters = {name: ids.get(name, each) for name, each in (case.path_parameters or {}).items()}
        for name in SLOW:
            if case.query:
                case.query.pop(name, None)
        response = case.call(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=30)
        sent += 1
        # Noted, not raised: the same case sent again finds another state, and hypothesis would call the test flaky.
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            for each in failures.exceptions:
                found.setdefault(f"{operation.label}: {type(each).__name__}", f"{each}\n{case.as_curl_command()}")

    with suppress(Unsatisfiable):  # it takes nothing that could be wrong
        run()
    return sent


@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
async def test_the_service_does_what_its_document_says(client: Client) -> None:
    ids = await things_of_the_first(client)
    del ids["key_id"]
    document = await client.call("GET", "/openapi.json")
    sent, found = await asyncio.to_thread(attack, client.url, document, ids)
    assert sent > 100
    assert not found, "\n\n".join(f"{name}\n{each}" for name, each in found.items())
