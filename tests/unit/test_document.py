"""The OpenAPI document and the page of codes say what the code does."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from src.api import problems
from src.api.examples import BODIES
from src.app.service import build_api

API = build_api()
OPERATIONS: dict[str, dict[str, Any]] = {
    str(each["operationId"]): each for methods in API.openapi()["paths"].values() for each in methods.values()
}
TAKES = {
    name: each
    for name, each in OPERATIONS.items()
    if "application/json" in each.get("requestBody", {}).get("content", {})
}


def test_every_body_has_an_example_and_every_example_a_body() -> None:
    assert set(TAKES) == set(BODIES)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_examples_are_good(name: str) -> None:
    routes = [route for router in API.routes for route in getattr(router, "original_router", API).routes]
    route: Any = next(each for each in routes if getattr(each, "name", None) == name)
    assert BODIES[name] == TAKES[name]["requestBody"]["content"]["application/json"]["example"]
    TypeAdapter(route.body_field.field_info.annotation).validate_python(BODIES[name])


def test_every_operation_says_how_it_refuses() -> None:
    for name, each in OPERATIONS.items():
        assert "default" not in each["responses"], name
        if "security" in each:
            assert {"401", "403", "422", "429", "503"} <= set(each["responses"]), name


def test_the_page_of_codes_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "problems.md"
    assert problems.page() == page.read_text("utf-8"), "run: make openapi"
