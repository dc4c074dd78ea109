"""The HTTP side of the demo model."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.local.demo_model import wire
from deploy.local.demo_model.request import BadRequest, ChatRequest
from deploy.local.demo_model.script import reply_to

MODEL = "threadmill-demo"


def build_app(*, chunk_delay_s: float = 0.0) -> Starlette:
    """Build the application; each chunk of a stream comes ``chunk_delay_s`` seconds after the one before."""

    async def complete(http: Request) -> Response:
        request = ChatRequest.parse(await http.body())
        created_at = int(time.time())
        reply = reply_to(request)
        if not request.stream:
            return JSONResponse(wire.completion(request, reply, created_at))
        frames = _frames(wire.chunks(request, reply, created_at), chunk_delay_s)
        return StreamingResponse(frames, media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", _list_models),
            Route("/v1/models/{name:path}", _get_model),
            Route("/livez", _livez),
        ],
        exception_handlers={BadRequest: _refuse, HTTPException: _no_such_route},
    )


async def _frames(chunks: Iterator[wire.Json], chunk_delay_s: float) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield wire.frame(chunk)
        if chunk_delay_s:
            await asyncio.sleep(chunk_delay_s)
    yield wire.frame("[DONE]")


async def _list_models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [wire.model(MODEL)]})


async def _get_model(http: Request) -> Response:
    return JSONResponse(wire.model(http.path_params["name"]))  # it answers under every name


async def _livez(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return JSONResponse(wire.error(error.message, param=error.param), status_code=400)


async def _no_such_route(http: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"Invalid URL ({http.method} {http.url.path})"
    return JSONResponse(wire.error(message), status_code=error.status_code, headers=error.headers)
