"""A service as a process: an ASGI application under uvicorn, with health probes, stopped by SIGTERM."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from socket import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from shared import failpoints, metrics, tracing
from shared.settings import ServiceSettings

DRAIN_S = 10  # open requests get this long to end once they were told to

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
Checks = Callable[[], Awaitable[dict[str, str]]]


def worker_app(lifespan: Lifespan, checks: Checks) -> Starlette:
    """An application that works in its ``lifespan`` and shows only probes and metrics.

    ``checks`` names what the service needs and how it is; everything must be ``"ok"`` or begin
    with ``"ok "`` for the service to count as ready.
    """

    async def livez(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        found = await checks()
        ready = all(state.split(" ")[0] == "ok" for state in found.values())
        return JSONResponse(found, status_code=200 if ready else 503)

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.generate_latest(), media_type=metrics.CONTENT_TYPE_LATEST)

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", show_metrics)]
    return Starlette(lifespan=lifespan, routes=routes)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        on_close: Callable[[], None],
        on_stop: Callable[[], None],
        drain_s: float,
    ) -> None:
        super().__init__(config)
        self._on_close = on_close
        self._on_stop = on_stop
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._on_close()
        stopping = asyncio.get_running_loop().call_later(self._drain_s, self._on_stop)
        await super().shutdown(sockets)
        stopping.cancel()
        await tracing.flush()


def serve(
    app: ASGIApp,
    settings: ServiceSettings,
    *,
    on_close: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    drain_s: float = 0.0,
) -> None:
    """Run ``app`` until SIGTERM or SIGINT.

    From then on no connection is accepted, and those without a request are closed, after ``on_close``. Open
    requests get ``drain_s`` seconds to end by themselves. Then ``on_stop`` tells those that would not, and
    they get ``DRAIN_S`` more.
    """
    failpoints.arm(settings.failpoint)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_S + math.ceil(drain_s),
    )
    _Server(config, on_close, on_stop, drain_s).run()
