"""A stand-in of an OpenTelemetry collector, and of somebody's receiver of webhooks: it remembers what came."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from src.app.server import bind
from src.cluster.internal import SignalFreeServer


@dataclass(frozen=True)
class Span:
    """One that was exported. `process` is which process made it; ids as in `traceparent`."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    process: str
    attributes: Mapping[str, str]
    links: tuple[str, ...] = ()


@dataclass
class Collector:
    """What came. `traces` has every request's body as it was, to be searched."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)
    hooks: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Span]:
        """The spans of one trace."""
        return [each for each in self.spans if each.trace_id == trace_id]

    async def export(self, request: Request) -> Response:
        """OTLP over HTTP, as protobuf."""
        body = await request.body()
        self.traces.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for each in scope.spans:
                    self.spans.append(
                        Span(
                            each.name,
                            each.trace_id.hex(),
                            each.span_id.hex(),
                            each.parent_span_id.hex(),
                            process["service.instance.id"],
                            {one.key: str(one.value) for one in each.attributes},
                            tuple(one.trace_id.hex() for one in each.links),
                        )
                    )
        return Response(b"", media_type="application/x-protobuf")

    async def hook(self, request: Request) -> Response:
        """A receiver of webhooks."""
        self.hooks.append((request.headers, await request.body()))
        return Response(status_code=204)


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """One that listens."""
    found = Collector()
    ways = {"/v1/traces": found.export, "/hook": found.hook}
    app = Starlette(routes=[Route(path, each, methods=["POST"]) for path, each in ways.items()])
    listening = bind("127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = SignalFreeServer(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield found
    finally:
        server.should_exit = True
        await task
        listening.close()
