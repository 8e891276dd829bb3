"""Routers whose routes the application takes as they are.

FastAPI's `include_router` makes each route a second time, once the first request looks for one, and a request then goes
through both. That is for prefixes, tags and dependencies of those who include, and nobody here has any.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from fastapi import APIRouter
from fastapi.routing import APIRoute


def operation_id(route: APIRoute) -> str:
    """The endpoint's own name: each is unique."""
    return route.name


Router: Final[Callable[..., APIRouter]] = partial(APIRouter, generate_unique_id_function=operation_id)
