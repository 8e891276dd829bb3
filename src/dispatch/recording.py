"""How what is done beside a tenant's loop has written down what became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from src.dispatch.turn import Job
from src.errors import NotOwner, Refused, Unavailable

PAUSE_S: Final = 0.5

Submit = Callable[[Job[Any]], Awaitable[Any]]
"""The way into the tenant's loop."""

_log = structlog.get_logger(__name__)


async def record(submit: Submit, job: Job[Any], tenant: str) -> bool:
    """Have a job done, however long that takes, unless another process serves the tenant: that one goes on by itself.

    What is refused is logged, and gives false: nobody waits for it.
    """
    while True:
        try:
            await submit(job)
        except NotOwner:
            return True
        except Unavailable:
            await asyncio.sleep(PAUSE_S)
        except Refused as refusal:
            _log.warning(
                "not_recorded", tenant=tenant, job=type(job).__name__, code=refusal.code, detail=refusal.detail
            )
            return False
        else:
            return True
