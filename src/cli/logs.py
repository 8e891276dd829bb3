"""Structured logs: text on a terminal, one JSON object a line elsewhere. They go to standard error.

They hold ids and codes, and nothing of persons: so of errors that are not our own the kind is told and where they came
from, never what they say, which may quote anything at all; and no local variable.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from src import tracing
from src.errors import CordboardError, Refused


def configure(log_format: str) -> None:
    """Set up logging for the process; `log_format` is `text`, `json` or empty for by terminal."""
    text = log_format == "text" or (not log_format and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        tracing.noted,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _explained,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").addFilter(_worth_a_line)


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Uvicorn takes a WebSocket that is refused with a status, as every stranger's is, for a fault of ours."""
    return record.msg != "ASGI callable returned without completing handshake."


def _explained(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: the line with the error that it is about, if there is one, as text."""
    about = line.pop("exc_info", None)
    if about is True:
        about = sys.exc_info()
    error = about[1] if isinstance(about, tuple) else about
    if isinstance(error, BaseException):
        line["exception"] = "\n".join(_told(error))
    return line


def _told(error: BaseException) -> list[str]:
    """What led to an error, and where; of several that come together, each."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [] if before is None else [*_told(before), "then:"]
    lines += [each.rstrip() for each in traceback.format_tb(error.__traceback__)]
    own = error.code if isinstance(error, Refused) else str(error) if isinstance(error, CordboardError) else ""
    lines.append(": ".join(filter(None, (f"{type(error).__module__}.{type(error).__qualname__}", own))))
    if isinstance(error, BaseExceptionGroup):
        lines += [line for each in error.exceptions for line in ("one of them:", *_told(each))]
    return lines
