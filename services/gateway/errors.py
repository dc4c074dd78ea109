"""What goes wrong, as the API says it: ``{"error": {"message", "type", "param", "code"}}``."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.gateway.validation import invalid_request
from shared.errors import InvalidRequest, NotFound, ServiceError, Stale, Unavailable
from shared.stores.database import PyMongoError, is_outage

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
AWAY = "The server is temporarily unable to reach its store. Please try again shortly."
BUSY = "Too many requests change the same object at the same time. Please try again shortly."
INTERNAL = (
    "The server had an error processing your request. Sorry about that! You can retry your request, or "
    "contact us through our help center at help.openai.com if you keep seeing this error. "
    "(Please include the request ID {} in your email.)"
)


class WrongMethod(InvalidRequest):
    status = 405


def error_body(error: ServiceError) -> dict[str, Any]:
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def answer(error: ServiceError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body: dict[str, Any] = {"error": error_body(error)}
    if getattr(error, "has_detail", False):  # those of files say it twice
        body["detail"] = {"message": error.message, "code": error.code}
    return JSONResponse(body, error.status, dict(headers or {}))


def internal_error(request_id: str) -> JSONResponse:
    return answer(ServiceError(INTERNAL.format(request_id)))


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error on purpose; what is left over is answered in ``headers.py``."""
    app.add_exception_handler(ServiceError, _on_known_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(PyMongoError, _on_known_error)


def answer_to(error: ServiceError | PyMongoError) -> JSONResponse:
    """
    Raises:
        PyMongoError: ``error``, if it is none that passes.
    """
    if isinstance(error, PyMongoError):
        if not is_outage(error):
            raise error
        log.error("the store is away", extra={"reason": repr(error)[:300]})
        error = Unavailable(AWAY)
    if isinstance(error, Stale):
        error = Unavailable(BUSY)
    retry = {"retry-after": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else {}
    return answer(error, {**retry, **getattr(error, "headers", {})})


async def _on_known_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError | PyMongoError)
    return answer_to(error)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    """Parameters of the path and the query; bodies are checked in ``body.py``."""
    assert isinstance(error, RequestValidationError)
    problems = [{**problem, "loc": _place(problem["loc"])} for problem in error.errors()]
    return answer(invalid_request(problems, {}))


def _place(loc: Sequence[int | str]) -> tuple[int | str, ...]:
    """Without where the parameter was found, and without the brackets of an array's name."""
    return tuple(step.removesuffix("[]") if isinstance(step, str) else step for step in loc[1:])


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """The framework's own: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    if error.status_code == 404:
        return answer(NotFound(f"Invalid URL ({method} {path})"))
    if error.status_code == 405:
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        return answer(WrongMethod(f"Not allowed to {method} on {path} {hint}"), error.headers)
    return answer(InvalidRequest(str(error.detail)))
