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


def test_every_operation_and_parameter_is_explained() -> None:
    for name, each in OPERATIONS.items():
        assert each.get("description"), name
        for parameter in each.get("parameters", ()):
            assert parameter.get("description"), f"{name}: {parameter['name']}"


def test_every_operation_says_what_it_answers() -> None:
    for name, each in OPERATIONS.items():
        good = {status: answer for status, answer in each["responses"].items() if status.startswith("2")}
        assert good, name
        for status, answer in good.items():
            assert status == "204" or answer["content"], name


def test_every_code_of_a_refusal_is_one_that_is_listed() -> None:
    found = API.openapi()["components"]["responses"]
    for status, names in problems.codes().items():
        schema = found[f"Problem{status}"]["content"]["application/problem+json"]["schema"]
        assert names == schema["allOf"][1]["properties"]["code"]["enum"]


def test_the_page_of_codes_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "problems.md"
    assert problems.page() == page.read_text("utf-8"), "run: make openapi"
