"""Errors that cross a module boundary. Each carries what the API answers for it.

* ServiceError
  - InvalidRequest     the client's request cannot be served as it is        (HTTP 400)
  - NotFound           the client named something that is not there          (HTTP 404)
  - Unauthorized       no key, or a wrong one                                (HTTP 401)
  - Forbidden          a key that may not do this                           (HTTP 403)
  - Unavailable        the store is away; try again                          (HTTP 503)
  - Stale              somebody else changed the same document first         (never answered)
"""

from typing import ClassVar


class ServiceError(Exception):
    """Base of every error this code raises on purpose."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(ServiceError):
    """A domain conflict too is a 400: the SDKs would repeat a 409 by themselves."""

    status = 400
    type = "invalid_request_error"


class NotFound(ServiceError):
    status = 404
    type = "invalid_request_error"


class Unauthorized(ServiceError):
    status = 401
    type = "invalid_request_error"


class Forbidden(ServiceError):
    status = 403
    type = "invalid_request_error"


class Unavailable(ServiceError):
    status = 503


class Stale(ServiceError):
    """Read again and decide again."""
