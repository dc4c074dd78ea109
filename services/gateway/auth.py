"""Who is asking: an API key stands for a project, and every object belongs to one."""

import base64
import binascii
import hmac
import time
from dataclasses import dataclass, replace

from fastapi import HTTPException, Request

from services.gateway.attempt import Attempt
from services.gateway.keys import SCOPES, fingerprint, kid_of
from services.gateway.stores.keys import KeyStore
from services.gateway.version import Version, negotiate
from shared import clock
from shared.errors import Forbidden, InvalidRequest, Unauthorized
from shared.stores.database import Document

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


MISSING_SCOPE = (
    "You have insufficient permissions for this operation. Missing scopes: {}. "
    "Check that the API key has the necessary scopes."
)

NOT_IN_V1 = (
    "Vector stores are not part of version 1 of the Assistants API. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
)
ORGANIZATION = "org-threadmill"  # of this server and all its projects
TRUSTED_S = 4.0  # how long a key is believed to be as it was read
NOTED_EVERY_S = 300  # how exactly the last use of a key is known


@dataclass(frozen=True)
class Limits:
    """What a key may use; 0 is without limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_runs: int = 0


UNLIMITED = Limits()


@dataclass(frozen=True)
class Key:
    """An API key that was found to be one, and what it opens."""

    id: str
    project_id: str
    scopes: frozenset[str] = frozenset(SCOPES)
    limits: Limits = UNLIMITED

    def require_same(self, organization: str | None, project: str | None) -> None:
        """Check what the request says of itself beside the key.

        Raises:
            Unauthorized: it names another organisation or project.
        """
        for said, name, own in (
            (organization, "organization", ORGANIZATION),
            (project, "project", self.project_id),
        ):
            if said and said != own:
                message = f"OpenAI-{name.capitalize()} header should match {name} for API key"
                raise Unauthorized(message, code=f"mismatched_{name}")

    def require_scope(self, method: str) -> None:
        """
        Raises:
            Forbidden: the key may read only, or write only.
        """
        needed = "read" if method in ("GET", "HEAD", "OPTIONS") else "write"
        if not self.scopes & {needed, "admin"}:
            raise Forbidden(MISSING_SCOPE.format(needed), code="missing_scope")


@dataclass(frozen=True)
class Caller:
    key: Key
    version: Version
    attempt: Attempt

    @property
    def project_id(self) -> str:
        return self.key.project_id

    def new_id(self, prefix: str) -> str:
        """Return an id for an object that this request makes: the same if it has to be sent again."""
        return self.attempt.new_id(prefix)


class Keys:
    """The keys that open this server: one from the settings, and those in the store.

    With neither a key in the settings nor a pepper for those in the store, everybody is let in.
    """

    def __init__(
        self,
        bootstrap_key: str = "",
        *,
        store: KeyStore | None = None,
        pepper: str = "",
        limits: Limits = UNLIMITED,
        trusted_s: float = TRUSTED_S,
    ) -> None:
        self._bootstrap_key = bootstrap_key.encode()
        self._store = store if pepper else None
        self._pepper = pepper
        self._limits = limits
        self._trusted_s = trusted_s
        self._known: dict[str, tuple[Document, float]] = {}  # as read, and until when that is believed

    async def key_of(self, authorization: str | None) -> Key:
        """Return the key of an ``Authorization`` header.

        Raises:
            Unauthorized: there is none, or a wrong one.
        """
        if not self._bootstrap_key and self._store is None:
            return Key("open", DEFAULT_PROJECT, limits=self._limits)
        text = key_in(authorization)
        if not text:
            raise Unauthorized(NO_KEY)
        if self._bootstrap_key and hmac.compare_digest(text.encode(), self._bootstrap_key):
            return Key("bootstrap", DEFAULT_PROJECT, limits=self._limits)
        if found := await self._stored(text):
            return found
        raise Unauthorized(BAD_KEY.format(masked(text)), code="invalid_api_key")

    async def _stored(self, text: str) -> Key | None:
        kid = kid_of(text)
        if kid is None or self._store is None:
            return None
        document = await self._read(self._store, kid)
        if document is None or not hmac.compare_digest(
            document["fingerprint"], fingerprint(text, self._pepper)
        ):
            return None
        now = int(clock.now())
        if document["revoked_at"] is not None or (document["expires_at"] or now + 1) <= now:
            return None
        await self._note_use(self._store, document, now)
        own = {name: most for name, most in document["limits"].items() if most is not None}
        return Key(kid, document["project_id"], frozenset(document["scopes"]), replace(self._limits, **own))

    async def _read(self, store: KeyStore, kid: str) -> Document | None:
        now = time.monotonic()
        document, until = self._known.get(kid, (None, 0.0))
        if now >= until:
            document = await store.get(kid)
            self._known.pop(kid, None)
            if document is not None:
                self._known[kid] = (document, now + self._trusted_s)
        return document

    async def _note_use(self, store: KeyStore, document: Document, now: int) -> None:
        if now - (document["last_used_at"] or 0) >= NOTED_EVERY_S:
            document["last_used_at"] = now  # for the requests that come meanwhile
            await store.used(document["_id"], now)


class Door:
    """What every route of the API depends on. The key was checked in ``gate.py``; here the version."""

    async def __call__(self, request: Request) -> Caller:
        return _caller(request, negotiate(_beta(request)))

    async def any_version(self, request: Request) -> Caller:
        """For files and models, where the version need not be said: then it is the newest."""
        try:
            return _caller(request, negotiate(_beta(request)))
        except InvalidRequest:
            return _caller(request, Version.V2)

    async def v2_or_unsaid(self, request: Request) -> Caller:
        """For vector stores, which the first version does not have.

        Raises:
            InvalidRequest: the request says another version than the second.
        """
        if (version := negotiate(_beta(request), default=Version.V2)) is Version.V1:
            raise InvalidRequest(NOT_IN_V1, code="invalid_beta")
        return _caller(request, version)

    async def v1_only(self, request: Request) -> Caller:
        """For what only the first version has: for others, such a path does not exist."""
        caller = await self(request)
        if caller.version is not Version.V1:
            raise HTTPException(404)
        return caller


def _caller(request: Request, version: Version) -> Caller:
    return Caller(request.scope["key"], version, request.scope.get("attempt") or Attempt())


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
