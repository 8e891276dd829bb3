"""Where traces go: to an OpenTelemetry collector over OTLP, if the operator names one. Needs the extra `otel`.

Everything else about them (sampling, headers, batches) is set by OpenTelemetry's own variables, `OTEL_…`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from src import tracing
from src.errors import StartupError

STOP_S_MAX: Final = 2.0
"""So long spans that wait are still sent when the process ends."""


@contextlib.asynccontextmanager
async def traced(endpoint: str, process: str) -> AsyncIterator[None]:
    """Trace for as long as the context lasts; `endpoint` is the collector's base URL (OTLP over HTTP), empty: off.

    Raises:
        StartupError: the extra `otel` is not installed.
    """
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise StartupError("CORDBOARD_OTLP_ENDPOINT needs more packages: pip install 'cordboard[otel]'") from error
    resource = Resource.create({"service.name": "cordboard", "service.instance.id": process})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracing.use(provider.get_tracer("cordboard"))
    try:
        yield
    finally:
        tracing.use(None)
        stopping = asyncio.get_running_loop().run_in_executor(None, provider.shutdown)
        await asyncio.wait([stopping], timeout=STOP_S_MAX)
