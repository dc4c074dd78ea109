"""Who is asking: an API key stands for a project, and every object belongs to one."""

import base64
import binascii
import hmac
from dataclasses import dataclass

from fastapi import HTTPException, Request

from services.gateway.version import Version, negotiate
from shared.errors import InvalidRequest, Unauthorized

DEFAULT_PROJECT = "default"

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) "
    "if you're accessing the API from your browser and are prompted for a username and password. "
    "You can obtain an API key from https://platform.openai.com/account/api-keys."
)
BAD_KEY = (
    "Incorrect API key provided: {}. "
    "You can find your API key at https://platform.openai.com/account/api-keys."
)


@dataclass(frozen=True)
class Caller:
    project_id: str
    version: Version


class Keys:
    """The keys that open this server. One for now, from the settings; later they live in the store."""

    def __init__(self, bootstrap_key: str) -> None:
        self._bootstrap_key = bootstrap_key.encode()

    async def project_of(self, authorization: str | None) -> str:
        """Return the project that the ``Authorization`` header opens.

        Raises:
            Unauthorized: there is no key in it, or a wrong one.
        """
        if not self._bootstrap_key:
            return DEFAULT_PROJECT
        key = key_in(authorization)
        if not key:
            raise Unauthorized(NO_KEY)
        if not hmac.compare_digest(key.encode(), self._bootstrap_key):
            raise Unauthorized(BAD_KEY.format(masked(key)), code="invalid_api_key")
        return DEFAULT_PROJECT


class Door:
    """What every route of the API depends on: first the key, then the version."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def __call__(self, request: Request) -> Caller:
        project_id = await self._keys.project_of(request.headers.get("authorization"))
        return Caller(project_id, negotiate(_beta(request)))

    async def any_version(self, request: Request) -> Caller:
        """For files and models, where the version need not be said: then it is the newest."""
        project_id = await self._keys.project_of(request.headers.get("authorization"))
        try:
            return Caller(project_id, negotiate(_beta(request)))
        except InvalidRequest:
            return Caller(project_id, Version.V2)

    async def v1_only(self, request: Request) -> Caller:
        """For what only the first version has: for others, such a path does not exist."""
        caller = await self(request)
        if caller.version is not Version.V1:
            raise HTTPException(404)
        return caller


def _beta(request: Request) -> str:
    return ", ".join(request.headers.getlist("openai-beta"))


def key_in(authorization: str | None) -> str:
    """The key of a Bearer header, or the password of a Basic one; empty if there is none.

    >>> key_in("Bearer sk-1"), key_in("Basic " + base64.b64encode(b":sk-2").decode()), key_in(None)
    ('sk-1', 'sk-2', '')
    """
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return "" if user else password


def masked(key: str) -> str:
    """Show enough of a key to recognise it, not enough to use it.

    >>> masked("sk-abcdefghijkl"), masked("short")
    ('sk-a*******ijkl', '*****')
    """
    if len(key) <= 12:
        return "*" * len(key)
    return f"{key[:4]}{'*' * (len(key) - 8)}{key[-4:]}"
